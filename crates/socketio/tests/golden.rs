//! What the parsers of socket.io itself write and take, by the files in `golden/`, which `golden/make.mjs` makes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the lints know only #[test] functions"
)]

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use nuncius_socketio::engine_io::{self, Handshake, Packet, PayloadForm, Wire};
use nuncius_socketio::socket_io::{self, Ack, Arguments, Connect, Content, Decoded, Event};
use nuncius_socketio::{Limits, Transport, Version};
use serde_json::Value;

const VERSIONS: [(Version, &str, &str); 2] = [
    (Version::Eio3, include_str!("golden/engine_io_3.json"), include_str!("golden/socket_io_4.json")),
    (Version::Eio4, include_str!("golden/engine_io_4.json"), include_str!("golden/socket_io_5.json")),
];

fn cases(file: &str, key: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).unwrap();
    let cases = file[key].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "{key}");
    cases
}

fn bytes(base64: &Value) -> Bytes {
    STANDARD.decode(base64.as_str().unwrap()).unwrap().into()
}

fn wire(value: &Value) -> Wire {
    match value["text"].as_str() {
        Some(text) => Wire::Text(text.to_owned()),
        None => Wire::Binary(bytes(&value["binary"])),
    }
}

/// A packet of Engine.IO as the files describe it.
fn engine_packet(value: &Value) -> Packet<'static> {
    let text = || value["text"].as_str().unwrap_or_default().to_owned().into();
    match value["type"].as_str().unwrap() {
        "open" => {
            let handshake = &value["handshake"];
            Packet::Open(Handshake {
                session_id: handshake["sid"].as_str().unwrap().to_owned(),
                upgrades: handshake["upgrades"].as_array().unwrap().iter().map(|_| Transport::Websocket).collect(),
                ping_interval_ms: handshake["pingInterval"].as_u64().unwrap(),
                ping_timeout_ms: handshake["pingTimeout"].as_u64().unwrap(),
                max_payload_bytes: handshake["maxPayload"].as_u64(),
            })
        }
        "close" => Packet::Close,
        "ping" => Packet::Ping(text()),
        "pong" => Packet::Pong(text()),
        "message" if value["binary"].is_string() => Packet::Binary(bytes(&value["binary"])),
        "message" => Packet::Text(text()),
        "upgrade" => Packet::Upgrade,
        "noop" => Packet::Noop,
        other => panic!("{other}"),
    }
}

#[test]
fn frames_are_read_and_written_as_the_parsers_of_engine_io_do() {
    let limits = Limits::default();
    for (version, file, _) in VERSIONS {
        for case in cases(file, "frames") {
            let (packet, frame) = (engine_packet(&case["packet"]), wire(&case["frame"]));
            let read = match &frame {
                Wire::Text(text) => engine_io::decode_text(version, text, &limits),
                Wire::Binary(data) => engine_io::decode_binary(version, data.clone(), &limits),
            };
            assert_eq!(read.as_ref(), Ok(&packet), "{version:?} {case}");
            // Binary data goes as a binary frame; that in base64 is what payloads are checked with.
            if !(matches!(packet, Packet::Binary(_)) && matches!(frame, Wire::Text(_))) {
                assert_eq!(engine_io::encode_frame(version, &packet), frame, "{version:?} {case}");
            }
        }
    }
}

/// The packets of a body, or that something is wrong with it.
fn packets_of(version: Version, body: &Wire, limits: &Limits) -> Option<Vec<Packet<'static>>> {
    let packets = match body {
        Wire::Text(text) => engine_io::decode_text_payload(version, text, limits),
        Wire::Binary(data) => engine_io::decode_binary_payload(version, data, limits),
    };
    packets.ok()?.map(|packet| packet.ok().map(Packet::into_owned)).collect()
}

#[test]
fn payloads_are_read_and_written_as_the_parsers_of_engine_io_do() {
    let limits = Limits::default();
    for (version, file, _) in VERSIONS {
        for case in cases(file, "bodies") {
            let packets: Vec<_> = case["packets"].as_array().unwrap().iter().map(engine_packet).collect();
            let body = wire(&case["body"]);
            assert_eq!(packets_of(version, &body, &limits).as_ref(), Some(&packets), "{version:?} {case}");
            let form = match case["form"].as_str() {
                Some("decode only") => continue,
                Some("text") => PayloadForm::Text,
                Some("bytes") => PayloadForm::Bytes,
                Some("as needed") | None => PayloadForm::AsNeeded,
                Some(other) => panic!("{other}"),
            };
            assert_eq!(engine_io::encode_payload(version, &packets, form, &limits), Ok(body), "{version:?} {case}");
        }
    }
}

/// Compares what is taken here with what the parser takes, both ways.
fn compare(version: Version, judged: impl IntoIterator<Item = (String, bool, bool)>, [more, less]: [&[&str]; 2]) {
    let (mut taken_here, mut refused_here) = (BTreeSet::new(), BTreeSet::new());
    for (text, is_taken_there, is_taken_here) in judged {
        match (is_taken_there, is_taken_here) {
            (false, true) => taken_here.insert(text),
            (true, false) => refused_here.insert(text),
            (true, true) | (false, false) => continue,
        };
    }
    let named = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(taken_here, named(more), "{version:?}: taken here and refused there");
    assert_eq!(refused_here, named(less), "{version:?}: refused here and taken there");
}

