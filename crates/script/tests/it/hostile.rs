//! Scripts that break things. Each runs in a process of its own, in which the same runtime has to go on afterwards and
//! be taken down: an interpreter that ends the process would end a node.

use std::process::Command;

use bytes::Bytes;
use nuncius_script::{Answer, Call, CallError, CallState, Compiled, Limits, ResponseView, Runtime};
use serde_json::{Value, json};

use crate::support::{FILE, done, limits, with_variables};

/// Tells the child which case it is.
const CASE: &str = "NUNCIUS_SCRIPT_CASE";

/// How a case has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Thrown,
    Value,
    Memory,
    Stack,
    Time,
    NeverSettles,
    /// In one of the ways of a full heap: what was out of memory, or the script that noticed it.
    Any,
}

/// Name, body of a function, how it ends.
const CASES: &[(&str, &str, End)] = &[
    ("throw", "throw new Error('x');", End::Thrown),
    ("throw-in-getter", "return { get a() { throw new Error('x'); } };", End::Thrown),
    ("throw-in-proxy", "return new Proxy({}, { ownKeys() { throw new Error('x'); } });", End::Thrown),
    ("throw-in-to-json", "return { toJSON() { throw new Error('x'); } };", End::Thrown),
    ("throw-a-trap", "throw new Proxy({}, { get() { throw new Error('y'); } });", End::Thrown),
    (
        "error-with-traps",
        "const e = new Error('x'); Object.defineProperty(e, 'message', { get() { throw e; } }); \
        Object.defineProperty(e, 'stack', { get() { while (true) {} } }); throw e;",
        End::Time,
    ),
    ("getter-in-variable", "const o = { get a() { throw new Error('x'); } }; context.vars.list.push(o);", End::Thrown),
    ("circular", "const a = []; a.push(a, a); return a;", End::Value),
    ("big-int", "return { a: 2n ** 100n };", End::Value),
    ("endless", "while (true) {}", End::Time),
    ("endless-catch", "while (true) { try { while (true) {} } catch {} finally { continue; } }", End::Time),
    ("endless-getter", "return { get a() { while (true) {} } };", End::Time),
    ("endless-proxy", "return new Proxy({}, { ownKeys() { while (true) {} } });", End::Time),
    ("endless-to-json", "return { toJSON() { while (true) {} } };", End::Time),
    (
        "endless-keys",
        "return new Proxy({}, { ownKeys: () => Array.from({ length: 1e6 }, (_, i) => 'k' + i) });",
        End::Any,
    ),
    ("endless-generator", "function* g() { while (true) yield 1; } for (const x of g()) {}", End::Time),
    ("endless-regex", "return /^(a+)+$/.test('a'.repeat(60) + 'b');", End::Time),
    ("endless-sort", "[3, 1, 2].sort(() => { while (true) {} });", End::Time),
    ("endless-index-of", "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);", End::Time),
    ("endless-replace", "'a'.repeat(100).replace(/a/g, () => { while (true) {} });", End::Time),
    ("endless-reviver", "JSON.parse('[1]', () => { while (true) {} });", End::Time),
    (
        "endless-jobs",
        "const again = () => Promise.resolve().then(again); again(); return new Promise(() => {});",
        End::Any,
    ),
    ("endless-microtasks", "return (async () => { while (true) await 0; })();", End::Time),
    ("endless-then", "return { then(a, b) { while (true) {} } };", End::Time),
    (
        "endless-iterator",
        "return Promise.all({ [Symbol.iterator]: () => ({ next: () => ({ value: 1, done: false }) }) });",
        End::Any,
    ),
    ("many-objects", "const all = []; while (true) all.push({ a: [1, 2, 3], b: 'x' + all.length });", End::Memory),
    ("big-text", "let text = 'x'; while (true) text += text;", End::Any),
    ("big-text-used", "let text = 'x'; while (true) { text += text; text.charCodeAt(1); }", End::Memory),
    ("repeat", "return 'x'.repeat(2 ** 28);", End::Memory),
    (
        "repeat-caught",
        "for (let i = 0; i < 50; i++) { try { 'x'.repeat(2 ** 28); } catch {} } return 'x'.repeat(2 ** 28);",
        End::Memory,
    ),
    ("join", "return new Array(1e9).join('x');", End::Thrown),
    ("array-to-text", "return new Array(1e9) + '';", End::Thrown),
    (
        "long-lists",
        "const long = { length: 2 ** 53 - 1 }, list = new Array(4e9); let thrown = 0; \
        const names = 'join reverse slice splice sort copyWithin toLocaleString unshift shift'; \
        for (const name of names.split(' ')) \
        for (const it of [long, list]) { try { [][name].call(it, 0); } catch { thrown++; } } \
        try { [].concat(list); } catch { thrown++; } if (thrown === 19) throw new Error('all of them');",
        End::Thrown,
    ),
    ("pad", "return 'x'.padEnd(2 ** 29);", End::Memory),
    ("fill", "return new Array(1e8).fill(1);", End::Any),
    ("typed-array", "return new Uint8Array(2 ** 30).length;", End::Any),
    ("array-buffer", "return new ArrayBuffer(2 ** 40).byteLength;", End::Any),
    (
        "stringify",
        "const a = Array.from({ length: 200 }, () => 'x'.repeat(60000)); return JSON.stringify([a, a]).length;",
        End::Any,
    ),
    ("closures", "let f = () => 1; while (true) { const g = f; f = () => g; }", End::Memory),
    ("promises", "const all = []; while (true) all.push(new Promise(() => {}));", End::Memory),
    (
        "async-functions",
        "const all = []; while (true) all.push((async () => { await new Promise(() => {}); })());",
        End::Memory,
    ),
    ("maps", "const map = new Map(); while (true) map.set({}, {});", End::Memory),
    ("errors", "const all = []; while (true) all.push(new Error('x'.repeat(100)));", End::Memory),
    ("symbols", "const all = {}; while (true) all[Symbol('x')] = 1;", End::Memory),
    ("names", "const all = {}; let i = 0; while (true) all['k' + i++] = i;", End::Memory),
    ("regexes", "const all = []; while (true) all.push(new RegExp('a'.repeat(all.length % 50) + 'b'));", End::Memory),
    ("big-ints", "let n = 3n; while (true) n = n * n;", End::Any),
    (
        "full-then-throw",
        "const all = []; try { while (true) all.push([1, 2, 3]); } catch (e) { throw new Error('mine'); }",
        End::Any,
    ),
    (
        "full-then-context",
        "const all = []; try { while (true) all.push([1, 2, 3]); } catch (e) { \
        for (let i = 0; i < 100; i++) { try { context.vars['x' + i] = { a: i }; context.vars.list.push(i); \
        context.log('x' + i); context.counter('x'); Math.random(); } catch {} } } return all.length;",
        End::Any,
    ),
    ("deep", "function f() { return f() + 1; } return f();", End::Stack),
    ("deep-json", "return JSON.parse('['.repeat(100000) + ']'.repeat(100000));", End::Stack),
    (
        "deep-stringify",
        "let a = []; for (let i = 0; i < 100000; i++) a = [a]; return JSON.stringify(a).length;",
        End::Stack,
    ),
    ("deep-getter", "const o = { get a() { return this.a; } }; return o.a;", End::Stack),
    ("deep-proxy", "let p = {}; for (let i = 0; i < 100000; i++) p = new Proxy(p, {}); return p.x;", End::Any),
    ("deep-regex", "return new RegExp('('.repeat(20000) + ')'.repeat(20000));", End::Any),
    ("deep-bind", "let f = () => 1; for (let i = 0; i < 100000; i++) f = f.bind(null); return f();", End::Any),
    (
        "deep-to-string",
        "const a = []; a[0] = a; const o = { toString() { return '' + o; } }; return '' + o;",
        End::Stack,
    ),
    ("deep-async", "async function f() { return (await f()) + 1; } return f();", End::Stack),
    ("deep-async-caught", "async function f() { try { return await f(); } catch { return 1; } } return f();", End::Any),
    ("deep-generator", "function* f() { yield* f(); } return [...f()];", End::Stack),
    ("deep-class", "class A { constructor() { new A(); } } new A();", End::Stack),
    ("deep-sort", "const f = () => [2, 1].sort(f); f();", End::Stack),
    ("deep-return", "let a = {}; for (let i = 0; i < 100000; i++) a = { a }; return a;", End::Value),
    (
        "deep-variable",
        "let a = []; context.vars.list.push(a); for (let i = 0; i < 100000; i++) { a.push([]); a = a[0]; }",
        End::Value,
    ),
    ("never-settles", "return new Promise(() => {});", End::NeverSettles),
    (
        "never-settles-deep",
        "return (async () => { await (async () => { await new Promise(() => {}); })(); })();",
        End::NeverSettles,
    ),
    (
        "broken-then",
        "Promise.prototype.then = () => { throw new Error('x'); }; return Promise.resolve(1);",
        End::Thrown,
    ),
    (
        "broken-world",
        "for (const name of Object.getOwnPropertyNames(globalThis)) { try { delete globalThis[name]; } catch {} } \
        Array.prototype.push = null; Map.prototype.get = null; Object.prototype.x = 1; throw 1;",
        End::Thrown,
    ),
];

