//! Sessions against a server of this process that tells what has come.

use std::collections::BTreeMap;
use std::time::Duration;

use nuncius_schemas::metric::{FailureKind, Series};

use crate::support::{Outcome, Reply, Run, SECOND_NS, Seen, Server};

mod amqp;
mod bodies;
mod cookies;
mod data;
mod hostile;
mod http2;
mod identity;
mod nats;
mod redirects;
mod scripts;
mod socketio;
mod truth;
mod ws;

/// An answer of JSON.
fn json(value: &serde_json::Value) -> Reply {
    answer("200 OK", "Content-Type: application/json\r\n", value.to_string().as_bytes())
}

/// An answer with a length.
fn answer(status: &str, fields: &str, body: &[u8]) -> Reply {
    let mut bytes = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    Reply::Pieces(vec![bytes])
}

/// Method and path of what has come, in the order of arrival.
fn lines(server: &Server) -> Vec<String> {
    server.seen().iter().map(line).collect()
}

fn line(seen: &Seen) -> String {
    let first = seen.head.lines().next().unwrap();
    first.strip_suffix(" HTTP/1.1").unwrap().to_owned()
}

fn path(seen: &Seen) -> String {
    line(seen).split_once(' ').unwrap().1.to_owned()
}

/// How often each request has come.
fn counts(server: &Server) -> BTreeMap<String, usize> {
    lines(server).into_iter().fold(BTreeMap::new(), |mut counts, line| {
        *counts.entry(line).or_default() += 1;
        counts
    })
}

/// One user, once.
fn once(server: &Server, fields: &str) -> Outcome {
    Run::sessions(server.address, &format!("users: 1, iterations: 1, {fields}")).go()
}