#[test]
fn frames_and_payloads_are_refused_where_the_parsers_of_engine_io_do_but_for_known_ones() {
    let limits = Limits::default();
    for (version, file, _) in VERSIONS {
        let judged = cases(file, "judged").into_iter().map(|case| {
            let frame = case["frame"].as_str().unwrap();
            let here = engine_io::decode_text(version, frame, &limits).is_ok();
            (frame.to_owned(), case["taken"].as_bool().unwrap(), here)
        });
        // Base64 that is cut, and data where there is none.
        let less: &[&str] = match version {
            Version::Eio3 => &["b4AAA", "1x", "5x", "6x"],
            Version::Eio4 => &["b=", "bAA", "bAAA", "b!!!!", "1x", "5x", "6x"],
        };
        compare(version, judged, [&[], less]);
        let judged = cases(file, "judged_bodies").into_iter().map(|case| {
            let body = match case["body"].as_str() {
                Some(text) => Wire::Text(text.to_owned()),
                None => wire(&case["body"]),
            };
            let here = packets_of(version, &body, &limits).is_some();
            (case["body"].to_string(), case["taken"].as_bool().unwrap(), here)
        });
        // A length that is no digits, base64 that is cut, and a binary heartbeat.
        let less: &[&str] = match version {
            Version::Eio3 => &[r#"{"text":"1e0:6"}"#, r#"{"text":"5:b4AA="}"#, r#"{"binary":"AQH/Ag=="}"#],
            Version::Eio4 => &[],
        };
        compare(version, judged, [&[], less]);
    }
}

/// A packet of Socket.IO as the files describe it.
fn socket_packet(version: Version, case: &Value) -> socket_io::Packet {
    let packet = &case["packet"];
    let attachments = case["attachments"].as_array().unwrap().iter().map(bytes).collect();
    let data = packet.get("data").cloned();
    let values = || data.as_ref().unwrap().as_array().unwrap().clone();
    let mut namespace = packet["nsp"].as_str().unwrap().to_owned();
    let content = match packet["type"].as_str().unwrap() {
        "CONNECT" => {
            let mut query = None;
            if version == Version::Eio3
                && let Some((path, after)) = namespace.clone().split_once('?')
            {
                (namespace, query) = (path.to_owned(), Some(after.to_owned()));
            }
            Content::Connect(Connect { query, payload: data.as_ref().map(|data| data.as_object().unwrap().clone()) })
        }
        "DISCONNECT" => Content::Disconnect,
        "EVENT" => {
            let mut values = values();
            let name = values.remove(0).as_str().unwrap().to_owned();
            let arguments = Arguments { values, attachments };
            Content::Event(Event { name, arguments, ack_id: packet["id"].as_u64() })
        }
        "ACK" => {
            let arguments = Arguments { values: values(), attachments };
            Content::Ack(Ack { id: packet["id"].as_u64().unwrap(), arguments })
        }
        "CONNECT_ERROR" | "ERROR" => Content::Error(data.unwrap()),
        other => panic!("{other}"),
    };
    socket_io::Packet { namespace, content }
}

#[test]
fn packets_are_read_and_written_as_the_parsers_of_socket_io_do() {
    let limits = Limits::default();
    for (version, _, file) in VERSIONS {
        for case in cases(file, "packets") {
            let packet = socket_packet(version, &case);
            let text = case["text"].as_str().unwrap();
            let mut read = socket_io::decode(version, text, &limits).unwrap_or_else(|error| panic!("{case}: {error}"));
            for data in case["attachments"].as_array().unwrap() {
                let Decoded::Waiting(waiting) = read else { panic!("{case}") };
                read = waiting.attach(bytes(data), &limits).unwrap();
            }
            assert_eq!(read, Decoded::Whole(packet.clone()), "{version:?} {case}");
            let attachments = case["attachments"].as_array().unwrap().iter().map(|data| Packet::Binary(bytes(data)));
            let written: Vec<_> = std::iter::once(Packet::Text(text.to_owned().into())).chain(attachments).collect();
            assert_eq!(socket_io::encode(version, &packet, &limits), Ok(written), "{version:?} {case}");
        }
    }
}

#[test]
fn packets_are_refused_where_the_parsers_of_socket_io_do_but_for_known_ones() {
    let limits = Limits::default();
    for (version, _, file) in VERSIONS {
        let judged = cases(file, "judged").into_iter().map(|case| {
            let text = case["text"].as_str().unwrap();
            let here = socket_io::decode(version, text, &limits).is_ok();
            (text.to_owned(), case["taken"].as_bool().unwrap(), here)
        });
        // What ends before its data, an ack without a number, a number of an ack on what is none.
        let cut = [
            "",
            "2",
            "20",
            "2/admin",
            "2/admin,",
            r#"2/admin["a"]"#,
            "3",
            "31",
            "3[]",
            "4",
            "41",
            "51-",
            "61-[]",
            "01",
            "10",
        ];
        let of_version: [&[&str]; 2] = match version {
            // Objects alone, where JavaScript calls arrays and nothing objects as well.
            Version::Eio3 => [&[], &["0[]", "0null"]],
            // Names that clients keep for themselves do no harm.
            Version::Eio4 => [&[r#"2["connect"]"#, r#"2["disconnect"]"#], &[]],
        };
        let less: Vec<&str> = cut.iter().chain(of_version[1]).copied().collect();
        compare(version, judged, [of_version[0], &less]);
    }
}
