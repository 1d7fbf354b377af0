import { randomUUID } from 'node:crypto';
import greet from './lib/greet.json';

export async function make(requestParams, context) {
  context.vars.made = `${greet.hello}-${randomUUID().length}`;
  context.vars.count = 3;
  context.note = { n: 1 };
  requestParams.headers['X-Hook'] = requestParams.method;
}

export const remember = async (requestParams, response, context, events) => {
  context.vars.seen = [requestParams.url, response.statusCode, context.note.n];
  events.emit('histogram', 'answer.length', response.body.length);
};