#[test]
fn what_one_answer_gives_is_in_the_next_request_and_a_pause_lies_between_them() {
    let server = Server::start(|seen, _| match path(seen).as_str() {
        "/login" => json(&serde_json::json!({"token": "abc/ 1", "ids": [7, 8]})),
        _ => Reply::ok(),
    });
    let fields = "steps: [{post: {url: /login, json: {user: 'u{{ iteration() }}', n: '{{ 1 + 2 }}'}, \
                  capture: {token: {json: $.token}, ids: {json: '$.ids[*]', all: true}}}}, {think: 30ms}, \
                  {get: {url: '/items/{{ ids[1] }}', query: {t: '{{ token }}'}, headers: {X-Token: 'Bearer {{ token }}'}}}]";
    let outcome = once(&server, fields);
    assert_eq!(lines(&server), ["POST /login", "GET /items/8?t=abc%2F%201"]);
    let seen = server.seen();
    assert_eq!(seen[0].body, r#"{"n":3,"user":"u0"}"#);
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    assert_eq!(seen[1].header("x-token"), Some("Bearer abc/ 1"));
    let [post, get, iteration] = outcome.all() else { panic!("{}", outcome.steps.len()) };
    for step in [post, get, iteration] {
        assert_eq!((step.planned, step.sent, step.succeeded), (1, 1, 1), "{step:?}");
    }
    assert!(iteration.of(Series::Service).summary().max_ns >= 30_000_000);
    assert!(get.of(Series::Service).summary().max_ns < 30_000_000, "a pause is no part of any request");
    assert!(get.of(Series::Lag).summary().max_ns < 20_000_000, "{}", get.of(Series::Lag).summary().max_ns);
    assert_eq!(server.connections(), 1);
}

#[test]
fn every_verb_sends_its_method_and_a_custom_one_its_own() {
    let server = Server::start(|seen, _| match seen.head.starts_with("HEAD") {
        true => Reply::text("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        false => Reply::ok(),
    });
    let fields = "steps: [{get: /a}, {post: /a}, {put: /a}, {patch: /a}, {delete: /a}, {head: /a}, {options: /a}, \
                  {request: {url: /a, method: {custom: PURGE}}}, {set: {x: 1}}, {get: '/{{ x }}'}]";
    let outcome = once(&server, fields);
    let methods: Vec<String> = lines(&server).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(methods, ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PURGE", "GET"]);
    assert_eq!(server.connections(), 1);
    assert_eq!(outcome.all().last().unwrap().succeeded, 1);
}

#[test]
fn loops_branches_and_chances_send_what_they_say() {
    let server = Server::start(|_, _| json(&serde_json::json!({"items": ["a", "b", "c"], "more": true})));
    let fields = "steps: [{get: {url: /list, capture: {items: {json: '$.items[*]', all: true}, more: {json: $.more}}}}, \
                  {loop: {over: '{{ items }}', as: item, steps: [{get: '/{{ item }}/{{ loop.index }}'}]}}, \
                  {if: {condition: '{{ more }}', then: [{get: /more}], else: [{get: /less}]}}, \
                  {if: '{{ !more }}', get: /never}]";
    let outcome = once(&server, fields);
    assert_eq!(lines(&server), ["GET /list", "GET /a/0", "GET /b/1", "GET /c/2", "GET /more"]);
    let planned: Vec<(u64, u64)> = outcome.all().iter().map(|step| (step.planned, step.skipped)).collect();
    assert_eq!(planned, [(1, 0), (3, 0), (1, 0), (1, 1), (1, 1), (1, 0)]);
}

#[test]
fn a_step_that_fails_ends_the_iteration_and_the_next_one_begins_anew() {
    let server = Server::start(|seen, _| match path(seen).as_str() {
        "/second/1" => answer("500 No", "", b""),
        _ => Reply::ok(),
    });
    let fields = "users: 1, iterations: 3, backoff: {first: 1ms, max: 1ms}, \
                  steps: [{get: /first}, {get: '/second/{{ iteration() }}'}, {get: /third}]";
    let outcome = Run::sessions(server.address, fields).go();
    assert_eq!(
        lines(&server),
        [
            "GET /first",
            "GET /second/0",
            "GET /third",
            "GET /first",
            "GET /second/1",
            "GET /first",
            "GET /second/2",
            "GET /third"
        ]
    );
    let ended: Vec<(u64, u64)> = outcome.all().iter().map(|step| (step.succeeded, step.failed)).collect();
    assert_eq!(ended, [(3, 0), (2, 1), (2, 0), (2, 1)]);
    assert_eq!(outcome.steps[1].statuses, [(200, 2), (500, 1)].into());
}

#[test]
fn checks_are_counted_apart_and_end_the_iteration_only_where_they_are_told_to() {
    let server = Server::start(|_, _| answer("200 OK", "X-Kind: cat\r\n", br#"{"ok": false, "n": 5}"#));
    let checks = "checks: [{status: 200}, {header: x-kind, matches: ^c}, {json: $.ok, equals: true, name: is ok}, \
                  {json: $.n, above: 4}, {size: , below: 1KiB}, {time: , below: 10s}]";
    let outcome = once(&server, &format!("steps: [{{get: {{url: /a, {checks}}}}}, {{get: /b}}]"));
    assert_eq!(lines(&server), ["GET /a", "GET /b"]);
    let step = &outcome.all()[0];
    assert_eq!((step.succeeded, step.failed, step.checks.len()), (1, 0, 6), "{:?}", step.checks);
    assert_eq!(step.checks["is ok"], (0, 1));
    assert_eq!(step.checks.values().filter(|counts| **counts == (1, 0)).count(), 5, "{:?}", step.checks);
    let outcome =
        once(&server, &format!("steps: [{{get: {{url: /c, on_check_failure: fail, {checks}}}}}, {{get: /d}}]"));
    assert!(!lines(&server).contains(&"GET /d".to_owned()));
    let (kind, count, sample) = outcome.all()[0].failure();
    assert_eq!((kind, count), (FailureKind::Check, 1));
    assert!(sample.contains("is ok"), "{sample}");
}

#[test]
fn branches_are_under_way_at_the_same_time_and_the_next_step_waits_for_all() {
    let server = Server::start(|seen, _| match path(seen).as_str() {
        "/a" | "/b" | "/c" => {
            Reply::After(Duration::from_millis(60), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec())
        }
        _ => Reply::ok(),
    });
    let fields = "steps: [{parallel: [{get: /a}, {get: /b}, {get: /c}]}, {get: /end}]";
    let outcome = once(&server, fields);
    let iteration = outcome.all().last().unwrap();
    assert_eq!(iteration.succeeded, 1);
    assert!(iteration.of(Series::Service).summary().max_ns < 150_000_000, "one after the other they take 180 ms");
    assert_eq!(lines(&server).last().map(String::as_str), Some("GET /end"));
    assert_eq!(server.connections(), 3);
    let fields = "steps: [{parallel: {at_most: 1, branches: [[{get: /a}], [{get: /b}]]}}]";
    let outcome = once(&server, fields);
    assert!(outcome.all().last().unwrap().of(Series::Service).summary().max_ns >= 120_000_000);
}

#[test]
fn users_may_have_connections_of_their_own_or_one_for_each_request() {
    let connections_of = |mode: &str| {
        let server = Server::start(|_, _| Reply::ok());
        let fields = format!(
            "users: 3, iterations: 9, connections: {mode}, steps: [{{get: /a}}, {{think: 5ms}}, {{get: '/{{{{ user() }}}}'}}]"
        );
        let outcome = Run::sessions(server.address, &fields).go();
        assert_eq!(outcome.all().last().unwrap().succeeded, 9);
        let seen = server.seen();
        let mut by_user: BTreeMap<usize, std::collections::BTreeSet<String>> = BTreeMap::new();
        for seen in seen.iter().filter(|seen| path(seen) != "/a") {
            by_user.entry(seen.connection).or_default().insert(path(seen));
        }
        (server.connections(), by_user.values().map(std::collections::BTreeSet::len).max().unwrap())
    };
    assert_eq!(connections_of("user"), (3, 1));
    assert_eq!(connections_of("per_request").0, 18);
    assert!(connections_of("shared").0 <= 3);
}

#[test]
fn a_session_that_waits_for_a_connection_is_blocked_and_one_that_thinks_holds_none() {
    let slow = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(move |_, _| Reply::After(Duration::from_millis(40), slow.to_vec()));
    let fields = "users: 2, iterations: 2, max_connections: 1, steps: [{get: '/{{ user() }}'}]";
    let outcome = Run::sessions(server.address, fields).go();
    let step = &outcome.all()[0];
    assert_eq!((step.succeeded, server.connections()), (2, 1));
    assert!(step.of(Series::Blocked).summary().max_ns >= 30_000_000, "{}", step.of(Series::Blocked).summary().max_ns);
    assert!(
        step.of(Series::Service).summary().max_ns < 80_000_000 && step.of(Series::Lag).summary().max_ns < 20_000_000
    );
    let server = Server::start(|_, _| Reply::ok());
    let fields =
        "users: 20, iterations: 20, max_connections: 1, steps: [{get: /}, {think: 100ms}, {get: '/{{ user() }}'}]";
    let outcome = Run::sessions(server.address, fields).go();
    assert_eq!((outcome.all()[1].succeeded, server.connections()), (20, 1));
    assert!(outcome.steps[2].of(Series::Service).summary().max_ns < SECOND_NS, "they think at the same time");
}

#[test]
fn connections_of_users_make_room_for_each_other() {
    let server = Server::start(|_, _| Reply::ok());
    let fields = "users: 10, iterations: 20, connections: user, max_connections: 2, steps: [{get: '/{{ user() }}'}]";
    let outcome = Run::sessions(server.address, fields).go();
    assert_eq!(outcome.all()[0].succeeded, 20);
    assert!(server.connections() >= 10);
}

#[test]
fn a_connection_that_was_closed_at_rest_costs_no_failure() {
    let server = Server::start(|_, _| Reply::Close(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()));
    let fields =
        "users: 2, iterations: 20, steps: [{get: '/{{ iteration() }}'}, {think: 2ms}, {get: '/x{{ iteration() }}'}]";
    let outcome = Run::sessions(server.address, fields).go();
    assert_eq!(outcome.all().iter().map(|step| step.failed).sum::<u64>(), 0, "{:?}", outcome.steps[0].failures);
    assert_eq!(counts(&server).values().copied().max(), Some(1));
}
