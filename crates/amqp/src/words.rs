//! What errors of brokers mean, in words of our own.

use lapin::ErrorKind;

/// What went wrong, without a word of the broker's.
pub fn describe(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => format!("AMQP error {}", reply(error.get_id())),
        ErrorKind::IOError(error) => error.to_string(),
        ErrorKind::MissingHeartbeatError => "no heartbeat from the broker".to_owned(),
        ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_) => "what came is not AMQP 0-9-1".to_owned(),
        _ => "the connection has ended".to_owned(),
    }
}

/// A reply code and what it means (AMQP 0-9-1, 1.2, with RabbitMQ's use of it).
pub fn reply(code: u16) -> String {
    let meaning = match code {
        311 => "content too large",
        312 => "no route: no queue is bound for this exchange and routing key",
        313 => "no consumers",
        320 => "connection forced: the broker shuts down",
        402 => "invalid path",
        403 => "access refused: user, password or permissions",
        404 => "not found: exchange or queue",
        405 => "resource locked",
        406 => "precondition failed: it exists with other properties",
        501 => "frame error",
        504 => "channel error",
        530 => "not allowed: virtual host or limits",
        540 => "not implemented",
        541 => "internal error of the broker",
        _ => return code.to_string(),
    };
    format!("{code}, {meaning}")
}