/// Bodies that use what is the host's, for the sweeps: each way in and out.
const GLUE: &str = "\
    exports.f = async function f(context) { \
        const { vars } = context; \
        const ballast = 'x'.repeat(vars.ballast); \
        vars.list.push({ a: 'x'.repeat(50), b: [1, 2, { c: null }] }); \
        vars.text = `${vars.text}-${Math.random()}`; \
        for (const key of Object.keys(vars)) vars[`${key}-copy`] = vars[key]; \
        context.request.headers['X-A'] = 'b'; context.request.body += JSON.stringify(vars); \
        context.counter('n'); context.histogram('h', 2); console.log('x', { a: [1] }); \
        const early = context.response.json().length + [...context.response.headers].length; \
        const [a, b] = await Promise.all([fetch('/a', { headers: { a: 'b' } }), context.fetch('/b', { body: 'x' })]); \
        await new Promise((resolve) => setTimeout(resolve, 1)); \
        try { null.x; } catch (e) { vars.caught = e.message + e.stack; } \
        class A extends Map { get size() { return super.size + 1; } } \
        const map = new A([[1, { a }], [2, b]]); \
        return [early, (await a.json()).length, (await b.text()).length, map.size, ballast.length, \
            /a(b+)/.exec('xabbb')[1], vars]; };\n\
    exports.ok = () => 42;";

