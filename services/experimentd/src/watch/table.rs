//! The routing table, watched for a run, and how its nodes stand with what has changed there.

use std::collections::{BTreeMap, BTreeSet};

use nuncius_bus::BusError;
use nuncius_bus::kv::{KvEvent, KvWatch};
use nuncius_schemas::spec::ExperimentSpec;

use crate::running::{Running, Stopped};

/// How the nodes stand with the routes.
#[derive(Debug, Default)]
pub(super) struct Routing {
    /// The number of the change that each has heard of, whatever it said to that.
    pub(super) heard: BTreeMap<String, u32>,
    /// The latest change, while not all have heard of it: its number, and when it was seen.
    pub(super) latest: Option<(u32, u64)>,
    /// Nodes that keep to the routes that they had before it.
    pub(super) refused: BTreeSet<String>,
}

/// Whether a run goes by what becomes of a service's route.
pub(super) fn follows(spec: &ExperimentSpec, service: &str) -> bool {
    !spec.pinned_routes.contains_key(service)
}

/// Watches the routing table for a run; nothing where none of its targets goes by it.
///
/// # Errors
/// The run is no longer ours, or the table cannot be read.
pub(super) async fn watch(running: &Running) -> Result<Option<KvWatch>, Stopped> {
    let record = &running.journal.record;
    let services = record.routes.iter().map(|route| route.service.as_str());
    let mut followed = services.filter(|service| follows(&record.spec, service));
    let filter = match (followed.next(), followed.next()) {
        (None, _) => return Ok(None),
        (Some(one), None) => one.to_owned(),
        (Some(_), Some(_)) => ">".to_owned(),
    };
    let open = || running.daemon.routes.watch(&filter);
    running.insist("the routing table cannot be read", open).await.map(Some)
}

/// The next change; never where nothing is watched.
pub(super) async fn next(watch: &mut Option<KvWatch>) -> Result<KvEvent, BusError> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}
