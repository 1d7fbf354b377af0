//! What a call costs: `cargo run --release -p nuncius-script --example cost`.
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::time::Instant;

use bytes::Bytes;
use nuncius_script::{Answer, Call, CallState, Compiled, Limits, RequestView, ResponseView, Runtime};
use serde_json::{Map, Value, json};

const SCRIPT: &str = "
exports.empty = () => {};
exports.read = (context) => { context.vars.token; };
exports.write = (context) => { context.vars.token = 'x'; };
exports.push = (context) => { context.vars.cart.push(1); };
exports.returns = (context) => context.vars.n < 3;
exports.header = (context) => { context.request.headers['X-Token'] = context.vars.token; };
exports.parse = (context) => { context.response.json(); };
exports.draw = () => Math.random();
exports.later = async () => { await null; };
exports.fetches = async () => { await fetch('/x'); };
";

const ROUNDS: u32 = 20_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let began = Instant::now();
    let compiled = Compiled::new("cost.js", SCRIPT, Limits::default())?;
    println!("check of a script       {:>12.1?}", began.elapsed());
    let began = Instant::now();
    let mut runtime = Runtime::new(&compiled, None)?;
    println!("runtime of a thread     {:>12.1?}", began.elapsed());
    for name in compiled.exports().names() {
        let function = compiled.exports().get(name).ok_or("it is exported")?;
        let mut took_ns = 0_u128;
        for round in 0..ROUNDS + ROUNDS / 10 {
            let call = call(name);
            let began = Instant::now();
            let mut state = runtime.call(function, call);
            while let CallState::Waiting(waiting) = &state {
                let ask = waiting.asks.first().ok_or("it asks once")?.id;
                state = runtime.resume(ask, Answer::Response(ResponseView::default())).ok_or("it waits")?;
            }
            // The first tenth is for the caches.
            if round >= ROUNDS / 10 {
                took_ns += began.elapsed().as_nanos();
            }
            if let CallState::Done(finished) = state {
                finished.result?;
            }
        }
        println!("{name:<12} {:>8} ns per call", took_ns / u128::from(ROUNDS));
    }
    Ok(())
}

fn call(name: &str) -> Call {
    let mut variables: Map<String, Value> = (0..20).map(|index| (format!("v{index}"), json!(index))).collect();
    variables.insert("token".into(), json!("0123456789abcdef"));
    variables.insert("cart".into(), json!([1, 2, 3]));
    variables.insert("n".into(), json!(2));
    let headers: Vec<(String, String)> =
        (0..6).map(|index| (format!("X-Header-{index}"), "a value of some length".to_owned())).collect();
    let request = RequestView { method: "GET".into(), url: "/items".into(), headers: headers.clone(), body: None };
    let response = ResponseView { status: 200, headers, body: one_kib_of_json(), url: String::new() };
    Call {
        variables,
        request: (name == "header").then_some(request),
        response: (name == "parse").then_some(response),
        ..Call::default()
    }
}

fn one_kib_of_json() -> Bytes {
    let items: Vec<Value> = (0..12)
        .map(|id| json!({"id": id, "name": format!("item number {id}"), "price": 9.99, "tags": ["a", "b"], "in_stock": true}))
        .collect();
    Bytes::from(json!({ "items": items }).to_string())
}
