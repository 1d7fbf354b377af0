//! What a call costs: `cargo run --release -p nuncius-script --example script_cost`.
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use nuncius_script::{Answer, Call, CallState, Compiled, Limits, RequestView, ResponseView, Runtime};
use rustix::time::{ClockId, clock_gettime};
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

/// Calls of one batch, and batches. The best batch counts: what others do on the machine is not what a call costs.
const CALLS: u32 = 500;
const BATCHES: u32 = 40;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let only = std::env::args_os().nth(1);
    let began = Instant::now();
    let compiled = Compiled::new("cost.js", SCRIPT, Limits::default())?;
    println!("check of a script       {:>12.1?}", began.elapsed());
    let began = Instant::now();
    let mut runtime = Runtime::new(&compiled, None)?;
    println!("runtime of a thread     {:>12.1?}", began.elapsed());
    for name in compiled.exports().names() {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let function = compiled.exports().get(name).ok_or("it is exported")?;
        let mut best_ns = u128::MAX;
        for _ in 0..BATCHES {
            let calls: Vec<Call> = (0..CALLS).map(|_| call(name)).collect();
            let mut over = Vec::with_capacity(calls.len());
            let began = processor_time();
            for call in calls {
                let mut state = runtime.call(function, call);
                while let CallState::Waiting(waiting) = &state {
                    let ask = waiting.asks.first().ok_or("it asks once")?.id;
                    state = runtime.resume(ask, Answer::Response(ResponseView::default())).ok_or("it waits")?;
                }
                over.push(state);
            }
            best_ns = best_ns.min((processor_time() - began).as_nanos());
            for state in over {
                if let CallState::Done(finished) = state {
                    finished.result?;
                }
            }
        }
        println!("{name:<12} {:>8} ns per call", best_ns / u128::from(CALLS));
    }
    Ok(())
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn call(name: &str) -> Call {
    let mut variables: Map<String, Value> = (0..20).map(|index| (format!("v{index}"), json!(index))).collect();
    variables.insert("token".into(), json!("0123456789abcdef"));
    variables.insert("cart".into(), json!([1, 2, 3]));
    variables.insert("n".into(), json!(2));
    let headers: Vec<(String, String)> =
        (0..6).map(|index| (format!("X-Header-{index}"), "a value of some length".to_owned())).collect();
    let request =
        RequestView { method: "GET".into(), url: "/items".into(), headers: headers.clone(), body: None, step: None };
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
        .map(|id| {
            let name = format!("item number {id}");
            json!({"id": id, "name": name, "price": 9.99, "tags": ["a", "b"], "in_stock": true})
        })
        .collect();
    Bytes::from(json!({ "items": items }).to_string())
}
