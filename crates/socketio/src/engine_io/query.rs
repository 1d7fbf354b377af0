//! The URL of a session.

use std::fmt::Write;

use crate::version::{Transport, Version};

/// The parameters of a URL that Engine.IO wants: `EIO=4&transport=websocket`, and `&sid=` of a session that has begun.
/// Parameters of one's own go beside them; the path is `/socket.io/` unless the server has another.
pub fn session_query(version: Version, transport: Transport, session_id: Option<&str>) -> String {
    let mut query = format!("EIO={}&transport={}", version.engine_io(), transport.as_str());
    if let Some(id) = session_id {
        query.push_str("&sid=");
        for byte in id.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                query.push(byte.into());
            } else {
                // Writing into a text never fails.
                let _ = write!(query, "%{byte:02X}");
            }
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_cannot_become_another_parameter() {
        let query = session_query(Version::Eio3, Transport::Polling, Some("a-B_9&EIO=4#ü"));
        assert_eq!(query, "EIO=3&transport=polling&sid=a-B_9%26EIO%3D4%23%C3%BC");
        assert_eq!(session_query(Version::Eio4, Transport::Websocket, None), "EIO=4&transport=websocket");
    }
}
