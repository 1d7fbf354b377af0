//! What no server should send: nothing of it makes a panic, or is kept beyond the limits.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the lints know only #[test] functions"
)]

use bytes::Bytes;
use nuncius_socketio::engine_io::{self, Packet, Wire};
use nuncius_socketio::socket_io::{self, Arguments, Connect, Content, Decoded, placeholder};
use nuncius_socketio::{Client, Happened, Limits, ProtocolError, Version};
use proptest::prelude::*;
use serde_json::Value;

/// Small enough to be met.
const LIMITS: Limits = Limits {
    packet_bytes: 64,
    attachments: 2,
    attachment_bytes: 48,
    namespace_bytes: 12,
    session_id_bytes: 8,
    json_depth: 4,
    payload_packets: 6,
    posted_packets: 4,
    payload_bytes: 200,
    namespaces: 3,
    acks_outstanding: 4,
    queued_packets: 8,
};

fn versions() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::Eio3), Just(Version::Eio4)]
}

/// Pieces of what servers send, in any order, and anything.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        "[0-6b]",
        "[0-9:,/?-]{1,3}",
        Just("[\"a\"".to_owned()),
        Just("{\"_placeholder\":true,\"num\":1}".to_owned()),
        Just("{\"sid\":\"s\",\"pingInterval\":1,\"pingTimeout\":1}".to_owned()),
        Just("]".to_owned()),
        Just("[[[[".to_owned()),
        Just("\u{1e}".to_owned()),
        Just("AAAA".to_owned()),
        "\\PC{0,3}",
        any::<String>(),
    ];
    prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

fn data() -> impl Strategy<Value = Bytes> {
    let bytes = prop_oneof![0..=9_u8, Just(255), Just(b'4'), any::<u8>()];
    prop::collection::vec(bytes, 0..80).prop_map(Bytes::from)
}

/// Bytes of texts and binary data in a value, and how deep it is.
fn extent(value: &Value) -> (usize, usize) {
    let inner = |values: &mut dyn Iterator<Item = &Value>| {
        values.map(extent).fold((0, 1), |all, one| (all.0 + one.0, all.1.max(one.1 + 1)))
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => (1, 0),
        Value::String(text) => (text.len(), 0),
        Value::Array(values) => inner(&mut values.iter()),
        Value::Object(members) => {
            let keys: usize = members.keys().map(String::len).sum();
            let (bytes, depth) = inner(&mut members.values());
            (bytes + keys, depth)
        }
    }
}

fn check_arguments(arguments: &Arguments) {
    let (bytes, depth) = extent(&Value::from(arguments.values.clone()));
    assert!(bytes <= LIMITS.packet_bytes && depth <= LIMITS.json_depth, "{arguments:?}");
    assert!(arguments.attachments.len() <= LIMITS.attachments, "{arguments:?}");
    assert!(arguments.attachments.iter().map(Bytes::len).sum::<usize>() <= LIMITS.attachment_bytes, "{arguments:?}");
}

fn check_packet(packet: &socket_io::Packet) {
    assert!(packet.namespace.len() <= LIMITS.namespace_bytes && packet.namespace.starts_with('/'), "{packet:?}");
    match &packet.content {
        Content::Event(event) => check_arguments(&event.arguments),
        Content::Ack(ack) => check_arguments(&ack.arguments),
        Content::Connect(_) | Content::Disconnect | Content::Error(_) => {}
    }
}

fn check_happened(happened: &[Happened]) {
    assert!(happened.len() <= LIMITS.payload_packets.max(1 + LIMITS.namespaces), "{happened:?}");
    for one in happened {
        match one {
            Happened::Opened(handshake) => assert!(handshake.session_id.len() <= LIMITS.session_id_bytes),
            Happened::Connected { session_id, .. } => {
                assert!(session_id.as_ref().is_none_or(|id| id.len() <= LIMITS.session_id_bytes));
            }
            Happened::Event { arguments, .. } | Happened::Acknowledged { arguments, .. } => {
                check_arguments(arguments);
            }
            Happened::Disconnected { unanswered, .. } => assert!(unanswered.len() <= LIMITS.acks_outstanding),
            Happened::ConnectRefused { .. }
            | Happened::Error { .. }
            | Happened::ProbeAnswered
            | Happened::ProbeFailed(_)
            | Happened::Refused(_)
            | Happened::Closed(_) => {}
        }
    }
}

