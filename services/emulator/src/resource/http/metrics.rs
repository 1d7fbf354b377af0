//! What is known, as metrics.

use std::sync::atomic::Ordering::Relaxed;

use nuncius_metrics::Families;
use nuncius_metrics::names::emulator as names;
use nuncius_schemas::resource::{ResourcePhase, ResourceState};

use super::Shared;
use crate::resource::group::{Board, Group};

const PHASES: [ResourcePhase; 5] = [
    ResourcePhase::Idle,
    ResourcePhase::Working,
    ResourcePhase::Holding,
    ResourcePhase::Releasing,
    ResourcePhase::Failed,
];

struct Reading {
    state: ResourceState,
    board: Board,
    cpu_ns: u64,
}

fn reading(group: &Group) -> Reading {
    Reading { state: group.state(), board: group.board(), cpu_ns: group.gauge.cpu_ns.load(Relaxed) }
}

/// The page, which has no need of a name.
pub(super) fn render(shared: &Shared) -> String {
    let mut families = Families::new();
    add(&mut families, "", shared);
    nuncius_metrics::expose::text(&families)
}

/// What is known, as metrics of the node of this name.
pub(in crate::resource) fn add(families: &mut Families, node: &str, shared: &Shared) {
    for Reading { state, board, cpu_ns } in shared.groups.values().map(reading) {
        let kind = state.kind.to_string();
        let own: &[&str] = &[node, &kind];
        for (metric, bytes) in [
            (&names::RESOURCE_WANTED_BYTES, state.wanted_bytes),
            (&names::RESOURCE_ACTUAL_BYTES, state.actual_bytes),
            (&names::RESOURCE_LIMIT_BYTES, state.limit_bytes),
            (&names::RESOURCE_FLOOR_BYTES, state.floor_bytes),
            (&names::RESOURCE_WRITTEN_BYTES, state.written_bytes),
            (&names::RESOURCE_READ_BYTES, state.read_bytes),
            (&names::RESOURCE_ACCEPTED, Some(board.accepted)),
            (&names::RESOURCE_REFUSED, Some(board.refused)),
            (&names::RESOURCE_FAILURES, Some(board.failed)),
        ] {
            if let Some(bytes) = bytes {
                families.count(metric, own, bytes);
            }
        }
        for (metric, percent) in [
            (&names::RESOURCE_WANTED_CORES, state.wanted_percent),
            (&names::RESOURCE_MEASURED_CORES, state.measured_percent),
            (&names::RESOURCE_LIMIT_CORES, state.limit_percent),
        ] {
            if let Some(percent) = percent {
                families.number(metric, own, percent / 100.0);
            }
        }
        if state.wanted_percent.is_some() {
            families.number(&names::RESOURCE_CPU_SECONDS, own, cpu_ns as f64 / 1e9);
        }
        families.number(&names::RESOURCE_PROGRESS_RATIO, own, state.progress);
        for phase in PHASES {
            let is_in_it = u64::from(phase == state.phase);
            families.count(&names::RESOURCE_PHASE, &[node, &kind, phase.name()], is_in_it);
        }
    }
}
