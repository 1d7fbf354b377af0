//! What holds for all packets, and for all that is none.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the lints know only #[test] functions"
)]

use bytes::Bytes;
use nuncius_socketio::engine_io::{self, Handshake, Packet, PayloadForm, Wire};
use nuncius_socketio::socket_io::{self, ACK_ID_MAX, Ack, Arguments, Connect, Content, Decoded, Event, placeholder};
use nuncius_socketio::{Limits, Transport, Version};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const LIMITS: Limits = Limits {
    packet_bytes: 1 << 20,
    attachments: 10,
    attachment_bytes: 1 << 20,
    namespace_bytes: 256,
    session_id_bytes: 256,
    json_depth: 127,
    payload_packets: 64,
    posted_packets: 4,
    payload_bytes: 1 << 20,
    namespaces: 8,
    acks_outstanding: 8,
    queued_packets: 16,
};

fn versions() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::Eio3), Just(Version::Eio4)]
}

/// Any text, often of characters that are two UTF-16 code units or mean something in a packet.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,12}", "[-0-9:b,/?\\[\\]{}\"😀𝒳é\u{2028}]{0,8}", any::<String>()]
}

fn data() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn transports() -> impl Strategy<Value = Vec<Transport>> {
    prop::sample::subsequence(Transport::ALL.to_vec(), 0..=Transport::ALL.len())
}

fn handshakes() -> impl Strategy<Value = Handshake> {
    ("\\PC{1,20}", transports(), any::<u64>(), any::<u64>(), any::<Option<u64>>()).prop_map(
        |(session_id, upgrades, ping_interval_ms, ping_timeout_ms, max_payload_bytes)| Handshake {
            session_id,
            upgrades,
            ping_interval_ms,
            ping_timeout_ms,
            max_payload_bytes,
        },
    )
}

fn engine_packets() -> impl Strategy<Value = Packet<'static>> {
    prop_oneof![
        handshakes().prop_map(Packet::Open),
        Just(Packet::Close),
        texts().prop_map(|text| Packet::Ping(text.into())),
        texts().prop_map(|text| Packet::Pong(text.into())),
        texts().prop_map(|text| Packet::Text(text.into())),
        data().prop_map(Packet::Binary),
        Just(Packet::Upgrade),
        Just(Packet::Noop),
    ]
}

/// Packets for a payload: revision 4 cannot carry its separator, and JSON has none.
fn lists() -> impl Strategy<Value = Vec<Packet<'static>>> {
    let without_separator = |packet: Packet<'static>| match packet {
        Packet::Ping(text) => Packet::Ping(text.replace('\x1e', "").into()),
        Packet::Pong(text) => Packet::Pong(text.replace('\x1e', "").into()),
        Packet::Text(text) => Packet::Text(text.replace('\x1e', "").into()),
        other => other,
    };
    prop::collection::vec(engine_packets().prop_map(without_separator), 1..8)
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Numbers of few digits: reading long fractions is exact to one unit in the last place alone.
        any::<i16>().prop_map(|number| Value::from(f64::from(number) / 64.0)),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(texts(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn members() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(texts(), values(), 0..4).prop_map(|members| members.into_iter().collect())
}

fn arguments() -> impl Strategy<Value = Arguments> {
    let attachments = prop::collection::vec((data(), any::<prop::sample::Index>(), 0..4_u8), 0..5);
    (prop::collection::vec(values(), 0..4), attachments).prop_map(|(values, attachments)| {
        let mut arguments = Arguments::of(values);
        for (data, at, way) in attachments {
            let place = arguments.attach(data);
            let place = match way {
                0 => place,
                1 => json!([1, place]),
                2 => json!({ "a": place, "b": {} }),
                _ => json!([{ "a": [place, null] }]),
            };
            let at = at.index(arguments.values.len() + 1);
            arguments.values.insert(at, place);
        }
        arguments
    })
}

fn namespaces() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), "/[a-z0-9/{\\[\" é😀-]{0,12}"]
}

