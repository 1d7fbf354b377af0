//! What both forms say in the same words: times, services, clients.

use crate::names::token_from_host;
use crate::spec::{Group, Stage};
use crate::units::{HumanDuration, Rate, UnitError};

/// Requests one client of the original could have under way: the threads of its pool.
pub const REQUESTS_PER_CLIENT: u32 = 50;
/// Most clients of one service on one node.
pub const CLIENTS_MAX: u32 = 10_000;

/// A length of time as Galileo writes it: a bare number is seconds; else numbers with units.
pub(super) fn parse_time(text: &str) -> Result<HumanDuration, String> {
    let text = text.trim();
    let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let with_unit = if bare { format!("{text}s") } else { text.to_owned() };
    with_unit.parse().map_err(|error| match error {
        UnitError::TooLarge(_) => error.to_string(),
        _ => format!("`{}` is not a time: write seconds, or as in 1m30s or 500ms", shown(text)),
    })
}

/// A text from outside, cut to what fits an error.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The target of a service; refuses what cannot be the host of a URL.
pub(super) fn target_of(service: &str) -> Result<String, String> {
    let plain = service.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:[]".contains(&b));
    if service.is_empty() || service.len() > 255 || !plain {
        return Err(format!("`{}` is not a service: use A-Z a-z 0-9 . _ -, or host:port", shown(service)));
    }
    Ok(format!("http://{service}/"))
}

/// Requests under way for so many clients; refuses none and too many.
pub(super) fn in_flight_of(clients: u32) -> Result<u32, String> {
    if clients == 0 || clients > CLIENTS_MAX {
        return Err(format!("{clients} clients: give 1 to {CLIENTS_MAX}"));
    }
    Ok(clients * REQUESTS_PER_CLIENT)
}

/// The token for a group of this service that no other group has.
pub(super) fn group_name(service: &str, taken: &[Group]) -> String {
    let base: String = token_from_host(service).chars().take(56).collect();
    let is_free = |name: &str| taken.iter().all(|group| group.name != name);
    if is_free(&base) {
        return base;
    }
    // One of the first `taken.len() + 1` numbers is free.
    (2..=taken.len() + 2).map(|number| format!("{base}-{number}")).find(|name| is_free(name)).unwrap_or(base)
}

/// Puts a stage at the end, joined to the last one when the rate goes on.
pub(super) fn push_stage(stages: &mut Vec<Stage>, rate: Rate, duration_ns: u64) {
    if duration_ns == 0 {
        return;
    }
    match stages.last_mut() {
        Some(last) if last.rate == rate => last.duration.0 = last.duration.0.saturating_add(duration_ns),
        _ => stages.push(Stage { duration: HumanDuration(duration_ns), rate, to: None }),
    }
}