fn glue_call(ballast: usize) -> Call {
    let json = Bytes::from_static(b"[1,2,{\"a\":\"text\",\"b\":[true,null]}]");
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    Call {
        request: Some(nuncius_script::RequestView {
            method: "POST".into(),
            url: "/x".into(),
            headers: headers.clone(),
            body: Some(Bytes::from_static(b"body")),
            step: None,
        }),
        response: Some(ResponseView { status: 200, headers, body: json, url: String::new() }),
        ..with_variables(json!({"ballast": ballast, "list": [1], "text": "t", "deep": {"a": {"b": [1, 2, 3]}}}))
    }
}

/// Runs a call to its end, whatever it asks for.
fn to_the_end(runtime: &mut Runtime, mut state: CallState) -> Result<Value, CallError> {
    let mut open = Vec::new();
    loop {
        match state {
            CallState::Done(finished) => return finished.result,
            CallState::Waiting(waiting) => open.extend(waiting.asks),
        }
        let ask = open.pop().expect("it waits for something");
        let answer = match ask.wanted {
            nuncius_script::Wanted::Fetch(_) => {
                let body = Bytes::from_static(b"[\"an answer\",{\"a\":1}]");
                Answer::Response(ResponseView { status: 200, body, ..ResponseView::default() })
            }
            nuncius_script::Wanted::Timer { .. } => Answer::Elapsed,
        };
        state = runtime.resume(ask.id, answer).expect("the call is not over");
    }
}

