//! Both clients keep the same promises: every scenario runs with each.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use crate::support::{CLIENTS, Client, Outcome, Reply, Run, SECOND_NS, Server};
use nuncius_engine::FinishReason;
use nuncius_load::ShardSet;
use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::record::RecordOutcome;

pub(crate) fn with_each(scenario: impl Fn(Client)) {
    CLIENTS.into_iter().for_each(scenario);
}

fn kinds(outcome: &Outcome) -> BTreeSet<(FailureKind, u16)> {
    outcome.step().failures.iter().map(|failure| (failure.kind, failure.status)).collect()
}

fn unused_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn every_arrival_is_sent_once_at_its_instant_and_measured_four_times() {
    with_each(|client| {
        let server = Server::start(|_, _| Reply::ok());
        let group = r#""rate": "500/s", "iterations": 100, "max_in_flight": 4"#;
        let outcome = Run::new(client, server.address, group).go();
        let step = outcome.step();
        assert_eq!((step.planned, step.sent, step.succeeded), (100, 100, 100), "{client:?} {:?}", step.failures);
        for totals in [&step.lag, &step.blocked, &step.service, &step.response] {
            assert_eq!(totals.count(), 100);
        }
        assert_eq!(outcome.reasons, [FinishReason::ScheduleEnded]);
        assert_eq!(outcome.rows.len(), 100);
        for (index, row) in (0u64..).zip({
            let mut rows = outcome.rows.clone();
            rows.sort_by_key(|row| row.index);
            rows
        }) {
            assert_eq!((row.index, row.planned_ns), (index, index * 2_000_000));
            assert!(row.planned_ns <= row.sent_ns && row.sent_ns <= row.done_ns, "{row:?}");
            assert_eq!((row.status, row.outcome, row.trace_id), (200, RecordOutcome::Succeeded, 0));
        }
        let seen = server.seen();
        assert_eq!(seen.len(), 100);
        assert!(server.connections() <= 4, "{client:?} {} connections", server.connections());
        assert!(seen[0].head.starts_with("GET /path?x=1 HTTP/1.1"), "{}", seen[0].head);
        assert_eq!(seen[0].header("host"), Some(server.address.to_string().as_str()));
        assert!(seen[0].header("user-agent").unwrap().starts_with("nuncius/"));
        assert_eq!(seen[0].header("traceparent"), None);
    });
}

