//! Lists of experiments: what the bus knows, and what daemons have stored.

use std::collections::BTreeMap;

use nuncius_bus::Bus;
use nuncius_schemas::codec;
use nuncius_schemas::head::{ExperimentFilter, ExperimentHead, HeadPlace};
use nuncius_schemas::names::check_token;
use nuncius_schemas::run::RunRecord;

use crate::{ControlError, archive};

/// A part of the list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// In the order of [`HeadPlace`].
    pub experiments: Vec<ExperimentHead>,
    /// Where the next part begins, if there is one.
    pub next: Option<HeadPlace>,
    /// Daemons that did not answer: what they have stored is not in it.
    pub silent: usize,
}

/// The experiments that are meant and come after a place, at most so many. `known` are those that the bus knows.
///
/// # Errors
/// When the bus cannot be asked.
pub async fn page(
    bus: &Bus,
    known: impl Iterator<Item = ExperimentHead>,
    filter: &ExperimentFilter,
    after: Option<&HeadPlace>,
    limit: usize,
) -> Result<Page, ControlError> {
    let known: BTreeMap<String, ExperimentHead> = known.map(|head| (head.id.clone(), head)).collect();
    let stored = archive::find(bus, filter, after, limit).await?;
    Ok(merge(known, stored, filter, after, limit))
}

/// What the bus knows goes before what is stored, which may be older.
fn merge(
    mut known: BTreeMap<String, ExperimentHead>,
    stored: archive::Stored,
    filter: &ExperimentFilter,
    after: Option<&HeadPlace>,
    limit: usize,
) -> Page {
    let horizon = stored.more.then(|| stored.experiments.last().map(ExperimentHead::place)).flatten();
    let mut all = Vec::new();
    for head in stored.experiments {
        match known.get_mut(&head.id) {
            Some(on_bus) => (on_bus.scheduled, on_bus.offered) = (head.scheduled, head.offered),
            None => all.push(head),
        }
    }
    all.extend(known.into_values().filter(|head| filter.takes(head)));
    all.retain(|head| after.is_none_or(|after| head.place().is_after(after)));
    archive::sort(&mut all);
    // What lies beyond the last one that daemons told of is not all there.
    let is_within = |head: &ExperimentHead| horizon.as_ref().is_none_or(|horizon| !head.place().is_after(horizon));
    let within = all.iter().take_while(|head| is_within(head)).count();
    let is_cut = within > limit || (all.len() > within && horizon.is_none());
    all.truncate(within.min(limit));
    let next = if is_cut { all.last().map(ExperimentHead::place) } else { horizon };
    Page { experiments: all, next, silent: stored.silent }
}

/// What the bus knows of an experiment, with the revision of its record.
///
/// # Errors
/// What is no id, a record that cannot be read, a bus that does not answer.
pub async fn record(bus: &Bus, id: &str) -> Result<Option<(RunRecord, u64)>, ControlError> {
    check_token("experiment", id)?;
    let runs = bus.kv(&bus.namespace().bucket_run()).await?;
    let Some(entry) = runs.get(id).await? else { return Ok(None) };
    let record = codec::decode(&entry.value).map_err(|error| runs.unreadable(&entry, &error))?;
    Ok(Some((record, entry.revision)))
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::run::RunStatus;

    use super::*;

    fn head(id: &str, at: u64, status: RunStatus) -> ExperimentHead {
        ExperimentHead {
            id: id.to_owned(),
            name: id.to_owned(),
            creator: None,
            tags: BTreeMap::new(),
            status,
            verdict: None,
            reason: None,
            target: None,
            scheduled: None,
            offered: None,
            submitted_unix_ms: at,
            started_unix_ms: None,
            ended_unix_ms: None,
        }
    }

    fn ids(page: &Page) -> Vec<&str> {
        page.experiments.iter().map(|head| head.id.as_str()).collect()
    }

    #[test]
    fn what_the_bus_knows_goes_before_what_is_stored_and_no_page_has_a_hole() {
        let known = || {
            let on_bus = [head("c", 3, RunStatus::Running), head("a", 1, RunStatus::Finished)];
            BTreeMap::from(on_bus.map(|head| (head.id.clone(), head)))
        };
        let stored = |more| {
            let old = [head("c", 3, RunStatus::Submitted), head("b", 2, RunStatus::Finished)];
            archive::Stored { experiments: old.to_vec(), more, silent: 0 }
        };
        let any = ExperimentFilter::default();
        let all = merge(known(), stored(false), &any, None, 10);
        assert_eq!((ids(&all), all.next.clone()), (vec!["c", "b", "a"], None));
        assert_eq!(all.experiments[0].status, RunStatus::Running);
        // A daemon has told as many as it was asked for: what is older is not known to be complete.
        let first = merge(known(), stored(true), &any, None, 2);
        assert_eq!(ids(&first), ["c", "b"]);
        assert_eq!(first.next, Some(HeadPlace { submitted_unix_ms: 2, id: "b".to_owned() }));
        // What the bus says is running is not told as submitted, though it was stored so.
        let waiting = ExperimentFilter { statuses: vec![RunStatus::Submitted], ..any.clone() };
        let old =
            archive::Stored { experiments: vec![head("c", 3, RunStatus::Submitted)], ..archive::Stored::default() };
        assert_eq!(ids(&merge(known(), old, &waiting, None, 10)), Vec::<&str>::new());
        let rest = merge(known(), archive::Stored::default(), &any, first.next.as_ref(), 2);
        assert_eq!((ids(&rest), rest.next.clone()), (vec!["a"], None));
    }
}
