'use strict';
module.exports = { sign, seen, begin, pick, more };
function begin(context, events, done) { context.vars.begun = 1; return done(); }
function sign(params, context, events, next) { params.headers = params.headers || {}; params.headers['x-signed'] = 'yes'; events.emit('counter', 'signed', 1); return next(); }
async function seen(params, response, context, events) { context.vars.status = response.statusCode; events.emit('histogram', 'sizes', 5); }
async function pick(context, events) { context.vars.id = 4; }
function more(context, next) { context.vars.n = (context.vars.n || 0) + 1; return next(context.vars.n < 3); }
