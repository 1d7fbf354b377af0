//! What a message of AMQP is on the bus: its id, its priority and its headers. Nothing that a publisher writes there
//! can become a subject or a header that means something to NATS or to Nuncius.

use std::fmt::Write as _;

use lapin::BasicProperties;
use lapin::types::AMQPValue;
use nuncius_bus::Headers;
use nuncius_schemas::names::{TOKEN_MAX_BYTES, check_token};
use nuncius_schemas::subjects::HEADER_CONTENT_TYPE;
use sha2::{Digest, Sha256};

/// Most bytes of the headers that are made of a message's properties.
pub const HEADERS_MAX_BYTES: usize = 16 * 1024;
/// Begins ids that are digests. A message id that begins so is digested, too: no two ids become one.
const DIGEST_PREFIX: &str = "amqp-id-";
/// Bytes of a digest that are kept: as many as make an accident as unlikely as with a random UUID.
const DIGEST_BYTES: usize = 16;
/// Begins the headers that are made of properties.
const PROPERTY_PREFIX: &str = "Amqp-";
/// Begins those that are made of the message's own headers.
const HEADER_PREFIX: &str = "Amqp-Header-";
/// The AMQP header of a W3C trace context.
const TRACEPARENT: &str = "traceparent";
/// Priorities of AMQP that are told apart, 0 to 9, 9 the most urgent (AMQP 0-9-1, 1.8.3.1); higher ones are taken for
/// 9.
const AMQP_PRIORITIES: u16 = 10;
/// Longest `content-type` that is handed on, in bytes.
const CONTENT_TYPE_MAX_BYTES: usize = 256;

/// The id of the job, or the experiment, that a message with this id is: the message id itself where that can be one,
/// else a digest of it. The same for the same id, another for another.
pub fn job_id(message_id: &str) -> String {
    let is_plain = check_token("job", message_id).is_ok() && !message_id.starts_with(DIGEST_PREFIX);
    if is_plain { message_id.to_owned() } else { format!("{DIGEST_PREFIX}{}", digest(&[message_id])) }
}

/// The client of jobs from a queue, a token: the same for every bridge that serves the queue, another for another
/// queue.
pub fn client_of(vhost: &str, queue: &str) -> String {
    let fine = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
    let end = format!("-{}", digest(&[vhost, queue]));
    let readable: String = queue.chars().map(fine).take(TOKEN_MAX_BYTES - end.len()).collect();
    format!("{readable}{end}")
}

/// Texts that differ have digests that differ: each is preceded by its length.
fn digest(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().iter().take(DIGEST_BYTES).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The priority, 0 the most urgent, of a queue that has `priorities`, for one of AMQP, where the highest is the most
/// urgent and none is 0.
pub fn priority(amqp: Option<u8>, priorities: u8) -> u8 {
    let urgency = u16::from(amqp.unwrap_or(0)).min(AMQP_PRIORITIES - 1);
    let step = urgency * u16::from(priorities) / AMQP_PRIORITIES;
    priorities.saturating_sub(1).saturating_sub(u8::try_from(step).unwrap_or(u8::MAX))
}

/// Where a message came from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Its queue.
    pub queue: &'a str,
    /// The exchange that it was published to.
    pub exchange: &'a str,
    /// Its routing key.
    pub routing_key: &'a str,
}

