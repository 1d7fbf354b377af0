//! Engine.IO and Socket.IO as a client speaks them: texts and bytes in, packets out, and back.
//!
//! Everything here is a pure function of what it is given, time included: no I/O, no clock, no tokio, no library of
//! WebSockets. It must never open a connection, wait, or read the time; whoever drives it brings what arrived and when,
//! and takes what is to be sent. Nothing that a server sends makes it panic, or keep more than its [`Limits`] allow.
//!
//! Two pairs of protocols are known ([`Version`]): Engine.IO 4 with Socket.IO 5, which socket.io 3 and 4 speak, and
//! Engine.IO 3 with Socket.IO 4, which socket.io 1 and 2 speak.
//!
//! Layout: [`engine_io`] is the lower protocol (frames of a WebSocket, payloads of long-polling, the handshake);
//! [`socket_io`] is the one inside its messages (namespaces, events, acks, attachments); [`Client`] is one connection
//! on top of both: heartbeats, upgrade, namespaces and acks awaited.

mod client;
pub mod engine_io;
mod error;
mod json;
mod limits;
pub mod socket_io;
mod version;

pub use client::{AnswerTo, Client, CloseReason, Happened};
pub use error::{ErrorKind, ProtocolError};
pub use limits::{Exceeded, JSON_DEPTH_MAX, Limit, Limits};
pub use version::{Transport, Version};
