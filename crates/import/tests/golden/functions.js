const { stamp } = require('./lib/stamp');

module.exports = {
  prepare(context, events, next) {
    context.vars.started = stamp(context.scenario.name);
    events.emit('counter', 'prepared.users', 1);
    next();
  },
  tidyUp: async (context) => {
    delete context.vars.started;
  },
  sign(requestParams, context, events, next) {
    requestParams.headers = requestParams.headers || {};
    requestParams.headers['X-Signed'] = `${context.vars.n}`;
    return next();
  },
  look(requestParams, response, context, events, next) {
    context.vars.last = response.statusCode;
    next();
  },
  more(context, next) {
    next(context.vars.last === 200);
  },
  isOpen: (vars) => vars.kind === 'a',
};
