//! Variables, returned values, meters, lines, draws.

use nuncius_script::{Call, CallError, Level, Limits, Line, Meter, MeterKind};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{body, done, error, function, limits, load, load_with, run, run_call, value, with_variables};

#[test]
fn variables_are_read_and_written() {
    let finished = run(
        "const { vars } = context; vars.total = vars.price * vars.count; \
         vars.name = `${vars.first} B`; return vars.total;",
        json!({"price": 2.5, "count": 4, "first": "A"}),
    );
    assert_eq!(finished.result.unwrap(), json!(10));
    let expected = json!({"price": 2.5, "count": 4, "first": "A", "total": 10, "name": "A B"});
    assert_eq!(Value::Object(finished.variables), expected);
}

#[test]
fn variables_look_like_a_plain_object() {
    let finished = run(
        "const v = context.vars; delete v.b; v.c = undefined; \
         return [Object.keys(v), 'a' in v, 'b' in v, v.nothing, JSON.stringify(v), { ...v, d: 1 }, \
         v.hasOwnProperty('a'), \
         Object.entries(v), `${v}`];",
        json!({"a": 1, "b": 2, "c": 3}),
    );
    let expected =
        json!([["a"], true, false, null, "{\"a\":1}", {"a": 1, "d": 1}, true, [["a", 1]], "[object Object]"]);
    assert_eq!(finished.result.unwrap(), expected);
    assert_eq!(Value::Object(finished.variables), json!({"a": 1}));
}

#[test]
fn what_is_changed_inside_of_a_variable_is_kept() {
    let finished = run(
        "context.vars.cart.push({ id: 2 }); context.vars.user.name = 'B'; const list = []; context.vars.made = list; \
         list.push(1); Object.assign(context.vars, { x: 1 });",
        json!({"cart": [{"id": 1}], "user": {"name": "A"}}),
    );
    assert_eq!(finished.result.unwrap(), Value::Null);
    let expected = json!({"cart": [{"id": 1}, {"id": 2}], "user": {"name": "B"}, "made": [1], "x": 1});
    assert_eq!(Value::Object(finished.variables), expected);
}

#[test]
fn what_is_changed_before_an_error_is_kept_too() {
    let finished = run("context.vars.list.push(1); context.vars.a = 1; throw new Error('no');", json!({"list": []}));
    finished.result.unwrap_err();
    assert_eq!(Value::Object(finished.variables), json!({"list": [1], "a": 1}));
}

#[test]
fn numbers_that_a_script_only_reads_stay_exact() {
    let variables = json!({"user": {"id": 9_007_199_254_740_993_i64, "name": "A"}});
    let finished = run("return context.vars.user.name;", variables.clone());
    assert_eq!(Value::Object(finished.variables), variables);
}

#[test]
fn whole_numbers_stay_whole() {
    assert_eq!(
        value("return [1 + 2, 10 / 2, 0.5, -0, 2 ** 53 - 1];"),
        json!([3, 5, 0.5, 0, 9_007_199_254_740_991_i64])
    );
}

#[test]
fn names_that_mean_something_to_javascript_are_names() {
    let finished = run(
        "const v = context.vars; v.constructor = 1; v.toString = 'x'; v['__proto__'] = { polluted: true }; \
         return [({}).polluted, v.constructor, v.data['__proto__'].x];",
        json!({"data": {"__proto__": {"x": 7}}}),
    );
    assert_eq!(finished.result.unwrap(), json!([null, 1, 7]));
    assert_eq!(finished.variables["__proto__"], json!({"polluted": true}));
    assert_eq!(finished.variables["data"], json!({"__proto__": {"x": 7}}));
}

#[test]
fn what_has_its_own_form_in_json_has_it_here() {
    assert_eq!(
        value("return { when: new Date(0), gone: undefined, list: [undefined] };"),
        json!({
            "when": "1970-01-01T00:00:00.000Z", "list": [null]
        })
    );
}

#[test]
fn what_json_does_not_have_is_refused_with_its_place() {
    for (text, why) in [
        ("return 1n;", "is a BigInt"),
        ("return () => 1;", "is a function"),
        ("return Symbol('x');", "is a symbol"),
        ("return NaN;", "is NaN"),
        ("return -1 / 0;", "is -Infinity"),
        ("const a = {}; a.a = a; return a;", "limit value_depth"),
        ("return { cart: [0, { price: 1n }] };", "at `cart[1].price`: is a BigInt"),
        ("const a = []; a.length = 4e9; return a;", "limit value_bytes"),
        ("return 'x'.repeat(3e6);", "limit value_bytes"),
        ("const a = []; for (let i = 0; i < 3e5; i++) a.push(i); return a;", "limit value_bytes"),
    ] {
        let error = error(text);
        assert!(matches!(error, CallError::Value { .. }), "{text}: {error}");
        assert!(error.to_string().contains(why), "{text}: {error}");
    }
}