fn end_of(error: &CallError) -> Option<End> {
    match error {
        CallError::Thrown { .. } => Some(End::Thrown),
        CallError::Value { .. } => Some(End::Value),
        CallError::Memory { .. } => Some(End::Memory),
        CallError::Stack { .. } => Some(End::Stack),
        CallError::Time { .. } => Some(End::Time),
        CallError::NeverSettles { .. } => Some(End::NeverSettles),
        CallError::Failed { .. } | CallError::Lost { .. } | CallError::Unusable { .. } => None,
    }
}

/// One case: alone, after an await, and beside a call that waits.
fn run_case(text: &str, end: End) {
    let source = format!(
        "exports.f = function f(context) {{ {text} }};\n\
         exports.g = async function g(context) {{ await null; return (function () {{ {text} }})(); }};\n\
         exports.waits = async () => {{ await fetch('/x'); return 43; }};\n\
         exports.ok = (context) => {{ context.vars.list.push(1); return 42; }};"
    );
    // Enough for what is to end by memory to do so, also in a build without optimisation.
    let call_ns = if end == End::Time { 200_000_000 } else { 5_000_000_000 };
    let compiled = Compiled::new(FILE, &source, Limits { call_ns, ..limits() }).unwrap();
    let id = |name: &str| compiled.exports().get(name).unwrap();
    // Some break what is built in; then nothing can be expected of the calls that follow.
    let is_world_whole = !text.contains("prototype") && !text.contains("globalThis");
    for name in ["f", "g", "f"] {
        let mut runtime = Runtime::new(&compiled, None).unwrap();
        for round in 0..if is_world_whole { 2 } else { 1 } {
            let CallState::Waiting(waiting) = runtime.call(id("waits"), Call::default()) else { panic!("it waits") };
            let state = runtime.call(id(name), with_variables(json!({"list": []})));
            let result = match state {
                CallState::Done(finished) => finished.result,
                // What never settles is not known to, as long as something else is under way.
                CallState::Waiting(stuck) => {
                    let answered = runtime.resume(waiting.asks[0].id, Answer::Elapsed).unwrap();
                    assert!(done(answered).result.is_ok());
                    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                    let std::task::Poll::Ready(state) = runtime.poll(stuck.call, &mut context) else {
                        panic!("it is over")
                    };
                    done(state).result
                }
            };
            match (&result, end) {
                (Ok(_), End::Any) => {}
                (Err(error), End::Any) => assert!(end_of(error).is_some(), "{name} {round}: {error}"),
                (Err(error), end) => assert_eq!(end_of(error), Some(end), "{name} {round}: {error}"),
                (Ok(value), end) => panic!("{name} {round}: {value} instead of {end:?}"),
            }
            // What waited goes on, or is told why it cannot.
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let waited = match runtime.resume(waiting.asks[0].id, Answer::Elapsed) {
                Some(state) => Some(state),
                None => match runtime.poll(waiting.call, &mut context) {
                    std::task::Poll::Ready(state) => Some(state),
                    std::task::Poll::Pending => None,
                },
            };
            if let Some(state) = waited {
                match done(state).result {
                    Ok(value) => assert_eq!(value, json!(43)),
                    Err(CallError::Lost { .. }) => assert!(runtime.remade() > 0),
                    Err(error) => assert!(!is_world_whole, "{error}"),
                }
            }
            if is_world_whole {
                let finished = done(runtime.call(id("ok"), with_variables(json!({"list": []}))));
                assert_eq!(finished.result.unwrap(), json!(42));
                assert_eq!(finished.variables["list"], json!([1]));
            }
        }
    }
}

