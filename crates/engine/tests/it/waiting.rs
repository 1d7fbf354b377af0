//! What waited its timeout counts at that length, whatever it waited for, in every engine.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::support::{CLIENTS, Client, Run, SECOND_NS, Step};
use nuncius_schemas::metric::FailureKind;
use socket2::{Domain, Socket, Type};

/// An address whose queue of connections is full: the kernel drops what asks for another, and nobody answers.
struct BlackHole {
    _listener: Socket,
    _waiting: Vec<TcpStream>,
    address: SocketAddr,
}

impl BlackHole {
    fn open() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100));
        let waiting: Vec<TcpStream> = std::iter::from_fn(|| connect().ok()).take(100).collect();
        assert!(waiting.len() < 100, "the queue is never full");
        Self { _listener: listener, _waiting: waiting, address }
    }
}

const TIMEOUT_NS: u64 = 200_000_000;

/// All of them failed as timeouts, and every one counts at its length.
fn check(step: &Step, count: u64) {
    assert_eq!((step.planned, step.failed, step.sent), (count, count, 0), "{step:?}");
    assert!(step.failures.iter().all(|failure| failure.kind == FailureKind::Timeout), "{:?}", step.failures);
    for waits in [&step.response, &step.blocked] {
        assert_eq!((waits.count(), step.service.count()), (count, 0));
        // A little earlier than the plan: the timers of tasks are in milliseconds.
        assert!(waits.min_ns().unwrap() >= TIMEOUT_NS - 1_000_000, "{:?}", waits.min_ns());
    }
}

#[test]
fn connects_that_nobody_answers_count_at_the_length_of_their_timeout() {
    for client in CLIENTS {
        let hole = BlackHole::open();
        let group = r#""rate": "500/s", "iterations": 100, "timeout": "200ms""#;
        check(Run::new(client, hole.address, group).go().step(), 100);
    }
}

#[test]
fn users_whose_connects_nobody_answers_were_blocked_for_their_timeout() {
    for client in CLIENTS {
        let hole = BlackHole::open();
        let outcome = Run::new(client, hole.address, r#""users": 5, "iterations": 10, "timeout": "200ms""#).go();
        let step = outcome.step();
        assert_eq!((step.failed, step.blocked.count(), step.backed_off), (10, 10, 0), "{:?}", step.failures);
        assert!(step.blocked.min_ns().unwrap() >= TIMEOUT_NS - 1_000_000);
    }
}

#[test]
fn tls_handshakes_that_nobody_answers_count_at_the_length_of_their_timeout() {
    // Accepted by the kernel, and never read.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let pem = include_str!("tls/authority.pem").replace('\n', "\\n");
    let group = format!(
        r#""target": "https://{address}/", "rate": "500/s", "iterations": 50, "timeout": "200ms",
        "tls": {{"ca_pem": "{pem}", "server_name": "shop.test"}}"#
    );
    check(Run::new(Client::General, address, &group).go().step(), 50);
}

#[test]
fn messages_whose_broker_nobody_answers_for_count_at_the_length_of_their_timeout() {
    for listens in [false, true] {
        let hole = BlackHole::open();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Either nobody takes the connection, or nobody says a word on it.
        let address = if listens { listener.local_addr().unwrap() } else { hole.address };
        let group = r#""engine": "amqp", "target": "amqp://ADDRESS/%2f", "rate": "200/s", "iterations": 100,
            "timeout": "200ms", "steps": [{"publish": {"routing_key": "q", "body": "x"}}]"#;
        check(Run::new(Client::General, address, group).go().step(), 100);
    }
}

#[test]
fn servos_whose_connects_nobody_answers_count_at_the_length_of_their_timeout() {
    let hole = BlackHole::open();
    let group = r#""target": "http://ADDRESS/", "engine": "servo", "users": 20, "duration": "250ms", "timeout": "200ms",
        "servo": {"connections": "per_servo", "start_spread": "0s"}"#;
    let mut run = Run::new(Client::Plain, hole.address, group);
    run.options.drain_ns = SECOND_NS / 10;
    let outcome = run.go();
    let hello = &outcome.steps[0];
    assert_eq!((hello.failed, hello.response.count(), hello.blocked.count()), (20, 20, 20), "{:?}", hello.failures);
    assert!(hello.response.min_ns().unwrap() >= TIMEOUT_NS - 1_000_000);
    assert!(hello.blocked.min_ns().unwrap() >= TIMEOUT_NS - 5_000_000);
}

/// A real server, and a connection to it.
fn bus(runtime: &tokio::runtime::Runtime) -> (nuncius_testkit::TestServer, nuncius_bus::Bus) {
    runtime.block_on(async {
        let nats = nuncius_testkit::TestServer::start().await.unwrap();
        let options = nuncius_bus::ConnectOptions { urls: vec![nats.url()], ..Default::default() };
        let bus = nuncius_bus::connect(options).await.unwrap();
        nuncius_bus::streams::ensure_streams(&bus).await.unwrap();
        (nats, bus)
    })
}

#[test]
fn servos_that_nobody_hears_over_the_bus_count_at_the_length_of_their_timeout() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_nats, bus) = bus(&runtime);
    // Somebody listens and never answers.
    let subject = format!("{}.oco.>", bus.namespace().as_str());
    let _silent = runtime.block_on(bus.subscribe(&subject)).unwrap();
    let group = r#""target": "nats://oco", "engine": "servo", "users": 10, "duration": "300ms", "timeout": "200ms",
        "servo": {"start_spread": "0s"}"#;
    let mut run = Run::new(Client::Plain, "127.0.0.1:1".parse().unwrap(), group);
    run.options.drain_ns = SECOND_NS / 10;
    run.bus = Some(bus);
    let outcome = run.go();
    let hello = &outcome.steps[0];
    assert_eq!((hello.failed, hello.response.count(), hello.service.count()), (10, 10, 10), "{:?}", hello.failures);
    assert!(hello.failures.iter().all(|failure| failure.kind == FailureKind::Timeout), "{:?}", hello.failures);
    assert!(hello.response.min_ns().unwrap() >= TIMEOUT_NS - 1_000_000);
}