fn contents(version: Version) -> impl Strategy<Value = Content> {
    let query = match version {
        Version::Eio3 => prop::option::of("[a-z=&%?]{0,8}").boxed(),
        Version::Eio4 => Just(None).boxed(),
    };
    let error = match version {
        Version::Eio3 => {
            prop_oneof![texts().prop_map(Value::from), prop::collection::vec(values(), 0..3).prop_map(Value::from)]
                .boxed()
        }
        Version::Eio4 => prop_oneof![texts().prop_map(Value::from), members().prop_map(Value::Object)].boxed(),
    };
    prop_oneof![
        (query, prop::option::of(members())).prop_map(|(query, payload)| Content::Connect(Connect { query, payload })),
        Just(Content::Disconnect),
        (texts(), arguments(), prop::option::of(0..=ACK_ID_MAX))
            .prop_map(|(name, arguments, ack_id)| Content::Event(Event { name, arguments, ack_id })),
        (0..=ACK_ID_MAX, arguments()).prop_map(|(id, arguments)| Content::Ack(Ack { id, arguments })),
        error.prop_map(Content::Error),
    ]
}

fn socket_packets() -> impl Strategy<Value = (Version, socket_io::Packet)> {
    versions().prop_flat_map(|version| {
        (namespaces(), contents(version))
            .prop_map(move |(namespace, content)| (version, socket_io::Packet { namespace, content }))
    })
}

fn decode_frame<'a>(version: Version, frame: &'a Wire) -> Result<Packet<'a>, nuncius_socketio::ProtocolError> {
    match frame {
        Wire::Text(text) => engine_io::decode_text(version, text, &LIMITS),
        Wire::Binary(data) => engine_io::decode_binary(version, data.clone(), &LIMITS),
    }
}

/// The packets of a body, or nothing where something is wrong with it.
fn decode_body(version: Version, body: &Wire) -> Option<Vec<Packet<'static>>> {
    let packets = match body {
        Wire::Text(text) => engine_io::decode_text_payload(version, text, &LIMITS),
        Wire::Binary(data) => engine_io::decode_binary_payload(version, data, &LIMITS),
    };
    packets.ok()?.map(|packet| packet.ok().map(Packet::into_owned)).collect()
}

/// All that begin as this does and end before it.
fn prefixes(wire: &Wire) -> Vec<Wire> {
    match wire {
        Wire::Text(text) => text.char_indices().map(|(at, _)| Wire::Text(text[..at].to_owned())).collect(),
        Wire::Binary(data) => (0..data.len()).map(|at| Wire::Binary(data.slice(..at))).collect(),
    }
}

fn joined(first: &Wire, between: &str, second: &Wire) -> Wire {
    match (first, second) {
        (Wire::Text(first), Wire::Text(second)) => Wire::Text(format!("{first}{between}{second}")),
        _ => Wire::Binary([first.as_bytes(), second.as_bytes()].concat().into()),
    }
}

fn forms() -> impl Strategy<Value = PayloadForm> {
    prop::sample::select(vec![PayloadForm::Text, PayloadForm::AsNeeded, PayloadForm::Bytes])
}

