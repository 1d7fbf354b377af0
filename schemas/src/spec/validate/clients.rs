//! What a group of clients must keep to.

use crate::interarrival::{CLIENTS_MAX, Clients};
use crate::spec::check::{SpecError, refuse};
use crate::spec::{Arrivals, Group};

/// Refuses clients who would send nothing, or too many of them, and what belongs to another kind of load.
pub(super) fn check(path: &str, group: &Group, clients: &Clients) -> Result<(), SpecError> {
    let others = [
        ("rate", group.rate.is_some(), "clients decide when they send: leave it out"),
        ("stages", !group.stages.is_empty(), "clients decide when they send: leave them out"),
        ("rate_per_node", group.rate_per_node, "clients are for all nodes together: leave it out"),
        ("arrivals", group.arrivals != Arrivals::Constant, "`clients.interarrival` says that: leave it out"),
        ("duration", group.duration.is_none(), "missing: say how long the clients are there"),
    ];
    if let Some((field, _, problem)) = others.into_iter().find(|(_, is_wrong, _)| *is_wrong) {
        return refuse(format!("{path}.{field}"), problem);
    }
    if clients.count == 0 {
        return refuse(format!("{path}.clients.count"), "0 clients do nothing");
    }
    if clients.count > CLIENTS_MAX {
        return refuse(format!("{path}.clients.count"), format!("more than {CLIENTS_MAX}"));
    }
    if clients.requests == Some(0) {
        return refuse(format!("{path}.clients.requests"), "0 requests do nothing");
    }
    Ok(())
}
