// A checksum stands for a signature here.
function checksum(text) {
  let sum = 0;
  for (const character of text) sum = (sum * 31 + character.codePointAt(0)) >>> 0;
  return sum.toString(16);
}

export function sign(context) {
  const request = context.request;
  request.headers["X-Signature"] = checksum(request.method + request.url + request.body);
}
