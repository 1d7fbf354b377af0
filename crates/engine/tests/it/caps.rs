//! What the operator of a node allows is kept while load is offered, in requests, by all groups together.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use crate::support::{CLIENTS, Reply, Run, Server};
use nuncius_engine::{Caps, Control, EngineMessage, FinishReason, monotonic_ns, spawn_group};

/// Most requests that any second of those that were written at these instants had.
fn most_in_a_second(mut sent_ns: Vec<u64>) -> usize {
    sent_ns.sort_unstable();
    let end = |from: usize| sent_ns.partition_point(|at| *at < sent_ns[from] + 1_000_000_000);
    (0..sent_ns.len()).map(|from| end(from) - from).max().unwrap_or(0)
}

#[test]
fn users_send_no_more_requests_a_second_than_the_node_may() {
    for client in CLIENTS {
        for steps in [r#"{"path": "/a"}"#, r#"{"path": "/a"}, {"path": "/b"}, {"path": "/c"}"#] {
            let server = Server::start(|_, _| Reply::ok());
            let group = format!(r#""users": 20, "duration": "1200ms", "steps": [{steps}]"#);
            let mut run = Run::new(client, server.address, &group);
            run.caps = Caps::new(200, 60);
            let outcome = run.go();
            let sent: Vec<u64> = outcome.rows.iter().map(|row| row.sent_ns).filter(|sent| *sent > 0).collect();
            assert_eq!(sent.len(), server.seen().len());
            // It may catch up with 10 ms, and is used up to what a loaded machine loses.
            assert!((150..=203).contains(&most_in_a_second(sent.clone())), "{client:?} {}", most_in_a_second(sent));
            let held: u64 = outcome.steps.iter().map(|step| step.held_back).sum();
            assert!(held >= 100, "{client:?} {held}");
            // Who waits for the cap has not begun, and is not blocked by the target.
            let blocked = outcome.steps.iter().filter_map(|step| step.blocked.quantile_ns(0.9)).max().unwrap();
            assert!(blocked < 100_000_000, "{blocked}");
        }
    }
}

#[test]
fn what_the_cap_holds_back_of_a_schedule_is_lag_and_not_blocked() {
    for client in CLIENTS {
        let server = Server::start(|_, _| Reply::ok());
        let mut run = Run::new(client, server.address, r#""rate": "400/s", "iterations": 200"#);
        run.caps = Caps::new(200, 60);
        let outcome = run.go();
        let step = outcome.step();
        assert_eq!((step.succeeded, step.lag.count()), (200, 200), "{client:?}");
        // The last is planned at half a second and may be sent at a whole one.
        assert!(step.lag.max_ns().unwrap() >= 450_000_000, "{:?}", step.lag.max_ns());
        assert!(step.blocked.quantile_ns(0.9).unwrap() < 100_000_000, "{:?}", step.blocked.quantile_ns(0.9));
        assert!(step.held_back >= 100);
    }
}

#[test]
fn groups_share_the_cap_of_their_node() {
    let server = Server::start(|_, _| Reply::ok());
    let control = Control::with_caps(Caps::new(150, 60));
    let (sink, messages) = sync_channel(1_024);
    let mut threads = Vec::new();
    for client in CLIENTS {
        let run = Run::new(client, server.address, r#""users": 10, "duration": "1s""#);
        let plan = run.plan().unwrap();
        threads.extend(spawn_group(plan, run.options, Arc::clone(&control), sink.clone(), None).unwrap());
    }
    drop(sink);
    control.start(monotonic_ns() + 5_000_000, u64::MAX);
    let sent: u64 = messages
        .iter()
        .map(|message| match message {
            EngineMessage::Second(report) => report.steps.iter().map(|step| step.sent).sum(),
            EngineMessage::Rows(_) | EngineMessage::Finished { .. } => 0,
        })
        .sum();
    threads.into_iter().for_each(|thread| thread.handle.join().unwrap());
    assert_eq!(sent, server.seen().len() as u64);
    assert!((100..=152).contains(&sent), "{sent}");
}

#[test]
fn load_without_an_end_ends_where_the_node_says() {
    for client in CLIENTS {
        for group in
            [r#""users": 2, "iterations": 1000000, "think_time": "10ms""#, r#""rate": "50/s", "duration": "60s""#]
        {
            let server = Server::start(|_, _| Reply::ok());
            let mut run = Run::new(client, server.address, group);
            run.caps = Caps::new(1_000_000, 1);
            let outcome = run.go();
            assert!(outcome.rows.iter().all(|row| row.planned_ns < 1_000_000_000), "{client:?}");
            assert!(
                matches!(&outcome.reasons[..], [FinishReason::Failed(reason)] if reason.contains("--max-duration")),
                "{:?}",
                outcome.reasons
            );
            assert_eq!(outcome.step().planned, outcome.step().succeeded);
        }
    }
}

#[test]
fn requests_of_a_burst_are_each_sent_at_a_reading_of_the_clock() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
    let server = Server::start(move |_, _| Reply::After(Duration::from_millis(1), answer.clone()));
    // All users begin at the same instant, on connections that are open by then.
    let group = r#""users": 200, "iterations": 200"#;
    let outcome = Run::new(crate::support::Client::Plain, server.address, group).go();
    let instants: std::collections::BTreeSet<u64> = outcome.rows.iter().map(|row| row.sent_ns).collect();
    assert_eq!((outcome.step().succeeded, instants.len()), (200, 200));
}

#[test]
fn what_is_due_at_once_takes_the_connections_that_answers_free_before_more_are_opened() {
    let server = Server::start(|_, _| Reply::ok());
    let group = r#""rate": "5000/s", "duration": "210ms", "max_in_flight": 10000"#;
    let mut run = Run::new(crate::support::Client::Plain, server.address, group);
    // As after a pause of the thread: a thousand are due, and 64 connections are open.
    run.begun_ago_ns = 205_000_000;
    let outcome = run.go();
    assert_eq!(outcome.step().succeeded, 1_050);
    assert!(server.connections() < 900, "{}", server.connections());
}

#[test]
fn users_of_a_target_that_is_not_there_pause_longer_and_longer() {
    for client in CLIENTS {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let group = r#""users": 4, "duration": "700ms", "backoff": {"first": "20ms", "max": "80ms"}"#;
        let outcome = Run::new(client, unused, group).go();
        let step = outcome.step();
        // At most 1 + 20, 40, 80, 80 … ms shortened by half; at least as if none was.
        assert!((4 * 8..=4 * 20).contains(&step.failed), "{client:?} {}", step.failed);
        assert!(step.backed_off <= step.failed && step.backed_off + 4 >= step.failed, "{}", step.backed_off);
    }
}
