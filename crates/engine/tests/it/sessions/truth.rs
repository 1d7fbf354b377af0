//! Whose time a delay is, and that it does not matter how many nodes there are.

use std::collections::BTreeMap;
use std::time::Duration;

use nuncius_load::ShardSet;
use nuncius_schemas::metric::Series;
use proptest::prelude::*;

use super::{answer, counts, json, path};
use crate::support::{Reply, Run, Server};

#[test]
fn in_the_open_model_the_iteration_and_its_first_step_count_from_the_planned_instant() {
    let slow = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(move |_, _| Reply::After(Duration::from_millis(50), slow.to_vec()));
    let fields = "rate: 100/s, iterations: 5, max_in_flight: 1, steps: [{get: '/{{ iteration() }}'}, {get: /later}]";
    let outcome = Run::sessions(server.address, fields).go();
    let [first, later, iteration] = outcome.all() else { panic!() };
    // The last is planned at 40 ms, and waits for four others that take 100 ms each.
    assert!(
        first.of(Series::Response).summary().max_ns >= 360_000_000,
        "{}",
        first.of(Series::Response).summary().max_ns
    );
    assert!(iteration.of(Series::Response).summary().max_ns >= 410_000_000);
    assert!(
        first.of(Series::Service).summary().max_ns < 100_000_000
            && later.of(Series::Service).summary().max_ns < 100_000_000
    );
    assert!(iteration.of(Series::Blocked).summary().max_ns >= 300_000_000, "it waited for room");
    assert_eq!(
        (
            first.of(Series::Response).count(),
            later.of(Series::Response).count(),
            iteration.of(Series::Response).count()
        ),
        (5, 5, 5)
    );
    assert_eq!((later.of(Series::Lag).count(), iteration.of(Series::Lag).count()), (5, 5));
    assert!(
        iteration.of(Series::Lag).summary().max_ns < 30_000_000 && later.of(Series::Lag).summary().max_ns < 30_000_000
    );
}

#[test]
fn who_comes_while_there_are_as_many_users_as_there_may_be_is_skipped_whatever_the_way() {
    for step in ["{get: /a}", "{get: '/{{ iteration() }}'}"] {
        let slow = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let server = Server::start(move |_, _| Reply::After(Duration::from_millis(250), slow.to_vec()));
        // Planned at 0, 100, … 900 ms: of each three the first is let in.
        let fields = format!("rate: 10/s, iterations: 10, max_users: 1, steps: [{step}]");
        let outcome = Run::sessions(server.address, &fields).go();
        let whole = outcome.all().last().unwrap();
        assert_eq!((whole.planned, whole.succeeded + whole.skipped, whole.failed + whole.censored), (10, 10, 0));
        assert_eq!(whole.succeeded, server.seen().len() as u64);
        assert!((2..=4).contains(&whole.succeeded), "{}", whole.succeeded);
        assert!(whole.of(Series::Blocked).summary().max_ns < 50_000_000, "nobody waited for room");
    }
}

#[test]
fn what_begins_in_the_warm_up_is_sent_and_counts_apart_whatever_the_way() {
    let ways = ["{get: /a}", "{get: {url: '/{{ iteration() }}', checks: [{status: 200}]}}"];
    let models = [("rate: 100/s, duration: 500ms, iterations: 50", 20), ("users: 1, iterations: 50", 1)];
    for (step, (load, least)) in ways.iter().flat_map(|way| models.map(|model| (way, model))) {
        let slow = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let server = Server::start(move |_, _| Reply::After(Duration::from_millis(5), slow.to_vec()));
        let fields = format!("{load}, warm_up: 200ms, steps: [{step}, {{get: /b}}]");
        let outcome = Run::sessions(server.address, &fields).go();
        let all = outcome.all();
        assert_eq!(all.len(), 6);
        let (counted, warm_up) = all.split_at(3);
        for (counted, warm_up) in counted.iter().zip(warm_up) {
            assert_eq!((counted.planned + warm_up.planned, counted.succeeded + warm_up.succeeded), (50, 50));
            assert_eq!((counted.planned, warm_up.sent), (counted.succeeded, warm_up.succeeded));
            assert!(warm_up.planned >= least && counted.planned >= 25, "{load}: {}", warm_up.planned);
            assert_eq!(counted.of(Series::Service).count(), counted.succeeded);
        }
        if least == 20 {
            assert_eq!(warm_up.iter().map(|step| step.planned).collect::<Vec<_>>(), [20, 20, 20], "{step}");
        }
        let checks = |step: &crate::support::Step| step.checks.values().map(|(passed, _)| *passed).sum::<u64>();
        if step.contains("checks") {
            assert_eq!((checks(&counted[0]), checks(&warm_up[0])), (counted[0].succeeded, warm_up[0].succeeded));
        }
        assert_eq!(server.seen().len(), 100);
    }
}

