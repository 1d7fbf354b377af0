//! Names of events that clients keep for themselves: what happens to a connection has these names there.

use crate::error::{ProtocolError, shown};
use crate::version::Version;

/// Those of socket.io 3 and 4, of which the client refuses to send one and the server to read one.
const OF_EIO4: [&str; 6] = ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Those of socket.io 2, whose client takes them for its own and sends none.
const OF_EIO3: [&str; 13] = [
    "connect",
    "connect_error",
    "connect_timeout",
    "connecting",
    "disconnect",
    "error",
    "ping",
    "pong",
    "reconnect",
    "reconnect_attempt",
    "reconnect_error",
    "reconnect_failed",
    "reconnecting",
];

/// Whether clients keep an event of this name for themselves.
pub fn is_reserved(version: Version, name: &str) -> bool {
    let reserved = match version {
        Version::Eio3 => OF_EIO3.as_slice(),
        Version::Eio4 => OF_EIO4.as_slice(),
    };
    reserved.contains(&name)
}

/// Whether a client would send an event of this name.
pub(crate) fn check_name(version: Version, name: &str) -> Result<(), ProtocolError> {
    if is_reserved(version, name) {
        return Err(ProtocolError::ReservedName { name: shown(name), version });
    }
    Ok(())
}
