// What scripts find in the world, made once per context from the functions of the host. What the host calls itself
// is returned. A script that changes what is built in (Array.prototype and the like) can break this for itself only.
(function (host) {
  'use strict';

  const BUILT_IN = Object.prototype;
  const FunctionPrototype = Function.prototype;
  const { create, defineProperty, getPrototypeOf, keys } = Object;
  const isObject = (value) => typeof value === 'object' && value !== null;
  const hidden = (object, name, value) => defineProperty(object, name, { value, writable: true, configurable: true });

  // What is waited for, by ask: how to go on.
  const waiting = new Map();

  // ---- Variables: a proxy for each call that wants one, with one handler for all.

  const hold = (target, name, value) => {
    if (target.held === null) target.held = new Map();
    target.held.set(name, value);
  };

  const variables = {
    __proto__: null,
    get(target, name) {
      if (typeof name === 'symbol') return BUILT_IN[name];
      if (target.held !== null && target.held.has(name)) return target.held.get(name);
      const value = host.read(target.id, name);
      if (isObject(value)) hold(target, name, value);
      return value === undefined ? BUILT_IN[name] : value;
    },
    set(target, name, value) {
      if (typeof name === 'symbol') throw new TypeError('the name of a variable is a text');
      if (value === undefined) host.remove(target.id, name);
      else host.write(target.id, name, value);
      if (isObject(value)) hold(target, name, value);
      else if (target.held !== null) target.held.delete(name);
      return true;
    },
    has(target, name) {
      return typeof name === 'symbol' ? name in BUILT_IN : host.has(target.id, name) || name in BUILT_IN;
    },
    deleteProperty(target, name) {
      if (typeof name === 'symbol') return true;
      if (target.held !== null) target.held.delete(name);
      host.remove(target.id, name);
      return true;
    },
    ownKeys(target) {
      return host.names(target.id);
    },
    getOwnPropertyDescriptor(target, name) {
      if (typeof name === 'symbol' || !host.has(target.id, name)) return undefined;
      return { value: variables.get(target, name), writable: true, enumerable: true, configurable: true };
    },
    defineProperty(target, name, descriptor) {
      if (!('value' in descriptor)) throw new TypeError(`variable \`${String(name)}\` has to be a value`);
      return variables.set(target, name, descriptor.value);
    },
    preventExtensions: () => false,
    setPrototypeOf: () => false,
  };

  // ---- Headers: an object by name, with what the Headers of browsers have beside it.

  const HEADERS = create(BUILT_IN);
  const joined = (value) => (Array.isArray(value) ? value.join(', ') : value);
  hidden(HEADERS, 'get', function get(name) {
    const wanted = String(name).toLowerCase();
    for (const key of keys(this)) if (key.toLowerCase() === wanted) return joined(this[key]);
    return null;
  });
  hidden(HEADERS, 'has', function has(name) {
    return HEADERS.get.call(this, name) !== null;
  });
  hidden(HEADERS, 'entries', function* entries() {
    for (const key of keys(this)) yield [key, joined(this[key])];
  });
  hidden(HEADERS, 'forEach', function forEach(callback) {
    for (const key of keys(this)) callback(joined(this[key]), key, this);
  });
  hidden(HEADERS, Symbol.iterator, HEADERS.entries);

  // Pairs, as the Headers of browsers take them, too.
  function byName(headers) {
    if (!Array.isArray(headers) && !(headers instanceof Map)) return headers;
    const named = create(null);
    for (const [name, value] of headers) named[name] = name in named ? [named[name], value].flat() : value;
    return named;
  }

  function bodyOf(body) {
    if (body === undefined || body === null || typeof body === 'string') return body;
    throw new TypeError('a body is a text: use JSON.stringify for JSON');
  }

  // ---- Responses: of the step (ask 0), and of the script's own requests.

  class Response {
    #id;
    #ask;
    #headers;
    #body;
    constructor(id, ask) {
      this.#id = id;
      this.#ask = ask;
    }
    get status() {
      return host.status(this.#id, this.#ask);
    }
    get ok() {
      return this.status >= 200 && this.status < 300;
    }
    get url() {
      return host.url(this.#id, this.#ask);
    }
    get headers() {
      return (this.#headers ??= host.headers(this.#id, this.#ask, HEADERS));
    }
    get body() {
      return (this.#body ??= host.body(this.#id, this.#ask));
    }
    header(name) {
      return this.headers.get(name);
    }
    text() {
      return this.body;
    }
    json() {
      return host.json(this.#id, this.#ask);
    }
  }

  // As `fetch` gives it: reading the body is a promise.
  class FetchResponse extends Response {
    async text() {
      return super.text();
    }
    async json() {
      return super.json();
    }
  }

  // ---- Requests of the script itself, and timers.

  // What nobody would look at must not look as if it had been.
  function check(what, object, known) {
    for (const name of keys(object)) {
      if (!known.includes(name)) throw new TypeError(`${what} has ${known.join(', ')}, but no \`${name}\``);
    }
  }
  const OPTIONS = ['method', 'headers', 'body', 'step'];
  const REQUEST = ['method', 'url', 'headers', 'body'];

  function fetchFor(id, url, options = {}) {
    return new Promise((resolve, reject) => {
      check('fetch', options, OPTIONS);
      const { method = 'GET', headers, body, step } = options;
      const ask = host.fetch(id, `${method}`, `${url}`, byName(headers), bodyOf(body), step);
      waiting.set(ask, { id, resolve, reject });
    });
  }

  function setTimeoutFor(id, callback, delay, rest) {
    if (typeof callback !== 'function') throw new TypeError('setTimeout needs a function');
    const ask = host.timer(id, Number(delay));
    waiting.set(ask, { id, resolve: () => { callback(...rest); } });
    return ask;
  }

  // ---- What a function is given.

  class Failure extends Error {}
  hidden(Failure.prototype, 'name', 'Failure');

  function shown(value) {
    if (typeof value === 'string') return value;
    if (value instanceof Error) return `${value.name}: ${value.message}`;
    try {
      const json = isObject(value) ? JSON.stringify(value) : undefined;
      return json === undefined ? String(value) : json;
    } catch (error) {
      return String(value);
    }
  }
  const line = (values) => values.map(shown).join(' ');

  class Context {
    #id;
    #target = null;
    #vars = null;
    #request = null;
    #response = null;
    constructor(id) {
      this.#id = id;
    }
    get vars() {
      if (this.#vars === null) {
        this.#target = { id: this.#id, held: null };
        this.#vars = new Proxy(this.#target, variables);
      }
      return this.#vars;
    }
    get request() {
      if (this.#request === null) this.#request = host.request(this.#id, HEADERS);
      return this.#request;
    }
    get response() {
      if (this.#response === null) {
        if (!host.hasResponse(this.#id)) return undefined;
        this.#response = new Response(this.#id, 0);
      }
      return this.#response;
    }
    get iteration() {
      return host.about(this.#id, 0);
    }
    get user() {
      return host.about(this.#id, 1);
    }
    get now() {
      return host.about(this.#id, 2);
    }
    counter(name, value = 1) {
      host.meter(this.#id, 0, `${name}`, value);
    }
    histogram(name, value) {
      host.meter(this.#id, 1, `${name}`, value);
    }
    log(...values) {
      host.log(this.#id, 0, line(values));
    }
    fail(text = 'failed') {
      host.failing(this.#id, `${text}`);
      throw new Failure(`${text}`);
    }
    random() {
      return host.random(this.#id);
    }
    fetch(url, options) {
      return fetchFor(this.#id, url, options);
    }
    // What was handed out as an object and may have been changed since goes back.
    static give(context) {
      const id = context.#id;
      const held = context.#target === null ? null : context.#target.held;
      if (held !== null) for (const [name, value] of held) host.writeBack(id, name, value);
      const request = context.#request;
      if (isObject(request)) {
        check('a request', request, REQUEST);
        const { method, url, headers, body } = request;
        host.requestBack(id, `${method}`, `${url}`, byName(headers), bodyOf(body));
      }
    }
  }
  const give = Context.give;
  delete Context.give;

  // ---- What the host calls.

  const PENDING = Symbol('pending');

  // Calls a function of the script: gives what it returned, or PENDING, and then tells the host later.
  function invoke(id, callee) {
    const context = new Context(id);
    let result;
    try {
      result = callee(context);
    } catch (error) {
      try {
        give(context);
      } catch {
        // The first error is the one that matters.
      }
      throw error;
    }
    if (isObject(result) && typeof result.then === 'function') {
      Promise.resolve(result).then(
        (value) => {
          give(context);
          host.settle(id, value);
        },
        (error) => {
          try {
            give(context);
          } catch {
            // As above.
          }
          host.reject(id, error);
        },
      ).catch((error) => host.reject(id, error));
      return PENDING;
    }
    give(context);
    return result;
  }

  // An answer has come.
  function answer(ask, failure, isResponse) {
    const waiter = waiting.get(ask);
    if (waiter === undefined) return;
    waiting.delete(ask);
    if (failure === undefined) waiter.resolve(isResponse ? new FetchResponse(waiter.id, ask) : undefined);
    else if (waiter.reject !== undefined) waiter.reject(new TypeError(`fetch failed: ${failure}`));
  }

  function forget(ask) {
    waiting.delete(ask);
  }

  // Names and functions that a script exports, one after the other.
  function exported(namespace) {
    const found = [];
    for (const exports of [namespace, module.exports]) {
      if (found.length > 0) break;
      if (typeof exports === 'function') found.push('default', exports);
      if (isObject(exports) || typeof exports === 'function') {
        for (const name of keys(exports)) {
          if (typeof exports[name] === 'function') found.push(name, exports[name]);
        }
      }
    }
    return found;
  }

  // ---- The world.

  const module = { exports: {} };
  const log = (level) => (...values) => host.log(host.current(), level, line(values));
  const off = (name) => function () {
    throw new EvalError(`${name} is switched off: a script cannot make code out of text`);
  };

  for (const made of [function () {}, async function () {}, function* () {}, async function* () {}]) {
    const prototype = getPrototypeOf(made);
    const constructor = off(prototype.constructor.name);
    if (prototype === FunctionPrototype) {
      defineProperty(constructor, 'prototype', { value: FunctionPrototype, writable: false });
      hidden(globalThis, 'Function', constructor);
    }
    defineProperty(prototype, 'constructor', { value: constructor, writable: false, configurable: false });
  }
  hidden(globalThis, 'eval', off('eval'));

  // What goes through a list to its end without asking whether it has to stop. A list can say that it is as long as it
  // likes without having anything in it; one that has cannot be longer than the heap.
  const ENDLESS = ['concat', 'copyWithin', 'fill', 'join', 'reverse', 'shift', 'slice', 'sort', 'splice',
    'toLocaleString', 'toReversed', 'toSorted', 'toSpliced', 'unshift', 'with'];
  const most = host.lengthMax();
  for (const name of ENDLESS) {
    const original = Array.prototype[name];
    const tooLong = (list) => list !== undefined && list !== null && list.length > most;
    const bounded = {
      [name](...values) {
        if (tooLong(this) || (name === 'concat' && values.some(tooLong))) {
          throw new RangeError(`${name} of a list that is longer than ${most}, for which there is no memory`);
        }
        return Reflect.apply(original, this, values);
      },
    };
    hidden(Array.prototype, name, bounded[name]);
  }
  // What depends on when the garbage collector runs, or shares memory between threads.
  for (const name of ['WeakRef', 'FinalizationRegistry', 'Atomics', 'SharedArrayBuffer']) delete globalThis[name];

  hidden(Math, 'random', function random() {
    return host.random(host.current());
  });
  hidden(globalThis, 'console', {
    debug: log(0), log: log(0), info: log(0), warn: log(1), error: log(2),
  });
  hidden(globalThis, 'fetch', function fetch(url, options) {
    return fetchFor(host.current(), url, options);
  });
  hidden(globalThis, 'setTimeout', function setTimeout(callback, delay = 0, ...rest) {
    return setTimeoutFor(host.current(), callback, delay, rest);
  });
  hidden(globalThis, 'clearTimeout', function clearTimeout(ask) {
    if (waiting.delete(ask)) host.cancel(ask);
  });
  hidden(globalThis, 'module', module);
  hidden(globalThis, 'exports', module.exports);
  hidden(globalThis, 'require', function require(name) {
    throw new ReferenceError(`could not load module '${name}'`);
  });

  return { PENDING, invoke, answer, forget, exported };
});