#[test]
fn threads_and_shards_share_the_schedule_without_overlap() {
    with_each(|client| {
        let server = Server::start(|_, _| Reply::ok());
        let mut run = Run::new(client, server.address, r#""rate": "1000/s", "iterations": 256"#);
        run.threads = 2;
        run.shards = ShardSet::of(256, 0..100);
        let outcome = run.go();
        let indices: BTreeSet<u64> = outcome.rows.iter().map(|row| row.index).collect();
        assert_eq!(outcome.step().succeeded, 100);
        assert_eq!(indices, (0..100).collect());
        assert_eq!(outcome.reasons.len(), 2);
    });
}

#[test]
fn chunked_answers_informational_ones_and_those_without_a_body_keep_the_connection() {
    with_each(|client| {
        let server = Server::start(|_, number| match number % 4 {
            0 => Reply::Pieces(
                ["HTTP/1.1 200 OK\r\nTransfer-En", "coding: chunked\r\n\r\n3;x=y\r", "\nabc\r\n", "0\r\nT: v\r\n\r\n"]
                    .map(|piece| piece.as_bytes().to_vec())
                    .to_vec(),
            ),
            1 => Reply::text("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
            2 => Reply::text("HTTP/1.1 204 No Content\r\n\r\n"),
            _ => Reply::text("HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n"),
        });
        let outcome = Run::new(client, server.address, r#""users": 1, "iterations": 40"#).go();
        assert_eq!(outcome.step().succeeded, 40, "{client:?} {:?}", outcome.step().failures);
        assert_eq!(server.connections(), 1, "{client:?}");
    });
}

#[test]
fn a_body_that_ends_with_the_connection_is_complete_and_close_is_honoured() {
    with_each(|client| {
        let server = Server::start(|_, number| match number % 2 {
            0 => Reply::Close(b"HTTP/1.1 200 OK\r\n\r\nto the end".to_vec()),
            _ => Reply::text("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"),
        });
        let outcome = Run::new(client, server.address, r#""users": 1, "iterations": 10"#).go();
        assert_eq!(outcome.step().succeeded, 10, "{client:?} {:?}", outcome.step().failures);
        assert_eq!(server.connections(), 10, "{client:?}");
    });
}

#[test]
fn an_unexpected_status_is_a_failure_whose_latency_is_kept_apart() {
    with_each(|client| {
        let server = Server::start(|_, _| Reply::text("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"));
        let outcome = Run::new(client, server.address, r#""rate": "500/s", "iterations": 20"#).go();
        let step = outcome.step();
        assert_eq!((step.failed, step.service.count(), step.response.count()), (20, 0, 0));
        assert_eq!((step.failed_service.count(), step.failed_response.count()), (20, 20));
        assert_eq!(step.statuses, [(503, 20)].into());
        assert_eq!(kinds(&outcome), [(FailureKind::Status, 503)].into());
        assert_eq!(step.failures.iter().map(|failure| failure.count).sum::<u64>(), 20);
        let group = r#""rate": "500/s", "iterations": 20, "steps": [{"expect": {"status": [503]}}]"#;
        assert_eq!(Run::new(client, server.address, group).go().step().succeeded, 20);
    });
}

#[test]
fn statuses_of_successes_and_bytes_both_ways_are_counted_as_the_server_saw_them() {
    with_each(|client| {
        let answers =
            ["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"];
        let server = Server::start(move |_, number| Reply::text(answers[number % 2]));
        let group = r#""rate": "500/s", "iterations": 20, "steps": [{"method": "POST", "body": "12345"}]"#;
        let outcome = Run::new(client, server.address, group).go();
        let step = outcome.step();
        assert_eq!((step.succeeded, &step.statuses), (20, &[(200, 10), (302, 10)].into()), "{client:?}");
        // What the server keeps of a head lacks its last two line ends.
        let sent: usize = server.seen().iter().map(|seen| seen.head.len() + 4 + seen.body.len()).sum();
        assert_eq!(step.bytes_sent, sent as u64, "{client:?}");
        assert_eq!(step.bytes_received, 10 * (answers[0].len() + answers[1].len()) as u64, "{client:?}");
    });
}

#[test]
fn a_refused_connection_fails_its_request_alone_and_is_no_answer() {
    with_each(|client| {
        let outcome = Run::new(client, unused_address(), r#""rate": "200/s", "iterations": 10"#).go();
        let step = outcome.step();
        assert_eq!((step.failed, step.sent, step.service.count(), step.response.count()), (10, 0, 0, 0));
        assert_eq!(kinds(&outcome), [(FailureKind::Connect, 0)].into());
        assert!(outcome.rows.iter().all(|row| row.status == -1 && row.sent_ns == 0 && row.done_ns > 0));
        // Users of a target that is not there pause instead of spinning.
        let outcome = Run::new(client, unused_address(), r#""users": 2, "duration": "100ms""#).go();
        assert!((2..=22).contains(&outcome.step().failed), "{}", outcome.step().failed);
    });
}

#[test]
fn a_timeout_counts_from_the_write_and_is_measured_as_it_was() {
    with_each(|client| {
        let server = Server::start(|_, _| Reply::Hang);
        let group = r#""rate": "100/s", "iterations": 5, "timeout": "80ms""#;
        let outcome = Run::new(client, server.address, group).go();
        let step = outcome.step();
        assert_eq!((step.sent, step.failed, step.service.count(), step.response.count()), (5, 5, 5, 5));
        assert_eq!(kinds(&outcome), [(FailureKind::Timeout, 0)].into());
        assert!(step.service.min_ns().unwrap() >= 80_000_000);
        assert_eq!(server.connections(), 5.max(server.connections()));
    });
}

#[test]
fn a_peer_that_closes_amid_its_answer_fails_the_request_once() {
    with_each(|client| {
        let server = Server::start(|_, _| Reply::Close(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec()));
        let outcome = Run::new(client, server.address, r#""rate": "500/s", "iterations": 10"#).go();
        let step = outcome.step();
        assert_eq!((step.sent, step.failed, step.service.count()), (10, 10, 0), "{client:?}");
        assert_eq!(kinds(&outcome), [(FailureKind::Closed, 0)].into());
        assert_eq!(server.seen().len(), 10);
    });
}

#[test]
fn what_is_not_http_is_a_protocol_failure() {
    with_each(|client| {
        for nonsense in ["SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"] {
            let server = Server::start(move |_, _| Reply::text(nonsense));
            let outcome = Run::new(client, server.address, r#""rate": "500/s", "iterations": 3"#).go();
            assert_eq!(outcome.step().failed, 3);
            assert_eq!(kinds(&outcome), [(FailureKind::Protocol, 0)].into(), "{client:?} {nonsense:?}");
        }
    });
}

#[test]
fn a_connection_closed_while_idle_is_replaced_silently() {
    with_each(|client| {
        // Closes after each answer without saying so.
        let server = Server::start(|_, _| Reply::Close(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_vec()));
        let group = r#""users": 1, "iterations": 5, "think_time": "20ms", "steps": [{"method": "POST"}]"#;
        let outcome = Run::new(client, server.address, group).go();
        assert_eq!(outcome.step().succeeded, 5, "{client:?} {:?}", outcome.step().failures);
    });
}

#[test]
fn the_race_with_a_closing_keep_alive_connection_is_run_again_once_if_that_is_harmless() {
    with_each(|client| {
        let script = |seen: &crate::support::Seen, _| {
            if seen.position == 0 { Reply::ok() } else { Reply::Close(Vec::new()) }
        };
        let server = Server::start(script);
        let outcome = Run::new(client, server.address, r#""users": 1, "iterations": 5"#).go();
        let step = outcome.step();
        assert_eq!((step.succeeded, step.sent, step.retried), (5, 5, 4), "{client:?} {:?}", step.failures);
        assert_eq!(server.seen().len(), 9);
        let server = Server::start(script);
        let group = r#""users": 1, "iterations": 4, "steps": [{"method": "POST", "body": "x"}]"#;
        let outcome = Run::new(client, server.address, group).go();
        let step = outcome.step();
        // What the server has read is not written twice.
        assert_eq!((step.succeeded, step.failed, step.retried), (2, 2, 0), "{client:?}");
        assert_eq!(kinds(&outcome), [(FailureKind::Closed, 0)].into());
        assert_eq!(server.seen().len(), 4);
    });
}

#[test]
fn a_server_that_closes_without_a_word_costs_few_posts_and_none_is_done_twice() {
    with_each(|client| {
        let server = Server::start(|seen, _| {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_vec();
            if seen.position == 4 { Reply::Close(answer) } else { Reply::Pieces(vec![answer]) }
        });
        let group = r#""users": 4, "iterations": 1000, "steps": [{"method": "POST", "body": "x"}]"#;
        let outcome = Run::new(client, server.address, group).go();
        let step = outcome.step();
        // Three cuts show the limit, and others may be under way by then.
        assert!(step.failed <= 3 + 4, "{client:?}: {} of {} failed", step.failed, step.planned);
        assert_eq!(step.succeeded + step.failed, 1_000);
        assert!(server.seen().len() <= 1_000, "{client:?}: {} were done", server.seen().len());
    });
}

#[test]
fn a_connection_for_each_request_is_asked_for_and_opened() {
    with_each(|client| {
        let server = Server::start(|_, _| Reply::ok());
        let group = r#""users": 2, "iterations": 30, "connections": "per_request", "steps": [{}, {"method": "POST"}]"#;
        let outcome = Run::new(client, server.address, group).go();
        assert_eq!(outcome.steps[2].succeeded, 30, "{client:?} {:?}", outcome.steps[2].failures);
        let seen = server.seen();
        assert_eq!(seen.len(), 60);
        assert!(seen.iter().all(|seen| seen.position == 0 && seen.header("connection") == Some("close")));
    });
}

#[test]
fn a_connection_is_not_used_after_the_time_that_its_server_keeps_it() {
    with_each(|client| {
        for (seconds, connections) in [(0, 10), (60, 1)] {
            let answer = format!("HTTP/1.1 200 OK\r\nKeep-Alive: timeout={seconds}\r\nContent-Length: 0\r\n\r\n");
            let server = Server::start(move |_, _| Reply::text(&answer));
            let outcome = Run::new(client, server.address, r#""users": 1, "iterations": 10"#).go();
            assert_eq!(outcome.step().succeeded, 10);
            assert_eq!(server.connections(), connections, "{client:?}, {seconds} s");
        }
    });
}

#[test]
fn both_clients_read_the_same_answers_and_say_the_same_of_those_that_cannot_be_read() {
    const GOOD: [&str; 14] = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nT: x\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n\tfolded\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nto the end",
    ];
    const BAD: [(&str, &str); 5] = [
        ("SSH-2.0-x\r\n", "does not begin with HTTP/1.1 or HTTP/1.0: `SSH-2.0-x`"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok", "several different ones: `2, 3`"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "size of a chunk cannot be read"),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "`no colon`"),
        ("HTTP/1.1 101 Switching\r\n\r\n", "switch protocols"),
    ];
    with_each(|client| {
        for answer in GOOD {
            let ends = answer.ends_with("end");
            let script = move |_: &crate::support::Seen, _| match ends {
                true => Reply::Close(answer.as_bytes().to_vec()),
                false => Reply::text(answer),
            };
            let server = Server::start(script);
            let outcome = Run::new(client, server.address, r#""users": 1, "iterations": 3, "timeout": "5s""#).go();
            assert_eq!(outcome.step().succeeded, 3, "{client:?} {answer:?} {:?}", outcome.step().failures);
        }
        for (answer, words) in BAD {
            let server = Server::start(move |_, _| Reply::text(answer));
            let outcome = Run::new(client, server.address, r#""users": 1, "iterations": 2, "timeout": "5s""#).go();
            let failure = &outcome.step().failures[0];
            let said = failure.sample.clone().unwrap();
            assert!(failure.kind == FailureKind::Protocol && said.contains(words), "{client:?} {answer:?} {said}");
        }
    });
}

#[test]
fn at_the_limit_of_connections_arrivals_are_blocked_not_late() {
    with_each(|client| {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
        let server = Server::start(move |_, _| Reply::After(Duration::from_millis(40), answer.clone()));
        let group = r#""rate": "100/s", "iterations": 10, "max_in_flight": 1"#;
        let outcome = Run::new(client, server.address, group).go();
        let step = outcome.step();
        assert_eq!((step.succeeded, server.connections()), (10, 1));
        // The tenth is planned at 90 ms and cannot be sent before nine times 40 ms.
        assert!(step.blocked.max_ns().unwrap() >= 250_000_000, "{:?}", step.blocked.max_ns());
        assert!(step.lag.quantile_ns(0.5).unwrap() < 20_000_000, "{:?}", step.lag.quantile_ns(0.5));
        assert!(step.response.max_ns().unwrap() >= step.blocked.max_ns().unwrap() + 40_000_000);
        // The one that waited longest goes first.
        let order: Vec<u64> = outcome.rows.iter().map(|row| row.index).collect();
        assert_eq!(order, (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn a_stop_censors_exactly_what_is_unanswered() {
    with_each(|client| {
        let server = Server::start(|_, number| if number < 3 { Reply::ok() } else { Reply::Hang });
        let group = r#""rate": "100/s", "duration": "60s", "max_in_flight": 5"#;
        let mut run = Run::new(client, server.address, group);
        run.during = Box::new(|control| {
            server.wait_for(8);
            control.stop(50_000_000);
        });
        let outcome = run.go();
        let step = outcome.step();
        assert_eq!((step.succeeded, step.failed, step.sent), (3, 0, 8), "{client:?}");
        assert_eq!(step.censored, step.planned - 3);
        assert_eq!(step.censored_response.count(), step.censored);
        assert_eq!(step.censored_service.count(), 5);
        assert!(step.censored_service.min_ns().unwrap() >= 50_000_000);
        assert_eq!(outcome.reasons, [FinishReason::Stopped]);
        let censored = outcome.rows.iter().filter(|row| row.outcome == RecordOutcome::Censored);
        assert_eq!(censored.count() as u64, step.censored);
    });
}

#[test]
fn nothing_is_offered_beyond_the_horizon() {
    with_each(|client| {
        let server = Server::start(|_, _| Reply::ok());
        let mut run = Run::new(client, server.address, r#""rate": "100/s", "duration": "500ms""#);
        run.horizon_ns = SECOND_NS / 20;
        run.during = Box::new(|control| control.extend(SECOND_NS / 5));
        let outcome = run.go();
        assert_eq!(outcome.step().succeeded, 20, "{client:?}");
        assert_eq!(outcome.reasons, [FinishReason::Horizon]);
    });
}

#[test]
fn a_horizon_that_moves_after_it_was_reached_lets_the_rest_be_offered_and_nothing_late() {
    for load in [r#""rate": "100/s", "duration": "1s""#, r#""users": 1, "think_time": "10ms", "duration": "1s""#] {
        with_each(|client| {
            let server = Server::start(|_, _| Reply::ok());
            let mut run = Run::new(client, server.address, load);
            run.horizon_ns = SECOND_NS / 5;
            run.during = Box::new(|control| {
                let stands_until_ns = control.start_at().unwrap() + SECOND_NS / 2;
                let left_ns = stands_until_ns.saturating_sub(nuncius_engine::monotonic_ns());
                std::thread::sleep(Duration::from_nanos(left_ns));
                control.extend(60 * SECOND_NS);
            });
            let outcome = run.go();
            let (step, planned): (_, Vec<u64>) =
                (outcome.step(), outcome.rows.iter().map(|row| row.planned_ns).collect());
            assert_eq!((step.succeeded, step.failed, step.censored), (step.planned, 0, 0), "{client:?} {load}");
            assert!(!planned.iter().any(|at_ns| (SECOND_NS / 5..SECOND_NS / 2).contains(at_ns)), "{client:?} {load}");
            assert!(planned.iter().any(|at_ns| *at_ns >= SECOND_NS / 2), "{client:?} {load}");
            assert_eq!(outcome.reasons, [FinishReason::ScheduleEnded], "{client:?} {load}");
            assert!(outcome.stood_ns >= 290_000_000, "{client:?} {load}: {}", outcome.stood_ns);
        });
    }
}

#[test]
fn abandoned_before_the_start_it_reports_nothing() {
    with_each(|client| {
        let server = Server::start(|_, _| Reply::ok());
        let run = Run::new(client, server.address, r#""rate": "100/s", "duration": "60s""#);
        let control = nuncius_engine::Control::new();
        let (sink, messages) = std::sync::mpsc::sync_channel(16);
        let threads =
            nuncius_engine::spawn_group(run.plan().unwrap(), run.options, control.clone(), sink, None).unwrap();
        control.abandon();
        let all: Vec<_> = messages.iter().collect();
        assert!(
            matches!(
                all.as_slice(),
                [nuncius_engine::EngineMessage::Finished { reason: FinishReason::Abandoned, group: 0, thread: 0, .. }]
            ),
            "{all:?}"
        );
        threads.into_iter().for_each(|thread| thread.handle.join().unwrap());
        assert!(server.seen().is_empty());
    });
}

#[test]
fn closed_users_share_the_iterations_and_think_in_between() {
    with_each(|client| {
        let server = Server::start(|_, _| Reply::ok());
        let group = r#""users": 3, "iterations": 10, "think_time": "30ms""#;
        let outcome = Run::new(client, server.address, group).go();
        let step = outcome.step();
        assert_eq!((step.planned, step.sent, step.succeeded), (10, 10, 10), "{client:?}");
        assert_eq!((step.lag.count(), step.response.count()), (0, 0));
        assert_eq!((step.blocked.count(), step.service.count()), (10, 10));
        assert!(server.connections() <= 3);
        let indices: BTreeSet<u64> = outcome.rows.iter().map(|row| row.index).collect();
        assert_eq!(indices, (0..10).collect());
        // User 0 does iterations 0, 3, 6 and 9.
        let begun: Vec<u64> = outcome.rows.iter().filter(|row| row.index % 3 == 0).map(|row| row.planned_ns).collect();
        assert!(begun.windows(2).all(|pair| pair[1] - pair[0] >= 30_000_000), "{begun:?}");
    });
}

#[test]
fn closed_users_stop_at_the_duration() {
    with_each(|client| {
        let server = Server::start(|_, _| Reply::ok());
        let outcome = Run::new(client, server.address, r#""users": 2, "duration": "150ms""#).go();
        let step = outcome.step();
        assert!(step.succeeded > 10 && step.succeeded == step.planned, "{client:?} {step:?}");
        assert!(outcome.rows.iter().all(|row| row.planned_ns < 150_000_000));
        assert_eq!(outcome.reasons, [FinishReason::ScheduleEnded]);
    });
}

#[test]
fn steps_run_in_order_on_one_connection_and_a_failed_one_ends_the_iteration() {
    with_each(|client| {
        let server = Server::start(|seen, _| {
            if seen.head.starts_with("PUT /base/b") && seen.body == "${1}" {
                Reply::text("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
            } else {
                Reply::ok()
            }
        });
        let group = r#""target": "http://ADDRESS/base/", "rate": "200/s", "iterations": 10, "steps": [
            {"path": "/a"}, {"name": "b", "method": "PUT", "path": "/b", "body": "$${1}"}, {"path": "/c"}]"#;
        let outcome = Run::new(client, server.address, group).go();
        assert_eq!(outcome.steps.len(), 4);
        let [a, b, c, whole] = outcome.steps.as_slice() else { panic!("{:?}", outcome.steps) };
        assert_eq!((a.planned, a.succeeded, a.lag.count(), a.response.count()), (10, 10, 10, 10), "{client:?}");
        assert_eq!((b.planned, b.sent, b.failed, b.failed_service.count()), (10, 10, 10, 10));
        assert_eq!((b.lag.count(), b.response.count(), b.blocked.count()), (0, 0, 10));
        assert_eq!((c.planned, c.sent), (0, 0));
        assert_eq!((whole.planned, whole.sent, whole.failed, whole.failed_response.count()), (10, 10, 10, 10));
        assert_eq!(outcome.steps.iter().map(|step| step.in_flight).sum::<u64>(), 0);
        let seen = server.seen();
        assert!(seen[0].head.starts_with("GET /base/a HTTP/1.1"), "{}", seen[0].head);
        for put in seen.iter().filter(|seen| seen.head.starts_with("PUT")) {
            let before =
                seen.iter().find(|s| (s.connection, s.position + 1) == (put.connection, put.position)).unwrap();
            assert!(before.head.starts_with("GET /base/a"));
        }
    });
}
