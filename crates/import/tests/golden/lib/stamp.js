export const stamp = (text) => `${text}-${process.env.STAMP || 'none'}`; // with the environment
