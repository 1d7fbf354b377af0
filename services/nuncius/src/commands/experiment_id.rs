//! The id of an experiment as people type it, among those of the bus and of this machine.

use anyhow::Result;
use nuncius_bus::Bus;
use nuncius_control::ControlError;
use nuncius_control::ids::{self, Elsewhere, LAST, Submitted};
use nuncius_schemas::names::check_token;
use nuncius_store::{Store, StoreError};

use crate::args::Global;
use crate::connect;
use crate::exit::Usage;

/// Ids of the store that one beginning may have.
const FOUND_MAX: u32 = 100;

/// The id that `typed` means among the experiments of the bus and of the store of this machine; `typed` itself where
/// none is meant, for whoever looks for it to say so.
///
/// # Errors
/// What is no id, a beginning of several, and `last` where there is none; a bus or a store that cannot be read.
pub(super) async fn meant(global: &Global, bus: Option<&Bus>, typed: &str) -> Result<String> {
    check_token("experiment", typed).map_err(|error| Usage(error.to_string()))?;
    let stored = match connect::existing_database(global)? {
        Some(place) => match Store::open(&place).await {
            Ok(store) => {
                let stored = stored(&store, typed).await;
                store.close().await;
                stored?
            }
            // A server that is away keeps nobody from what the bus knows.
            Err(error @ (StoreError::Unreachable { .. } | StoreError::Silent { .. })) => {
                tracing::warn!("{error}");
                Elsewhere::default()
            }
            Err(error) => return Err(error.into()),
        },
        None => Elsewhere::default(),
    };
    match ids::meant(bus, stored, typed).await {
        Err(error @ ControlError::Ambiguous { .. }) => Err(Usage(error.to_string()).into()),
        other => Ok(other?),
    }
}

async fn stored(store: &Store, typed: &str) -> Result<Elsewhere> {
    // The whole id is its own beginning, and the first in order.
    let ids = store.ids_beginning_with(typed, FOUND_MAX).await?;
    let last = if typed == LAST { store.list_experiments(1).await?.into_iter().next() } else { None };
    let last = last.map(|stored| Submitted {
        unix_ms: stored.submitted_unix_ms,
        stream_sequence: stored.stream_sequence,
        id: stored.id,
    });
    Ok(Elsewhere { ids, last })
}
