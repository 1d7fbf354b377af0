//! The addresses of Testero, with its texts. In compat mode every answer has status 200 and refusals wait a second, as
//! there; else statuses say what happened, nothing waits, and reading is never refused.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use nuncius_schemas::resource::{Amount, ResourceKind, ResourceRequest};
use nuncius_schemas::units::HumanDuration;
use nuncius_serve::{Answer, answer as answer_of};
use tokio::sync::Mutex;

use super::cpu::CORE_MILLIPERCENT;
use super::group::{Board, Group, Refusal, Wish};
use super::http::{Shared, TEXT, status_of};
use super::ladder::{DISK, Ladder, MEMORY, Plan};

/// How long a refusal waits.
const DELAY: Duration = Duration::from_secs(1);

/// One at a time for each kind.
#[derive(Debug, Default)]
pub(crate) struct Slots(BTreeMap<ResourceKind, Mutex<()>>);

impl Slots {
    /// One for every kind.
    pub(crate) fn new() -> Self {
        Self(ResourceKind::ALL.into_iter().map(|kind| (kind, Mutex::new(()))).collect())
    }
}

/// One of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Set(Words),
    GetDefined(Words),
    GetActual(Words),
    Load,
    Stop,
    GetLoad,
}

/// What differs between memory and disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Words {
    kind: ResourceKind,
    path: &'static str,
    data: &'static str,
    defined: &'static str,
    actual: &'static str,
    plan: &'static str,
    missing: &'static str,
}

const MEMORY_WORDS: Words = Words {
    kind: ResourceKind::Memory,
    path: "/api/mem/getact",
    data: "Memory",
    defined: "Boxes",
    actual: "Parts",
    plan: "memory parts",
    missing: "File size (in bytes) not specified: set?size=<number of bytes>",
};
const DISK_WORDS: Words = Words {
    kind: ResourceKind::Disk,
    path: "/api/disk/getact",
    data: "File",
    defined: "Files",
    actual: "Files",
    plan: "file distribution",
    missing: "No data size specified",
};

impl Words {
    const fn ladder(&self) -> &'static Ladder {
        match self.kind {
            ResourceKind::Disk => &DISK,
            _ => &MEMORY,
        }
    }
}

/// The call at a path.
pub(crate) fn call_at(path: &str) -> Option<Call> {
    Some(match path {
        "/api/mem/set" => Call::Set(MEMORY_WORDS),
        "/api/mem/getdef" => Call::GetDefined(MEMORY_WORDS),
        "/api/mem/getact" => Call::GetActual(MEMORY_WORDS),
        "/api/disk/set" => Call::Set(DISK_WORDS),
        "/api/disk/getdef" => Call::GetDefined(DISK_WORDS),
        "/api/disk/getact" => Call::GetActual(DISK_WORDS),
        "/api/cpu/load" => Call::Load,
        "/api/cpu/stop" => Call::Stop,
        "/api/cpu/getact" => Call::GetLoad,
        _ => return None,
    })
}

impl Call {
    const fn kind(self) -> ResourceKind {
        match self {
            Self::Set(words) | Self::GetDefined(words) | Self::GetActual(words) => words.kind,
            Self::Load | Self::Stop | Self::GetLoad => ResourceKind::Cpu,
        }
    }

    const fn is_change(self) -> bool {
        matches!(self, Self::Set(_) | Self::Load)
    }
}

/// What is said, and how it is meant.
struct Said {
    status: StatusCode,
    text: String,
    waits: bool,
}

fn said(text: String) -> Said {
    Said { status: StatusCode::OK, text, waits: false }
}

fn wrong(status: StatusCode, text: impl Into<String>) -> Said {
    Said { status, text: text.into(), waits: true }
}

