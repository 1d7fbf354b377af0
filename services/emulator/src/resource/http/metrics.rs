//! `/metrics`, as Prometheus reads it.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

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

/// The text.
pub(super) fn render(shared: &Shared) -> String {
    let readings: Vec<Reading> = shared.groups.values().map(reading).collect();
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(&Reading) -> Option<f64>| {
        let _ = writeln!(text, "# HELP nuncius_resource_{name} {help}\n# TYPE nuncius_resource_{name} {kind}");
        for reading in &readings {
            if let Some(value) = value(reading) {
                let _ = writeln!(text, "nuncius_resource_{name}{{kind=\"{}\"}} {value}", reading.state.kind);
            }
        }
    };
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
    let ratio = |percent: Option<f64>| percent.map(|percent| percent / 100.0);
    family("wanted_bytes", "gauge", "Bytes wanted at present.", &|r| bytes(r.state.wanted_bytes));
    family("actual_bytes", "gauge", "Bytes held at present.", &|r| bytes(r.state.actual_bytes));
    family("limit_bytes", "gauge", "Most bytes that a request may want now.", &|r| bytes(r.state.limit_bytes));
    family("floor_bytes", "gauge", "Bytes that are always left free.", &|r| bytes(r.state.floor_bytes));
    family("wanted_cores", "gauge", "Load wanted at present, in cores.", &|r| ratio(r.state.wanted_percent));
    family("measured_cores", "gauge", "Load of the last second, in cores.", &|r| ratio(r.state.measured_percent));
    family("limit_cores", "gauge", "Most load that a request may want now, in cores.", &|r| {
        ratio(r.state.limit_percent)
    });
    family("cpu_seconds_total", "counter", "Processor time used up, in seconds.", &|r| {
        r.state.wanted_percent.map(|_| r.cpu_ns as f64 / 1e9)
    });
    family("written_bytes_total", "counter", "Bytes written to disk.", &|r| bytes(r.state.written_bytes));
    family("read_bytes_total", "counter", "Bytes read from disk.", &|r| bytes(r.state.read_bytes));
    family("progress_ratio", "gauge", "Share of the way to what was asked.", &|r| Some(r.state.progress));
    family("accepted_total", "counter", "Requests that were accepted.", &|r| bytes(Some(r.board.accepted)));
    family("refused_total", "counter", "Requests that were refused.", &|r| bytes(Some(r.board.refused)));
    family("failures_total", "counter", "Times that what was wanted could not be had.", &|r| {
        bytes(Some(r.board.failed))
    });
    text.push_str("# HELP nuncius_resource_phase What it is doing: 1 for one phase, 0 for the others.\n");
    text.push_str("# TYPE nuncius_resource_phase gauge\n");
    for Reading { state, .. } in &readings {
        for phase in PHASES {
            let value = u8::from(phase == state.phase);
            let (kind, phase) = (state.kind, phase.name());
            let _ = writeln!(text, "nuncius_resource_phase{{kind=\"{kind}\",phase=\"{phase}\"}} {value}");
        }
    }
    text
}
