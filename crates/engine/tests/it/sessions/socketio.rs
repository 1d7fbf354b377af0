//! Socket.IO against its own servers, of both protocols.

use std::time::{Duration, Instant};

use nuncius_schemas::metric::FailureKind;
use nuncius_testkit::{Booking, SOCKETIO_PATH, SocketIoVersion};
use serde_json::Value;

use crate::support::{Outcome, Run};

struct Server {
    booking: Booking,
    /// Beside `connect`.
    protocol: &'static str,
}

impl Server {
    fn start(version: SocketIoVersion) -> Self {
        let protocol = match version {
            SocketIoVersion::V2 => "protocol: 4, ",
            SocketIoVersion::V4 => "",
        };
        Self { booking: Booking::start(version).unwrap(), protocol }
    }

    fn both() -> [Self; 2] {
        [SocketIoVersion::V4, SocketIoVersion::V2].map(Self::start)
    }

    /// A step that connects with these fields beside the path.
    fn connect(&self, fields: &str) -> String {
        format!("{{socketio: {{connect: {SOCKETIO_PATH}/, {}{fields}}}}}", self.protocol)
    }

    fn run(&self, fields: &str) -> Outcome {
        Run::sessions(self.booking.address(), fields).go()
    }

    fn once(&self, steps: &str) -> Outcome {
        self.run(&format!("users: 1, iterations: 1, steps: [{steps}]"))
    }

    /// Waits until this holds for what it has counted.
    fn wait_for(&self, holds: impl Fn(&Value) -> bool) {
        let patience = Instant::now() + Duration::from_secs(20);
        while !holds(&self.counts()) {
            assert!(Instant::now() < patience, "{}", self.counts());
            std::thread::yield_now();
        }
    }

    fn counts(&self) -> Value {
        serde_json::from_str(&self.booking.counts().unwrap()).unwrap()
    }
}

/// What went wrong, step by step.
fn why(outcome: &Outcome) -> Vec<String> {
    outcome.steps.iter().map(|step| format!("{:?}", step.failures)).collect()
}

fn ended(outcome: &Outcome) -> Vec<(u64, u64)> {
    outcome.all().iter().map(|step| (step.succeeded, step.failed)).collect()
}

#[test]
fn events_are_emitted_acknowledged_and_waited_for_over_both_transports_of_both_protocols() {
    for server in Server::both() {
        for transports in ["transports: [websocket]", "transports: [polling]"] {
            let before = server.counts()["events"].clone();
            let outcome = server.once(&format!(
                "{}, {{socketio: {{emit: joinRoom, args: ['room {{{{ iteration() }}}}'], \
                 wait: {{event: joinRoomSuccess, where: [{{json: '$[0].room', equals: room 0}}]}}, \
                 capture: {{joined: {{json: '$[0].room'}}}}}}}}, \
                 {{socketio: {{emit: echo, args: [{{a: '{{{{ joined }}}}'}}, 'ü 😀', 3], ack: true, \
                 capture: {{a: {{json: '$[0].a'}}}}, checks: [{{json: '$[1]', equals: 'ü 😀'}}, {{json: '$[2]', equals: 3}}]}}}}, \
                 {{socketio: {{emit: several, args: [5]}}}}, \
                 {{socketio: {{wait: {{event: other}}, capture: {{last: {{json: '$[0]'}}}}}}}}, \
                 {{socketio: {{wait: {{event: one, where: [{{json: '$[0].index', equals: 4}}]}}}}}}, \
                 {{socketio: {{emit: bytes, args: [{{binary: AQID}}], ack: true, checks: [{{json: '$[0].length', equals: 3}}]}}}}, \
                 {{socketio: {{wait: {{event: back}}}}}}, {{socketio: {{emit: ask, wait: {{event: thanks}}}}}}, \
                 {{socketio: {{disconnect: true}}}}",
                server.connect(transports)
            ));
            assert_eq!(ended(&outcome), vec![(1, 0); 11], "{transports} {} {:?}", server.protocol, why(&outcome));
            let checks: Vec<(u64, u64)> = outcome.steps.iter().flat_map(|step| step.checks.values().copied()).collect();
            assert_eq!(checks, [(1, 0); 3]);
            assert_eq!(outcome.meters["socketio_messages_sent"], 5);
            // One, an acknowledgement, five and one, an acknowledgement and one, a question and thanks.
            assert_eq!(outcome.meters["socketio_messages_received"], 12, "{transports}");
            let seen = |name: &str, counts: &Value| counts[name].as_u64().unwrap_or(0);
            let after = server.counts()["events"].clone();
            for name in ["joinRoom", "echo", "several", "bytes", "ask", "answered"] {
                assert_eq!(seen(name, &after) - seen(name, &before), 1, "{name} over {transports}");
            }
        }
        server.wait_for(|counts| counts["connected"] == counts["disconnected"]);
        assert_eq!(server.counts()["polls"], 1);
    }
}

