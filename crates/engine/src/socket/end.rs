//! How a WebSocket begins and ends.

use std::net::SocketAddr;

use http::HeaderMap;
use nuncius_schemas::metric::FailureKind;

use crate::failure::Failure;

/// Why nothing comes any more.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// Closed by the peer, or by both, with a code where one was told.
    Closed(Option<u16>),
    /// Cut, or something came that is none of the protocol.
    Broken(Failure),
}

/// What the peer said when it opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
}

impl End {
    /// What it means for whoever wanted something of the connection.
    pub(crate) fn failure(&self, address: SocketAddr) -> Failure {
        match self {
            Self::Closed(Some(code)) => {
                Failure::new(FailureKind::Closed, format!("{address}: closed by the peer with code {code}"))
            }
            Self::Closed(None) => Failure::new(FailureKind::Closed, format!("{address}: closed by the peer")),
            Self::Broken(failure) => failure.clone(),
        }
    }
}
