//! The id of an experiment as people type it: whole, its beginning, or `last`.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use nuncius_bus::Bus;
use nuncius_schemas::names::check_token;
use nuncius_schemas::run::RunRecord;
use nuncius_store::{Store, StoreError};

use crate::args::Global;
use crate::{Usage, connect};

/// Stands for the experiment that was submitted last.
const LAST: &str = "last";
/// Ids of the store that one beginning may have.
const FOUND_MAX: u32 = 100;
/// Ids named when a beginning is ambiguous.
const NAMED_MAX: usize = 5;

/// The id that `typed` means among the experiments of the bus and of the store of this machine; `typed` itself where
/// none is meant, for whoever looks for it to say so.
///
/// # Errors
/// What is no id, a beginning of several, and `last` where there is none; a bus or a store that cannot be read.
pub(super) async fn meant(global: &Global, bus: Option<&Bus>, typed: &str) -> Result<String> {
    check_token("experiment", typed).map_err(|error| Usage(error.to_string()))?;
    let file = connect::data_place(global).map(|directory| directory.join("nuncius.db")).filter(|file| file.is_file());
    let store = match file {
        Some(file) => Some(Store::open(&file).await?),
        None => None,
    };
    let found = find(bus, store.as_ref(), typed).await;
    if let Some(store) = store {
        store.close().await;
    }
    found
}

async fn find(bus: Option<&Bus>, store: Option<&Store>, typed: &str) -> Result<String> {
    let keys = match bus {
        Some(bus) => bus.kv(&bus.namespace().bucket_run()).await?.keys().await?,
        None => Vec::new(),
    };
    if keys.iter().any(|key| key == typed) || stored(store, typed).await? {
        return Ok(typed.to_owned());
    }
    if typed == LAST {
        return last(bus, store).await;
    }
    let mut found: BTreeSet<String> = keys.into_iter().filter(|key| key.starts_with(typed)).collect();
    if let Some(store) = store {
        found.extend(store.ids_beginning_with(typed, FOUND_MAX).await?);
    }
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
            Err(Usage(format!("`{typed}` is the beginning of several experiments: {}", named.join(", "))).into())
        }
    }
}

async fn stored(store: Option<&Store>, id: &str) -> Result<bool> {
    let Some(store) = store else { return Ok(false) };
    match store.experiment(id).await {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What was submitted last: on the bus or into the store.
async fn last(bus: Option<&Bus>, store: Option<&Store>) -> Result<String> {
    let mut latest: Option<(u64, u64, String)> = None;
    let mut see = |when: (u64, u64), id: String| {
        if latest.as_ref().is_none_or(|(ms, sequence, _)| when >= (*ms, *sequence)) {
            latest = Some((when.0, when.1, id));
        }
    };
    if let Some(store) = store {
        for stored in store.list_experiments(1).await? {
            see((stored.submitted_unix_ms, stored.stream_sequence), stored.id);
        }
    }
    if let Some(bus) = bus {
        let runs = bus.kv(&bus.namespace().bucket_run()).await?;
        let record = |record: RunRecord| see((record.submitted_unix_ms, record.stream_sequence), record.id);
        runs.visit_decoded(">", record).await?;
    }
    match latest {
        Some((_, _, id)) => Ok(id),
        None => bail!("there is no experiment yet; run one with `nuncius run FILE`"),
    }
}
