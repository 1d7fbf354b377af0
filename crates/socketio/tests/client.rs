//! One connection, as it goes with servers of both versions.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the lints know only #[test] functions"
)]

use bytes::Bytes;
use nuncius_socketio::engine_io::Wire;
use nuncius_socketio::socket_io::{Arguments, Connect};
use nuncius_socketio::{Client, CloseReason, ErrorKind, Happened, Limits, Transport, Version};
use serde_json::{Map, Value, json};

const OPEN: &str = r#"0{"sid":"S","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100}"#;
const SECOND_NS: u64 = 1_000_000_000;

/// Gives a text message of a WebSocket; what happened.
fn text(client: &mut Client, text: &str) -> Vec<Happened> {
    let mut happened = Vec::new();
    client.on_text(0, text, &mut happened).unwrap();
    happened
}

fn binary(client: &mut Client, data: &'static [u8]) -> Vec<Happened> {
    let mut happened = Vec::new();
    client.on_binary(0, Bytes::from_static(data), &mut happened).unwrap();
    happened
}

fn payload(client: &mut Client, body: &str) -> Vec<Happened> {
    let mut happened = Vec::new();
    client.on_text_payload(0, body, &mut happened).unwrap();
    happened
}

/// The texts that the client sends; binary data as its length in brackets.
fn sent(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.next_frame())
        .map(|frame| match frame {
            Wire::Text(text) => text,
            Wire::Binary(data) => format!("<{}>", data.len()),
        })
        .collect()
}

fn posted(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.next_payload().unwrap())
        .map(|body| match body {
            Wire::Text(text) => text,
            Wire::Binary(data) => format!("<{}>", data.len()),
        })
        .collect()
}