/// What may be done with a connection.
#[derive(Debug, Clone)]
enum Step {
    Text(String),
    Binary(Bytes),
    TextPayload(String),
    BinaryPayload(Bytes),
    Time(u64),
    Connect(usize),
    Emit(usize, bool, usize),
    Answer,
    Disconnect(usize),
    Probe,
    Upgrade,
    Abandon,
    Take,
    Close,
}

const NAMESPACES: [&str; 5] = ["/", "/a", "/b", "/ü", "no"];

/// What a server sends that knows the protocol, in any order.
fn good_texts() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        r#"0{"sid":"s","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}"#,
        "2",
        "3",
        "3probe",
        "6",
        "40",
        r#"40{"sid":"x"}"#,
        r#"40/a,{"sid":"y"}"#,
        "40/a",
        r#"42["a",1]"#,
        r#"42/a,7["a",1]"#,
        "430[]",
        "43/a,1[]",
        r#"451-["a",{"_placeholder":true,"num":0}]"#,
        r#"462-2[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
        "41",
        "41/a,",
        r#"44"no""#,
        r#"44/a,{"message":"no"}"#,
        "1",
    ])
    .prop_map(str::to_owned)
}

fn steps() -> impl Strategy<Value = Step> {
    let anywhere = 0..NAMESPACES.len();
    prop_oneof![
        8 => good_texts().prop_map(Step::Text),
        1 => texts().prop_map(Step::Text),
        3 => data().prop_map(Step::Binary),
        6 => (good_texts(), good_texts()).prop_map(|(a, b)| Step::TextPayload(format!("{a}\x1e{b}"))),
        6 => good_texts().prop_map(|text| Step::TextPayload(format!("{}:{text}", text.encode_utf16().count()))),
        1 => texts().prop_map(Step::TextPayload),
        1 => data().prop_map(Step::BinaryPayload),
        2 => (0..30_000_000_000_u64).prop_map(Step::Time),
        5 => anywhere.clone().prop_map(Step::Connect),
        6 => (anywhere.clone(), any::<bool>(), 0..4_usize).prop_map(|(at, ack, many)| Step::Emit(at, ack, many)),
        2 => Just(Step::Answer),
        1 => anywhere.prop_map(Step::Disconnect),
        2 => Just(Step::Probe),
        2 => Just(Step::Upgrade),
        1 => Just(Step::Abandon),
        3 => Just(Step::Take),
        1 => Just(Step::Close),
    ]
}

