//! Targets and data that mean no good: each session ends with a reason, and the others go on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use nuncius_schemas::metric::{FailureKind, Series};

use super::{answer, lines, once, path};
use crate::support::{Outcome, Reply, Run, Server};

/// Answers each connection's first request with bytes that never end; how many were taken is of no interest.
fn endless(head: &'static str, piece: &'static [u8], pause: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 1_024];
                if socket.read(&mut buffer).is_err() || socket.write_all(head.as_bytes()).is_err() {
                    return;
                }
                while socket.write_all(piece).is_ok() {
                    std::thread::sleep(pause);
                }
            });
        }
    });
    address
}

fn ended(outcome: &Outcome) -> (FailureKind, String) {
    let (kind, _, sample) = outcome.all()[0].failure();
    (kind, sample)
}

#[test]
fn of_a_gigabyte_that_a_capture_wants_no_more_than_the_limit_is_read() {
    let piece: &'static [u8] = Box::leak(vec![b' '; 64 * 1_024].into_boxed_slice());
    let address = endless("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", piece, Duration::ZERO);
    let fields = "users: 1, iterations: 1, body_limit: 100KiB, steps: [{get: {url: /, capture: {x: {json: $.x}}}}]";
    let begun = Instant::now();
    let outcome = Run::sessions(address, fields).go();
    assert_eq!(ended(&outcome).0, FailureKind::BodyLimit);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(outcome.steps[0].bytes_received < 10_000_000);
}

#[test]
fn a_body_without_an_end_ends_with_the_timeout() {
    let address =
        endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", Duration::from_millis(5));
    let fields = "users: 1, iterations: 1, steps: [{get: {url: /, timeout: 200ms, capture: {x: body}}}]";
    let outcome = Run::sessions(address, fields).go();
    assert_eq!(ended(&outcome).0, FailureKind::Timeout);
    let service_ns = outcome.steps[0].of(Series::Service).summary().max_ns;
    assert!((200_000_000..1_000_000_000).contains(&service_ns), "{service_ns}");
}

#[test]
fn lies_about_lengths_are_told_as_what_they_are() {
    for (text, kind) in [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc\r\n0\r\n\r\n", FailureKind::Protocol),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", FailureKind::Protocol),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", FailureKind::Closed),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", FailureKind::Closed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", FailureKind::Protocol),
        ("SSH-2.0-OpenSSH\r\n", FailureKind::Protocol),
    ] {
        let server = Server::start(move |_, _| Reply::Close(text.as_bytes().to_vec()));
        let outcome = once(&server, "steps: [{get: {url: /, timeout: 2s, capture: {x: body}}}, {get: /never}]");
        assert_eq!(ended(&outcome).0, kind, "{text}");
        assert_eq!(lines(&server).len(), 1, "{text}");
    }
}

#[test]
fn json_that_is_none_or_nested_without_end_is_a_capture_that_fails() {
    let deep = "[".repeat(100_000);
    for (body, words) in
        [("<html>", "HTML"), ("", "empty"), (deep.as_str(), "nested deeper"), ("{\"a\": ", "too early")]
    {
        let body = body.as_bytes().to_vec();
        let server = Server::start(move |_, _| answer("200 OK", "", &body));
        let outcome = once(&server, "steps: [{get: {url: /, capture: {x: {json: $..x}}}}]");
        let (kind, sample) = ended(&outcome);
        assert_eq!(kind, FailureKind::Capture);
        assert!(sample.contains(words), "{sample}");
    }
}

#[test]
fn what_an_answer_holds_is_data_and_never_a_template_a_header_or_a_request() {
    let evil = "{{ env('SECRET') }}\r\nX-Evil: 1\r\n\r\nGET /evil HTTP/1.1\r\n\r\n";
    let server = Server::start(move |seen, _| match path(seen).as_str() {
        "/give" => super::json(&serde_json::json!({"v": evil})),
        _ => Reply::ok(),
    });
    let give = "{get: {url: /give, capture: {v: {json: $.v}}}}";
    let outcome = once(
        &server,
        &format!("steps: [{give}, {{get: '/{{{{ v }}}}'}}, {{post: {{url: /body, body: '{{{{ v }}}}'}}}}]"),
    );
    assert_eq!(outcome.all().last().unwrap().succeeded, 1);
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    assert!(path(&seen[1]).starts_with("/%7B%7B%20env('SECRET')"), "{}", path(&seen[1]));
    assert_eq!(seen[2].body, evil);
    let outcome = once(&server, &format!("steps: [{give}, {{get: {{url: /h, headers: {{X-A: '{{{{ v }}}}'}}}}}}]"));
    let (kind, _, sample) = outcome.all()[1].failure();
    assert_eq!(kind, FailureKind::Template);
    assert!(sample.contains("header `X-A`") && !sample.contains("SECRET"), "{sample}");
    assert!(!lines(&server).iter().any(|line| line.starts_with("GET /evil") || line.starts_with("GET /h")));
}

#[test]
fn a_variable_that_is_not_there_and_a_loop_without_end_are_the_tests_own_faults() {
    let server = Server::start(|_, _| Reply::ok());
    let (kind, _, sample) = once(&server, "steps: [{get: '/{{ nope }}'}]").all()[0].failure();
    assert_eq!(kind, FailureKind::Template);
    assert!(sample.contains("variable `nope`"), "{sample}");
    let outcome =
        once(&server, "steps: [{loop: {while: '{{ true }}', at_most: 3, steps: [{get: /round}]}}, {get: /never}]");
    assert_eq!(lines(&server), ["GET /round"; 3]);
    let failed: Vec<u64> = outcome.all().iter().map(|step| step.failed).collect();
    assert_eq!(failed, [1, 0, 1], "it counts at the step of the loop, and ends the iteration");
    // Others go on while one is busy.
    let busy = "{loop: {count: 300000, at_most: 1000000, steps: [{set: {x: 1}}]}}";
    let fields = format!(
        "users: 2, iterations: 2, steps: [{{if: '{{{{ user() == 0 }}}}', set: {{y: 1}}}}, \
                          {{if: {{condition: '{{{{ user() == 0 }}}}', then: [{busy}]}}}}, {{get: '/{{{{ user() }}}}'}}]"
    );
    Run::sessions(server.address, &fields).go();
    assert_eq!(lines(&server)[3..], ["GET /1", "GET /0"]);
}

#[test]
fn a_target_that_hangs_is_censored_at_the_end_and_blocks_nobody_else() {
    let server = Server::start(|seen, _| if path(seen) == "/0" { Reply::Hang } else { Reply::ok() });
    let fields = "rate: 200/s, iterations: 20, timeout: 1h, steps: [{get: '/{{ iteration() }}'}]";
    let mut run = Run::sessions(server.address, fields);
    run.options.drain_ns = 200_000_000;
    let outcome = run.go();
    let [step, iteration] = outcome.all() else { panic!() };
    assert_eq!((step.succeeded, step.censored), (19, 1));
    assert_eq!((iteration.succeeded, iteration.censored), (19, 1));
}
