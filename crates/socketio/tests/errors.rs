//! Everything that is wrong has a kind and a sentence, and every limit is named where it is met.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the lints know only #[test] functions"
)]

use bytes::Bytes;
use nuncius_socketio::engine_io::{self, Packet, PayloadForm};
use nuncius_socketio::socket_io::{self, Arguments, Connect, Content, Decoded};
use nuncius_socketio::{Client, ErrorKind, Happened, Limit, Limits, ProtocolError, Version};
use serde_json::{Value, json};

const OPEN: &str = r#"0{"sid":"S","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}"#;

fn connected(limits: Limits) -> Client {
    let mut client = Client::over_websocket(Version::Eio4, limits);
    client.on_text(0, OPEN, &mut Vec::new()).unwrap();
    client.connect("/", &Connect::default()).unwrap();
    while client.next_frame().is_some() {}
    client.on_text(0, r#"40{"sid":"x"}"#, &mut Vec::new()).unwrap();
    client
}

#[track_caller]
fn told(error: impl Into<ProtocolError>, kind: ErrorKind, sentence: &str) {
    let error = error.into();
    assert_eq!((error.to_string().as_str(), error.kind()), (sentence, kind));
}

/// What these messages of a server end a connection with.
fn ended(messages: &[&str]) -> ProtocolError {
    let mut client = connected(Limits::default());
    let (last, first) = messages.split_last().unwrap();
    first.iter().for_each(|text| client.on_text(0, text, &mut Vec::new()).unwrap());
    let error = client.on_text(0, last, &mut Vec::new()).unwrap_err();
    assert!(client.is_closed() && client.next_frame().is_none(), "{messages:?}");
    error
}

#[test]
fn what_a_server_breaks_ends_the_connection_with_a_kind_and_a_sentence() {
    use ErrorKind::*;
    for (messages, kind, sentence) in [
        (&[""][..], Empty, "a packet of Engine.IO is empty"),
        (&["7"], UnknownType, "`7` is no type of Engine.IO packets"),
        (&["\n"], UnknownType, "`\\n` is no type of Engine.IO packets"),
        (&["6x"], Malformed, "a CLOSE, UPGRADE or NOOP packet of Engine.IO has data: it has none"),
        (&["b!"], Base64, "the base64 of a binary packet cannot be read"),
        (&[OPEN], WrongOrder, "a second handshake of Engine.IO came"),
        (&["4"], Empty, "a packet of Socket.IO is empty"),
        (&["48"], UnknownType, "`8` is no type of Socket.IO packets"),
        (&[r#"42["a""#], Json, "the JSON of an EVENT packet ends too early at column 4"),
        (&["42"], Empty, "the JSON of an EVENT packet is empty"),
        (&[r#"42["a"]42["a"]"#], Json, "the JSON of an EVENT packet is broken at column 6"),
        (&["42[]"], Shape, "the JSON of an EVENT packet is not an array that begins with a name"),
        (&["43[]"], Malformed, "an ACK packet has no number of an ack"),
        (&["439007199254740992[]"], Malformed, "the number of an ack is larger than 2^53 - 1"),
        (&["40[]"], Shape, "the JSON of a CONNECT packet is not an object"),
        (&["441"], Malformed, "a CONNECT, DISCONNECT or ERROR packet has the number of an ack"),
        (&["44[1]"], Shape, "the JSON of an ERROR packet is not a text or an object"),
        (&["41x"], Malformed, "a DISCONNECT packet has data: it has none"),
        (&["42/\u{7f},[]"], Namespace, "`/\\u{7f}` is no namespace: it has no control characters"),
        (&[r#"450-["a"]"#], Malformed, "a binary packet has no number of attachments, from 1 on, before a dash"),
        (
            &[r#"451-["a",{"_placeholder":true,"num":1}]"#],
            Placeholder,
            "an attachment has a place in the JSON with a number that there is not",
        ),
        (&[r#"451-["a"]"#, "6", r#"42["a"]"#], WrongOrder, "a text came while attachments of a packet were to come"),
    ] {
        told(ended(messages), kind, sentence);
    }
    let mut client = connected(Limits::default());
    let error = client.on_binary(0, Bytes::from_static(b"x"), &mut Vec::new()).unwrap_err();
    told(error, WrongOrder, "binary data came that is no attachment of a packet");
}

#[test]
fn what_a_server_of_revision_3_breaks_has_a_kind_and_a_sentence_as_well() {
    use ErrorKind::*;
    let limits = Limits::default();
    let decode = |data: &'static [u8]| engine_io::decode_binary(Version::Eio3, Bytes::from_static(data), &limits);
    told(decode(b"").unwrap_err(), Empty, "a packet of Engine.IO is empty");
    told(decode(b"\x02").unwrap_err(), Malformed, "binary data is of another type than message");
    let body = |body: &str| {
        let packets = engine_io::decode_text_payload(Version::Eio3, body, &limits)?;
        packets.collect::<Result<Vec<_>, _>>().map(|packets| packets.len())
    };
    told(body("").unwrap_err(), Empty, "a polling payload is empty");
    let no_length = "a packet of a polling payload has no length in digits before a colon";
    for wrong in ["6", ":6", "x:6", "1:6x", "1:6999999999999999999999:6"] {
        told(body(wrong).unwrap_err(), Malformed, no_length);
    }
    let cut = "a packet of a polling payload ends before its length in UTF-16 code units, or within a character of two";
    // Two code units, four bytes, one character: neither of the latter counts.
    for wrong in ["2:6", "2:4😀", "5:4😀", "999999999999999:6"] {
        told(body(wrong).unwrap_err(), Malformed, cut);
    }
    assert_eq!(body("3:4😀1:6"), Ok(2));
    let bytes = |body: &[u8]| {
        let body = Bytes::copy_from_slice(body);
        let packets = engine_io::decode_binary_payload(Version::Eio3, &body, &limits)?;
        packets.map(|packet| packet.map(Packet::into_owned)).collect::<Result<Vec<_>, _>>()
    };
    let neither = "a packet of a binary polling payload is neither text (0) nor binary (1)";
    told(bytes(&[2, 1, 255, 54]).unwrap_err(), Malformed, neither);
    let no_length = "a packet of a binary polling payload has no length in digits up to 255";
    for wrong in [&[0, 255, 54][..], &[0, 1, 54], &[0], &[[0; 20].as_slice(), &[1, 255, 54]].concat()] {
        told(bytes(wrong).unwrap_err(), Malformed, no_length);
    }
    let cut = "a packet of a binary polling payload ends before its length in bytes";
    told(bytes(&[0, 2, 255, 54]).unwrap_err(), Malformed, cut);
    told(bytes(&[0, 2, 255, 52, 255]).unwrap_err(), NotUtf8, "the bytes of a packet of Engine.IO are no UTF-8");
    let error = engine_io::decode_binary_payload(Version::Eio4, &Bytes::from_static(b"6"), &limits).unwrap_err();
    told(error, Malformed, "a polling payload of Engine.IO 4 is binary: it is a text");
}

#[test]
fn a_handshake_without_what_it_must_have_is_refused() {
    for (handshake, sentence) in [
        ("{}", "the handshake of Engine.IO has no `sid`"),
        (r#"{"sid":""}"#, "the handshake of Engine.IO has no `sid`"),
        (r#"{"sid":1}"#, "the handshake of Engine.IO has no `sid`"),
        (r#"{"sid":"s"}"#, "the handshake of Engine.IO has no `pingInterval`"),
        (r#"{"sid":"s","pingInterval":-1}"#, "the handshake of Engine.IO has no `pingInterval`"),
        (r#"{"sid":"s","pingInterval":1}"#, "the handshake of Engine.IO has no `pingTimeout`"),
        (r#"{"sid":"s","upgrades":1}"#, "the handshake of Engine.IO has `upgrades` that are no array"),
        ("[]", "the JSON of an OPEN packet is not an object"),
    ] {
        let mut client = Client::over_websocket(Version::Eio4, Limits::default());
        let error = client.on_text(0, &format!("0{handshake}"), &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), sentence);
    }
    // What no integer holds is as long as can be.
    let mut client = Client::over_websocket(Version::Eio4, Limits::default());
    client.on_text(0, r#"0{"sid":"s","pingInterval":1e300,"pingTimeout":1.5}"#, &mut Vec::new()).unwrap();
    let handshake = client.handshake().unwrap();
    assert_eq!((handshake.ping_interval_ns(), handshake.ping_timeout_ns()), (u64::MAX, 1_000_000));
    for early in ["40", "2", "6"] {
        let mut client = Client::over_websocket(Version::Eio4, Limits::default());
        let error = client.on_text(0, early, &mut Vec::new()).unwrap_err();
        told(error, ErrorKind::WrongOrder, "a packet came before the handshake of Engine.IO");
    }
}

#[test]
fn what_happened_before_an_error_in_a_payload_is_told() {
    let mut client = Client::over_polling(Version::Eio4, Limits::default());
    let mut happened = Vec::new();
    client.on_text_payload(0, OPEN, &mut happened).unwrap();
    client.connect("/", &Connect::default()).unwrap();
    let body = "40{\"sid\":\"x\"}\u{1e}42[\"a\"]\u{1e}4x\u{1e}42[\"b\"]";
    let error = client.on_text_payload(0, body, &mut happened).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownType);
    assert!(client.is_closed());
    assert!(matches!(happened.as_slice(), [Happened::Opened(_), Happened::Connected { .. }, Happened::Event { .. }]));
}

#[track_caller]
fn limited<T: std::fmt::Debug>(outcome: Result<T, ProtocolError>, limit: Limit, sentence: &str) {
    let error = outcome.unwrap_err();
    assert!(matches!(&error, ProtocolError::Limit(exceeded) if exceeded.limit == limit), "{error:?}");
    assert_eq!(error.to_string(), sentence);
    assert!(sentence.contains(limit.as_str()));
}

#[test]
fn every_limit_is_met_exactly_and_named() {
    let all = Limits::default();
    let v4 = Version::Eio4;

    let limits = Limits { packet_bytes: 4, ..all };
    let sentence = "more than 4 bytes of a packet: the limit `packet_bytes`";
    assert!(engine_io::decode_text(v4, "4äx", &limits).is_ok());
    limited(engine_io::decode_text(v4, "4ää", &limits), Limit::PacketBytes, sentence);
    assert!(engine_io::decode_text(v4, "bAAAAAA==", &limits).is_ok());
    limited(engine_io::decode_text(v4, "bAAAAAAA=", &limits), Limit::PacketBytes, sentence);
    let huge = format!("b{}", "!".repeat(1_000));
    limited(engine_io::decode_text(v4, &huge, &limits), Limit::PacketBytes, sentence);
    limited(engine_io::decode_binary(v4, Bytes::from_static(b"12345"), &limits), Limit::PacketBytes, sentence);

    let sentence = "more than 100 bytes of a packet: the limit `packet_bytes`";
    let mut client = connected(Limits { packet_bytes: 100, ..all });
    // With `42["e",""]` around it.
    client.emit("/", "e", &Arguments::of(vec!["x".repeat(90).into()])).unwrap();
    let emitted = client.emit("/", "e", &Arguments::of(vec!["x".repeat(91).into()]));
    limited(emitted, Limit::PacketBytes, sentence);
    let mut arguments = Arguments::default();
    let place = arguments.attach(Bytes::from(vec![0; 101]));
    arguments.values.push(place);
    limited(client.emit("/", "e", &arguments), Limit::PacketBytes, sentence);

    let limits = Limits { attachments: 2, ..all };
    let sentence = "more than 2 attachments of a packet: the limit `attachments`";
    assert!(socket_io::decode(v4, r#"52-["a"]"#, &limits).is_ok());
    for number in ["3", "99999999999999999999999999"] {
        let text = format!(r#"5{number}-["a"]"#);
        limited(socket_io::decode(v4, &text, &limits), Limit::Attachments, sentence);
    }
    let mut three = Arguments::default();
    for _ in 0..3 {
        let place = three.attach(Bytes::from_static(b"12345"));
        three.values.push(place);
    }
    limited(connected(limits).emit("/", "e", &three), Limit::Attachments, sentence);

    let limits = Limits { attachment_bytes: 10, ..all };
    let sentence = "more than 10 bytes of a packet's attachments: the limit `attachment_bytes`";
    let Ok(Decoded::Waiting(waiting)) = socket_io::decode(v4, r#"53-["a"]"#, &limits) else { panic!() };
    let Ok(Decoded::Waiting(waiting)) = waiting.attach(Bytes::from_static(b"12345"), &limits) else { panic!() };
    assert_eq!(waiting.missing(), 2);
    limited(waiting.attach(Bytes::from_static(b"123456"), &limits), Limit::AttachmentBytes, sentence);
    limited(connected(limits).emit("/", "e", &three), Limit::AttachmentBytes, sentence);

    let limits = Limits { namespace_bytes: 4, ..all };
    let sentence = "more than 4 bytes of a namespace: the limit `namespace_bytes`";
    assert!(socket_io::decode(v4, "1/abc,", &limits).is_ok());
    limited(socket_io::decode(v4, "1/abcd,", &limits), Limit::NamespaceBytes, sentence);
    limited(connected(limits).connect("/abcd", &Connect::default()), Limit::NamespaceBytes, sentence);
    let query = Content::Connect(Connect { query: Some("xy".to_owned()), payload: None });
    let packet = socket_io::Packet { namespace: "/a".to_owned(), content: query };
    limited(socket_io::encode(Version::Eio3, &packet, &limits), Limit::NamespaceBytes, sentence);

    let limits = Limits { session_id_bytes: 3, ..all };
    let sentence = "more than 3 bytes of a session id: the limit `session_id_bytes`";
    let long = r#"0{"sid":"long","pingInterval":1,"pingTimeout":1}"#;
    limited(engine_io::decode_text(v4, long, &limits), Limit::SessionIdBytes, sentence);
    let mut client = connected(limits);
    client.connect("/a", &Connect::default()).unwrap();
    limited(client.on_text(0, r#"40/a,{"sid":"long"}"#, &mut Vec::new()), Limit::SessionIdBytes, sentence);

    let limits = Limits { json_depth: 2, ..all };
    let sentence = "more than 2 levels that JSON is nested: the limit `json_depth`";
    assert!(socket_io::decode(v4, r#"2["a",[1]]"#, &limits).is_ok());
    limited(socket_io::decode(v4, r#"2["a",[[]]]"#, &limits), Limit::JsonDepth, sentence);
    let deep = Arguments::of(vec![json!([1]), json!([[]])]);
    limited(connected(limits).emit("/", "e", &deep), Limit::JsonDepth, sentence);
    let nested = (0..100_000).fold(json!(1), |inner, _| Value::Array(vec![inner]));
    let deep = Arguments::of(vec![nested]);
    let sentence = "more than 127 levels that JSON is nested: the limit `json_depth`";
    limited(connected(all).emit("/", "e", &deep), Limit::JsonDepth, sentence);
    // Dropped level by level: a value of 100 000 levels is nothing that a stack holds.
    let mut rest = deep.values;
    while let Some(Value::Array(inner)) = rest.pop() {
        rest = inner;
    }

    let limits = Limits { payload_packets: 2, ..all };
    let sentence = "more than 2 packets of a polling payload: the limit `payload_packets`";
    let packets = engine_io::decode_text_payload(v4, "6\u{1e}6\u{1e}6", &limits).unwrap();
    limited(packets.collect::<Result<Vec<_>, _>>(), Limit::PayloadPackets, sentence);

    let limits = Limits { payload_bytes: 4, ..all };
    let sentence = "more than 4 bytes of a polling payload: the limit `payload_bytes`";
    limited(engine_io::decode_text_payload(v4, "6\u{1e}6\u{1e}6", &limits), Limit::PayloadBytes, sentence);
    let noops = [Packet::Noop, Packet::Noop, Packet::Noop];
    let encoded = engine_io::encode_payload(v4, &noops, PayloadForm::AsNeeded, &limits);
    limited(encoded, Limit::PayloadBytes, sentence);

    let mut client = connected(Limits { namespaces: 2, ..all });
    client.connect("/a", &Connect::default()).unwrap();
    let sentence = "more than 2 namespaces of a connection: the limit `namespaces`";
    limited(client.connect("/b", &Connect::default()), Limit::Namespaces, sentence);

    let mut client = connected(Limits { acks_outstanding: 1, ..all });
    assert_eq!(client.emit_with_ack("/", "e", &Arguments::default()), Ok(0));
    let sentence = "more than 1 acks that a connection waits for: the limit `acks_outstanding`";
    limited(client.emit_with_ack("/", "e", &Arguments::default()), Limit::AcksOutstanding, sentence);
    client.on_text(0, "430[]", &mut Vec::new()).unwrap();
    assert_eq!(client.emit_with_ack("/", "e", &Arguments::default()), Ok(1));

    let mut client = connected(Limits { queued_packets: 3, ..all });
    let sentence = "more than 3 packets that wait to be sent: the limit `queued_packets`";
    // All messages of a packet, or none.
    limited(client.emit_with_ack("/", "e", &three), Limit::QueuedPackets, sentence);
    assert_eq!((client.queued_packets(), client.acks_outstanding()), (0, 0));
    limited(Client::emit(&mut client, "/", "e", &three), Limit::QueuedPackets, sentence);
    (0..3).for_each(|_| client.emit("/", "e", &Arguments::default()).unwrap());
    limited(client.connect("/a", &Connect::default()), Limit::QueuedPackets, sentence);
    limited(client.disconnect("/"), Limit::QueuedPackets, sentence);
    while client.next_frame().is_some() {}
    client.connect("/a", &Connect::default()).unwrap();
    client.disconnect("/").unwrap();
}
