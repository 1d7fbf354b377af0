//! Which protocols a connection speaks, and over what.

/// A pair of protocols that belong together. A client decides for one before it connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// Engine.IO 3 with Socket.IO 4: servers of socket.io 1 and 2, and newer ones that allow it (`allowEIO3`).
    Eio3,
    /// Engine.IO 4 with Socket.IO 5: servers of socket.io 3 and 4.
    Eio4,
}

impl Version {
    /// The number of the Engine.IO protocol, which the parameter `EIO` of the URL says.
    pub const fn engine_io(self) -> u8 {
        match self {
            Self::Eio3 => 3,
            Self::Eio4 => 4,
        }
    }

    /// The number of the Socket.IO protocol.
    pub const fn socket_io(self) -> u8 {
        match self {
            Self::Eio3 => 4,
            Self::Eio4 => 5,
        }
    }

    /// What people know servers of it as.
    pub(crate) const fn servers(self) -> &'static str {
        match self {
            Self::Eio3 => "socket.io 1 and 2",
            Self::Eio4 => "socket.io 3 and 4",
        }
    }
}

/// What carries a session of Engine.IO. A [`Client`](crate::Client) speaks over the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// HTTP long-polling: GET waits for packets, POST brings some.
    Polling,
    /// A WebSocket.
    Websocket,
    /// WebTransport, over HTTP/3.
    Webtransport,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Polling, Self::Websocket, Self::Webtransport];

    /// Its name in the handshake and in the parameter `transport` of the URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::Websocket => "websocket",
            Self::Webtransport => "webtransport",
        }
    }
}