#[test]
fn a_variable_that_cannot_be_kept_is_an_error_where_it_is_written() {
    for (text, why) in [
        ("context.vars.x = { list: [1n] };", "variable `x.list[0]` is a BigInt"),
        ("context.vars.f = () => 1;", "variable `f` is a function"),
        ("context.vars[Symbol('x')] = 1;", "the name of a variable is a text"),
        ("Object.defineProperty(context.vars, 'x', { get() { return 1; } });", "has to be a value"),
        ("'use strict'; Object.freeze(context.vars);", "TypeError"),
    ] {
        let error = error(text);
        let CallError::Thrown { message, place } = &error else { panic!("{text}: {error}") };
        assert!(message.contains(why), "{text}: {error}");
        assert_eq!(place.as_ref().unwrap().line, 1, "{text}: {error}");
    }
    // One that only becomes so later is found at the end.
    let finished = run("context.vars.list.push(1n);", json!({"list": []}));
    assert_eq!(
        finished.result.unwrap_err().to_string(),
        "variable `list[0]`: is a BigInt, which JSON does not have: use \
        Number(…) or String(…)"
    );
    assert_eq!(Value::Object(finished.variables), json!({"list": []}));
}

#[test]
fn variables_are_bounded() {
    for (text, limit) in [
        ("for (let i = 0; i < 2000; i++) context.vars['v' + i] = i;", "limit variables"),
        (
            "const big = 'x'.repeat(1e6); for (let i = 0; i < 10; i++) context.vars['v' + i] = big;",
            "limit written_bytes",
        ),
        ("context.vars.x = 'x'.repeat(3e6);", "limit value_bytes"),
    ] {
        let error = error(text);
        assert!(error.to_string().contains(limit), "{text}: {error}");
    }
}

#[test]
fn texts_keep_every_character() {
    assert_eq!(value("return ['a\\0b', '\\u{1F600}', 'ä', ''];"), json!(["a\0b", "\u{1F600}", "ä", ""]));
    // Halves of a character are no text anywhere else.
    assert_eq!(value("return ['\\uD83D', { ['\\uD83D']: 1 }];"), json!(["\u{FFFD}", {"\u{FFFD}": 1}]));
}

#[test]
fn a_context_says_who_calls() {
    let call = Call { iteration: 1 << 40, user: 7, now_unix_ms: 1_700_000_000_123, ..Call::default() };
    let finished =
        run_call("return [context.iteration, context.user, context.now, context.request, context.response];", call);
    assert_eq!(finished.result.unwrap(), json!([1_u64 << 40, 7, 1_700_000_000_123_u64, null, null]));
}

#[test]
fn a_context_that_outlives_its_call_says_so() {
    let source = "let kept; exports.keep = (context) => { kept = context; kept.vars; }; \
        exports.use = () => kept.vars.a; exports.draw = () => kept.random();";
    let mut runtime = load(source);
    done(runtime.call(function(source, "keep"), with_variables(json!({"a": 1}))));
    for name in ["use", "draw"] {
        let finished = done(runtime.call(function(source, name), Call::default()));
        assert!(finished.result.unwrap_err().to_string().contains("a call that is over"));
    }
}

#[test]
fn scripts_measure() {
    let finished =
        run("context.counter('hits'); context.counter('bytes', 12.5); context.histogram('wait', 3);", json!({}));
    let expected = [
        Meter { name: "hits".into(), kind: MeterKind::Counter, value: 1.0 },
        Meter { name: "bytes".into(), kind: MeterKind::Counter, value: 12.5 },
        Meter { name: "wait".into(), kind: MeterKind::Histogram, value: 3.0 },
    ];
    assert_eq!(finished.meters, expected);
    for (text, why) in [
        ("context.counter('hits', NaN);", "meter `hits`: a number is needed"),
        ("context.histogram('wait', '3');", "meter `wait`: a number is needed"),
        ("context.counter('');", "a name of 1 to 64 bytes"),
        ("for (let i = 0; i < 300; i++) context.counter('x');", "limit meters"),
    ] {
        assert!(error(text).to_string().contains(why), "{text}");
    }
}