fn take_all(client: &mut Client) {
    while let Some(frame) = client.next_frame() {
        let is_good = match &frame {
            Wire::Text(text) => engine_io::decode_text(client.version(), text, &LIMITS).is_ok(),
            Wire::Binary(data) => data.len() <= 1 + LIMITS.packet_bytes,
        };
        assert!(is_good, "{frame:?}");
    }
    while let Some(body) = client.next_payload().unwrap() {
        assert!(body.as_bytes().len() <= LIMITS.payload_bytes, "{body:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_makes_a_panic_or_a_packet_over_the_limits(version in versions(), text in texts()) {
        match engine_io::decode_text(version, &text, &LIMITS) {
            Ok(Packet::Open(handshake)) => prop_assert!(handshake.session_id.len() <= LIMITS.session_id_bytes),
            Ok(Packet::Ping(text) | Packet::Pong(text) | Packet::Text(text)) => {
                prop_assert!(text.len() <= LIMITS.packet_bytes);
            }
            Ok(Packet::Binary(data)) => prop_assert!(data.len() <= LIMITS.packet_bytes),
            Ok(Packet::Close | Packet::Upgrade | Packet::Noop) => prop_assert_eq!(text.len(), 1),
            Err(error) => prop_assert!(!error.to_string().is_empty() && !error.kind().as_str().is_empty()),
        }
        match socket_io::decode(version, &text, &LIMITS) {
            Ok(Decoded::Whole(packet)) => check_packet(&packet),
            Ok(Decoded::Waiting(waiting)) => prop_assert!(waiting.missing() <= LIMITS.attachments),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn no_payload_makes_a_panic_or_more_packets_than_the_limit(
        version in versions(), text in texts(), data in data(),
    ) {
        let texts = engine_io::decode_text_payload(version, &text, &LIMITS);
        let binaries = engine_io::decode_binary_payload(version, &data, &LIMITS);
        for packets in texts.into_iter().chain(binaries) {
            let packets: Vec<_> = packets.collect();
            let good = packets.iter().filter(|packet| packet.is_ok()).count();
            prop_assert!(good <= LIMITS.payload_packets);
            // After an error there are no more.
            prop_assert!(packets.len() - good <= 1 && packets[..good].iter().all(Result::is_ok));
        }
        if let Ok(packet) = engine_io::decode_binary(version, data.clone(), &LIMITS) {
            let Packet::Binary(inner) = packet else { panic!("{packet:?}") };
            prop_assert!(inner.len() <= LIMITS.packet_bytes);
        }
    }

    #[test]
    fn whatever_comes_in_whatever_order_a_connection_stays_within_its_limits(
        version in versions(), is_polling: bool, steps in prop::collection::vec(steps(), 0..40),
    ) {
        let open = match is_polling {
            true => Client::over_polling,
            false => Client::over_websocket,
        };
        let mut client = open(version, LIMITS);
        let mut now_ns = 0;
        let mut answers = Vec::new();
        for step in steps {
            let mut happened = Vec::new();
            let was_closed = client.is_closed();
            let outcome = match step {
                Step::Text(text) => client.on_text(now_ns, &text, &mut happened),
                Step::Binary(data) => client.on_binary(now_ns, data, &mut happened),
                Step::TextPayload(body) => client.on_text_payload(now_ns, &body, &mut happened),
                Step::BinaryPayload(body) => client.on_binary_payload(now_ns, &body, &mut happened),
                Step::Time(passed_ns) => {
                    now_ns += passed_ns;
                    client.on_time(now_ns, &mut happened);
                    // Whatever was due is done.
                    prop_assert!(client.next_deadline_ns().is_none_or(|deadline_ns| deadline_ns > now_ns));
                    Ok(())
                }
                Step::Connect(at) => client.connect(NAMESPACES[at], &Connect::default()),
                Step::Emit(at, wants_ack, attachments) => {
                    let mut arguments = Arguments::default();
                    for number in 0..attachments {
                        arguments.attach(Bytes::from_static(b"0123456789"));
                        arguments.values.push(placeholder(number));
                    }
                    match wants_ack {
                        true => client.emit_with_ack(NAMESPACES[at], "e", &arguments).map(|_| ()),
                        false => client.emit(NAMESPACES[at], "e", &arguments),
                    }
                }
                Step::Answer => match answers.pop() {
                    Some(answer) => client.answer(answer, &Arguments::default()),
                    None => Ok(()),
                },
                Step::Disconnect(at) => client.disconnect(NAMESPACES[at]).map(|_| ()),
                Step::Probe => client.probe().map(|_| ()),
                Step::Upgrade => client.upgrade(),
                Step::Abandon => {
                    client.abandon_upgrade();
                    Ok(())
                }
                Step::Take => {
                    take_all(&mut client);
                    Ok(())
                }
                Step::Close => {
                    client.close();
                    Ok(())
                }
            };
            if let Err(error) = outcome {
                prop_assert!(!error.to_string().is_empty());
            }
            check_happened(&happened);
            prop_assert!(!was_closed || (client.is_closed() && happened.is_empty()));
            prop_assert!(client.acks_outstanding() <= LIMITS.acks_outstanding);
            // Over the limit are heartbeats and what ends a connection.
            prop_assert!(client.queued_packets() <= LIMITS.queued_packets + LIMITS.namespaces + 4);
            let is_refused = client.connect("/", &Connect::default()) == Err(ProtocolError::Closed);
            prop_assert_eq!(client.is_closed(), is_refused);
            answers.extend(happened.into_iter().filter_map(|one| match one {
                Happened::Event { answer, .. } => answer,
                _ => None,
            }));
        }
    }
}
