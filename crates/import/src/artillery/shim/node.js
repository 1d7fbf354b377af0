// What Node.js has, as far as processors use it: what is global there, and modules that are no files. `env` is the
// environment.
(function (env, textOf) {
  'use strict';

  const asError = (error) => (error instanceof Error ? error : new Error(String(error)));

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

  // ---- Modules.

  const encode = (fields) => {
    const pairs = [];
    for (const [name, value] of Object.entries(fields)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        pairs.push(`${encodeURIComponent(name)}=${encodeURIComponent(one ?? '')}`);
      }
    }
    return pairs.join('&');
  };

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
      createHash: without('createHash'),
      createHmac: without('createHmac'),
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

  function without(name) {
    return () => {
      throw new Error(`crypto.${name} is not there: bundle a module that does it in JavaScript into the processor`);
    };
  }

  return { BUILT_IN, encode, resolved, directoryOf };
})
