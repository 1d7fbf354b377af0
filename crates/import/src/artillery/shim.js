// What Artillery gives to processors, on top of what scripts of Nuncius have: hooks with its signatures, its
// templates, `process.env`, `require` of files that came along. Called once per runtime, with what the importer knows
// of the file (`settings`), the files themselves as functions (`modules`) and what is in the other two files; what it
// returns makes the functions that are exported.
(function (settings, modules, templates, node) {
  'use strict';

  const { template, functions, textOf } = templates;
  const { hasOwnProperty } = Object.prototype;
  const has = (object, name) => hasOwnProperty.call(object, name);
  const isObject = (value) => typeof value === 'object' && value !== null;
  const isPromise = (value) => isObject(value) && typeof value.then === 'function';
  const isAsync = (value) => Object.prototype.toString.call(value) === '[object AsyncFunction]';
  const asError = (error) => (error instanceof Error ? error : new Error(String(error)));
  const clone = (value) => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));

  // ---- The environment: of the node, by way of a variable. It is not known before the first call.

  let environment = null;
  let wasTouched = false;
  const env = new Proxy({}, {
    get(_, name) {
      if (environment === null) {
        wasTouched = true;
        return undefined;
      }
      return has(environment, name) ? environment[name] : undefined;
    },
    has: (_, name) => environment !== null && has(environment, name),
    ownKeys: () => (environment === null ? [] : Object.keys(environment)),
    getOwnPropertyDescriptor(_, name) {
      if (environment === null || !has(environment, name)) return undefined;
      return { value: environment[name], enumerable: true, configurable: true, writable: false };
    },
  });

  function learn(ctx) {
    if (environment !== null) return;
    environment = {};
    for (const [name, value] of Object.entries(ctx.vars[settings.environment] ?? {})) {
      // One that is not set is an empty text in the specification.
      if (value !== '') environment[name] = value;
    }
  }

  // ---- Variables, under the names that Artillery has for them.

  const here = (name) => (has(settings.names, name) ? settings.names[name] : name);
  const there = new Map(Object.entries(settings.names).map(([foreign, own]) => [own, foreign]));
  const isHidden = (name) => name.startsWith('artillery_') || name === 'loop' || settings.hidden.includes(name);
  const isOwn = (own, name) => Reflect.getOwnPropertyDescriptor(own, name) !== undefined;

  function varsOf(ctx) {
    const own = ctx.vars;
    return new Proxy({}, {
      get(_, name) {
        if (typeof name === 'symbol') return undefined;
        if (name === '$env' || name === '$processEnvironment') return env;
        if (isOwn(own, here(name))) return own[here(name)];
        return has(settings.constants, name) ? settings.constants[name] : Object.prototype[name];
      },
      set(_, name, value) {
        own[here(name)] = value;
        return true;
      },
      has: (_, name) => typeof name === 'string' && (isOwn(own, here(name)) || has(settings.constants, name)),
      deleteProperty(_, name) {
        return delete own[here(name)];
      },
      ownKeys() {
        const names = Reflect.ownKeys(own).filter((name) => !isHidden(name)).map((name) => there.get(name) ?? name);
        return [...new Set([...names, ...Object.keys(settings.constants)])];
      },
      getOwnPropertyDescriptor(target, name) {
        if (!this.has(target, name)) return undefined;
        return { value: this.get(target, name), enumerable: true, configurable: true, writable: true };
      },
      defineProperty(target, name, descriptor) {
        return this.set(target, name, descriptor.value);
      },
    });
  }

  // ---- What hooks are given beside requests and responses.

  const told = new Set();

  // What no meter is declared for is told once and left out.
  function meterOf(kind, name) {
    const meter = settings.meters[kind]?.[String(name)];
    if (meter === undefined && !told.has(name)) {
      told.add(name);
      console.warn(`${kind} \`${name}\` is left out: its name is not written in the processor as it is`);
    }
    return meter;
  }

  function count(ctx, kind, name, value) {
    const meter = meterOf(kind, name);
    const number = Number(value);
    if (meter === undefined || !Number.isFinite(number)) return;
    if (kind === 'histogram') ctx.histogram(meter, number);
    else ctx.counter(meter, number);
  }

  const eventsOf = (ctx) => ({
    emit(kind, name, value) {
      switch (kind) {
        case 'counter':
          count(ctx, kind, name, value ?? 1);
          break;
        case 'histogram':
        case 'summary':
          count(ctx, 'histogram', name, value);
          break;
        case 'customStat':
          count(ctx, 'histogram', name.stat, name.value);
          break;
        case 'rate':
          count(ctx, kind, name, 1);
          break;
        case 'error':
          count(ctx, kind, name, 1);
          console.error(name);
          break;
        default:
      }
      return true;
    },
    on() {
      return this;
    },
    once() {
      return this;
    },
  });

  const GIVEN = ['vars', 'funcs', 'scenario', '_uid'];

  function contextOf(ctx) {
    learn(ctx);
    const vars = varsOf(ctx);
    const name = ctx.vars[settings.scenario];
    return {
      ...(ctx.vars[settings.context] ?? {}),
      vars,
      funcs: { ...functions, $template: (input) => template(input, vars) },
      scenario: { name },
      _uid: vars.$uuid,
    };
  }

  // What a hook has put beside the variables is there for the next one, as far as it is JSON.
  function keep(ctx, context, vars) {
    if (context.vars !== vars && isObject(context.vars)) Object.assign(vars, context.vars);
    const others = Object.keys(context).filter((key) => !GIVEN.includes(key));
    if (others.length === 0) return;
    ctx.vars[settings.context] = clone(Object.fromEntries(others.map((key) => [key, context[key]])));
  }

  // ---- How functions of both kinds come to their end: those that are asynchronous, and those that call `next`.

  function complete(callee, given) {
    if (isAsync(callee)) return callee(...given, () => {});
    return new Promise((resolve, reject) => {
      const result = callee(...given, (error) => (error ? reject(asError(error)) : resolve()));
      const takesNext = callee.length > given.length;
      if (isPromise(result)) result.then(() => (takesNext ? undefined : resolve()), reject);
      else if (!takesNext) resolve();
    });
  }

  function functionOf(name, what) {
    const found = processor()[name];
    if (typeof found === 'function') return found;
    console.warn(`${what} \`${name}\` is no function of the processor: it is passed over, as Artillery does`);
    return undefined;
  }

  async function inTurn(names, what, given, context) {
    for (const written of names) {
      const hook = functionOf(template(written, context.vars), what);
      if (hook !== undefined) await complete(hook, given);
    }
  }

  // ---- Requests.

  const based = (url) => (typeof url === 'string' && url.startsWith('/') ? settings.constants.target + url : url);
  function setHeader(headers, name, value) {
    for (const known of Object.keys(headers)) if (known.toLowerCase() === name.toLowerCase()) delete headers[known];
    if (value !== undefined && value !== null) headers[name] = textOf(value);
  }

  const MADE_BY_ENGINE = ['content-length', 'transfer-encoding', 'connection', 'upgrade', 'te', 'trailer', 'expect',
    'host'];

  // What a hook has left of the parameters becomes the request that is sent.
  function send(request, raw, params, vars) {
    const { headers } = request;
    for (const given of [raw.params.headers, params.headers]) {
      for (const [name, value] of Object.entries(given ?? {})) {
        if (!MADE_BY_ENGINE.includes(name.toLowerCase())) setHeader(headers, name, template(value, vars));
      }
    }
    let type;
    let body;
    if (params.json) {
      body = JSON.stringify(template(params.json, vars));
      type = 'application/json';
    } else if (params.form) {
      body = encode(template(params.form, vars));
      type = 'application/x-www-form-urlencoded';
    } else if (params.body) {
      body = template(params.body, vars);
      if (typeof body !== 'string') body = JSON.stringify(body);
    }
    if (!raw.isMultipart) {
      request.body = body ?? null;
      if (type !== undefined && headers.get('content-type') === null) setHeader(headers, 'Content-Type', type);
    }
    const cookies = template(params.cookie ?? {}, vars);
    if (Object.keys(cookies).length > 0) {
      setHeader(headers, 'Cookie', Object.entries(cookies).map(([name, value]) => `${name}=${value}`).join('; '));
    }
    if (isObject(params.auth) && headers.get('authorization') === null) {
      const { user, pass } = template(params.auth, vars);
      setHeader(headers, 'Authorization', `Basic ${btoa(`${user}:${pass}`)}`);
    }
    let url = String(template(params.uri || params.url, vars));
    const query = params.searchParams ?? params.qs;
    if (query) {
      const isPlain = isObject(query) && !(query instanceof URLSearchParams);
      const text = isPlain ? encode(template(query, vars)) : String(query);
      url = `${url.split('?')[0]}?${text}`;
    }
    const { target } = settings.constants;
    // A path is joined to the target by whoever sends it.
    if (target !== '' && url.startsWith(`${target}/`)) url = url.slice(target.length);
    request.url = url;
    request.method = params.method;
  }

  const parametersOf = (raw) => ({
    ...clone(raw.params), url: based(raw.params.url), method: raw.method, timeout: settings.timeout,
  });

  // What was sent, for the hook that sees the answer: a few, since the answer may never come.
  const sent = new Map();
  const SENT_MAX = 10_000;

  // ---- Files of the processor, and what else it may ask for.

  function load() {
    const cache = {};
    const get = (path) => {
      if (!has(cache, path)) {
        const made = { exports: {} };
        cache[path] = made;
        const require = (name) => {
          const plain = String(name).replace(/^node:/, '');
          if (!plain.startsWith('.') && !plain.startsWith('/')) {
            if (has(BUILT_IN, plain)) return BUILT_IN[plain]();
            throw new ReferenceError(`require('${name}'): there are no packages here, only ${
              Object.keys(BUILT_IN).join(', ')} and files beside the processor; bundle what it needs into it`);
          }
          const wanted = resolved(path, plain);
          const found = [wanted, `${wanted}.js`, `${wanted}.cjs`, `${wanted}.mjs`, `${wanted}.json`,
            `${wanted}/index.js`].find((candidate) => has(modules, candidate));
          if (found === undefined) throw new ReferenceError(`require('${name}'): no such file came along`);
          return get(found);
        };
        // Never the file itself: a processor is no program here.
        require.main = undefined;
        modules[path].call(made.exports, made.exports, require, made, path, directoryOf(path).join('/'));
      }
      return cache[path].exports;
    };
    if (settings.main === null) return {};
    const exported = get(settings.main);
    return { ...(isObject(exported.default) ? exported.default : {}), ...exported };
  }

  let functionsOfProcessor = null;
  function processor() {
    functionsOfProcessor ??= load();
    return functionsOfProcessor;
  }

  const { BUILT_IN, encode, resolved, directoryOf } = node(env, textOf);

  // Its top level runs now, unless it looks at the environment: then with the first call.
  try {
    processor();
  } catch (error) {
    if (!wasTouched) throw error;
  }
  if (wasTouched) functionsOfProcessor = null;

  // ---- What is exported is made of these.

  const F = {
    in(item, list) {
      const [items, all] = [item, list].map((value) => (Array.isArray(value) ? value : [value]));
      return items.every((one) => all.includes(one));
    },
    of: (name, object) => (isObject(object) && has(object, name) ? object[name] : undefined),
    call(name, given) {
      if (!['abs', 'ceil', 'floor', 'log', 'max', 'min', 'random', 'round', 'sqrt'].includes(name)) {
        throw new ReferenceError(`Unknown function: ${name}()`);
      }
      return Math[name](...given);
    },
  };

  const UNITS = { ms: 1, s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7 };

  function millisecondsOf(value) {
    if (value !== '' && !Number.isNaN(Number(value))) return Number(value) * 1e3;
    const found = /^(\d*\.?\d+) *(ms|msecs?|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)$/i
      .exec(String(value).trim());
    if (found === null) throw new Error(`Invalid think time: ${value}`);
    const unit = found[2].toLowerCase();
    return Number(found[1]) * UNITS[/^m(s|illi)/.test(unit) ? 'ms' : unit[0]];
  }

  return {
    // A step that calls a function.
    step: (name) => async (ctx) => {
      const context = contextOf(ctx);
      const { vars } = context;
      const callee = functionOf(name, 'function');
      if (callee === undefined) return;
      await complete(callee, [context, eventsOf(ctx)]);
      keep(ctx, context, vars);
    },

    // Hooks before a request.
    before: (number, hooks) => async (ctx) => {
      const raw = settings.requests[number];
      const context = contextOf(ctx);
      const { vars } = context;
      const params = parametersOf(raw);
      await inTurn(hooks, 'beforeRequest', [params, context, eventsOf(ctx)], context);
      keep(ctx, context, vars);
      send(ctx.request, raw, params, vars);
      if (raw.hasAfter) {
        if (sent.size >= SENT_MAX) sent.delete(sent.keys().next().value);
        const { url, headers } = ctx.request;
        sent.set(`${ctx.iteration}:${number}`, { ...params, url, headers: { ...headers } });
      }
    },

    // Hooks after an answer.
    after: (number, hooks) => async (ctx) => {
      const raw = settings.requests[number];
      const context = contextOf(ctx);
      const { vars } = context;
      const key = `${ctx.iteration}:${number}`;
      const params = sent.get(key) ?? template(parametersOf(raw), vars);
      sent.delete(key);
      const { status, headers, body, url } = ctx.response;
      const response = { statusCode: status, status, headers, body, url, timings: { phases: {} } };
      await inTurn(hooks, 'afterResponse', [params, response, context, eventsOf(ctx)], context);
      keep(ctx, context, vars);
    },

    // `ifTrue`: a function of the processor, or an expression.
    ifFunction: (name, variable) => (ctx) => {
      learn(ctx);
      let holds = true;
      try {
        const callee = processor()[name];
        if (typeof callee === 'function') holds = callee(varsOf(ctx));
      } catch (error) {
        console.warn(error);
      }
      ctx.vars[variable] = Boolean(holds);
    },
    ifExpression: (expression, variable) => (ctx) => {
      const vars = varsOf(ctx);
      let holds = true;
      try {
        holds = expression((name) => (name in vars ? vars[name] : undefined), F);
      } catch (error) {
        console.warn(error);
      }
      ctx.vars[variable] = Boolean(holds);
    },

    // `whileTrue`.
    whileTrue: (name, variable) => async (ctx) => {
      const context = contextOf(ctx);
      const { vars } = context;
      const callee = functionOf(name, 'whileTrue');
      const holds = callee !== undefined && await new Promise((resolve, reject) => {
        const result = callee(context, resolve);
        if (isPromise(result)) result.then(resolve, reject);
        else if (callee.length < 2) resolve(result);
      });
      keep(ctx, context, vars);
      ctx.vars[variable] = Boolean(holds);
    },

    // A pause that depends on variables.
    think: (time, jitter) => async (ctx) => {
      learn(ctx);
      let pause = millisecondsOf(template(time, varsOf(ctx)));
      if (jitter !== null) {
        const spread = String(jitter).endsWith('%') ? (pause * parseInt(jitter, 10)) / 100 : parseInt(jitter, 10);
        pause = Math.max(0, pause - spread + Math.random() * 2 * spread);
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    },
  };
})