#[test]
fn scripts_log_within_bounds() {
    let finished = run(
        "context.log('a', 1); console.warn({ b: [1] }); console.error(new Error('c')); console.log('x'.repeat(5000));",
        json!({}),
    );
    let line = |level, text: &str| Line { level, text: text.to_owned() };
    assert_eq!(
        finished.lines[..3],
        [line(Level::Info, "a 1"), line(Level::Warn, "{\"b\":[1]}"), line(Level::Error, "Error: c"),]
    );
    assert_eq!(finished.lines[3].text.len(), 1024);
    let finished = run("for (let i = 0; i < 100; i++) console.log(i);", json!({}));
    assert_eq!((finished.lines.len(), finished.lines_dropped), (64, 36));
    // What cannot be shown is no reason to fail.
    value("const a = {}; a.a = a; console.log(a, 1n, Symbol('x'), () => 1, undefined, null);");
}

#[test]
fn a_failure_that_is_meant_is_told_from_an_error() {
    let CallError::Failed { text, place } = error("\n  context.fail('no stock');") else { panic!() };
    assert_eq!(text, "no stock");
    assert_eq!(place.unwrap().line, 2);
    assert!(matches!(error("throw new Error('no stock');"), CallError::Thrown { .. }));
    // Who catches it goes on.
    assert_eq!(value("try { context.fail('x'); } catch { return 1; }"), json!(1));
}

#[test]
fn errors_say_where_they_were_thrown() {
    let source =
        "function deeper(x) {\n  return x.a.b;\n}\nexports.f = function checkout(context) {\n  deeper({});\n};";
    let mut runtime = load(source);
    let error = done(runtime.call(function(source, "f"), Call::default())).result.unwrap_err();
    assert!(error.to_string().starts_with("hooks.js:2:"), "{error}");
    assert!(error.to_string().contains(" in deeper: TypeError: "), "{error}");
    for (text, shown) in [
        ("throw 'text';", "threw \"text\""),
        ("throw { code: 1 };", "threw {\"code\":1}"),
        ("throw undefined;", "threw undefined"),
        ("throw () => 1;", "threw a function"),
    ] {
        assert_eq!(crate::support::error(text).to_string(), shown);
    }
    assert!(crate::support::error("throw new Error('x'.repeat(100000));").to_string().len() < 1200);
}

#[test]
fn draws_are_a_function_of_the_seed() {
    let text = "return [Math.random(), context.random(), Math.random()];";
    let draw = |seed| run_call(text, Call { seed, ..Call::default() }).result.unwrap();
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let numbers: Vec<f64> = serde_json::from_value(draw(1)).unwrap();
    assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)) && numbers[0] != numbers[1]);
}

#[test]
fn draws_at_the_top_level_are_the_same_everywhere() {
    let source = "const drawn = Math.random(); exports.f = () => drawn;";
    let draw = || done(load(source).call(function(source, "f"), Call { seed: 9, ..Call::default() })).result.unwrap();
    assert_eq!(draw(), draw());
}

#[test]
fn what_a_call_took_is_told() {
    let finished = run("let sum = 0; for (let i = 0; i < 300000; i++) sum += i; return sum;", json!({}));
    assert!(finished.processor_ns > 100_000, "{}", finished.processor_ns);
}

#[test]
fn what_a_script_keeps_outside_of_its_functions_is_there_for_the_next_call() {
    let source = "let n = 0; exports.f = () => ++n;";
    let mut runtime = load(source);
    let f = function(source, "f");
    for expected in 1..=3 {
        assert_eq!(done(runtime.call(f, Call::default())).result.unwrap(), json!(expected));
    }
}

#[test]
fn a_function_of_another_script_is_refused() {
    let other = function("exports.a = () => 1; exports.b = () => 2;", "b");
    let source = body("return 1;");
    let finished = done(load(&source).call(other, Call::default()));
    finished.result.unwrap_err();
}

fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no others", |number| number.is_finite() && number.fract() != 0.0)
            .prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("\\PC{0,8}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn every_value_of_json_survives_the_way_there_and_back() {
    let source = body("context.vars.copy = context.vars.value; return context.vars.copy;");
    let limits = Limits { written_bytes: 64 << 20, ..limits() };
    let runtime = std::cell::RefCell::new(load_with(&source, limits));
    let f = function(&source, "f");
    proptest!(|(value in json_values())| {
        let finished = done(runtime.borrow_mut().call(f, with_variables(json!({"value": value}))));
        prop_assert_eq!(&finished.result.unwrap(), &value);
        prop_assert_eq!(&finished.variables["copy"], &value);
        prop_assert_eq!(&finished.variables["value"], &value);
    });
}
