//! Engine.IO: packets, and how a WebSocket and long-polling carry them.
//!
//! Written after the protocols of [revision 4] and [revision 3] and checked against `engine.io-parser` 5 and 2.
//!
//! [revision 4]: https://github.com/socketio/engine.io-protocol
//! [revision 3]: https://github.com/socketio/engine.io-protocol/tree/v3

mod frame;
mod handshake;
mod packet;
mod payload;
mod query;
mod wire;

pub use frame::{decode_binary, decode_text, encode_frame};
pub use handshake::Handshake;
pub use packet::Packet;
pub(crate) use payload::count_within;
pub use payload::{Packets, PayloadForm, decode_binary_payload, decode_text_payload, encode_payload};
pub use query::session_query;
pub use wire::Wire;
