//! WebSocket against a server that does what the path says, and tells what has come.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nuncius_schemas::metric::{FailureKind, Series};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::support::{Outcome, Run};

/// What a server has seen.
#[derive(Debug, Default)]
struct Seen {
    opened: AtomicU64,
    messages: AtomicU64,
    pongs: AtomicU64,
    /// Codes of closes that came from the client.
    closed: Mutex<Vec<u16>>,
    heads: Mutex<Vec<String>>,
    texts: Mutex<Vec<String>>,
}

struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
}

impl Server {
    fn start() -> Self {
        let seen = Arc::new(Seen::default());
        let (told, address) = std::sync::mpsc::channel();
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    tokio::spawn(serve(socket, Arc::clone(&shared)));
                }
            });
        });
        Self { address: address.recv().unwrap(), seen }
    }

    fn messages(&self) -> u64 {
        self.seen.messages.load(Ordering::SeqCst)
    }

    fn once(&self, fields: &str) -> Outcome {
        Run::sessions(self.address, &format!("users: 1, iterations: 1, {fields}")).go()
    }
}

/// The path of the request that waits to be read.
async fn peeked_path(socket: &TcpStream) -> String {
    let mut bytes = [0; 4096];
    let read = socket.peek(&mut bytes).await.unwrap_or(0);
    let head = String::from_utf8_lossy(&bytes[..read]).into_owned();
    head.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// Answers the upgrade, and then writes bytes that are whatever they are.
async fn upgraded_raw(mut socket: TcpStream, bytes: &[u8]) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if socket.read_exact(&mut byte).await.is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    socket.write_all(answer.as_bytes()).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    // Until the other side has had enough.
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest).await;
}

#[expect(clippy::result_large_err, reason = "the library has it so")]
fn upgrade(seen: &Seen, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let mut head = format!("{} {path}\n", request.method());
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
    }
    seen.heads.lock().unwrap().push(head);
    if path.starts_with("/refuse") {
        return Err(http::Response::builder().status(403).body(None).unwrap());
    }
    response.headers_mut().insert("set-cookie", "seat=12".parse().unwrap());
    response.headers_mut().insert("x-room", "7".parse().unwrap());
    if path.starts_with("/chosen") {
        response.headers_mut().insert("sec-websocket-protocol", "chat".parse().unwrap());
    }
    Ok(response)
}

