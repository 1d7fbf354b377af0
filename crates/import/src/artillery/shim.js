// What Artillery gives to processors, on top of what scripts of Nuncius have: hooks with its signatures, its
// templates, `process.env`, `require` of files that came along. Called once per runtime, with what the importer knows
// of the file (`settings`) and the files themselves as functions (`modules`); what it returns makes the functions that
// are exported.
(function (settings, modules) {
  'use strict';

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

  // ---- Templates, as Artillery fills them in.

  function pathOf(text) {
    const keys = [];
    for (const found of text.matchAll(/[^.[\]]+|\[(?:(['"])(.*?)\1|([^\]]*))\]/g)) {
      keys.push(found[2] ?? found[3] ?? found[0]);
    }
    return keys;
  }

  function lookUp(vars, name) {
    if (name in vars) return vars[name];
    let value = vars;
    for (const key of pathOf(name)) {
      if (value === undefined || value === null) return undefined;
      value = value[key];
    }
    return value;
  }

  const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
  const functions = {
    $randomNumber(first = 0, second = first === 0 ? 1 : 0) {
      const [low, high] = [Math.ceil(Math.min(first, second)), Math.floor(Math.max(first, second))];
      return low + Math.floor(Math.random() * (high - low + 1));
    },
    $randomString(length = 10) {
      let text = '';
      while (text.length < length) text += LETTERS[Math.floor(Math.random() * LETTERS.length)];
      return text;
    },
  };

  const CALL = /{{\s*(\$[A-Za-z0-9_]+)\s*\(\s*([A-Za-z0-9_,\s]*)\s*\)\s*}}/;
  const VARIABLE = /{{{?[\s$\w.[\]'"-]+}}}?/g;
  const nameIn = (text) => text.replace(/[{}]/g, '').trim();
  const textOf = (value) => (isObject(value) ? JSON.stringify(value) : String(value));

  function template(value, vars) {
    if (Array.isArray(value)) return value.map((item) => template(item, vars));
    if (isObject(value)) {
      const filled = ([key, item]) => [template(key, vars), template(item, vars)];
      return Object.fromEntries(Object.entries(value).map(filled));
    }
    if (typeof value !== 'string' || !value.includes('{{')) return value;
    const call = value.match(CALL);
    if (call !== null) {
      if (!has(functions, call[1])) return undefined;
      const given = call[2].trim() === '' ? [] : call[2].split(',');
      const made = functions[call[1]](...given.map((text) => (Number.isNaN(Number(text)) ? undefined : Number(text))));
      return template(value.replace(CALL, () => String(made)), vars);
    }
    const found = value.match(VARIABLE);
    if (found === null) return value;
    if (found.length === 1 && found[0] === value) return lookUp(vars, nameIn(value));
    return value.replace(VARIABLE, (text) => textOf(lookUp(vars, nameIn(text))));
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
  const encode = (fields) => {
    const pairs = [];
    for (const [name, value] of Object.entries(fields)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        pairs.push(`${encodeURIComponent(name)}=${encodeURIComponent(one ?? '')}`);
      }
    }
    return pairs.join('&');
  };

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
      const text = isObject(query) && !(query instanceof URLSearchParams) ? encode(template(query, vars)) : String(query);
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

  const directoryOf = (path) => path.split('/').slice(0, -1);

  function resolved(from, name) {
    const parts = name.startsWith('/') ? [] : directoryOf(from);
    for (const part of name.split('/')) {
      if (part === '..') parts.pop();
      else if (part !== '.' && part !== '') parts.push(part);
    }
    return parts.join('/');
  }

  function promisify(callee) {
    return (...given) => new Promise((resolve, reject) => {
      callee(...given, (error, value) => (error ? reject(asError(error)) : resolve(value)));
    });
  }

  const BUILT_IN = {
    'node-fetch': () => Object.assign((...given) => globalThis.fetch(...given), { default: globalThis.fetch }),
    'cross-fetch': () => Object.assign((...given) => globalThis.fetch(...given), { default: globalThis.fetch }),
    undici: () => ({ fetch: globalThis.fetch }),
    util: () => ({
      promisify,
      callbackify: (callee) => (...given) => {
        const next = given.pop();
        callee(...given).then((value) => next(null, value), next);
      },
      format: (...given) => given.map(textOf).join(' '),
      inspect: textOf,
    }),
    url: () => ({ URL: globalThis.URL, URLSearchParams: globalThis.URLSearchParams }),
    querystring: () => ({ stringify: encode, encode, parse: (text) => Object.fromEntries(new URLSearchParams(text)) }),
    crypto: () => ({
      randomUUID: uuid,
      randomBytes: (size) => Buffer.from(Array.from({ length: size }, () => Math.floor(Math.random() * 256))),
      randomInt: (low, high) => (high === undefined
        ? Math.floor(Math.random() * low) : low + Math.floor(Math.random() * (high - low))),
    }),
    uuid: () => ({ v4: uuid }),
    buffer: () => ({ Buffer }),
    process: () => globalThis.process,
    timers: () => ({ setTimeout, clearTimeout, setImmediate: globalThis.setImmediate }),
    'timers/promises': () => ({ setTimeout: (delay, value) => new Promise((ok) => setTimeout(ok, delay, value)) }),
    path: () => ({
      join: (...parts) => resolved('', parts.join('/')),
      basename: (path) => path.split('/').pop(),
      dirname: (path) => directoryOf(path).join('/'),
    }),
  };

  function uuid() {
    const digits = Array.from({ length: 32 }, () => Math.floor(Math.random() * 16));
    digits[12] = 4;
    digits[16] = 8 + (digits[16] % 4);
    const text = digits.map((digit) => digit.toString(16)).join('');
    return [[0, 8], [8, 12], [12, 16], [16, 20], [20, 32]].map(([from, to]) => text.slice(from, to)).join('-');
  }

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

  // ---- What Node.js has around that.

  const define = (name, value) => {
    if (globalThis[name] === undefined) {
      Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
    }
  };

  const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

  function toBase64(bytes) {
    let text = '';
    for (let at = 0; at < bytes.length; at += 3) {
      const three = (bytes[at] << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
      for (let digit = 0; digit < 4; digit += 1) {
        text += at + digit > bytes.length ? '=' : DIGITS[(three >> (18 - 6 * digit)) & 63];
      }
    }
    return text;
  }

  function fromBase64(text) {
    const digits = [...text.replace(/-/g, '+').replace(/_/g, '/')].map((c) => DIGITS.indexOf(c)).filter((n) => n >= 0);
    const bytes = [];
    for (let at = 0; at + 1 < digits.length; at += 4) {
      const three = (digits[at] << 18) | (digits[at + 1] << 12) | ((digits[at + 2] ?? 0) << 6) | (digits[at + 3] ?? 0);
      for (let byte = 0; byte < 3 && at + byte + 1 < digits.length; byte += 1) {
        bytes.push((three >> (16 - 8 * byte)) & 255);
      }
    }
    return bytes;
  }

  const toUtf8 = (text) => [...unescape(encodeURIComponent(text))].map((c) => c.charCodeAt(0));
  const fromUtf8 = (bytes) => decodeURIComponent(escape(String.fromCharCode(...bytes)));

  class SmallBuffer {
    constructor(bytes) {
      this.bytes = bytes;
      this.length = bytes.length;
    }
    static from(value, form = 'utf8') {
      if (typeof value !== 'string') return new SmallBuffer([...(value.bytes ?? value)]);
      if (form === 'base64' || form === 'base64url') return new SmallBuffer(fromBase64(value));
      if (form === 'hex') return new SmallBuffer((value.match(/../g) ?? []).map((two) => parseInt(two, 16)));
      if (form === 'latin1' || form === 'binary') return new SmallBuffer([...value].map((c) => c.charCodeAt(0) & 255));
      return new SmallBuffer(toUtf8(value));
    }
    static byteLength(text) {
      return toUtf8(text).length;
    }
    toString(form = 'utf8') {
      if (form === 'base64') return toBase64(this.bytes);
      if (form === 'base64url') return toBase64(this.bytes).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');
      if (form === 'hex') return this.bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
      if (form === 'latin1' || form === 'binary') return String.fromCharCode(...this.bytes);
      return fromUtf8(this.bytes);
    }
  }

  class SmallSearchParams {
    constructor(given = '') {
      this.pairs = [];
      if (typeof given === 'string') {
        for (const pair of given.replace(/^\?/, '').split('&').filter((text) => text !== '')) {
          const [name, ...value] = pair.split('=');
          const plain = (text) => decodeURIComponent(text.replace(/\+/g, ' '));
          this.pairs.push([plain(name), plain(value.join('='))]);
        }
      } else {
        for (const [name, value] of Array.isArray(given) ? given : Object.entries(given)) this.append(name, value);
      }
    }
    append(name, value) {
      this.pairs.push([String(name), String(value)]);
    }
    set(name, value) {
      this.delete(name);
      this.append(name, value);
    }
    get(name) {
      return this.pairs.find(([known]) => known === name)?.[1] ?? null;
    }
    has(name) {
      return this.get(name) !== null;
    }
    delete(name) {
      this.pairs = this.pairs.filter(([known]) => known !== name);
    }
    entries() {
      return this.pairs[Symbol.iterator]();
    }
    [Symbol.iterator]() {
      return this.entries();
    }
    toString() {
      return this.pairs.map((pair) => pair.map(encodeURIComponent).join('=')).join('&');
    }
  }

  class SmallUrl {
    constructor(text, base) {
      const whole = base === undefined || /^[a-z]+:/i.test(text) ? String(text) : new SmallUrl(base).origin + text;
      const form = /^([a-z][a-z0-9+.-]*:)\/\/(?:[^@/?#]*@)?([^:/?#]*)(?::(\d+))?([^?#]*)(\?[^#]*)?(#.*)?$/i;
      const parts = whole.match(form);
      if (parts === null) throw new TypeError(`${text} is no URL`);
      [, this.protocol, this.hostname, this.port = '', this.pathname, this.search = '', this.hash = ''] = parts;
      this.pathname ||= '/';
      this.host = this.port === '' ? this.hostname : `${this.hostname}:${this.port}`;
      this.origin = `${this.protocol}//${this.host}`;
      this.searchParams = new SmallSearchParams(this.search);
    }
    get href() {
      const query = this.searchParams.toString();
      return `${this.origin}${this.pathname}${query === '' ? '' : `?${query}`}${this.hash}`;
    }
    toString() {
      return this.href;
    }
  }

  // Of `fetch` what is known here; a body that is no text becomes one.
  const ownFetch = globalThis.fetch;
  const OPTIONS = ['method', 'headers', 'body'];
  globalThis.fetch = function fetch(url, options = {}) {
    const known = {};
    for (const name of OPTIONS) if (options[name] !== undefined && options[name] !== null) known[name] = options[name];
    if (known.body !== undefined && typeof known.body !== 'string') {
      const isForm = known.body instanceof SmallSearchParams;
      known.body = String(known.body);
      if (isForm) known.headers = { 'content-type': 'application/x-www-form-urlencoded', ...known.headers };
    }
    // Where the specification wants it counted: at a step that nothing else counts at.
    known.step = 'requests of functions';
    return ownFetch(String(url), known);
  };

  define('global', globalThis);
  define('Buffer', SmallBuffer);
  define('URL', SmallUrl);
  define('URLSearchParams', SmallSearchParams);
  define('btoa', (text) => SmallBuffer.from(text, 'latin1').toString('base64'));
  define('atob', (text) => SmallBuffer.from(text, 'base64').toString('latin1'));
  define('setImmediate', (callback, ...given) => setTimeout(callback, 0, ...given));
  define('process', {
    env,
    argv: [],
    platform: 'linux',
    version: 'v22.0.0',
    versions: {},
    cwd: () => '/',
    uptime: () => 0,
    nextTick: (callback, ...given) => void Promise.resolve().then(() => callback(...given)),
    on() {
      return this;
    },
    exit() {
      throw new Error('process.exit: a processor cannot end the test');
    },
  });

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
