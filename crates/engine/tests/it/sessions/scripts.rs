//! The script of a group: hooks and calls, and that a bad one harms nobody else.

use nuncius_schemas::metric::FailureKind;

use super::{json, lines, once, path};
use crate::support::{Reply, Run, Server};

fn with(source: &str, fields: &str) -> String {
    format!("script: {{source: {}}}, {fields}", serde_json::json!(source))
}

#[test]
fn hooks_change_the_request_and_read_the_answer() {
    let server = Server::start(|_, _| json(&serde_json::json!({"n": 41})));
    let source = "exports.sign = (context) => { const r = context.request; \
                    r.headers['X-Signed'] = r.method + ' ' + r.url.split('/').slice(3).join('/'); r.body = 'b' + context.vars.x; }; \
                  exports.read = (context) => { context.vars.n = JSON.parse(context.response.body).n + 1; }";
    let fields = "variables: {x: 7}, steps: [{post: {url: /a, body: plain, before_request: sign, after_response: read}}, {get: '/{{ n }}'}]";
    let outcome = once(&server, &with(source, fields));
    assert_eq!(lines(&server), ["POST /a", "GET /42"], "{:?}", outcome.steps[0].failures);
    let seen = server.seen();
    assert_eq!((seen[0].header("x-signed"), seen[0].body.as_str()), (Some("POST a"), "b7"));
    assert_eq!(seen[0].header("content-length"), Some("2"));
}

#[test]
fn what_a_call_fetches_goes_through_the_users_own_client_and_counts_at_its_step() {
    let server = Server::start(|seen, _| match path(seen).as_str() {
        "/login" => super::answer("200 OK", "Set-Cookie: s=1\r\n", b"{\"id\": 5}"),
        _ => Reply::ok(),
    });
    let source = "exports.login = async (context) => { const r = await fetch('/login', {method: 'POST', body: 'x'}); \
                    context.vars.id = (await r.json()).id; await Promise.all([fetch('/one'), fetch('/two')]); }";
    let outcome = once(&server, &with(source, "steps: [{call: login}, {get: '/{{ id }}'}]"));
    let mut all = lines(&server);
    all[1..3].sort();
    assert_eq!(all, ["POST /login", "GET /one", "GET /two", "GET /5"], "{:?}", outcome.steps[0].failures);
    assert_eq!(server.seen()[3].header("cookie"), Some("s=1"));
    let step = &outcome.all()[0];
    assert_eq!((step.planned, step.succeeded, outcome.steps[2].succeeded), (3, 3, 1));
    let refused = "exports.f = async () => { try { await fetch('http://8.8.8.8/'); } catch (e) { throw new Error('no: ' + e.message); } }";
    let outcome = once(&server, &with(refused, "steps: [{call: f}]"));
    let samples: Vec<String> = outcome.steps[0].failures.iter().filter_map(|failure| failure.sample.clone()).collect();
    assert!(samples.iter().any(|sample| sample.contains("not allowed")), "{samples:?}");
}

#[test]
fn what_a_script_fetches_counts_at_the_step_that_it_names() {
    let server = Server::start(|_, _| Reply::ok());
    let source = "exports.login = async (context) => { await fetch('/login', {step: 'logins'}); }; \
                  exports.lost = async (context) => { await fetch('/lost', {step: 'nobody'}); }";
    let steps =
        "steps: [{get: {url: /a, before_request: login}, name: page}, {get: /x, name: logins, if: '{{ false }}'}]";
    let outcome = once(&server, &with(source, steps));
    assert_eq!(lines(&server), ["GET /login", "GET /a"]);
    let counts: Vec<_> = outcome.all().iter().map(|step| (step.planned, step.succeeded)).collect();
    // The user passed over the step itself, which is planned too.
    assert_eq!(counts, [(1, 1), (2, 1), (1, 1)]);
    let outcome = once(&server, &with(source, "steps: [{call: lost}]"));
    let samples: Vec<String> = outcome.steps[0].failures.iter().filter_map(|failure| failure.sample.clone()).collect();
    assert!(samples.iter().any(|sample| sample.contains("no step \"nobody\"")), "{samples:?}");
}

#[test]
fn scripts_that_loop_eat_throw_or_never_settle_fail_their_own_iteration_while_others_go_on() {
    let source = "exports.bad = async (context) => { switch (context.iteration % 5) { \
                    case 0: for (;;) {} \
                    case 1: { const all = []; for (;;) all.push('x'.repeat(1000) + all.length); } \
                    case 2: throw new Error('thrown'); \
                    case 3: await new Promise(() => {}); } }";
    let server = Server::start(|_, _| Reply::ok());
    let fields = with(source, "rate: 100/s, iterations: 20, steps: [{call: bad}, {get: '/{{ iteration() }}'}]");
    let outcome = Run::sessions(server.address, &fields).go();
    let [call, get, iteration] = outcome.all() else { panic!() };
    assert_eq!((get.succeeded, iteration.succeeded, iteration.failed), (4, 4, 16), "{:?}", call.failures);
    let (kind, count, _) = call.failure();
    assert_eq!((kind, count), (FailureKind::Script, 16));
    let mut sent = lines(&server);
    sent.sort();
    assert_eq!(sent, ["GET /14", "GET /19", "GET /4", "GET /9"]);
}