/// The headers of a job: what the message's properties and headers say, under names of their own. Tables and arrays,
/// as RabbitMQ's `x-death`, are left out.
///
/// # Errors
/// How many bytes they would take, where that is over [`HEADERS_MAX_BYTES`].
pub fn headers(properties: &BasicProperties, origin: Origin<'_>) -> Result<Headers, usize> {
    let mut headers = Headers::new();
    let mut size_bytes = 0;
    let mut add = |name: String, value: String| {
        size_bytes += name.len() + value.len();
        if size_bytes <= HEADERS_MAX_BYTES {
            headers.insert(name, value);
        }
    };
    let texts = [
        ("Queue", Some(origin.queue)),
        ("Exchange", Some(origin.exchange)),
        ("Routing-Key", Some(origin.routing_key)),
        ("Message-Id", properties.message_id().as_ref().map(|text| text.as_str())),
        ("Correlation-Id", properties.correlation_id().as_ref().map(|text| text.as_str())),
        ("Reply-To", properties.reply_to().as_ref().map(|text| text.as_str())),
        ("Type", properties.kind().as_ref().map(|text| text.as_str())),
        ("App-Id", properties.app_id().as_ref().map(|text| text.as_str())),
        ("User-Id", properties.user_id().as_ref().map(|text| text.as_str())),
        ("Content-Encoding", properties.content_encoding().as_ref().map(|text| text.as_str())),
    ];
    for (name, text) in texts {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            add(format!("{PROPERTY_PREFIX}{name}"), escape_value(text.as_bytes()));
        }
    }
    if let Some(timestamp) = properties.timestamp() {
        add(format!("{PROPERTY_PREFIX}Timestamp"), timestamp.to_string());
    }
    if let Some(priority) = properties.priority() {
        add(format!("{PROPERTY_PREFIX}Priority"), priority.to_string());
    }
    let is_fine = |text: &str| text.len() <= CONTENT_TYPE_MAX_BYTES && text.bytes().all(|b| (b' '..=b'~').contains(&b));
    if let Some(content_type) =
        properties.content_type().as_ref().map(|text| text.as_str()).filter(|text| is_fine(text))
    {
        add(HEADER_CONTENT_TYPE.to_owned(), content_type.to_owned());
    }
    for (name, value) in properties.headers().as_ref().map(|table| table.inner()).into_iter().flatten() {
        if let Some(value) = text_of(value) {
            add(format!("{HEADER_PREFIX}{}", escape_name(name.as_str())), value);
        }
    }
    if size_bytes > HEADERS_MAX_BYTES { Err(size_bytes) } else { Ok(headers) }
}

/// The trace context that a message carries, if it is one.
pub fn traceparent(properties: &BasicProperties) -> Option<String> {
    let value = properties.headers().as_ref()?.inner().get(TRACEPARENT)?;
    let text = match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok()?,
        AMQPValue::ShortString(text) => text.as_str(),
        _ => return None,
    };
    nuncius_telemetry::parse_traceparent(text).map(|_| text.trim().to_owned())
}

/// A name as a part of a header's name: all but letters, digits, `_`, `-` and `.` as `%` and two hexadecimal digits.
fn escape_name(name: &str) -> String {
    name.bytes().fold(String::with_capacity(name.len()), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"_-.".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

/// Bytes as the value of a header: text as it is, but for `%`, spaces at its ends, other white space and control
/// characters; these, and bytes that are no text, as `%` and two hexadecimal digits.
fn escape_value(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let escape = |out: &mut String, bytes: &[u8]| {
        for byte in bytes {
            let _ = write!(out, "%{byte:02X}");
        }
    };
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '%' || character.is_control() || (character.is_whitespace() && character != ' ') {
                escape(&mut out, character.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                out.push(character);
            }
        }
        escape(&mut out, chunk.invalid());
    }
    // Whoever reads a header trims it.
    if let Some(rest) = out.strip_prefix(' ') {
        out = format!("%20{rest}");
    }
    if let Some(rest) = out.strip_suffix(' ') {
        out = format!("{rest}%20");
    }
    out
}

/// The value of a header, if it is neither a table nor an array.
fn text_of(value: &AMQPValue) -> Option<String> {
    Some(match value {
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(value) => value.to_string(),
        AMQPValue::ShortShortUInt(value) => value.to_string(),
        AMQPValue::ShortInt(value) => value.to_string(),
        AMQPValue::ShortUInt(value) => value.to_string(),
        AMQPValue::LongInt(value) => value.to_string(),
        AMQPValue::LongUInt(value) => value.to_string(),
        AMQPValue::LongLongInt(value) => value.to_string(),
        AMQPValue::Float(value) => value.to_string(),
        AMQPValue::Double(value) => value.to_string(),
        AMQPValue::DecimalValue(value) => format!("{}e-{}", value.value, value.scale),
        AMQPValue::ShortString(text) => escape_value(text.as_str().as_bytes()),
        AMQPValue::LongString(text) => escape_value(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => escape_value(bytes.as_slice()),
        AMQPValue::Timestamp(seconds) => seconds.to_string(),
        AMQPValue::Void => String::new(),
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) => return None,
    })
}

#[cfg(test)]
mod tests;