/// A heap of every size, so that it is full at every place of loading.
fn sweep_loading() {
    let (mut loaded, mut refused) = (0, 0);
    for round in 0..600 {
        let limits = Limits { heap_bytes: 100_000 + round * 307, ..limits() };
        match Compiled::new(FILE, GLUE, limits) {
            Ok(compiled) => {
                let mut runtime = Runtime::new(&compiled, None).unwrap();
                let ok = compiled.exports().get("ok").unwrap();
                assert_eq!(done(runtime.call(ok, Call::default())).result.unwrap(), json!(42));
                loaded += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("limit heap_bytes"), "{error}");
                refused += 1;
            }
        }
    }
    println!("{loaded} heaps held the script, {refused} did not");
    assert!(loaded > 50 && refused > 50, "{loaded} {refused}");
}

/// A heap that is filled more and more before the rest happens, so that it is full at every place of a call.
fn sweep_memory(step: usize) {
    const HEAP_BYTES: usize = 1_000_000;
    let limits = Limits { heap_bytes: HEAP_BYTES, call_ns: 5_000_000_000, ..limits() };
    let compiled = Compiled::new(FILE, GLUE, limits).unwrap();
    let (f, ok) = (compiled.exports().get("f").unwrap(), compiled.exports().get("ok").unwrap());
    let (mut fits, mut is_too_much) = (0, HEAP_BYTES);
    while is_too_much - fits > step {
        let ballast = fits.midpoint(is_too_much);
        let mut runtime = Runtime::new(&compiled, None).unwrap();
        let state = runtime.call(f, glue_call(ballast));
        if to_the_end(&mut runtime, state).is_ok() { fits = ballast } else { is_too_much = ballast }
    }
    let (mut ended, mut full, mut other, mut left_behind) = (0, 0, 0, 0);
    for round in 0..600 {
        let mut runtime = Runtime::new(&compiled, None).unwrap();
        for _ in 0..2 {
            let state = runtime.call(f, glue_call((fits + round * step).saturating_sub(60 * step)));
            match to_the_end(&mut runtime, state) {
                Ok(_) => ended += 1,
                Err(CallError::Memory { .. }) => full += 1,
                // The script may notice first: what it does then is its own.
                Err(error) => {
                    assert!(end_of(&error).is_some(), "{error}");
                    other += 1;
                }
            }
            assert_eq!(done(runtime.call(ok, Call::default())).result.unwrap(), json!(42));
        }
        left_behind += runtime.left_behind();
    }
    println!("{ended} calls ended well, {full} ran out of memory, {other} otherwise; {left_behind} were left behind");
    assert!(ended > 50 && full > 500, "the sweep covers what it is for: {ended} {full} {other}");
}

/// An end of every call at every time.
fn sweep_time() {
    let busy = "exports.f = async (context) => { let n = 0; \
        for (let i = 0; i < 60; i++) { \
            n += [3, 1, 2].map((x) => ({ x })).sort((a, b) => a.x - b.x).length + /(a|b)*c/.exec('abababc')[0].length; \
            const add = async () => { for (let k = 0; k < 500; k++) n += k; }; \
            await (async () => { try { await Promise.all([1, add()]); } \
                finally { n += 1; } })(); \
            for (const x of (function* () { try { yield 1; yield 2; } finally { n++; } })()) { n += x; } \
            context.vars.n = [n]; context.vars.n.push(i); } \
        return n; };\nexports.ok = () => 42;";
    let (mut ended, mut late) = (0, 0);
    for round in 0..400_u64 {
        let compiled = Compiled::new(FILE, busy, Limits { call_ns: round * 60_000, ..limits() }).unwrap();
        let mut runtime = Runtime::new(&compiled, None).unwrap();
        match done(runtime.call(compiled.exports().get("f").unwrap(), with_variables(json!({})))).result {
            Ok(_) => ended += 1,
            Err(CallError::Time { .. }) => late += 1,
            Err(error) => panic!("{error}"),
        }
    }
    println!("{ended} calls ended well, {late} were ended");
    assert!(late > 20, "{ended} {late}");
}