fn values<const N: usize>(values: [Value; N]) -> Arguments {
    Arguments::of(values.into())
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// A WebSocket with the default namespace connected, and nothing to send.
fn connected(version: Version) -> Client {
    let mut client = Client::over_websocket(version, Limits::default());
    text(&mut client, OPEN);
    client.connect("/", &Connect::default()).unwrap();
    sent(&mut client);
    let happened = text(&mut client, r#"40{"sid":"x"}"#);
    assert!(matches!(happened.as_slice(), [Happened::Connected { .. }]), "{happened:?}");
    client
}

fn event(namespace: &str, name: &str, arguments: Arguments) -> Happened {
    Happened::Event { namespace: namespace.to_owned(), name: name.to_owned(), arguments, answer: None }
}

fn kinds(happened: &[Happened]) -> Vec<ErrorKind> {
    happened
        .iter()
        .map(|one| match one {
            Happened::Refused(error) => error.kind(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn with_protocol_5_a_namespace_is_asked_for_with_auth_and_answered_with_a_session_id() {
    let mut client = Client::over_websocket(Version::Eio4, Limits::default());
    assert_eq!(client.connect("/", &Connect::default()).unwrap_err().kind(), ErrorKind::WrongOrder);
    let happened = text(&mut client, OPEN);
    let Some(Happened::Opened(handshake)) = happened.first() else { panic!("{happened:?}") };
    assert_eq!((handshake.session_id.as_str(), handshake.max_payload_bytes), ("S", Some(100)));
    assert_eq!(sent(&mut client), Vec::<String>::new());
    let auth = Connect { query: None, payload: Some(object(json!({"token": "t"}))) };
    client.connect("/", &auth).unwrap();
    client.connect("/admin", &Connect::default()).unwrap();
    assert_eq!(client.connect("/admin", &auth).unwrap_err().kind(), ErrorKind::WrongOrder);
    assert_eq!(sent(&mut client), [r#"40{"token":"t"}"#, "40/admin,"]);
    let error = client.emit("/", "e", &Arguments::default()).unwrap_err();
    assert_eq!(error.to_string(), "an event of namespace `/`, which is not connected");
    let connected = |namespace: &str, id: &str| Happened::Connected {
        namespace: namespace.to_owned(),
        session_id: Some(id.to_owned()),
    };
    assert_eq!(text(&mut client, r#"40/admin,{"sid":"a"}"#), [connected("/admin", "a")]);
    assert_eq!(text(&mut client, r#"40{"sid":"b"}"#), [connected("/", "b")]);
    client.emit("/admin", "e", &values([json!(1)])).unwrap();
    assert_eq!(sent(&mut client), [r#"42/admin,["e",1]"#]);
}

#[test]
fn with_protocol_4_the_default_namespace_comes_by_itself_and_others_with_a_query() {
    let mut client = Client::over_websocket(Version::Eio3, Limits::default());
    let happened = text(&mut client, r#"0{"sid":"S","upgrades":[],"pingInterval":25000,"pingTimeout":5000}"#);
    assert!(matches!(happened.as_slice(), [Happened::Opened(_)]));
    // Asking for it changes nothing.
    client.connect("/", &Connect::default()).unwrap();
    let admin = Connect { query: Some("token=1".to_owned()), payload: None };
    client.connect("/admin", &admin).unwrap();
    assert_eq!(sent(&mut client), ["40/admin?token=1,"]);
    let connected = |namespace: &str| Happened::Connected { namespace: namespace.to_owned(), session_id: None };
    assert_eq!(text(&mut client, "40"), [connected("/")]);
    // As socket.io 2 answers, and as one that repeats the query.
    assert_eq!(text(&mut client, "40/admin?token=1,"), [connected("/admin")]);
    assert_eq!(text(&mut client, r#"42/admin,["e"]"#), [event("/admin", "e", Arguments::default())]);
    let error = client.connect("/", &admin).unwrap_err();
    assert_eq!(error.to_string(), "Socket.IO 4 has no query of the namespace `/`: put it into the URL");
    let auth = Connect { query: None, payload: Some(Map::new()) };
    assert_eq!(client.connect("/b", &auth).unwrap_err().kind(), ErrorKind::NotInVersion);
    // Once it ended it is over.
    assert!(matches!(text(&mut client, "41").as_slice(), [Happened::Disconnected { .. }]));
    assert_eq!(client.connect("/", &Connect::default()).unwrap_err().kind(), ErrorKind::WrongOrder);
    client.emit("/admin", "e", &Arguments::default()).unwrap();
}

#[test]
fn a_refused_namespace_can_be_tried_again_and_with_protocol_4_the_default_one_takes_the_others_along() {
    let mut client = Client::over_websocket(Version::Eio4, Limits::default());
    text(&mut client, OPEN);
    client.connect("/a", &Connect::default()).unwrap();
    let refused =
        |namespace: &str, payload: Value| Happened::ConnectRefused { namespace: namespace.to_owned(), payload };
    assert_eq!(text(&mut client, r#"44/a,{"message":"no"}"#), [refused("/a", json!({"message": "no"}))]);
    client.connect("/a", &Connect::default()).unwrap();

    let mut client = Client::over_websocket(Version::Eio3, Limits::default());
    text(&mut client, OPEN);
    client.connect("/a", &Connect::default()).unwrap();
    assert_eq!(text(&mut client, r#"44"no""#), [refused("/", json!("no")), refused("/a", json!("no"))]);

    // An error of a namespace that is connected leaves it so.
    let mut client = connected(Version::Eio3);
    let error = Happened::Error { namespace: "/".to_owned(), payload: json!({"code": 1}) };
    assert_eq!(text(&mut client, r#"44{"code":1}"#), [error]);
    client.emit("/", "e", &Arguments::default()).unwrap();
}

#[test]
fn an_ack_is_taken_once_and_told_by_the_number_that_asked_for_it() {
    for version in [Version::Eio3, Version::Eio4] {
        let mut client = connected(version);
        let first = client.emit_with_ack("/", "e", &Arguments::default()).unwrap();
        let second = client.emit_with_ack("/", "e", &values([json!("x")])).unwrap();
        assert_eq!((first, second, client.acks_outstanding()), (0, 1, 2));
        assert_eq!(sent(&mut client), [r#"420["e"]"#, r#"421["e","x"]"#]);
        let acked = Happened::Acknowledged { namespace: "/".to_owned(), id: 1, arguments: values([json!("ok")]) };
        assert_eq!(text(&mut client, r#"431["ok"]"#), [acked]);
        // Doubled, never asked for, given up, and in another namespace.
        let refused = text(&mut client, r#"431["ok"]"#);
        let Some(Happened::Refused(error)) = refused.first() else { panic!("{refused:?}") };
        assert_eq!(error.to_string(), "ack 1 in namespace `/`, which came before, or was given up");
        let refused = text(&mut client, "437[]");
        let Some(Happened::Refused(error)) = refused.first() else { panic!("{refused:?}") };
        assert_eq!(error.to_string(), "ack 7 in namespace `/`, which was never asked for");
        assert_eq!(kinds(&text(&mut client, "43/a,0[]")), [ErrorKind::NotConnected]);
        assert!(client.forget_ack("/", 0) && !client.forget_ack("/", 0));
        assert_eq!(kinds(&text(&mut client, "430[]")), [ErrorKind::UnknownAck]);
        assert!(!client.is_closed() && client.acks_outstanding() == 0);
    }
}

#[test]
fn acks_of_a_namespace_that_was_left_fit_nothing_when_it_is_connected_again() {
    let mut client = connected(Version::Eio4);
    assert_eq!(client.emit_with_ack("/", "e", &Arguments::default()), Ok(0));
    assert_eq!(client.disconnect("/"), Ok(vec![0]));
    client.connect("/", &Connect::default()).unwrap();
    text(&mut client, r#"40{"sid":"again"}"#);
    assert_eq!(client.emit_with_ack("/", "e", &Arguments::default()), Ok(1));
    assert_eq!(kinds(&text(&mut client, "430[]")), [ErrorKind::UnknownAck]);
    let ended = Happened::Disconnected { namespace: "/".to_owned(), unanswered: vec![1] };
    assert_eq!(text(&mut client, "41"), [ended]);
    // What is still on its way is refused.
    assert_eq!(kinds(&text(&mut client, r#"42["late"]"#)), [ErrorKind::NotConnected]);
}

#[test]
fn attachments_come_and_go_in_their_places() {
    for version in [Version::Eio3, Version::Eio4] {
        let mut client = connected(version);
        let frame = |data: &'static [u8]| match version {
            Version::Eio3 => Bytes::from([&[4], data].concat()),
            Version::Eio4 => Bytes::from_static(data),
        };
        let waiting =
            text(&mut client, r#"452-5["file",{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]]"#);
        assert!(waiting.is_empty());
        let mut happened = Vec::new();
        client.on_binary(0, frame(b"one"), &mut happened).unwrap();
        assert!(happened.is_empty());
        client.on_binary(0, frame(b""), &mut happened).unwrap();
        let Some(Happened::Event { name, arguments, answer, .. }) = happened.pop() else { panic!("{happened:?}") };
        assert_eq!(name, "file");
        assert_eq!(arguments.attachment(&arguments.values[0]).unwrap(), &Bytes::new());
        assert_eq!(arguments.attachment(&arguments.values[1][0]).unwrap(), &Bytes::from_static(b"one"));
        assert_eq!(arguments.attachment(&json!({"num": 0})), None);
        let answer = answer.unwrap();
        assert_eq!((answer.namespace(), answer.id()), ("/", 5));
        let mut back = values([json!("ok")]);
        let place = back.attach(Bytes::from_static(b"back"));
        back.values.push(place);
        client.answer(answer, &back).unwrap();
        let length = if version == Version::Eio3 { "<5>" } else { "<4>" };
        assert_eq!(sent(&mut client), [r#"461-5["ok",{"_placeholder":true,"num":0}]"#, length]);
    }
}

#[test]
fn what_a_server_sends_while_it_decides_on_a_connection_is_told() {
    let mut client = Client::over_websocket(Version::Eio4, Limits::default());
    text(&mut client, OPEN);
    client.connect("/a", &Connect::default()).unwrap();
    assert_eq!(text(&mut client, r#"42/a,["early"]"#), [event("/a", "early", Arguments::default())]);
    assert_eq!(kinds(&text(&mut client, r#"42/b,["e"]"#)), [ErrorKind::NotConnected]);
    assert_eq!(kinds(&text(&mut client, r#"40/b,{"sid":"x"}"#)), [ErrorKind::NotConnected]);
    text(&mut client, r#"40/a,{"sid":"x"}"#);
    assert_eq!(kinds(&text(&mut client, r#"40/a,{"sid":"x"}"#)), [ErrorKind::WrongOrder]);
    assert_eq!(kinds(&text(&mut client, r#"44/a,{"message":"late"}"#)), [ErrorKind::WrongOrder]);
}

#[test]
fn a_server_of_the_other_version_is_recognised() {
    let mut client = Client::over_websocket(Version::Eio4, Limits::default());
    text(&mut client, OPEN);
    let error = client.on_text(0, "40", &mut Vec::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server speaks Socket.IO 4, as socket.io 1 and 2 do, not Socket.IO 5: connect with EIO=3"
    );
    assert!(client.is_closed());
}

#[test]
fn names_that_clients_keep_for_themselves_are_not_sent() {
    for (version, kept, sent) in [
        (Version::Eio4, ["connect", "disconnecting"], ["connecting", "error"]),
        (Version::Eio3, ["connecting", "error"], ["newListener", "message"]),
    ] {
        let mut client = connected(version);
        for name in kept {
            let error = client.emit("/", name, &Arguments::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ReservedName);
            assert!(error.to_string().starts_with(&format!("`{name}` is a name that clients of socket.io")), "{error}");
        }
        for name in sent {
            client.emit_with_ack("/", name, &Arguments::default()).unwrap();
        }
        assert_eq!(client.queued_packets(), 2);
    }
}

#[test]
fn with_engine_io_4_pings_are_answered_and_their_absence_ends_the_connection() {
    let mut client = connected(Version::Eio4);
    assert_eq!((client.next_ping_ns(), client.next_deadline_ns()), (None, Some(45 * SECOND_NS)));
    let mut happened = Vec::new();
    for _ in 0..1_000 {
        client.on_text(10 * SECOND_NS, "2", &mut happened).unwrap();
    }
    // However many came: one answer is enough.
    assert_eq!(sent(&mut client), ["3"]);
    client.on_text(54 * SECOND_NS, r#"42["busy"]"#, &mut happened).unwrap();
    assert_eq!(client.dead_ns(), Some(55 * SECOND_NS));
    assert_eq!(kinds(&text(&mut client, "3")), [ErrorKind::WrongOrder]);
    happened.clear();
    client.on_time(55 * SECOND_NS - 1, &mut happened);
    assert!(happened.is_empty());
    client.on_time(55 * SECOND_NS, &mut happened);
    assert_eq!(happened, [Happened::Closed(CloseReason::HeartbeatMissed)]);
    assert!(client.is_closed() && client.next_deadline_ns().is_none());
    assert_eq!(client.emit("/", "e", &Arguments::default()).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn with_engine_io_3_the_client_pings_and_waits_for_the_pong() {
    let mut client = connected(Version::Eio3);
    assert_eq!((client.next_ping_ns(), client.dead_ns()), (Some(25 * SECOND_NS), Some(45 * SECOND_NS)));
    assert_eq!(client.next_deadline_ns(), Some(25 * SECOND_NS));
    let mut happened = Vec::new();
    client.on_time(25 * SECOND_NS, &mut happened);
    assert_eq!(sent(&mut client), ["2"]);
    assert_eq!(client.next_deadline_ns(), Some(45 * SECOND_NS));
    client.on_text(26 * SECOND_NS, "3", &mut happened).unwrap();
    assert_eq!((client.next_ping_ns(), client.dead_ns()), (Some(51 * SECOND_NS), Some(71 * SECOND_NS)));
    client.on_time(51 * SECOND_NS, &mut happened);
    client.on_time(71 * SECOND_NS, &mut happened);
    assert_eq!(happened, [Happened::Closed(CloseReason::HeartbeatMissed)]);
    // Pongs that nobody asked for: one ping waits at most.
    let mut client = connected(Version::Eio3);
    for second in 1..1_000 {
        client.on_text(second * 25 * SECOND_NS, "3", &mut happened).unwrap();
        client.on_time((second + 1) * 25 * SECOND_NS, &mut happened);
    }
    assert_eq!(sent(&mut client), ["2"]);
    let mut client = connected(Version::Eio3);
    assert_eq!(kinds(&text(&mut client, "2")), [ErrorKind::WrongOrder]);
    assert!(sent(&mut client).is_empty());
}

#[test]
fn over_polling_packets_share_a_payload_as_far_as_the_server_takes_it() {
    let mut client = Client::over_polling(Version::Eio4, Limits::default());
    assert!(client.may_poll() && client.next_frame().is_none());
    payload(&mut client, OPEN);
    client.connect("/", &Connect::default()).unwrap();
    assert_eq!(posted(&mut client), ["40"]);
    let happened = payload(&mut client, "40{\"sid\":\"x\"}\u{1e}2\u{1e}42[\"a\"]\u{1e}6\u{1e}42[\"b\"]");
    assert_eq!(happened.len(), 3);
    for number in 0..3 {
        client.emit("/", "event", &values([json!(number), json!("x".repeat(20))])).unwrap();
    }
    client.emit("/", "event", &values([json!("x".repeat(200))])).unwrap();
    // The pong and two of them are within 100 bytes, a third is not, and the last is not even alone.
    let bodies = posted(&mut client);
    assert_eq!(bodies.iter().map(|body| body.split('\u{1e}').count()).collect::<Vec<_>>(), [3, 1, 1]);
    assert!(bodies[0].starts_with("3\u{1e}42[\"event\",0,"), "{bodies:?}");
    let mut arguments = Arguments::default();
    let place = arguments.attach(Bytes::from_static(&[1, 2]));
    arguments.values.push(place);
    client.emit("/", "b", &arguments).unwrap();
    assert_eq!(posted(&mut client), ["451-[\"b\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQI="]);
}

#[test]
fn over_polling_of_engine_io_3_packets_of_bytes_or_beyond_ascii_make_a_payload_of_bytes() {
    let mut client = Client::over_polling(Version::Eio3, Limits::default());
    let open = r#"0{"sid":"S","upgrades":[],"pingInterval":25000,"pingTimeout":5000}"#;
    // As servers of Python send it: all in the binary form.
    let mut body = vec![0, 6, 6, 255];
    body.extend(open.bytes());
    body.extend([0, 2, 255, b'4', b'0']);
    let mut happened = Vec::new();
    client.on_binary_payload(0, &Bytes::from(body), &mut happened).unwrap();
    assert!(matches!(happened.as_slice(), [Happened::Opened(_), Happened::Connected { .. }]), "{happened:?}");
    client.emit("/", "e", &Arguments::default()).unwrap();
    assert_eq!(posted(&mut client), ["7:42[\"e\"]"]);
    // Servers do not agree on the length of such a text.
    client.emit("/", "é", &Arguments::default()).unwrap();
    assert_eq!(client.next_payload(), Ok(Some(Wire::Binary([&[0, 8, 255], "42[\"é\"]".as_bytes()].concat().into()))));
    let mut arguments = Arguments::default();
    let place = arguments.attach(Bytes::from_static(&[1, 2]));
    arguments.values.push(place);
    client.emit("/", "b", &arguments).unwrap();
    let wanted = [&[0, 3, 9, 255], br#"451-["b",{"_placeholder":true,"num":0}]"#.as_slice(), &[1, 3, 255, 4, 1, 2]];
    let body = client.next_payload().unwrap().unwrap();
    assert_eq!(body.content_type(), "application/octet-stream");
    assert_eq!(body, Wire::Binary(wanted.concat().into()));
}

#[test]
fn a_session_is_upgraded_without_losing_or_doubling_a_packet() {
    let mut client = Client::over_polling(Version::Eio4, Limits::default());
    assert_eq!(client.probe().unwrap_err().kind(), ErrorKind::WrongOrder);
    payload(&mut client, OPEN);
    client.connect("/", &Connect::default()).unwrap();
    assert_eq!(posted(&mut client), ["40"]);
    payload(&mut client, r#"40{"sid":"x"}"#);
    assert_eq!(client.probe(), Ok(Wire::Text("2probe".to_owned())));
    assert_eq!(client.probe().unwrap_err().kind(), ErrorKind::WrongOrder);
    // Polling goes on until the WebSocket answers.
    client.emit("/", "before", &Arguments::default()).unwrap();
    assert!(client.may_poll());
    assert_eq!(posted(&mut client), [r#"42["before"]"#]);
    assert_eq!(text(&mut client, "3probe"), [Happened::ProbeAnswered]);
    assert!(!client.may_poll());
    client.emit("/", "between", &Arguments::default()).unwrap();
    assert!(posted(&mut client).is_empty() && sent(&mut client).is_empty());
    // The poll that was under way.
    assert_eq!(payload(&mut client, "6\u{1e}42[\"polled\"]"), [event("/", "polled", Arguments::default())]);
    assert_eq!(kinds(&text(&mut client, r#"42["too early"]"#)), [ErrorKind::WrongOrder]);
    client.upgrade().unwrap();
    assert_eq!((client.transport(), client.may_poll()), (Transport::Websocket, false));
    assert_eq!(sent(&mut client), ["5", r#"42["between"]"#]);
    assert_eq!(text(&mut client, r#"42["after"]"#), [event("/", "after", Arguments::default())]);
    let error = client.on_text_payload(0, "6", &mut Vec::new()).unwrap_err();
    assert!(error.kind() == ErrorKind::WrongTransport && !client.is_closed());
    assert_eq!(client.upgrade().unwrap_err().kind(), ErrorKind::WrongOrder);
}

#[test]
fn a_websocket_that_does_not_work_leaves_the_session_on_polling() {
    let probing = || {
        let mut client = Client::over_polling(Version::Eio4, Limits::default());
        payload(&mut client, OPEN);
        client.probe().unwrap();
        client
    };
    for wrong in ["3", "3prob", "x", "", OPEN, "6"] {
        let mut client = probing();
        let happened = text(&mut client, wrong);
        assert!(matches!(happened.as_slice(), [Happened::ProbeFailed(_)]), "{happened:?}");
        assert!(client.may_poll() && client.upgrade().is_err() && client.probe().is_ok());
    }
    let mut client = probing();
    assert!(matches!(binary(&mut client, b"3probe").as_slice(), [Happened::ProbeFailed(_)]));
    let mut client = probing();
    text(&mut client, "3probe");
    client.abandon_upgrade();
    assert!(client.may_poll());
    assert_eq!(client.on_text(0, "6", &mut Vec::new()).unwrap_err().kind(), ErrorKind::WrongTransport);
    // A server that offers none.
    let mut client = Client::over_polling(Version::Eio4, Limits::default());
    payload(&mut client, r#"0{"sid":"S","upgrades":["webtransport"],"pingInterval":1,"pingTimeout":1}"#);
    assert_eq!(client.probe().unwrap_err().to_string(), "the server offers no upgrade to a WebSocket");
}

#[test]
fn closing_says_so_to_the_server_and_nothing_after_it_matters() {
    let mut client = connected(Version::Eio4);
    client.emit("/", "last", &Arguments::default()).unwrap();
    client.close();
    assert!(client.is_closed());
    assert_eq!(sent(&mut client), [r#"42["last"]"#, "41"]);
    assert!(text(&mut client, "nonsense").is_empty());

    let mut client = Client::over_polling(Version::Eio3, Limits::default());
    payload(&mut client, r#"66:0{"sid":"S","upgrades":[],"pingInterval":25000,"pingTimeout":5000}2:40"#);
    client.close();
    assert_eq!(posted(&mut client), ["2:411:1"]);
    assert_eq!(client.handshake().unwrap().session_id, "S");
    assert!(!client.may_poll());
}

#[test]
fn a_server_that_ends_the_session_is_believed_and_what_waits_is_dropped() {
    let mut client = connected(Version::Eio4);
    client.emit("/", "last", &Arguments::default()).unwrap();
    assert_eq!(text(&mut client, "1"), [Happened::Closed(CloseReason::Server)]);
    assert!(sent(&mut client).is_empty());
    let mut client = Client::over_polling(Version::Eio4, Limits::default());
    payload(&mut client, OPEN);
    let happened = payload(&mut client, "1\u{1e}x");
    assert_eq!(happened, [Happened::Closed(CloseReason::Server)]);
}

#[test]
fn one_post_takes_no_more_packets_along_than_servers_of_python_take() {
    let mut client = Client::over_polling(Version::Eio3, Limits::default());
    payload(&mut client, r#"66:0{"sid":"S","upgrades":[],"pingInterval":25000,"pingTimeout":5000}2:40"#);
    (0..20).for_each(|_| client.emit("/", "e", &Arguments::default()).unwrap());
    let counts: Vec<usize> = posted(&mut client).iter().map(|body| body.matches("42[").count()).collect();
    assert_eq!(counts, [16, 4]);
}
