//! One connection of a client: what arrived and what time it is go in, what happened and what to send come out.
//!
//! Over a WebSocket:
//! 1. Open it at the path of the server with [`session_query`](crate::engine_io::session_query).
//! 2. Give each message to [`Client::on_text`] or [`Client::on_binary`], and the time, at the latest at
//!    [`Client::next_deadline_ns`], to [`Client::on_time`].
//! 3. After each call of any kind send what [`Client::next_frame`] gives, until it gives nothing.
//! 4. After [`Happened::Opened`] call [`Client::connect`]; after [`Happened::Connected`], [`Client::emit`].
//! 5. When [`Client::is_closed`] says so, close the WebSocket.
//!
//! Over long-polling: GET as long as [`Client::may_poll`], one at a time, and give each body to
//! [`Client::on_text_payload`] or [`Client::on_binary_payload`]; the first is the handshake. POST what
//! [`Client::next_payload`] gives, one at a time. Afterwards the session may be upgraded: [`Client::probe`].

mod close;
mod deliver;
mod happened;
mod heartbeat;
mod namespaces;
mod queue;
mod receive;
mod send;
mod upgrade;

use heartbeat::Heartbeat;
use namespaces::Namespaces;
use queue::Queue;

pub use happened::{AnswerTo, CloseReason, Happened};

use crate::engine_io::Handshake;
use crate::limits::Limits;
use crate::socket_io::Waiting;
use crate::version::Version;

/// One connection. Instants are nanoseconds of one clock of the caller's that never goes back.
///
/// ```
/// use nuncius_socketio::engine_io::Wire;
/// use nuncius_socketio::socket_io::{Arguments, Connect};
/// use nuncius_socketio::{Client, Happened, Limits, ProtocolError, Version};
///
/// let mut client = Client::over_websocket(Version::Eio4, Limits::default());
/// let mut happened = Vec::new();
/// client.on_text(0, r#"0{"sid":"S","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#, &mut happened)?;
/// client.connect("/", &Connect::default())?;
/// assert_eq!(client.next_frame(), Some(Wire::Text("40".to_owned())));
/// client.on_text(1_000, r#"40{"sid":"T"}"#, &mut happened)?;
/// let id = client.emit_with_ack("/", "join", &Arguments::of(vec!["room".into()]))?;
/// assert_eq!(client.next_frame(), Some(Wire::Text(r#"420["join","room"]"#.to_owned())));
/// client.on_text(2_000, r#"430["welcome"]"#, &mut happened)?;
/// let arguments = Arguments::of(vec!["welcome".into()]);
/// assert_eq!(happened.pop(), Some(Happened::Acknowledged { namespace: "/".to_owned(), id, arguments }));
/// # Ok::<(), ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct Client {
    version: Version,
    limits: Limits,
    session: Session,
    /// Kept beyond the end: the last POST needs its session id.
    handshake: Option<Handshake>,
    carrier: Carrier,
    namespaces: Namespaces,
    /// A packet whose attachments are coming.
    waiting: Option<Waiting>,
    queue: Queue,
}

/// How far the session of Engine.IO is.
#[derive(Debug)]
enum Session {
    Opening,
    Open(Heartbeat),
    Closed,
}

/// What carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Websocket,
    Polling,
    /// Polling, while a WebSocket was asked whether it works.
    Probing,
    /// Polling that is to end: the WebSocket works.
    Pausing,
}
