//! Who is there.

use nuncius_report::format::{bytes, count, duration_f64, share, utc};
use nuncius_report::html::{escape, table};
use nuncius_schemas::node::{NodeInfo, Role};
use nuncius_schemas::telemetry::NodeTelemetry;
use nuncius_schemas::worker::DeviceKind;

use crate::frame::{Frame, frame};

/// The page; `machines` is what each told last of itself.
pub fn page(within: &Frame, nodes: &[NodeInfo], machines: &[NodeTelemetry]) -> String {
    let mut body = String::from("<h1 class=\"title\">Nodes</h1>\n<section id=\"nodes\" data-refresh>\n");
    if nodes.is_empty() {
        body.push_str(
            "<p class=\"note\">Nobody is there. <code>nuncius client</code> on a machine makes it a node.</p>\n",
        );
    } else {
        let rows: Vec<Vec<String>> = nodes.iter().map(|node| row(within, node)).collect();
        let heading = [
            "name",
            "role",
            "host",
            "processors",
            "works for",
            "labels",
            "caps",
            "targets",
            "memory",
            "round trip",
            "since",
        ];
        body.push_str(&table(&heading, &rows, &[1, 2, 4, 5, 6, 7]));
    }
    body.push_str("</section>\n<section id=\"machines\" data-refresh>\n<h2>Machines</h2>\n");
    if machines.is_empty() {
        body.push_str(
            "<p class=\"note\">No machine tells of itself at present. Nodes do while an experiment wants it, \
             <code>nuncius telemetry</code> all the time.</p>\n",
        );
    } else {
        let rows: Vec<Vec<String>> = machines.iter().map(machine).collect();
        let heading = [
            "machine",
            "host",
            "processors busy",
            "stolen",
            "load",
            "memory used",
            "swap used",
            "threads that wait",
            "told at",
        ];
        body.push_str(&table(&heading, &rows, &[1]));
    }
    body.push_str("</section>\n<section id=\"devices\" data-refresh>\n<h2>Devices</h2>\n");
    let mut rows: Vec<Vec<String>> = machines.iter().flat_map(gpus).collect();
    rows.extend(nodes.iter().filter(|node| node.role == Role::Worker).flat_map(devices));
    if rows.is_empty() {
        body.push_str("<p class=\"note\">No device is known.</p>\n");
    } else {
        body.push_str(&table(&DEVICE_HEADING, &rows, &[1, 2]));
    }
    body.push_str("</section>\n");
    frame(within, "Nodes", "/nodes", &body)
}

const DEVICE_HEADING: [&str; 8] = ["device", "of", "model", "busy", "memory used", "power", "temperature", "throttled"];

/// What is not told.
const ABSENT: &str = "–";

fn told<T>(value: Option<T>, words: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| ABSENT.to_owned(), words)
}

fn part(used: u64, of: u64) -> String {
    format!("{} of {}", bytes(used), bytes(of))
}

fn machine(told_last: &NodeTelemetry) -> Vec<String> {
    let cpu = told_last.cpu.as_ref();
    let memory = told_last.memory.as_ref();
    let load = told_last.load.as_ref();
    vec![
        escape(&told_last.node, 128),
        escape(&told_last.host, 80),
        told(cpu.and_then(|cpu| cpu.busy_ratio), share),
        told(cpu.and_then(|cpu| cpu.steal_ratio), share),
        told(load, |load| format!("{:.2}", load.load1)),
        told(memory, |memory| part(memory.total_bytes.saturating_sub(memory.available_bytes), memory.total_bytes)),
        told(memory, |memory| {
            part(memory.swap_total_bytes.saturating_sub(memory.swap_free_bytes), memory.swap_total_bytes)
        }),
        told(load.and_then(|load| load.blocked), |blocked| blocked.to_string()),
        utc(told_last.at_unix_ns / 1_000_000),
    ]
}

fn gpus(told_last: &NodeTelemetry) -> Vec<Vec<String>> {
    let row = |gpu: &nuncius_schemas::telemetry::GpuTelemetry| {
        vec![
            escape(&gpu.device, 80),
            escape(&told_last.node, 128),
            escape(gpu.model.as_deref().unwrap_or(&gpu.source), 120),
            told(gpu.busy_ratio, share),
            told(gpu.memory_used_bytes.zip(gpu.memory_total_bytes), |(used, all)| part(used, all)),
            told(gpu.power_watts, |watts| format!("{watts:.0} W")),
            told(gpu.temperature_celsius, |celsius| format!("{celsius:.0} °C")),
            told(gpu.is_throttled, |is| match is {
                true => escape(&format!("yes {}", gpu.throttle_reasons.join(", ")), 200),
                false => "no".to_owned(),
            }),
        ]
    };
    told_last.gpus.iter().map(row).collect()
}

/// What a worker says of its devices; how busy they are its machine tells.
fn devices(node: &NodeInfo) -> Vec<Vec<String>> {
    let Some(worker) = &node.worker else { return Vec::new() };
    let row = |device: &nuncius_schemas::worker::DeviceInfo| {
        let kind = match device.kind {
            DeviceKind::Drm | DeviceKind::Nvidia | DeviceKind::File => "",
            DeviceKind::Emulated => " (emulated)",
        };
        let mut cells = vec![
            format!("{}{kind}", escape(&device.name, 80)),
            format!("{}, queue {}", escape(&node.name, 128), escape(&worker.queue, 128)),
            escape(device.model.as_deref().unwrap_or(ABSENT), 120),
            ABSENT.to_owned(),
            told(device.memory_bytes, |all| format!("of {}", bytes(all))),
        ];
        cells.resize(DEVICE_HEADING.len(), ABSENT.to_owned());
        cells
    };
    worker.devices.iter().map(row).collect()
}

fn row(within: &Frame, node: &NodeInfo) -> Vec<String> {
    let labels: Vec<String> = node.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let caps = node.capacity.as_ref().map_or_else(
        || ABSENT.to_owned(),
        |capacity| {
            let (rate, in_flight) = (capacity.max_rate_per_second, capacity.max_in_flight);
            format!("{}/s, {} in flight", count(rate), count(in_flight.into()))
        },
    );
    let works_for = match &node.experiment {
        Some(id) => format!("<a href=\"{}\">{}</a>", within.path(&format!("/runs/{id}")), escape(id, 128)),
        None => ABSENT.to_owned(),
    };
    let listed = |words: &[String]| if words.is_empty() { ABSENT.to_owned() } else { escape(&words.join(", "), 200) };
    vec![
        escape(&node.name, 128),
        node.role.name().to_owned(),
        escape(&node.host, 80),
        node.processors.to_string(),
        works_for,
        listed(&labels),
        caps,
        listed(&node.allowed_targets),
        told(Some(node.memory_bytes).filter(|all| *all > 0), bytes),
        duration_f64(node.round_trip_ns as f64),
        utc(node.started_unix_ms),
    ]
}
