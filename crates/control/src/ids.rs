//! The id of an experiment as people type it: whole, its beginning, or `last`.

use std::collections::BTreeSet;

use nuncius_bus::Bus;
use nuncius_schemas::names::check_token;
use nuncius_schemas::run::RunRecord;

use crate::ControlError;

/// Stands for the experiment that was submitted last.
pub const LAST: &str = "last";
/// Ids named when a beginning is ambiguous.
const NAMED_MAX: usize = 5;

/// An experiment and when it was submitted: by time, then by place in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Sequence in the stream of submissions.
    pub stream_sequence: u64,
    /// Its id.
    pub id: String,
}

/// What another place than the bus knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Elsewhere {
    /// Ids that begin with what was typed, the whole id among them.
    pub ids: Vec<String>,
    /// What was submitted last.
    pub last: Option<Submitted>,
}

/// The id that `typed` means among the experiments of the bus and of another place; `typed` itself where none is
/// meant, for whoever looks for it to say so.
///
/// # Errors
/// What is no id, a beginning of several, and `last` where there is none; a bus that cannot be read.
pub async fn meant(bus: Option<&Bus>, elsewhere: Elsewhere, typed: &str) -> Result<String, ControlError> {
    check_token("experiment", typed)?;
    let keys = match bus {
        Some(bus) => bus.kv(&bus.namespace().bucket_run()).await?.keys().await?,
        None => Vec::new(),
    };
    if keys.iter().chain(&elsewhere.ids).any(|known| known == typed) {
        return Ok(typed.to_owned());
    }
    if typed == LAST {
        return last(bus, elsewhere.last).await;
    }
    let found: BTreeSet<String> = keys.into_iter().chain(elsewhere.ids).filter(|id| id.starts_with(typed)).collect();
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (None, _) => Ok(typed.to_owned()),
        (Some(only), None) => Ok(only),
        (Some(first), Some(second)) => {
            let mut named: Vec<String> =
                [first, second].into_iter().chain(found.by_ref().take(NAMED_MAX - 2)).collect();
            let more = found.count();
            if more > 0 {
                named.push(format!("and {more} more"));
            }
            Err(ControlError::Ambiguous { typed: typed.to_owned(), named: named.join(", ") })
        }
    }
}

/// What was submitted last: on the bus or elsewhere.
async fn last(bus: Option<&Bus>, elsewhere: Option<Submitted>) -> Result<String, ControlError> {
    let mut latest = elsewhere;
    if let Some(bus) = bus {
        let runs = bus.kv(&bus.namespace().bucket_run()).await?;
        let see = |record: RunRecord| {
            let when = (record.submitted_unix_ms, record.stream_sequence);
            if latest.as_ref().is_none_or(|known| when >= (known.unix_ms, known.stream_sequence)) {
                latest = Some(Submitted { unix_ms: when.0, stream_sequence: when.1, id: record.id });
            }
        };
        runs.visit_decoded(">", see).await?;
    }
    latest.map(|latest| latest.id).ok_or(ControlError::NoneYet)
}
