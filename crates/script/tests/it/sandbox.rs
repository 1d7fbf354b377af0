//! What a script has no way to.

use serde_json::json;

use crate::support::{error, value};

#[test]
fn no_code_is_made_out_of_text() {
    for text in [
        "return eval('1');",
        "return (0, eval)('1');",
        "return globalThis.eval('1');",
        "return new Function('return 1')();",
        "return Function('return 1')();",
        "return (() => 1).constructor('return 1')();",
        "return (async () => 1).constructor('return 1')();",
        "return (function* () {}).constructor('yield 1')().next();",
        "return (async function* () {}).constructor('yield 1')();",
        "return Object.getPrototypeOf(function* () {}).constructor('')();",
        "return Reflect.construct(Function, ['return 1'])();",
        "class F extends Function { constructor() { super('return 1'); } } return new F()();",
        "return context.log.constructor('return 1')();",
        "return fetch.constructor('return 1')();",
        "return [].map.constructor('return 1')();",
        "return context.constructor.constructor('return 1')();",
        "return (function () {}).bind().constructor('return 1')();",
        "return (class {}).constructor('return 1')();",
        "delete Function.prototype.constructor; return (() => 1).constructor('return 1')();",
    ] {
        let error = error(text);
        assert!(error.to_string().contains("is switched off"), "{text}: {error}");
    }
    assert!(error("setTimeout('1', 1);").to_string().contains("needs a function"));
}

#[test]
fn nothing_is_there_that_reaches_out_or_shares() {
    for name in [
        "process",
        "Deno",
        "std",
        "os",
        "bjson",
        "print",
        "scriptArgs",
        "load",
        "XMLHttpRequest",
        "WebSocket",
        "Worker",
        "SharedArrayBuffer",
        "Atomics",
        "WeakRef",
        "FinalizationRegistry",
        "setInterval",
        "gc",
        "host",
        "Context",
    ] {
        assert_eq!(value(&format!("return typeof {name};")), json!("undefined"), "{name}");
    }
}

#[test]
fn functions_are_still_functions() {
    assert_eq!(
        value(
            "return [(() => 1) instanceof Function, Function.prototype === Object.getPrototypeOf(() => 1), \
             typeof Function];"
        ),
        json!([true, true, "function"])
    );
}

#[test]
fn nothing_is_imported_later_either() {
    let source = "exports.f = async () => { await import('./x.js'); };";
    let mut runtime = crate::support::load(source);
    let f = crate::support::function(source, "f");
    let finished = crate::support::done(runtime.call(f, nuncius_script::Call::default()));
    assert!(finished.result.unwrap_err().to_string().contains("cannot be imported"));
    assert!(error("require('fs');").to_string().contains("`fs` cannot be imported"));
}

#[test]
fn the_usual_language_is_there() {
    let text = "const parts = []; \
        parts.push(JSON.stringify({ a: 1 }), /a(.)c/u.exec('abc')[1], new Date(0).toISOString(), \
        [...new Set([1, 1, 2])].length, new Map([['a', 1]]).get('a'), Uint8Array.from([1, 2]).length, 10n ** 3n + '', \
        [3, 1, 2].toSorted().join(), 'x'.padStart(3, '-'), \
        Object.groupBy([1, 2], (n) => n % 2 ? 'odd' : 'even').odd[0], \
        encodeURIComponent('a b'), parseInt('12'), Symbol.iterator.toString(), structuredCloneLike({ a: [1] }).a[0], \
        atob(btoa('hi')), typeof performance.now()); \
        function structuredCloneLike(v) { return JSON.parse(JSON.stringify(v)); } return parts;";
    let expected = json!([
        "{\"a\":1}",
        "b",
        "1970-01-01T00:00:00.000Z",
        2,
        1,
        2,
        "1000",
        "1,2,3",
        "--x",
        1,
        "a%20b",
        12,
        "Symbol(Symbol.iterator)",
        1,
        "hi",
        "number"
    ]);
    assert_eq!(value(text), expected);
}
