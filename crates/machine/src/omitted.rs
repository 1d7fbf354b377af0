//! What is left out for want of room.

use nuncius_schemas::telemetry::Omitted;

/// Says that there were `count` beyond a limit, if there were any.
pub(crate) fn omit(omitted: &mut Vec<Omitted>, what: &str, count: u64, limit: usize) {
    if count > 0 {
        omitted.push(Omitted { what: what.to_owned(), count, limit: limit as u64 });
    }
}