/// Answers a call.
pub(crate) async fn answer(call: Call, query: &str, shared: &Shared) -> Answer {
    let Said { status, mut text, waits } = match shared.groups.get(&call.kind()) {
        Some(group) => answer_for(call, group, query, shared).await,
        None => wrong(StatusCode::NOT_FOUND, format!("{} is switched off here", call.kind())),
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    if !shared.is_compat {
        return answer_of(status, TEXT, text);
    }
    if waits && !call.holds_its_slot() {
        tokio::time::sleep(DELAY).await;
    }
    answer_of(StatusCode::OK, TEXT, text)
}

impl Call {
    /// Whether its delay is within its turn: then others are told meanwhile that the server is busy.
    const fn holds_its_slot(self) -> bool {
        !matches!(self, Self::Stop | Self::GetLoad)
    }
}

async fn answer_for(call: Call, group: &Group, query: &str, shared: &Shared) -> Said {
    if !call.holds_its_slot() {
        return match call {
            Call::Stop => stop(group, query).await,
            _ => load_in_progress(&group.board(), &shared.number_to_factor),
        };
    }
    let slot = shared.slots.0.get(&call.kind());
    let slot = slot.map(Mutex::try_lock);
    let said = if shared.is_compat && matches!(slot, Some(Err(_))) {
        busy()
    } else if let Some(refusal) = taken(&group.board(), call).filter(|_| shared.is_compat || call.is_change()) {
        refusal
    } else {
        match call {
            Call::Set(words) => set(words, group, query).await,
            Call::Load => load(group, query).await,
            Call::GetActual(words) => {
                if let Err(refusal) = group.look().await {
                    return wrong(status_of(&refusal), refusal.to_string());
                }
                let is_dump = words.kind == ResourceKind::Memory && value(query, "dump").as_deref() == Some("true");
                match if is_dump { group.dump().await } else { Ok(()) } {
                    Ok(()) => said(actual(words, &group.board())),
                    Err(refusal) => wrong(status_of(&refusal), refusal.to_string()),
                }
            }
            Call::GetDefined(words) => said(defined(words, &group.board().planned)),
            Call::Stop | Call::GetLoad => busy(),
        }
    };
    if said.waits && shared.is_compat {
        tokio::time::sleep(DELAY).await;
    }
    drop(slot);
    said
}

fn busy() -> Said {
    wrong(StatusCode::CONFLICT, "Server busy, try again later")
}

/// The refusal where the group is at work already.
fn taken(board: &Board, call: Call) -> Option<Said> {
    if board.is_pending {
        return Some(wrong(StatusCode::CONFLICT, "Server contains pending request, try again later"));
    }
    let is_busy = board.is_working || (call == Call::Load && board.program.is_some());
    is_busy.then(busy)
}

async fn set(words: Words, group: &Group, query: &str) -> Said {
    let size_bytes = match unsigned(query, "size") {
        Ok(Some(size_bytes)) => size_bytes,
        Ok(None) => return wrong(StatusCode::BAD_REQUEST, words.missing),
        Err(problem) => return wrong(StatusCode::BAD_REQUEST, format!("Could not get size: {problem}")),
    };
    let request = ResourceRequest { amount: Some(Amount::Bytes(size_bytes)), ..ResourceRequest::default() };
    match group.take(Wish { request, is_whole: true, is_factoring: false }).await {
        Ok(id) => {
            let Words { data, path, .. } = words;
            said(format!("{data} data request sent for {size_bytes} bytes, with id#: {id}, check {path}"))
        }
        Err(refusal) => {
            let problem = match &refusal {
                Refusal::OverLimit { wanted, most, .. } => {
                    format!("Size requested is over the limit: requested {wanted} bytes, limit: {most} bytes.")
                }
                other => other.to_string(),
            };
            wrong(status_of(&refusal), format!("Could not compute {}: {problem}", words.plan))
        }
    }
}

fn defined(words: Words, plan: &Plan) -> String {
    let lines = words.ladder().sizes_bytes().into_iter().zip(plan.counts).map(|(size, count)| {
        let total = size.saturating_mul(count);
        format!("{} of size: {size}, count: {count}, total size: {total}\n", words.defined)
    });
    lines.collect::<String>() + &format!("Total size reserved: {} bytes.", words.ladder().total_bytes(plan))
}

fn actual(words: Words, board: &Board) -> String {
    let sizes = words.ladder().sizes_bytes().into_iter().zip(board.parts.counts);
    let lines = sizes.map(|(size, count)| format!("{} of size: {size}, Count: {count}\n", words.actual));
    let total = words.ladder().total_bytes(&board.parts);
    format!("Last request ID: {}\n{}Total size: {total} bytes.", board.id, lines.collect::<String>())
}

async fn load(group: &Group, query: &str) -> Said {
    let at_once = |text: String| Said { status: StatusCode::BAD_REQUEST, text, waits: false };
    let seconds = match unsigned(query, "time") {
        Ok(Some(seconds)) => seconds,
        Ok(None) => return at_once("No load time specified".to_owned()),
        Err(problem) => return at_once(format!("Invalid time specification: {problem}")),
    };
    let ttl = HumanDuration(HumanDuration::from_secs(seconds).as_nanos().max(1));
    // Where less than a core may be used, as much as may be.
    let amount = Amount::Percent(group.limits.most_core_millipercent().min(CORE_MILLIPERCENT));
    let request = ResourceRequest { amount: Some(amount), ttl: Some(ttl), ..ResourceRequest::default() };
    match group.take(Wish { request, is_whole: false, is_factoring: true }).await {
        Ok(id) => said(format!("CPU load requested for {seconds} seconds with id: {id}")),
        Err(refusal) => wrong(status_of(&refusal), refusal.to_string()),
    }
}

async fn stop(group: &Group, query: &str) -> Said {
    let board = group.board();
    if board.program.is_none() {
        return wrong(StatusCode::CONFLICT, "No load request being processed, nothing to do");
    }
    let Some(text) = value(query, "id") else { return wrong(StatusCode::BAD_REQUEST, "No request ID specified") };
    match text.parse::<i64>() {
        Ok(id) if u64::try_from(id).ok() == Some(board.id) => match group.release().await {
            Ok(()) => said("CPU load stopped".to_owned()),
            Err(refusal) => wrong(status_of(&refusal), refusal.to_string()),
        },
        Ok(id) => wrong(StatusCode::CONFLICT, format!("Incorrect stop load request ID={id}")),
        Err(error) => {
            let problem = number_problem("ParseInt", &text, error.kind());
            wrong(StatusCode::BAD_REQUEST, format!("Invalid ID specification: {problem}"))
        }
    }
}

fn load_in_progress(board: &Board, number: &str) -> Said {
    let Some((begun, program, _)) = &board.program else {
        return Said { status: StatusCode::OK, ..wrong(StatusCode::OK, "No load request in progress") };
    };
    let sent_seconds = board.id / 1_000_000_000;
    let seconds = program.ends().unwrap_or_else(|| Instant::now().saturating_duration_since(*begun)).as_secs();
    let (sent, ends) = (date(sent_seconds), date(sent_seconds.saturating_add(seconds)));
    let text = format!(
        "Load request sent at: {sent}\nLoad time requested: {seconds} seconds\nLoad request ends at: {ends}\n\
         Number to factor: {number}"
    );
    Said { waits: true, ..said(text) }
}

/// A date as Go writes it, in UTC.
fn date(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Days to a date in the calendar of 400 years that begins on 1 March of year 0 (Hinnant, chrono-compatible
    // algorithms).
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000 UTC")
}

/// The path as Go's server wants it written, where it is written otherwise: it redirects there (net/http, `cleanPath`).
pub(crate) fn cleaned(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut clean = format!("/{}", parts.join("/"));
    if path.ends_with('/') && clean != "/" {
        clean.push('/');
    }
    (clean != path).then_some(clean)
}

/// The first value of a name; none where it is empty, as there. Go drops a pair that has a semicolon or a broken
/// escape.
fn value(query: &str, wanted: &str) -> Option<String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';'));
    let value = pairs.into_iter().find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (unescaped(name)?, unescaped(value)?);
        (name == wanted).then_some(value)
    })?;
    (!value.is_empty()).then_some(value)
}

