//! Socket.IO: packets, each one text message of Engine.IO and as many binary ones as it has attachments.
//!
//! A text is the type, a digit; the number of attachments and `-` in the binary types; the namespace and `,` unless it
//! is `/`; the number of the ack; JSON. Written after the protocols of [revision 5] and [revision 4] and checked
//! against `socket.io-parser` 4 and 3.
//!
//! [revision 5]: https://github.com/socketio/socket.io-protocol
//! [revision 4]: https://github.com/socketio/socket.io-protocol/tree/v4

mod arguments;
mod decode;
mod encode;
mod namespace;
mod packet;
mod reserved;

pub use arguments::{Arguments, placeholder};
pub use decode::{Decoded, Waiting, decode};
pub use encode::encode;
pub(crate) use encode::{encode_ack, encode_connect, encode_disconnect, encode_event};
pub use packet::{ACK_ID_MAX, Ack, Connect, Content, DEFAULT_NAMESPACE, Event, Packet};
pub(crate) use reserved::check_name;
pub use reserved::is_reserved;
