//! What a script exports, and what is wrong with one that cannot be loaded.

use nuncius_script::{Call, Compiled, Level, Limits, Runtime, ScriptError, check};
use serde_json::json;

use crate::support::{FILE, done, limits};

fn names(source: &str) -> Vec<String> {
    check(FILE, source).unwrap().names().map(str::to_owned).collect()
}

#[test]
fn all_forms_of_export_name_their_functions() {
    assert_eq!(names("module.exports = { b: () => 1, a() { return 2; }, n: 3 };"), ["b", "a"]);
    assert_eq!(names("exports.login = async (context) => 1;\nexports.other = function () {};"), ["login", "other"]);
    assert_eq!(names("module.exports = function () { return 1; };"), ["default"]);
    assert_eq!(
        names("export function f() {}\nexport const g = () => 1;\nexport const options = { vus: 1 };"),
        ["f", "g"]
    );
    assert_eq!(names("function f() {}\nexport { f as renamed };"), ["renamed"]);
    assert_eq!(names("export default function (data) {}"), ["default"]);
    assert_eq!(names("let f=()=>1;export{f as g};"), ["g"]);
}

#[test]
fn a_script_in_the_loose_language_is_one_too() {
    // `with`, octal numbers and names without a declaration are errors in a module.
    let source = "counter = 010; module.exports = { f: function () { with ({ a: counter }) { return a; } } };";
    let compiled = Compiled::new(FILE, source, limits()).unwrap();
    let mut runtime = Runtime::new(&compiled, None).unwrap();
    let finished = done(runtime.call(compiled.exports().get("f").unwrap(), Call::default()));
    assert_eq!(finished.result.unwrap(), json!(8));
}

#[test]
fn a_comment_that_looks_like_a_module_does_not_hide_the_exports() {
    assert_eq!(names("/*\nexport { everything }\n*/\nmodule.exports = { f() {} };"), ["f"]);
}

#[test]
fn what_is_no_javascript_is_told_with_its_place() {
    let error = check(FILE, "exports.f = () => {\n  let a = ;\n};").unwrap_err();
    let place = error.place().unwrap();
    assert_eq!((place.file.as_str(), place.line), (FILE, 2));
    assert!(place.column > 1, "{place}");
    assert!(error.to_string().starts_with("hooks.js:2:"), "{error}");
    assert!(error.to_string().contains("syntax error: "), "{error}");

    let error = check(FILE, "export function f() {\n\n  return }}\n").unwrap_err();
    assert_eq!(error.place().unwrap().line, 3, "{error}");
}

#[test]
fn what_the_top_level_throws_is_told_with_its_place() {
    let error = check(FILE, "const settings = {};\nsettings.a.b = 1;\nexports.f = () => 1;").unwrap_err();
    assert_eq!(error.place().unwrap().line, 2, "{error}");
    assert!(error.to_string().contains("TypeError: "), "{error}");
}

#[test]
fn nothing_can_be_imported() {
    for (source, name) in [
        ("import fs from 'fs';\nexport function f() {}", "fs"),
        ("import { check } from 'k6';\nexport default function () {}", "k6"),
        ("import 'https://example.com/x.js';\nexport function f() {}", "https://example.com/x.js"),
        ("const faker = require('faker');\nexports.f = () => 1;", "faker"),
        ("const x = await import('./lib.js');\nexport function f() {}", "lib.js"),
    ] {
        let error = check(FILE, source).unwrap_err();
        assert_eq!(error, ScriptError::Import { file: FILE.to_owned(), name: name.to_owned() }, "{source}");
        assert!(error.to_string().contains("put what it needs into the script itself"), "{error}");
    }
}

#[test]
fn a_script_that_exports_nothing_to_call_says_how_to() {
    for source in ["", "function f() {}", "module.exports = { a: 1 };", "export const options = {};"] {
        let error = check(FILE, source).unwrap_err();
        assert!(matches!(error, ScriptError::NoFunction { .. }), "{error}");
        assert!(error.to_string().contains("module.exports"), "{error}");
    }
}

#[test]
fn a_top_level_is_bounded_too() {
    let limits = Limits { load_ns: 50_000_000, heap_bytes: 8 << 20, ..limits() };
    for (source, limit) in [
        ("while (true) {}", "load_ns"),
        ("const all = []; while (true) all.push(new Array(1000).fill('x'));", "heap_bytes"),
        ("function deep() { return deep() + 1; } deep();", "stack_bytes"),
    ] {
        let slow = Limits { load_ns: if limit == "load_ns" { 50_000_000 } else { 20_000_000_000 }, ..limits };
        let error = Compiled::new(FILE, source, slow).unwrap_err();
        assert!(matches!(error, ScriptError::Limit { .. }), "{error}");
        assert!(error.to_string().contains(limit), "{error}");
    }
    let error = check(FILE, "await new Promise(() => {});\nexport function f() {}").unwrap_err();
    assert!(matches!(error, ScriptError::Waits { .. }), "{error}");
}

#[test]
fn a_top_level_that_ends_may_await() {
    assert_eq!(names("const a = await Promise.resolve(1);\nexport function f() { return a; }"), ["f"]);
}

#[test]
fn what_no_script_can_be_is_refused() {
    let long = Limits { source_bytes: 10, ..limits() };
    let error = Compiled::new(FILE, "exports.f = () => 1;", long).unwrap_err();
    assert!(error.to_string().contains("limit source_bytes"), "{error}");
    let error = check(FILE, "exports.f = () => '\0';").unwrap_err();
    assert!(error.to_string().contains("NUL"), "{error}");
    for name in ["", "a:b.js", "a\nb.js", &"x".repeat(300)] {
        let error = check(name, "exports.f = () => 1;").unwrap_err();
        assert!(error.to_string().contains("the name of a script"), "{error}");
    }
}

#[test]
fn the_top_level_logs_too() {
    let compiled = Compiled::new(FILE, "console.warn('hello', { a: 1 });\nexports.f = () => 1;", limits()).unwrap();
    let runtime = Runtime::new(&compiled, None).unwrap();
    let line = &runtime.lines()[0];
    assert_eq!((line.level, line.text.as_str()), (Level::Warn, "hello {\"a\":1}"));
}

#[test]
fn the_top_level_can_ask_for_nothing() {
    let error = check(FILE, "await fetch('/x');\nexport function f() {}").unwrap_err();
    assert!(error.to_string().contains("in functions only"), "{error}");
}

#[test]
fn a_checked_script_goes_to_other_threads() {
    let compiled = Compiled::new(FILE, "let n = 0; exports.f = () => ++n;", limits()).unwrap();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let compiled = compiled.clone();
            std::thread::spawn(move || {
                let mut runtime = Runtime::new(&compiled, None).unwrap();
                let f = compiled.exports().get("f").unwrap();
                let mut last = json!(null);
                for _ in 0..10 {
                    last = done(runtime.call(f, Call::default())).result.unwrap();
                }
                last
            })
        })
        .collect();
    // Each thread has its own: what a script keeps outside of its functions is not shared between threads.
    for thread in threads {
        assert_eq!(thread.join().unwrap(), json!(10));
    }
}