/// A stack that ends at every place there is.
fn sweep_stack() {
    let source = "const pad = (n, f) => (n === 0 ? f() : pad(n - 1, f));\n\
        exports.f = async (context) => { const n = context.vars.n; \
        const kinds = [ \
            async function f() { await f(); }, \
            async function f() { try { await f(); } finally { await null; } }, \
            function f() { return JSON.stringify({ toJSON: f }); }, \
            function f() { return [1, 2].sort(f); }, \
            function f() { return new Promise(f); }, \
            function f() { context.vars.x = { toJSON: f }; }, \
            function f() { return `${{ toString: f }}`; }, \
            function* f() { yield* f(); }, \
            async function* f() { for await (const x of f()) yield x; }, \
            function f() { return Promise.all({ [Symbol.iterator]: f }); }, \
            function f() { return new Proxy({}, { get: f }).x; }, \
            function f() { return /a/[Symbol.replace]({ toString: f }, ''); }, \
            function f() { return Reflect.construct(f, []); }, \
            function f() { return context.fetch({ toString: f }); }, \
        ]; \
        const kind = kinds[n % kinds.length]; \
        return await pad(Math.floor(n / kinds.length), async () => { \
            const made = kind(); \
            if (made && made[Symbol.iterator]) return [...made]; \
            if (made && made[Symbol.asyncIterator]) { for await (const x of made) ; return 1; } \
            return await made; }); };\nexports.ok = () => 42;";
    let compiled = Compiled::new(FILE, source, Limits { call_ns: 20_000_000_000, ..limits() }).unwrap();
    let mut ends = std::collections::BTreeMap::new();
    for n in 0..14 * 30 {
        let mut runtime = Runtime::new(&compiled, None).unwrap();
        let state = runtime.call(compiled.exports().get("f").unwrap(), with_variables(json!({"n": n})));
        let end = match to_the_end(&mut runtime, state) {
            Ok(_) => "well".to_owned(),
            Err(error) => format!("{:?}", end_of(&error)),
        };
        *ends.entry(end).or_insert(0) += 1;
        assert_eq!(
            done(runtime.call(compiled.exports().get("ok").unwrap(), Call::default())).result.unwrap(),
            json!(42)
        );
    }
    println!("{ends:?}");
    assert!(ends.get("Some(Stack)").is_some_and(|&count| count > 100), "{ends:?}");
}

/// Started by the others, each time in a process of its own, with the name of a case; without one it does nothing.
#[test]
fn child() {
    let Ok(case) = std::env::var(CASE) else { return };
    match case.as_str() {
        "sweep-loading" => sweep_loading(),
        "sweep-memory-coarse" => sweep_memory(407),
        "sweep-memory-fine" => sweep_memory(53),
        "sweep-time" => sweep_time(),
        "sweep-stack" => sweep_stack(),
        name => {
            let &(_, text, end) = CASES.iter().find(|(other, _, _)| *other == name).unwrap();
            run_case(text, end);
        }
    }
    println!("the child is done");
}

fn in_a_child(case: &str) -> Result<(), String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hostile::child", "--nocapture", "--test-threads=1"])
        .env(CASE, case)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() && told.contains("the child is done") {
        println!(
            "{case}: {}",
            told.lines().filter(|line| line.contains("calls") || line.contains("heaps")).collect::<String>()
        );
        return Ok(());
    }
    Err(format!("{case}: {}\n{told}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn no_script_ends_the_process_or_breaks_the_runtime_for_the_next() {
    let failed: Vec<String> = CASES.iter().filter_map(|(name, _, _)| in_a_child(name).err()).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_heap_that_is_full_anywhere_ends_a_call_and_nothing_else() {
    in_a_child("sweep-loading").unwrap();
    in_a_child("sweep-memory-coarse").unwrap();
    in_a_child("sweep-memory-fine").unwrap();
}

#[test]
fn a_call_can_be_ended_at_any_time() {
    in_a_child("sweep-time").unwrap();
}

#[test]
fn a_stack_that_is_full_anywhere_ends_a_call_and_nothing_else() {
    in_a_child("sweep-stack").unwrap();
}