#[test]
fn a_namespace_that_wants_a_proof_gets_it_and_refuses_whoever_has_none() {
    let server = Server::start(SocketIoVersion::V4);
    let outcome = server.once(&format!(
        "{}, {{socketio: {{emit: echo, args: [1], namespace: /chat, ack: true}}}}",
        server.connect("namespace: /chat, auth: {token: '{{ lower(''RIGHT'') }}'}")
    ));
    assert_eq!(ended(&outcome), [(1, 0); 3], "{:?}", why(&outcome));
    let outcome = server.once(&server.connect("namespace: /chat, auth: {token: wrong}"));
    let (kind, _, sample) = outcome.all()[0].failure();
    assert_eq!(kind, FailureKind::Refused);
    assert!(sample.contains("namespace /chat") && !sample.contains("not you"), "{sample}");
    assert_eq!(server.counts()["refused"], 1);
}

#[test]
fn several_namespaces_share_a_connection_and_heartbeats_go_on_while_the_user_thinks() {
    for server in Server::both() {
        // The server asks, or is asked, every 300 ms, and gives up after 5 s.
        let steps = match server.protocol {
            "" => format!(
                "{}, {{socketio: {{connect: {SOCKETIO_PATH}/, namespace: /chat, auth: {{token: right}}}}}}, {{think: 1s}}, \
                 {{socketio: {{emit: echo, args: [a], ack: true}}}}, \
                 {{socketio: {{emit: echo, args: [b], namespace: /chat, ack: true}}}}, \
                 {{socketio: {{disconnect: true, namespace: /chat}}}}, {{socketio: {{emit: echo, args: [c], ack: true}}}}",
                server.connect("namespace: /")
            ),
            _ => format!(
                "{}, {{think: 1s}}, {{socketio: {{emit: echo, args: [a], ack: true}}}}",
                server.connect("namespace: /")
            ),
        };
        let outcome = server.once(&steps);
        assert!(ended(&outcome).iter().all(|ended| *ended == (1, 0)), "{:?}", why(&outcome));
        assert_eq!(outcome.meters["socketio_session_duration"], 1);
        // The default namespace, and what was asked for beside.
        assert_eq!(server.counts()["connected"], if server.protocol.is_empty() { 2 } else { 1 });
    }
}

#[test]
fn a_fall_back_is_taken_where_there_is_no_websocket_and_what_goes_wrong_is_named() {
    let server = Server::start(SocketIoVersion::V4);
    let cases: &[(&str, usize, FailureKind, &str)] = &[
        ("{socketio: {emit: x}}", 0, FailureKind::Closed, "no connection of this name"),
        ("{socketio: {connect: /elsewhere/}}", 0, FailureKind::Closed, ""),
        ("{socketio: {connect: /elsewhere/, transports: [polling]}}", 0, FailureKind::Status, "status 401"),
        ("CONNECT, {socketio: {emit: connect}}", 1, FailureKind::Template, ""),
        (
            "CONNECT, {socketio: {emit: silence, ack: true, timeout: 100ms}}",
            1,
            FailureKind::Timeout,
            "no acknowledgement",
        ),
        (
            "CONNECT, {socketio: {emit: silence, wait: {event: x}, timeout: 100ms}}",
            1,
            FailureKind::Timeout,
            "no such event",
        ),
        ("CONNECT, {socketio: {emit: leave, wait: {event: x}, timeout: 5s}}", 1, FailureKind::Closed, ""),
        ("CONNECT, {socketio: {emit: x, namespace: /other}}", 1, FailureKind::Closed, "/other"),
        ("{socketio: {connect: PATH, protocol: 4, timeout: 2s}}", 0, FailureKind::Protocol, ""),
        (
            "CONNECT, {socketio: {emit: echo, args: [1], ack: true, capture: {a: {json: '$[7]'}}}}",
            1,
            FailureKind::Capture,
            "`a`",
        ),
    ];
    for (steps, at, kind, text) in cases {
        let steps =
            steps.replace("CONNECT", &server.connect("namespace: /")).replace("PATH", &format!("{SOCKETIO_PATH}/"));
        let outcome = server.once(&format!("{steps}, {{name: never, get: /}}"));
        let (found, count, sample) = outcome.all()[*at].failure();
        assert_eq!((found, count), (*kind, 1), "{steps}: {sample}");
        assert!(sample.contains(text), "{steps}: {sample}");
    }
}

#[test]
fn many_users_emit_and_what_was_sent_is_what_the_server_got() {
    for server in Server::both() {
        let outcome = server.run(&format!(
            "users: 10, iterations: 40, steps: [{}, {{loop: {{count: 5, steps: [{{socketio: {{emit: echo, \
             args: ['{{{{ loop.index }}}}'], ack: true}}}}]}}}}]",
            server.connect("namespace: /")
        ));
        assert_eq!(ended(&outcome), [(40, 0), (200, 0), (40, 0)]);
        assert_eq!(outcome.meters["socketio_messages_sent"], 200);
        let counts = server.counts();
        assert_eq!((counts["events"]["echo"].as_u64(), counts["connected"].as_u64()), (Some(200), Some(40)));
        server.wait_for(|counts| counts["disconnected"] == 40);
    }
}
