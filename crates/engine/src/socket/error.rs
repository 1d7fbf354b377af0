//! What errors of the WebSocket library mean, in words that hold nothing of what the peer sent.

use std::net::SocketAddr;

use nuncius_schemas::metric::FailureKind;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};

use super::end::{End, Opened};
use crate::failure::Failure;
use crate::http::stream::tls_failure;
use crate::tls;

/// What an error of a connection that is open means. `message_max_bytes` is the limit that it was opened with.
pub(crate) fn failure_of(address: SocketAddr, error: Error, message_max_bytes: usize) -> Failure {
    let failed = |kind, what: String| Failure::Failed(kind, format!("{address}: {what}"));
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => failed(FailureKind::Closed, "closed".to_owned()),
        Error::Io(error) if tls::is_tls(&error) => tls_failure(address, &error),
        Error::Io(error) => Failure::of_error(FailureKind::Closed, address, &error),
        Error::Tls(_) => failed(FailureKind::Tls, "the TLS session has ended".to_owned()),
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => failed(
            FailureKind::BodyLimit,
            format!("a message of {size} bytes is longer than what is kept (body_limit: {max_size})"),
        ),
        Error::Capacity(CapacityError::TooManyHeaders) => {
            failed(FailureKind::Protocol, "the answer has too many headers".to_owned())
        }
        Error::WriteBufferFull(_) => failed(
            FailureKind::Timeout,
            format!("the peer takes nothing: more than {message_max_bytes} bytes wait to be sent"),
        ),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            failed(FailureKind::Closed, "cut without a close".to_owned())
        }
        Error::Protocol(problem) => failed(FailureKind::Protocol, in_words(&problem).to_owned()),
        Error::Utf8(_) => failed(FailureKind::Protocol, "a text that is no UTF-8".to_owned()),
        Error::AttackAttempt => {
            failed(FailureKind::Protocol, "the answer is longer than any answer should be".to_owned())
        }
        Error::Url(_) | Error::HttpFormat(_) => {
            failed(FailureKind::Template, "the request cannot be sent: its path or a header is none".to_owned())
        }
        Error::Http(response) => {
            failed(FailureKind::Status, format!("status {} instead of 101", response.status().as_u16()))
        }
    }
}

/// How an error ends a connection.
pub(super) fn end_of(address: SocketAddr, error: Error, message_max_bytes: usize) -> End {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => End::Closed(None),
        other => End::Broken(failure_of(address, other, message_max_bytes)),
    }
}

/// Why there was no upgrade, and what was answered.
pub(super) fn refused(address: SocketAddr, error: Error, message_max_bytes: usize) -> (Failure, Option<Opened>) {
    let opened = match &error {
        Error::Http(response) => {
            Some(Opened { status: response.status().as_u16(), headers: response.headers().clone() })
        }
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_)
        | Error::Tls(_)
        | Error::Capacity(_)
        | Error::Protocol(_)
        | Error::WriteBufferFull(_)
        | Error::Utf8(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::HttpFormat(_) => None,
    };
    let failure = match error {
        Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            Failure::new(FailureKind::Closed, format!("{address}: closed before the upgrade was answered"))
        }
        other => failure_of(address, other, message_max_bytes),
    };
    (failure, opened)
}

/// A breach of the protocol. The library's words may hold what the peer sent.
fn in_words(problem: &ProtocolError) -> &'static str {
    match problem {
        ProtocolError::MissingConnectionUpgradeHeader
        | ProtocolError::MissingUpgradeWebSocketHeader
        | ProtocolError::MissingSecWebSocketVersionHeader
        | ProtocolError::MissingSecWebSocketKey => "the answer is no upgrade to WebSocket: a header is missing",
        ProtocolError::SecWebSocketAcceptKeyMismatch => "the answer's Sec-WebSocket-Accept is not that of the request",
        ProtocolError::SecWebSocketSubProtocolError(_) => {
            "the server chose no subprotocol, or one that was not offered"
        }
        ProtocolError::InvalidOpcode(_)
        | ProtocolError::UnknownControlFrameType(_)
        | ProtocolError::UnknownDataFrameType(_) => "a frame of an unknown type",
        ProtocolError::NonZeroReservedBits => "a frame with reserved bits set",
        ProtocolError::MaskedFrameFromServer => "a masked frame, which servers never send",
        ProtocolError::FragmentedControlFrame | ProtocolError::ControlFrameTooBig => {
            "a control frame in pieces, or too long"
        }
        ProtocolError::UnexpectedContinueFrame | ProtocolError::ExpectedFragment(_) => {
            "pieces of a message out of order"
        }
        ProtocolError::InvalidCloseSequence | ProtocolError::ReceivedAfterClosing => "something came after the close",
        _ => "what came is not WebSocket",
    }
}
