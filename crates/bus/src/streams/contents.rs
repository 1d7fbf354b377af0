//! What is in a stream, message by message and subject by subject, and the server's clock.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::api::{CODE_NO_MESSAGE, CODE_NO_STREAM, Retry, WireError};
use crate::refusal::{Access, Refusal};
use crate::server_clock::ClockReading;
use crate::tail::StoredMessage;
use crate::{Bus, BusError, Headers};

const TIMEOUT: Duration = Duration::from_secs(5);
/// JetStream: no such sequence.
const CODE_NO_SEQUENCE: u64 = 10043;
/// JetStream: a message was not deleted, for whatever reason.
const CODE_NOT_DELETED: u64 = 10057;

#[derive(Deserialize)]
struct WireInfo {
    #[serde(default)]
    ts: String,
    #[serde(default)]
    total: u64,
    state: Option<WireState>,
}

#[derive(Deserialize)]
pub(crate) struct WireDone {
    #[serde(default)]
    pub(crate) success: bool,
}

#[derive(Deserialize)]
pub(crate) struct WirePurged {
    #[serde(default)]
    pub(crate) purged: u64,
}

#[derive(Deserialize)]
struct WireState {
    #[serde(default)]
    subjects: Option<BTreeMap<String, u64>>,
}

/// What the server says where no message of a sequence is there any more, or yet.
fn says_not_there(description: &str) -> bool {
    description.contains("no message found") || description.contains("stream store EOF")
}

impl Bus {
    /// The first message of `stream` at or after `sequence` whose subject matches `filter`; none where there is none.
    /// The stream must have `allow_direct`.
    ///
    /// # Errors
    /// [`BusError::NotFound`] where the stream is not there (or not readable so).
    pub async fn next_message(
        &self,
        stream: &str,
        filter: &str,
        sequence: u64,
    ) -> Result<Option<StoredMessage>, BusError> {
        let api = self.api_subject(&format!("DIRECT.GET.{stream}"));
        let body = serde_json::json!({ "seq": sequence.max(1), "next_by_subj": filter }).to_string();
        self.direct(stream, filter, api, Bytes::from(body)).await
    }

    /// The last message of a subject without wildcards; none where there is none. The stream must have `allow_direct`.
    ///
    /// # Errors
    /// As [`Bus::next_message`].
    pub async fn last_direct(&self, stream: &str, subject: &str) -> Result<Option<StoredMessage>, BusError> {
        let api = self.api_subject(&format!("DIRECT.GET.{stream}.{subject}"));
        self.direct(stream, subject, api, Bytes::new()).await
    }

    async fn direct(
        &self,
        stream: &str,
        subject: &str,
        api: String,
        body: Bytes,
    ) -> Result<Option<StoredMessage>, BusError> {
        let concerns = |refusal: &Refusal| refusal.access == Access::Publish && refusal.subject == api;
        let mut retry = Retry::new(self);
        let message = loop {
            let request = async_nats::Request::new().payload(body.clone()).timeout(Some(TIMEOUT));
            let asked = self.client().send_request(api.clone(), request);
            let error = match self.unless_refused(concerns, asked).await? {
                Ok(message) => break message,
                Err(error) => error,
            };
            use async_nats::RequestErrorKind as Kind;
            // In a cluster it may only be without those that answer, for a while.
            let may_come = self.is_apart() && matches!(error.kind(), Kind::NoResponders | Kind::TimedOut);
            if may_come && !self.is_gone(stream).await && retry.again().await {
                continue;
            }
            return Err(match error.kind() {
                Kind::NoResponders if self.is_behind_link() => BusError::NoResponders { subject: api },
                Kind::NoResponders => BusError::NotFound { kind: "stream", name: stream.to_owned() },
                Kind::TimedOut => BusError::Timeout { what: api, after: TIMEOUT },
                _ => BusError::jetstream(format!("reading {subject} of {stream}"), error),
            });
        };
        match message.status.map(|status| status.as_u16()) {
            None => {}
            Some(404) => return Ok(None),
            Some(status) => {
                let text = format!("{status} {}", message.description.unwrap_or_default());
                return Err(BusError::jetstream(format!("reading {subject} of {stream}"), text));
            }
        }
        let mut headers = Headers::from_wire(message.headers);
        let bad = |what: &str| BusError::BadAnswer { what: api.clone(), reason: format!("no {what} header") };
        let sequence = headers.remove("Nats-Sequence").and_then(|text| text.parse().ok());
        let subject = headers.remove("Nats-Subject");
        let stored = headers.remove("Nats-Time-Stamp").and_then(|text| parse_time(&text));
        headers.remove("Nats-Stream");
        Ok(Some(StoredMessage {
            sequence: sequence.ok_or_else(|| bad("Nats-Sequence"))?,
            subject: subject.ok_or_else(|| bad("Nats-Subject"))?,
            published_unix_ns: stored.ok_or_else(|| bad("Nats-Time-Stamp"))?,
            headers,
            payload: message.payload,
        }))
    }

    /// Whether the cluster knows for certain that there is no such stream.
    async fn is_gone(&self, stream: &str) -> bool {
        matches!(self.wire_info(stream, &()).await, Err(BusError::NotFound { .. }))
    }

