//! Commands beside the load as lines.

use nuncius_schemas::profile::ProfileReport;

use super::table::{Paint, columns, fold};
use crate::format::{ABSENT, bytes, plain};

/// Most of them that are shown.
const LINES_MAX: usize = 20;
/// Longest name, in characters.
const NAME_CHARACTERS: usize = 28;
/// Longest reason, in characters.
const REASON_CHARACTERS: usize = 400;

/// A few of them; nothing where there was none.
pub(super) fn lines(profiles: &[ProfileReport], paint: Paint, width: usize) -> String {
    if profiles.is_empty() {
        return String::new();
    }
    let shown = || profiles.iter().take(LINES_MAX);
    let rows: Vec<Vec<String>> = shown()
        .map(|profile| {
            let size = if profile.is_collected() { bytes(profile.size_bytes) } else { ABSENT.to_owned() };
            vec![
                plain(&profile.name, NAME_CHARACTERS),
                if profile.node.is_empty() { ABSENT.to_owned() } else { plain(&profile.node, NAME_CHARACTERS) },
                profile.outcome.name().to_owned(),
                profile.format.name().to_owned(),
                size,
            ]
        })
        .collect();
    let heading = ["profile", "node", "outcome", "format", "size"];
    let mut out = format!("\n{}", columns(paint, &heading, &rows, &[1, 2, 3]));
    for profile in shown() {
        if let Some(reason) = &profile.reason {
            let place =
                if profile.node.is_empty() { String::new() } else { format!(" on {}", plain(&profile.node, 64)) };
            let text = format!("  {}{place}: {}", plain(&profile.name, 64), plain(reason, REASON_CHARACTERS));
            out.push_str(&fold(&text, width, 6));
        }
    }
    if profiles.len() > LINES_MAX {
        out.push_str(&format!("  and {} more: `nuncius profile ID` lists all\n", profiles.len() - LINES_MAX));
    }
    out
}
