//! Rows of data, and what happens where there are none left.

use nuncius_load::ShardSet;
use nuncius_schemas::metric::FailureKind;

use super::{counts, lines};
use crate::support::{Reply, Run, Server};

fn csv(name: &str, rows: usize) -> std::path::PathBuf {
    let directory = std::env::temp_dir().join(format!("nuncius-data-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let rows: String = (0..rows).map(|row| format!("u{row},\"p,{row}\"\n")).collect();
    std::fs::write(directory.join("users.csv"), format!("name,password\n{rows}")).unwrap();
    directory
}

const STEPS: &str = "steps: [{get: {url: '/{{ users.name }}', headers: {X-P: '{{ users.password }}'}}}]";

#[test]
fn a_unique_row_is_given_to_one_iteration_of_the_fleet_and_the_group_ends_with_the_last() {
    let directory = csv("unique", 40);
    for load in ["rate: 1000/s, duration: 10s", "users: 6, duration: 10s"] {
        let server = Server::start(|_, _| Reply::ok());
        std::thread::scope(|scope| {
            for node in 0..3 {
                let (address, directory) = (server.address, directory.clone());
                scope.spawn(move || {
                    let fields = format!("{load}, feeders: [{{name: users, file: users.csv, order: unique}}], {STEPS}");
                    let mut run = Run::sessions(address, &fields);
                    run.bundle = Some(directory);
                    run.shards = ShardSet::of(256, (0..256).filter(|shard| shard % 3 == node));
                    let outcome = run.go();
                    let step = &outcome.all()[0];
                    assert_eq!((step.failed, step.skipped), (0, 0));
                });
            }
        });
        let counts = counts(&server);
        assert_eq!((counts.len(), counts.values().copied().max()), (40, Some(1)), "{load}");
        assert_eq!(
            server.seen().iter().find(|seen| seen.head.starts_with("GET /u7 ")).unwrap().header("x-p"),
            Some("p,7")
        );
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn where_no_row_is_left_each_further_iteration_fails_or_begins_again_as_it_is_told() {
    let server = Server::start(|_, _| Reply::ok());
    let rows = "rows: [{name: a, password: x}, {name: b, password: y}]";
    let fields = format!(
        "users: 1, iterations: 5, backoff: {{first: 1ms, max: 1ms}}, feeders: [{{name: users, order: unique, at_end: fail, {rows}}}], {STEPS}"
    );
    let outcome = Run::sessions(server.address, &fields).go();
    let step = &outcome.all()[0];
    assert_eq!((step.succeeded, lines(&server).len()), (2, 2));
    let (kind, count, sample) = step.failure();
    assert_eq!((kind, count), (FailureKind::Data, 3));
    assert!(sample.contains("feeder `users`") && sample.contains("no row is left of 2"), "{sample}");
    for order in ["order: unique, at_end: again", "order: sequential"] {
        let server = Server::start(|_, _| Reply::ok());
        let fields = format!("users: 1, iterations: 5, feeders: [{{name: users, {order}, {rows}}}], {STEPS}");
        Run::sessions(server.address, &fields).go();
        assert_eq!(lines(&server), ["GET /a", "GET /b", "GET /a", "GET /b", "GET /a"]);
    }
}

#[test]
fn a_file_that_cannot_be_used_is_told_before_the_load() {
    let directory = csv("broken", 2);
    std::fs::write(directory.join("users.csv"), "name,password\nonly-one\n").unwrap();
    let server = Server::start(|_, _| Reply::ok());
    let fields = format!("rate: 1/s, duration: 1s, feeders: [{{name: users, file: users.csv}}], {STEPS}");
    let mut run = Run::sessions(server.address, &fields);
    run.bundle = Some(directory.clone());
    let error = run.plan().unwrap_err().to_string();
    assert!(error.starts_with("groups[0].feeders[0].file: line 2"), "{error}");
    std::fs::remove_dir_all(directory).unwrap();
}
