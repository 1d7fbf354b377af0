//! What is in the answers of receivers, whichever protocol brings them.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use super::Answer;

/// Most of an answer that is read: it holds a message at most.
pub(super) const ANSWER_MAX_BYTES: usize = 1 << 20;
/// How this exporter calls itself.
pub(super) const USER_AGENT: &str = concat!("OTel-OTLP-Exporter-Nuncius/", env!("CARGO_PKG_VERSION"));
/// Most characters of a receiver's words.
const WORDS_MAX: usize = 200;
/// Longest pause that a receiver can ask for.
const AFTER_MAX: Duration = Duration::from_secs(300);
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// How much of a message that was taken was not wanted. The responses of all signals have the same form.
pub(super) fn rejected_of(body: &[u8]) -> Answer {
    // A receiver that answers something else has said that it has taken it all the same.
    let partial = ExportTraceServiceResponse::decode(body).ok().and_then(|response| response.partial_success);
    let partial = partial.unwrap_or_default();
    let rejected = u64::try_from(partial.rejected_spans).unwrap_or_default();
    Answer::Taken { rejected, message: plain(&partial.error_message) }
}

/// The receiver's words in the body of a refusal: a `Status`, or text.
pub(super) fn words_of(body: &[u8]) -> String {
    match Status::decode(body) {
        Ok(status) if !status.message.is_empty() => plain(&status.message),
        _ => plain(&String::from_utf8_lossy(body)),
    }
}

/// On one line, and cut.
pub(super) fn plain(text: &str) -> String {
    let text = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    text.collect::<Vec<&str>>().join(" ").chars().take(WORDS_MAX).collect()
}

/// `Retry-After`: seconds, or a date.
pub(super) fn retry_after(text: &str) -> Option<Duration> {
    let after = match text.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).unwrap_or_default(),
    };
    Some(after.min(AFTER_MAX))
}

/// The pause in `grpc-status-details-bin`, if there is one.
pub(super) fn retry_info(details: &str) -> Option<Duration> {
    let bytes = STANDARD_NO_PAD.decode(details.trim_end_matches('=')).ok()?;
    let status = Status::decode(bytes.as_slice()).ok()?;
    let detail = status.details.iter().find(|detail| detail.type_url == RETRY_INFO)?;
    let delay = RetryInfo::decode(detail.value.as_slice()).ok()?.retry_delay?;
    let seconds = Duration::from_secs(u64::try_from(delay.seconds).ok()?);
    Some((seconds + Duration::from_nanos(u64::try_from(delay.nanos).ok()?)).min(AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    #[test]
    fn a_pause_is_read_from_the_headers_of_both_protocols() {
        assert_eq!(retry_after(" 30 "), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("99999999"), Some(AFTER_MAX));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
        let delay = RetryInfo { retry_delay: Some(Delay { seconds: 2, nanos: 500_000_000 }) };
        let detail = Detail { type_url: RETRY_INFO.to_owned(), value: delay.encode_to_vec() };
        let status = Status { code: 8, message: "busy".to_owned(), details: vec![detail] };
        let header = STANDARD_NO_PAD.encode(status.encode_to_vec());
        assert_eq!(retry_info(&header), Some(Duration::from_millis(2_500)));
        assert_eq!(retry_info(&format!("{header}==")), Some(Duration::from_millis(2_500)));
        assert_eq!(retry_info("!"), None);
        assert_eq!(words_of(&status.encode_to_vec()), "busy");
    }

    #[test]
    fn a_partial_success_counts_what_was_rejected() {
        let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "too\nold".to_owned() };
        let response = ExportTraceServiceResponse { partial_success: Some(partial) };
        let taken = Answer::Taken { rejected: 3, message: "too old".to_owned() };
        assert_eq!(rejected_of(&response.encode_to_vec()), taken);
        assert_eq!(rejected_of(b"{}"), Answer::Taken { rejected: 0, message: String::new() });
    }
}
