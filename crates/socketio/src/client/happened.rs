//! What happened to a connection.

use serde_json::Value;

use crate::engine_io::Handshake;
use crate::error::ProtocolError;
use crate::socket_io::Arguments;

/// What a packet, or the time, brought about.
#[derive(Debug, PartialEq)]
pub enum Happened {
    /// The session is there.
    Opened(Handshake),
    /// The server answered the connection to a namespace; in protocol 4 that to `/` comes without having been asked
    /// for.
    Connected {
        /// The namespace.
        namespace: String,
        /// Its session id there: protocol 5 alone.
        session_id: Option<String>,
    },
    /// The server refused the connection to a namespace, which may be tried again.
    ConnectRefused {
        /// The namespace.
        namespace: String,
        /// The server's words: a text, or an object with `message` and perhaps `data`.
        payload: Value,
    },
    /// An event of the server's.
    Event {
        /// The namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What follows the name.
        arguments: Arguments,
        /// The server waits for [`Client::answer`](crate::Client::answer) with this.
        answer: Option<AnswerTo>,
    },
    /// The server's answer to [`Client::emit_with_ack`](crate::Client::emit_with_ack).
    Acknowledged {
        /// The namespace.
        namespace: String,
        /// Which event it answers.
        id: u64,
        /// What it answers.
        arguments: Arguments,
    },
    /// An error of the server's in a namespace that is connected and stays so: protocol 4 alone.
    Error {
        /// The namespace.
        namespace: String,
        /// The server's words.
        payload: Value,
    },
    /// The server ended the connection to a namespace.
    Disconnected {
        /// The namespace.
        namespace: String,
        /// Acks that will not come any more.
        unanswered: Vec<u64>,
    },
    /// The WebSocket works: let the poll that is under way end, begin none, then call
    /// [`Client::upgrade`](crate::Client::upgrade).
    ProbeAnswered,
    /// The WebSocket does not work: close it. The session goes on over long-polling.
    ProbeFailed(ProtocolError),
    /// A packet that has no place here, as one for a namespace that is not connected, or an ack that came before. It
    /// changed nothing and the connection goes on, as it does with clients of socket.io.
    Refused(ProtocolError),
    /// The connection is over.
    Closed(CloseReason),
}

/// The number of an event that is to be answered, once.
#[derive(Debug, PartialEq, Eq)]
pub struct AnswerTo {
    pub(super) namespace: String,
    pub(super) id: u64,
}

impl AnswerTo {
    /// The namespace of the event.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The number that the server gave it.
    pub const fn id(&self) -> u64 {
        self.id
    }
}

/// Why a connection is over without an error in what arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The server said so.
    Server,
    /// No heartbeat came in time.
    HeartbeatMissed,
}
