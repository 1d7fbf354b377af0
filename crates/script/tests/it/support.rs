//! What several tests need.

use nuncius_script::{Call, CallError, CallState, Compiled, Finished, FunctionId, Limits, Runtime};
use serde_json::{Map, Value};

/// Name of the scripts of tests.
pub(crate) const FILE: &str = "hooks.js";

/// Plenty of time on a slow machine, in a build without optimisation.
pub(crate) fn limits() -> Limits {
    Limits { call_ns: 2_000_000_000, load_ns: 20_000_000_000, ..Limits::default() }
}

pub(crate) fn load(source: &str) -> Runtime {
    load_with(source, limits())
}

pub(crate) fn load_with(source: &str, limits: Limits) -> Runtime {
    let compiled = Compiled::new(FILE, source, limits).unwrap();
    Runtime::new(&compiled, None).unwrap()
}

/// Functions are in the order of the script, so the first is number 0 of any.
pub(crate) fn function(source: &str, name: &str) -> FunctionId {
    nuncius_script::check(FILE, source).unwrap().get(name).unwrap()
}

pub(crate) fn with_variables(variables: Value) -> Call {
    let Value::Object(variables) = variables else { panic!("variables are a map") };
    Call { variables, ..Call::default() }
}

pub(crate) fn done(state: CallState) -> Box<Finished> {
    match state {
        CallState::Done(finished) => finished,
        CallState::Waiting(waiting) => panic!("it waits: {waiting:?}"),
    }
}

/// A script with one function `f` of this body.
pub(crate) fn body(body: &str) -> String {
    format!("exports.f = function f(context) {{ {body} }};")
}

/// Runs the body of a function with some variables.
pub(crate) fn run(text: &str, variables: Value) -> Box<Finished> {
    run_call(text, with_variables(variables))
}

pub(crate) fn run_call(text: &str, call: Call) -> Box<Finished> {
    let source = body(text);
    let mut runtime = load(&source);
    done(runtime.call(function(&source, "f"), call))
}

/// What the body of a function gives.
pub(crate) fn value(text: &str) -> Value {
    run(text, Value::Object(Map::new())).result.unwrap()
}

/// What is wrong with the body of a function.
pub(crate) fn error(text: &str) -> CallError {
    run(text, Value::Object(Map::new())).result.unwrap_err()
}