#[test]
fn what_a_template_takes_is_lag_and_no_service() {
    let server = Server::start(|_, _| Reply::ok());
    // A function that keeps the thread busy for a while.
    let script =
        "script: {source: 'exports.busy = () => { const end = Date.now() + 30; while (Date.now() < end) {} }'}";
    let fields = format!("users: 1, iterations: 2, {script}, steps: [{{get: /a}}, {{call: busy}}, {{get: /b}}]");
    let outcome = Run::sessions(server.address, &fields).go();
    let later = &outcome.all()[2];
    assert_eq!(later.succeeded, 2);
    assert!(later.of(Series::Lag).summary().max_ns >= 25_000_000, "{}", later.of(Series::Lag).summary().max_ns);
    assert!(later.of(Series::Service).summary().max_ns < 25_000_000);
}

/// What a fleet of so many nodes sends.
fn sent_by(nodes: u32, seed: u64, fields: &str) -> BTreeMap<String, usize> {
    let server = Server::start(|seen, _| match path(seen).as_str() {
        "/start" => json(&serde_json::json!({"n": 3})),
        path if path.starts_with("/gone") => answer("404 No", "", b""),
        _ => Reply::ok(),
    });
    std::thread::scope(|scope| {
        for node in 0..nodes {
            let address = server.address;
            scope.spawn(move || {
                let mut run = Run::sessions(address, fields);
                run.spec = format!("seed: {seed}\n{}", run.spec);
                run.options.seed = seed;
                run.shards = ShardSet::of(256, (0..256).filter(|shard| shard % nodes == node));
                let outcome = run.go();
                outcome.all();
            });
        }
    });
    let mut counts = counts(&server);
    for seen in server.seen() {
        *counts.entry(format!("{} {:?} {}", path(&seen), seen.header("x-draw"), seen.body)).or_default() += 1;
    }
    counts
}

const SCENARIOS: &str = "variables: {tenant: blue}, \
    feeders: [{name: rows, rows: [{v: a}, {v: b}, {v: c}]}, {name: any, order: random, rows: [{v: 1}, {v: 2}, {v: 3}]}], \
    scenarios: [\
      {name: look, weight: 3, steps: [{get: {url: /start, capture: {n: {json: $.n}}}}, {probability: 0.5, get: '/maybe/{{ rows.v }}'}, \
        {loop: {count: '{{ n }}', steps: [{get: {url: '/{{ rows.v }}/{{ any.v }}/{{ random_int(1, 1000) }}', headers: {X-Draw: '{{ uuid() }}'}}}]}}]}, \
      {name: buy, weight: 1, steps: [{post: {url: '/buy/{{ tenant }}', json: {who: '{{ user() }}', code: '{{ random_string(8) }}', i: '{{ iteration() }}'}}}, \
        {think: {between: [0ms, 2ms]}}, {parallel: [{get: '/x/{{ random_int(1, 9) }}'}, {get: '/y/{{ random_int(1, 9) }}'}]}, {get: '/gone/{{ iteration() }}'}, {get: /never}]}]";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn however_many_nodes_there_are_the_same_requests_arrive(seed in 0u64..u64::MAX / 2, is_open in any::<bool>()) {
        let load = if is_open { "rate: 2000/s, iterations: 120" } else { "users: 24, iterations: 120, backoff: {first: 1ms, max: 1ms}" };
        let fields = format!("{load}, {SCENARIOS}");
        let one = sent_by(1, seed, &fields);
        prop_assert!(one.len() > 200, "{}", one.len());
        for nodes in [3, 17] {
            prop_assert_eq!(&sent_by(nodes, seed, &fields), &one);
        }
    }
}

#[test]
fn what_a_variable_of_the_node_holds_is_a_text_and_changes_nothing_about_what_counts_where() {
    const BRACES: &str = "a{{ 1 + 1 }}{{{b";
    let environment = |name: &str| match name {
        "BRACES" => Some(BRACES.to_owned()),
        "PLACE" => Some("/place".to_owned()),
        _ => None,
    };
    // The same for all as it is written; with a template; and one whose path is known on the node alone.
    let headers = "headers: {X-A: '${BRACES}'}";
    let ways = [
        (format!("{{get: {{url: /place, {headers}}}}}"), 1),
        (format!("{{get: {{url: '/{{{{ \"place\" }}}}', {headers}}}}}"), 2),
        (format!("{{get: {{url: '${{PLACE}}', {headers}}}}}"), 2),
        ("{post: {url: /place, headers: {X-A: '${BRACES}'}, json: {a: '${BRACES}', b: '{{ 1 }}'}}}".to_owned(), 2),
    ];
    for (step, recorders) in ways {
        let server = Server::start(|_, _| Reply::ok());
        let mut run = Run::sessions(server.address, &format!("rate: 100/s, iterations: 3, steps: [{step}]"));
        run.environment = environment;
        let outcome = run.go();
        assert_eq!(outcome.all().len(), recorders, "{step}");
        assert!(outcome.all().iter().all(|step| step.succeeded == 3), "{step}");
        for seen in server.seen() {
            assert_eq!((path(&seen).as_str(), seen.header("x-a")), ("/place", Some(BRACES)), "{step}");
            if step.contains("json") {
                let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
                assert_eq!(body, serde_json::json!({"a": BRACES, "b": 1}));
            }
        }
    }
}