async fn serve(mut socket: TcpStream, seen: Arc<Seen>) {
    let path = peeked_path(&socket).await;
    match path.as_str() {
        "/silent" => {
            let mut rest = Vec::new();
            let _ = socket.read_to_end(&mut rest).await;
            return;
        }
        "/html" => {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
            return;
        }
        "/cut" => return,
        // A frame that says it has a gigabyte.
        "/gigabyte" => return upgraded_raw(socket, &[0x82, 127, 0, 0, 0, 0, 0x40, 0, 0, 0]).await,
        // An opcode that there is none of, a masked frame, a control frame in pieces, a text that is no UTF-8.
        "/opcode" => return upgraded_raw(socket, &[0x83, 0]).await,
        "/masked" => return upgraded_raw(socket, &[0x81, 0x81, 1, 2, 3, 4, 5]).await,
        "/pieces" => return upgraded_raw(socket, &[0x09, 0]).await,
        "/utf8" => return upgraded_raw(socket, &[0x81, 2, 0xc3, 0x28]).await,
        "/half" => {
            let upgraded = upgraded_raw(socket, &[0x81, 100, b'x']);
            let _ = tokio::time::timeout(Duration::from_millis(50), upgraded).await;
            return;
        }
        _ => {}
    }
    #[expect(clippy::result_large_err, reason = "the library's own type of callback")]
    let callback = |request: &Request, response: Response| upgrade(&seen, request, response);
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(socket, callback).await else { return };
    seen.opened.fetch_add(1, Ordering::SeqCst);
    if let Some(code) = path.strip_prefix("/close/") {
        let code = CloseCode::from(code.parse::<u16>().unwrap());
        let _ = socket.close(Some(CloseFrame { code, reason: "".into() })).await;
    }
    if path == "/drop" {
        return;
    }
    if path == "/push" {
        for number in 0..5 {
            let text =
                format!("{{\"number\": {number}, \"kind\": \"{}\"}}", if number == 3 { "wanted" } else { "other" });
            let _ = socket.send(Message::text(text)).await;
        }
    }
    if path == "/ping" {
        for _ in 0..3 {
            let _ = socket.send(Message::Ping("x".into())).await;
            match socket.next().await {
                Some(Ok(Message::Pong(_))) => seen.pongs.fetch_add(1, Ordering::SeqCst),
                other => panic!("{other:?}"),
            };
        }
        let _ = socket.send(Message::text("done")).await;
    }
    if path == "/flood" {
        let _ = socket.next().await;
        for _ in 0..600 {
            let _ = socket.feed(Message::text("drop")).await;
        }
        let _ = socket.send(Message::Ping("x".into())).await;
        if let Ok(Some(Ok(Message::Pong(_)))) = tokio::time::timeout(Duration::from_millis(700), socket.next()).await {
            seen.pongs.fetch_add(1, Ordering::SeqCst);
        }
    }
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(text) => {
                seen.messages.fetch_add(1, Ordering::SeqCst);
                seen.texts.lock().unwrap().push(text.to_string());
                if path != "/deaf" {
                    let _ = socket.send(Message::Text(text)).await;
                }
            }
            Message::Binary(bytes) => {
                seen.messages.fetch_add(1, Ordering::SeqCst);
                let _ = socket.send(Message::text(format!("{bytes:?}"))).await;
            }
            Message::Close(frame) => {
                let code = frame.map_or(1_005, |frame| frame.code.into());
                seen.closed.lock().unwrap().push(code);
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

#[test]
fn a_connection_is_opened_used_and_closed_and_each_message_counts() {
    let server = Server::start();
    let outcome = server.once(
        "steps: [{ws: {connect: /echo?a=1, query: {b: '{{ iteration() }}'}, headers: {X-A: 'v{{ iteration() }}'}, \
         capture: {room: {header: X-Room}}, checks: [{status: 101}]}}, \
         {ws: {json: {room: '{{ room }}', n: '{{ 1 + 1 }}'}, wait: [{json: $.n, exists: true}], \
         capture: {n: {json: $.n}}, checks: [{json: $.room, equals: '7'}, {time: , below: 5s}]}}, \
         {ws: {send: 'n is {{ n }}', wait: []}}, {ws: {binary: 'AAEC', wait: [{body: , matches: 'x01'}]}}, \
         {ws: {close: 1001}}]",
    );
    assert_eq!(*server.seen.texts.lock().unwrap(), [r#"{"n":2,"room":"7"}"#, "n is 2"]);
    let head = server.seen.heads.lock().unwrap()[0].to_ascii_lowercase();
    assert!(
        head.starts_with("get /echo?a=1&b=0\n") && head.contains("x-a: v0") && head.contains("user-agent: "),
        "{head}"
    );
    assert_eq!(*server.seen.closed.lock().unwrap(), [1_001]);
    let ended: Vec<(u64, u64)> = outcome.all().iter().map(|step| (step.succeeded, step.failed)).collect();
    assert_eq!(ended, [(1, 0); 6], "{:?}", outcome.steps);
    assert_eq!(outcome.steps[0].statuses, [(101, 1)].into());
    assert_eq!(outcome.steps[1].checks.values().copied().collect::<Vec<_>>(), [(1, 0), (1, 0)]);
    assert_eq!(outcome.steps[1].bytes_sent, 18);
    let meters = [("ws_messages_received", 3), ("ws_messages_sent", 3), ("ws_session_duration", 1)];
    assert_eq!(outcome.meters, meters.map(|(name, count)| (name.to_owned(), count)).into());
    assert_eq!(server.messages(), 3);
}

#[test]
fn a_message_that_is_waited_for_is_told_from_others_by_what_holds_for_it() {
    let server = Server::start();
    let outcome = server.once(
        "steps: [{ws: {connect: /push}}, {ws: {wait: [{json: $.kind, equals: wanted}], capture: {count: {json: $.number}}}}, \
         {ws: {send: 'number {{ count }}', wait: [{body: , matches: '^number'}]}}]",
    );
    assert_eq!(*server.seen.texts.lock().unwrap(), ["number 3"]);
    assert_eq!(outcome.all().last().unwrap().succeeded, 1);
    // Those that were passed over are counted, too.
    assert_eq!(outcome.meters["ws_messages_received"], 6);
}

#[test]
fn pings_are_answered_while_the_user_thinks_and_while_it_waits_for_something_else() {
    let server = Server::start();
    let outcome = server.once(
        "steps: [{ws: {connect: /ping}}, {think: 300ms}, {ws: {wait: [{body: , equals: done}], timeout: 5s}}, \
         {ws: {connect: /echo, as: other}}, {ws: {send: x, wait: [], on: other}}]",
    );
    assert_eq!(server.seen.pongs.load(Ordering::SeqCst), 3);
    let wait = &outcome.all()[1];
    assert_eq!(wait.succeeded, 1);
    // It came while the user was thinking: there was nothing to wait for.
    assert!(wait.of(Series::Service).summary().max_ns < 100_000_000, "{}", wait.of(Series::Service).summary().max_ns);
}

#[test]
fn who_has_taken_the_first_message_of_a_flood_answers_pings_while_it_thinks() {
    let server = Server::start();
    let outcome = server.once("steps: [{ws: {connect: /flood}}, {ws: {send: go, wait: []}}, {think: 1500ms}]");
    assert_eq!(outcome.all()[1].succeeded, 1);
    assert_eq!(server.seen.pongs.load(Ordering::SeqCst), 1);
    assert_eq!(outcome.meters["ws_messages_received"], 600);
}

#[test]
fn what_ends_a_connection_is_named_and_ends_the_iteration() {
    let server = Server::start();
    let cases: &[(&str, usize, FailureKind, &str)] = &[
        ("{ws: {connect: /silent, timeout: 100ms}}", 0, FailureKind::Timeout, "not answered within the timeout"),
        ("{ws: {connect: /html}}", 0, FailureKind::Status, "status 200"),
        ("{ws: {connect: /refuse}}", 0, FailureKind::Status, "status 403"),
        ("{ws: {connect: /cut}}", 0, FailureKind::Closed, ""),
        ("{ws: {connect: /echo, subprotocols: [chat]}}", 0, FailureKind::Protocol, "chose no subprotocol"),
        ("{ws: {send: x}}", 0, FailureKind::Closed, "no connection of this name"),
        (
            "{ws: {connect: /deaf}}, {ws: {send: x, wait: [], timeout: 50ms}}",
            1,
            FailureKind::Timeout,
            "no such message",
        ),
        ("{ws: {connect: /echo}}, {ws: {wait: [], timeout: 50ms}}", 1, FailureKind::Timeout, "no such message"),
        ("{ws: {connect: /close/1000}}, {ws: {wait: []}}", 1, FailureKind::Closed, "with code 1000"),
        ("{ws: {connect: /close/1008}}, {ws: {wait: []}}", 1, FailureKind::Closed, "with code 1008"),
        ("{ws: {connect: /close/3333}}, {ws: {wait: []}}", 1, FailureKind::Closed, "with code 3333"),
        ("{ws: {connect: /close/4999}}, {think: 20ms}, {ws: {send: x}}", 1, FailureKind::Closed, "with code 4999"),
        ("{ws: {connect: /drop}}, {ws: {wait: []}}", 1, FailureKind::Closed, ""),
        ("{ws: {connect: /half}}, {ws: {wait: []}}", 1, FailureKind::Closed, ""),
        ("{ws: {connect: /gigabyte}}, {ws: {wait: []}}", 1, FailureKind::BodyLimit, "body_limit"),
        ("{ws: {connect: /opcode}}, {ws: {wait: []}}", 1, FailureKind::Protocol, "unknown type"),
        ("{ws: {connect: /masked}}, {ws: {wait: []}}", 1, FailureKind::Protocol, "masked"),
        ("{ws: {connect: /pieces}}, {ws: {wait: []}}", 1, FailureKind::Protocol, "control frame"),
        ("{ws: {connect: /utf8}}, {ws: {wait: []}}", 1, FailureKind::Protocol, "UTF-8"),
        ("{ws: {connect: /echo}}, {ws: {binary: '?'}}", 1, FailureKind::Template, "base64"),
        (
            "{ws: {connect: /echo}}, {ws: {send: x, wait: [], capture: {a: {json: $.a}}}}",
            1,
            FailureKind::Capture,
            "`a`",
        ),
        (
            "{ws: {connect: /echo}}, {ws: {send: x, wait: [], checks: [{body: , equals: y}], on_check_failure: fail}}",
            1,
            FailureKind::Check,
            "body equals",
        ),
    ];
    for (steps, at, kind, text) in cases {
        let outcome = server.once(&format!("steps: [{steps}, {{name: never, get: /}}]"));
        let (found, count, sample) = outcome.all()[*at].failure();
        assert_eq!((found, count), (*kind, 1), "{steps}: {sample}");
        assert!(sample.contains(text), "{steps}: {sample}");
        assert_eq!(outcome.steps.last().unwrap().failed, 1, "{steps}");
    }
}

#[test]
fn a_subprotocol_is_offered_and_cookies_go_along_and_are_kept() {
    let server = Server::start();
    let outcome = server.once(
        "steps: [{ws: {connect: /chosen, subprotocols: [chat, plain]}}, {ws: {close: 1000}}, \
         {ws: {connect: 'ws://ADDRESS/echo'}}, {ws: {send: x, wait: []}}]"
            .replace("ADDRESS", &server.address.to_string())
            .as_str(),
    );
    let heads = server.seen.heads.lock().unwrap().clone();
    assert!(heads[0].contains("sec-websocket-protocol: chat, plain"), "{}", heads[0]);
    assert!(!heads[0].contains("cookie:") && heads[1].contains("cookie: seat=12"), "{}", heads[1]);
    assert_eq!(outcome.all().last().unwrap().succeeded, 1);
}

#[test]
fn what_the_end_of_an_iteration_leaves_open_is_closed_with_a_goodbye() {
    let server = Server::start();
    let outcome = Run::sessions(
        server.address,
        "users: 3, iterations: 30, steps: [{ws: {connect: /echo}}, \
         {ws: {send: x, wait: []}}]",
    )
    .go();
    assert_eq!(outcome.all().last().unwrap().succeeded, 30);
    let patience = std::time::Instant::now() + Duration::from_secs(10);
    while server.seen.closed.lock().unwrap().len() < 30 && std::time::Instant::now() < patience {
        std::thread::yield_now();
    }
    assert_eq!(*server.seen.closed.lock().unwrap(), [1_000; 30]);
    assert_eq!(outcome.meters["ws_session_duration"], 30);
    assert_eq!((server.messages(), outcome.meters["ws_messages_sent"]), (30, 30));
}

#[test]
fn several_connections_at_once_have_names_and_branches_wait_for_their_own() {
    let server = Server::start();
    let outcome = server.once(
        "steps: [{ws: {connect: /echo, as: one}}, {ws: {connect: /echo, as: two}}, \
         {parallel: {branches: [[{ws: {send: to one, on: one, wait: [{body: , equals: to one}]}}], \
         [{ws: {send: to two, on: two, wait: [{body: , equals: to two}]}}]]}}]",
    );
    let ended: Vec<(u64, u64)> = outcome.all().iter().map(|step| (step.succeeded, step.failed)).collect();
    assert_eq!(ended, [(1, 0); 5]);
    let mut texts = server.seen.texts.lock().unwrap().clone();
    texts.sort();
    assert_eq!(texts, ["to one", "to two"]);
}

#[test]
fn many_users_echo_and_what_was_sent_is_what_the_server_got() {
    let server = Server::start();
    let fields = "users: 20, iterations: 200, steps: [{ws: {connect: /echo}}, \
                  {loop: {count: 10, steps: [{ws: {send: 'm {{ loop.index }}', wait: []}}]}}]";
    let outcome = Run::sessions(server.address, fields).go();
    let echo = &outcome.all()[1];
    assert_eq!((echo.planned, echo.succeeded), (2_000, 2_000));
    assert_eq!((server.messages(), outcome.meters["ws_messages_received"]), (2_000, 2_000));
    assert_eq!(server.seen.opened.load(Ordering::SeqCst), 200);
}

#[test]
fn a_server_that_floods_takes_no_more_memory_than_an_inbox_has_and_all_is_counted() {
    let server = Server::start();
    let outcome = server.once(
        "steps: [{ws: {connect: /echo}}, {loop: {count: 1000, steps: [{ws: {send: x}}]}}, {think: 50ms}, \
         {ws: {send: last, wait: [{body: , equals: last}]}}]",
    );
    assert_eq!(outcome.all().last().unwrap().succeeded, 1);
    assert_eq!(outcome.meters["ws_messages_received"], 1_001);
}