/// Reads a packet with all its attachments.
fn decode_whole(version: Version, messages: &[Packet<'_>]) -> Option<socket_io::Packet> {
    let [Packet::Text(text), attachments @ ..] = messages else { return None };
    let mut decoded = socket_io::decode(version, text, &LIMITS).ok()?;
    for attachment in attachments {
        let (Decoded::Waiting(waiting), Packet::Binary(data)) = (decoded, attachment) else { return None };
        decoded = waiting.attach(data.clone(), &LIMITS).ok()?;
    }
    match decoded {
        Decoded::Whole(packet) => Some(packet),
        Decoded::Waiting(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_frame_is_read_as_what_was_written(version in versions(), packet in engine_packets()) {
        let frame = engine_io::encode_frame(version, &packet);
        prop_assert_eq!(decode_frame(version, &frame), Ok(packet));
    }

    #[test]
    fn a_payload_is_read_as_what_was_written(version in versions(), packets in lists(), form in forms()) {
        let body = engine_io::encode_payload(version, &packets, form, &LIMITS).unwrap();
        prop_assert_eq!(decode_body(version, &body), Some(packets));
    }

    #[test]
    fn payloads_strung_together_are_the_payload_of_all_their_packets(
        version in versions(), first in lists(), second in lists(), form in forms(),
    ) {
        let encode = |packets: &[Packet<'static>]| engine_io::encode_payload(version, packets, form, &LIMITS).unwrap();
        let (a, b) = (encode(&first), encode(&second));
        let all = [first, second].concat();
        let whole = encode(&all);
        prop_assert_eq!(decode_body(version, &whole), Some(all));
        // One of texts and one of bytes are two forms.
        if std::mem::discriminant(&a) == std::mem::discriminant(&b) {
            let between = match version {
                Version::Eio3 => "",
                Version::Eio4 => "\x1e",
            };
            prop_assert_eq!(joined(&a, between, &b), whole);
        }
    }

    #[test]
    fn a_text_with_the_separator_is_no_packet_of_a_payload_of_revision_4(text in texts(), more in texts()) {
        let packet = Packet::Text(format!("{text}\x1e{more}").into());
        prop_assert!(engine_io::encode_payload(Version::Eio4, &[packet], PayloadForm::AsNeeded, &LIMITS).is_err());
    }

    #[test]
    fn what_is_cut_anywhere_is_refused_or_another_packet(version in versions(), packet in engine_packets()) {
        let frame = engine_io::encode_frame(version, &packet);
        for cut in prefixes(&frame) {
            prop_assert_ne!(decode_frame(version, &cut), Ok(packet.clone()), "{:?}", cut);
        }
    }

    #[test]
    fn a_payload_that_is_cut_anywhere_is_refused_or_has_other_packets(
        version in versions(), packets in lists(), form in forms(),
    ) {
        let body = engine_io::encode_payload(version, &packets, form, &LIMITS).unwrap();
        for cut in prefixes(&body) {
            let read = decode_body(version, &cut);
            prop_assert_ne!(read.as_ref(), Some(&packets), "{:?}", cut);
            // With lengths nothing that is cut within a packet passes for one.
            if let (Version::Eio3, Some(read)) = (version, read) {
                prop_assert!(packets.starts_with(&read), "{:?} of {:?}", read, packets);
            }
        }
    }

    #[test]
    fn a_packet_of_socket_io_is_read_as_what_was_written((version, packet) in socket_packets()) {
        let messages = socket_io::encode(version, &packet, &LIMITS).unwrap();
        prop_assert_eq!(decode_whole(version, &messages), Some(packet));
    }

    #[test]
    fn a_packet_of_socket_io_that_is_cut_or_doubled_is_refused_or_another(
        (version, packet) in socket_packets(),
    ) {
        let messages = socket_io::encode(version, &packet, &LIMITS).unwrap();
        let (text, attachments) = messages.split_first().unwrap();
        let Packet::Text(text) = text else { panic!("{text:?}") };
        let with = |text: &str| {
            let text = Packet::Text(text.to_owned().into());
            decode_whole(version, &[&[text], attachments].concat())
        };
        for (at, _) in text.char_indices() {
            // Servers of socket.io 1 leave a comma at the end out.
            if &text[at..] != "," {
                prop_assert!(with(&text[..at]).as_ref() != Some(&packet), "{}", &text[..at]);
            }
        }
        let doubled = with(&text.repeat(2));
        prop_assert_ne!(doubled.as_ref(), Some(&packet));
        for fewer in 0..attachments.len() {
            prop_assert_eq!(decode_whole(version, &messages[..1 + fewer]), None);
        }
        let one_more = [messages.clone(), vec![Packet::Binary(Bytes::new())]].concat();
        prop_assert_eq!(decode_whole(version, &one_more), None);
    }

    #[test]
    fn an_attachment_without_its_place_or_a_place_without_its_attachment_is_refused(
        values in prop::collection::vec(values(), 0..3), attachments in 1..4_usize,
        missing in any::<prop::sample::Index>(),
    ) {
        let missing = missing.index(attachments);
        let mut arguments = Arguments::of(values);
        for number in 0..attachments {
            let place = arguments.attach(Bytes::from_static(b"x"));
            if number != missing {
                arguments.values.push(place);
            }
        }
        let event = |arguments: Arguments| socket_io::Packet {
            namespace: "/".to_owned(),
            content: Content::Event(Event { name: "e".to_owned(), arguments, ack_id: None }),
        };
        prop_assert!(socket_io::encode(Version::Eio4, &event(arguments.clone()), &LIMITS).is_err());
        arguments.values.push(placeholder(missing));
        prop_assert!(socket_io::encode(Version::Eio4, &event(arguments.clone()), &LIMITS).is_ok());
        arguments.values.push(placeholder(attachments));
        prop_assert!(socket_io::encode(Version::Eio4, &event(arguments.clone()), &LIMITS).is_err());
        let json = Value::from([&[Value::from("e")], arguments.values.as_slice()].concat());
        let text = format!("5{attachments}-{json}");
        prop_assert!(socket_io::decode(Version::Eio4, &text, &LIMITS).is_err());
    }
}