/// `+` read as a blank and `%41` as `A`; none where an escape is broken.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn unsigned(query: &str, name: &str) -> Result<Option<u64>, String> {
    let Some(text) = value(query, name) else { return Ok(None) };
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(number_problem("ParseUint", &text, &std::num::IntErrorKind::InvalidDigit));
    }
    text.parse().map(Some).map_err(|error: std::num::ParseIntError| number_problem("ParseUint", &text, error.kind()))
}

/// What Go's parser would say.
fn number_problem(parser: &str, text: &str, kind: &std::num::IntErrorKind) -> String {
    let problem = match kind {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{parser}: parsing {text:?}: {problem}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_go_writes_them() {
        for (seconds, written) in [
            (0, "1970-01-01 00:00:00 +0000 UTC"),
            (951_782_400, "2000-02-29 00:00:00 +0000 UTC"),
            (1_617_645_793, "2021-04-05 18:03:13 +0000 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 +0000 UTC"),
        ] {
            assert_eq!(date(seconds), written);
        }
        let _ = date(u64::MAX);
    }

    #[test]
    fn numbers_are_read_and_refused_as_go_does() {
        assert_eq!(unsigned("a=b&size=25%36", "size"), Ok(Some(256)));
        assert_eq!(unsigned("size=", "size"), Ok(None));
        assert_eq!(unsigned("", "size"), Ok(None));
        for (query, problem) in [
            ("size=-1", "strconv.ParseUint: parsing \"-1\": invalid syntax"),
            ("size=%2B1", "strconv.ParseUint: parsing \"+1\": invalid syntax"),
            ("size=abc", "strconv.ParseUint: parsing \"abc\": invalid syntax"),
            ("size=18446744073709551616", "strconv.ParseUint: parsing \"18446744073709551616\": value out of range"),
        ] {
            assert_eq!(unsigned(query, "size"), Err(problem.to_owned()));
        }
        // Names are unescaped; a pair with a broken escape or a semicolon is not there.
        assert_eq!(unsigned("siz%65=5", "size"), Ok(Some(5)));
        for dropped in ["size=%ff%zz%", "size=1;x=2", "size=%", "%zz=1&siz=2", "size"] {
            assert_eq!(unsigned(dropped, "size"), Ok(None), "{dropped}");
        }
        assert_eq!(unsigned("size=%zz&size=7", "size"), Ok(Some(7)));
        // A value is repeated in full.
        let long = "x".repeat(300);
        assert!(unsigned(&format!("size={long}"), "size").unwrap_err().contains(&long));
    }

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, clean) in [
            ("//api", Some("/api")),
            ("/api//mem/set", Some("/api/mem/set")),
            ("/api/./mem/../cpu/load", Some("/api/cpu/load")),
            ("/api/mem/", None),
            ("//", Some("/")),
            ("/", None),
            ("/../..", Some("/")),
        ] {
            assert_eq!(cleaned(path).as_deref(), clean, "{path}");
        }
    }

    #[test]
    fn plans_are_written_line_by_line() {
        let text = defined(DISK_WORDS, &DISK.whole(2_333_111_445));
        assert!(
            text.starts_with(
                "Files of size: 524288, count: 25, total size: 13107200\nFiles of size: 2097152, count: 25"
            )
        );
        assert!(text.ends_with("Total size reserved: 2338848768 bytes."), "{text}");
        let text = actual(MEMORY_WORDS, &Board::default());
        assert!(
            text.starts_with("Last request ID: 0\nParts of size: 262144, Count: 0\nParts of size: 1048576, Count: 0\n")
        );
        assert!(text.ends_with("Total size: 0 bytes."), "{text}");
    }
}
