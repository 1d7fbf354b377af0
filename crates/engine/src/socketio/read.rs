//! What was read of a session, and what errors of the protocol mean.

use nuncius_schemas::metric::FailureKind;
use nuncius_socketio::{ErrorKind, ProtocolError};

use crate::failure::Failure;

/// What was read, and whether that was the end.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) bytes: u64,
    pub(crate) failure: Option<Failure>,
}

/// What an error of the protocol means.
pub(crate) fn failure_of(error: &ProtocolError) -> Failure {
    let kind = match error.kind() {
        ErrorKind::Limit => FailureKind::BodyLimit,
        ErrorKind::Closed | ErrorKind::NotConnected => FailureKind::Closed,
        ErrorKind::ReservedName | ErrorKind::NotInVersion => FailureKind::Template,
        ErrorKind::Empty
        | ErrorKind::UnknownType
        | ErrorKind::Malformed
        | ErrorKind::NotUtf8
        | ErrorKind::Base64
        | ErrorKind::Json
        | ErrorKind::Shape
        | ErrorKind::Namespace
        | ErrorKind::Placeholder
        | ErrorKind::Handshake
        | ErrorKind::WrongOrder
        | ErrorKind::UnknownAck
        | ErrorKind::VersionMismatch
        | ErrorKind::WrongTransport => FailureKind::Protocol,
    };
    Failure::new(kind, error.to_string())
}
