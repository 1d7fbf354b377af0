// Templates, as Artillery fills them in.
(function () {
  'use strict';

  const has = (object, name) => Object.prototype.hasOwnProperty.call(object, name);
  const isObject = (value) => typeof value === 'object' && value !== null;

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

  return { template, functions, textOf };
})