    /// Removes one message without overwriting its bytes; false where it is not there.
    pub async fn delete_message(&self, stream: &str, sequence: u64) -> Result<bool, BusError> {
        let body = serde_json::json!({ "seq": sequence, "no_erase": true });
        match self.api::<WireDone>(&format!("STREAM.MSG.DELETE.{stream}"), &body).await? {
            Ok(done) => Ok(done.success),
            Err(error) if error.err_code == CODE_NO_STREAM => {
                Err(BusError::NotFound { kind: "stream", name: stream.to_owned() })
            }
            Err(error) if [CODE_NO_MESSAGE, CODE_NO_SEQUENCE].contains(&error.err_code) => Ok(false),
            // The server has one code for every failure, a message that is not there among them.
            Err(error) if error.err_code == CODE_NOT_DELETED && says_not_there(&error.description) => Ok(false),
            Err(error) => {
                Err(BusError::jetstream(format!("deleting message {sequence} of {stream}"), error.description))
            }
        }
    }

    /// Removes all messages before `sequence`; how many there were.
    pub async fn purge_before(&self, stream: &str, sequence: u64) -> Result<u64, BusError> {
        self.purge(stream, &serde_json::json!({ "seq": sequence })).await
    }

    /// Removes all messages of `subject` (wildcards allowed); how many there were.
    pub async fn purge_subject(&self, stream: &str, subject: &str) -> Result<u64, BusError> {
        self.purge(stream, &serde_json::json!({ "filter": subject })).await
    }

    /// Removes the messages of `subject` (wildcards allowed) before `sequence`; how many there were.
    pub async fn purge_subject_before(&self, stream: &str, subject: &str, sequence: u64) -> Result<u64, BusError> {
        self.purge(stream, &serde_json::json!({ "filter": subject, "seq": sequence })).await
    }

    async fn purge(&self, stream: &str, body: &serde_json::Value) -> Result<u64, BusError> {
        match self.api::<WirePurged>(&format!("STREAM.PURGE.{stream}"), body).await? {
            Ok(done) => Ok(done.purged),
            Err(error) => Err(no_stream_or(stream, format!("purging {stream}"), &error)),
        }
    }

    /// How many messages the stream has of each subject that matches `filter`.
    ///
    /// # Errors
    /// [`BusError::NotFound`] where the stream is not there.
    pub async fn subjects(&self, stream: &str, filter: &str) -> Result<BTreeMap<String, u64>, BusError> {
        let mut found = BTreeMap::new();
        loop {
            let body = serde_json::json!({ "subjects_filter": filter, "offset": found.len() });
            let info = self.wire_info(stream, &body).await?;
            let subjects = info.state.and_then(|state| state.subjects).unwrap_or_default();
            let page = subjects.len();
            found.extend(subjects);
            if page == 0 || found.len() as u64 >= info.total {
                return Ok(found);
            }
        }
    }

    /// The server's wall clock minus the `local` clock, by the least of five round trips. Any stream will do. Use
    /// [`crate::ServerClock`] for ages of messages.
    ///
    /// # Errors
    /// [`BusError::NotFound`] where the stream is not there, [`BusError::BadAnswer`] of servers before 2.10.
    pub async fn server_clock(&self, stream: &str, local: fn() -> u64) -> Result<ClockReading, BusError> {
        let mut best: Option<ClockReading> = None;
        for _ in 0..5 {
            let before_ns = local();
            let info = self.wire_info(stream, &()).await?;
            let after_ns = local();
            let server_ns = parse_time(&info.ts).ok_or_else(|| BusError::BadAnswer {
                what: format!("stream info of {stream}"),
                reason: "no time in it: a server of 2.10 or newer is needed".to_owned(),
            })?;
            let error_ns = after_ns.saturating_sub(before_ns).div_ceil(2);
            let middle_ns = i64::try_from(before_ns.saturating_add(error_ns)).unwrap_or(i64::MAX);
            if best.is_none_or(|best| error_ns < best.error_ns) {
                best = Some(ClockReading { offset_ns: server_ns.saturating_sub(middle_ns), error_ns });
            }
        }
        Ok(best.unwrap_or(ClockReading { offset_ns: 0, error_ns: u64::MAX }))
    }

    async fn wire_info(&self, stream: &str, body: &impl Serialize) -> Result<WireInfo, BusError> {
        let answer = self.api(&format!("STREAM.INFO.{stream}"), body).await?;
        answer.map_err(|error| no_stream_or(stream, format!("stream info of {stream}"), &error))
    }
}

/// That a stream is not there, or what else went wrong.
pub(super) fn no_stream_or(stream: &str, what: String, error: &WireError) -> BusError {
    if error.err_code == CODE_NO_STREAM {
        return BusError::NotFound { kind: "stream", name: stream.to_owned() };
    }
    BusError::jetstream(what, &error.description)
}

/// Nanoseconds since the Unix epoch of an RFC 3339 time in UTC, as the server writes them.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let number = |text: &str| text.parse::<i64>().ok();
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut clock = clock.splitn(3, ':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let in_range = (1970..=2261).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !in_range || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction_ns: i64 = if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").parse().ok()? };
    // Days from the civil calendar, years beginning in March (Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted / 400;
    let of_era = shifted - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_times_are_read() {
        assert_eq!(parse_time("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_time("2026-11-25T01:25:34.5Z"), Some(1_795_569_934_500_000_000));
        assert_eq!(parse_time("2024-02-29T23:59:59.000000001Z"), Some(1_709_251_199_000_000_001));
        for text in ["", "2026-11-25", "2026-13-25T01:25:34Z", "2026-11-25T01:25:34.1234567890Z", "x-y-zT1:2:3Z"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
