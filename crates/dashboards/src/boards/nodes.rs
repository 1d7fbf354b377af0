//! Nodes: who is there, their processes, their machines, and the devices of workers.

use nuncius_metrics::names::{device, machine, node as names, process};
use nuncius_metrics::{Kind, Metric};

use crate::board::{Board, Draft, Variable};
use crate::panel::{Panel, lines, query, rate_unit, stack, stat, states, table, unit};
use crate::promql::{self, Series, max, sum};

/// Series of the nodes that are chosen.
fn of(metric: &'static Metric) -> Series {
    promql::of(metric).like("node", "$node")
}

/// The level of each node.
fn level(metric: &'static Metric) -> String {
    max(&["node"], &of(metric).plain())
}

/// What each node adds up each second.
fn rate(metric: &'static Metric, by: &[&str]) -> String {
    sum(by, &of(metric).rate())
}

pub(super) fn board() -> Board {
    let mut draft = Draft::new(
        "nodes",
        "Nuncius nodes and devices",
        "Who is there: processes of the system, the machines they run on, and the devices of workers.",
    );
    draft.choose(&Variable {
        name: "node",
        label: "Node",
        description: "Processes in the registry.",
        series: promql::of(&names::NODE_INFO).plain(),
        value_of: "node",
        is_many: true,
        is_descending: false,
    });
    draft.row("Who is there", &who()).row("Processes", &processes()).row("Workers and their devices", &workers());
    draft.row("Machines, as their telemetry says", &machines());
    for (title, families) in [
        ("Machines: processors", machine::processor::ALL),
        ("Machines: memory", machine::memory::ALL),
        ("Machines: network, disks, TCP", machine::traffic::ALL),
        ("Machines: control groups and containers", machine::cgroup::ALL),
        ("Machines: GPUs, energy, temperatures", machine::device::ALL),
    ] {
        draft.closed_row(title, &families.iter().copied().map(of_machine).collect::<Vec<_>>());
    }
    draft.done()
}

fn who() -> Vec<Panel> {
    vec![
        lines(
            "Processes by role",
            "In the registry.",
            "short",
            vec![query("{{role}}", max(&["role"], &promql::of(&names::NODES).plain()))],
        )
        .sized(8, 8),
        lines(
            "Processes that left",
            "On purpose or because they were lost, in all that is shown.",
            "short",
            vec![query("{{role}}", sum(&["role"], &promql::of(&names::NODES_LEFT).increase_shown()))],
        )
        .sized(8, 8),
        lines(
            "Round trip to the bus",
            "How long the bus takes to answer a node.",
            "s",
            vec![query("{{node}}", level(&names::NODE_ROUND_TRIP_SECONDS))],
        )
        .sized(8, 8),
        table("Registry", "Every process that is there now.", of(&names::NODE_INFO).once()).sized(12, 8),
        states(
            "What nodes work for",
            "The experiment of each node.",
            "{{node}}: {{experiment}}",
            max(&["node", "experiment"], &of(&names::NODE_EXPERIMENT_INFO).plain()),
        )
        .sized(12, 8),
    ]
}

fn processes() -> Vec<Panel> {
    let age = |metric| format!("time() - {}", level(metric));
    vec![
        lines(
            "Processor time",
            "In cores, user and system.",
            "short",
            vec![query("{{node}}", rate(&process::PROCESS_CPU_SECONDS, &["node"]))],
        ),
        lines("Memory", "Resident.", "bytes", vec![query("{{node}}", level(&process::PROCESS_RESIDENT_MEMORY_BYTES))]),
        lines(
            "Open files and threads",
            "A connection is one file.",
            "short",
            vec![
                query("files of {{node}}", level(&process::PROCESS_OPEN_FILES)),
                query("threads of {{node}}", level(&process::PROCESS_THREADS)),
            ],
        ),
        lines(
            "The bus, as processes see it",
            "Connections lost, and messages dropped because a subscription was not read fast enough.",
            "ops",
            vec![
                query("disconnects of {{node}}", rate(&process::BUS_DISCONNECTS, &["node"])),
                query("slow consumer {{node}}", rate(&process::BUS_SLOW_CONSUMER_MESSAGES, &["node"])),
            ],
        ),
        lines(
            "Connected",
            "1 while a process is connected to NATS.",
            "short",
            vec![query("{{node}}", level(&process::BUS_CONNECTED))],
        )
        .of_one()
        .sized(8, 8),
        lines(
            "Telemetry of processes",
            "Messages of traces, metrics and logs that left, and that found no room.",
            "ops",
            vec![
                query("{{signal}} published", rate(&process::TELEMETRY_PUBLISHED, &["signal"])),
                query("{{signal}} dropped", rate(&process::TELEMETRY_DROPPED, &["signal"])),
            ],
        )
        .sized(8, 8),
        lines(
            "Age",
            "Since the process started, and since it joined.",
            "s",
            vec![
                query("{{node}}", age(&process::PROCESS_START_TIME_SECONDS)),
                query("{{node}} joined", age(&names::NODE_START_TIME_SECONDS)),
            ],
        )
        .sized(8, 8),
        table("Versions", "Of processes that publish metrics.", of(&process::PROCESS_INFO).once()).sized(24, 6),
    ]
}

fn workers() -> Vec<Panel> {
    let of_device = |metric| max(&["node", "device"], &of(metric).plain());
    vec![
        lines(
            "Slots",
            "Jobs that a worker runs, and can run at once.",
            "short",
            vec![
                query("{{node}} busy", level(&names::WORKER_BUSY_SLOTS)),
                query("{{node}} all", level(&names::WORKER_SLOTS)),
            ],
        )
        .sized(6, 8),
        stack(
            "Finished jobs",
            "By worker.",
            "reqps",
            vec![query("{{node}}", rate(&names::WORKER_FINISHED_JOBS, &["node"]))],
        )
        .sized(6, 8),
        lines(
            "Processors of hosts",
            "Share in use, as the worker says.",
            "percentunit",
            vec![query("{{node}}", level(&names::NODE_CPU_RATIO))],
        )
        .of_one()
        .sized(6, 8),
        lines(
            "Memory of hosts",
            "In use, as workers say, and all of it, as nodes that generate load say.",
            "bytes",
            vec![
                query("{{node}} in use", level(&names::NODE_MEMORY_USED_BYTES)),
                query("{{node}} in all", level(&names::NODE_MEMORY_BYTES)),
            ],
        )
        .sized(6, 8),
        stat(
            "Processors",
            "Of all hosts, counted once a node.",
            "short",
            sum(&[], &of(&names::NODE_PROCESSORS).once()),
        )
        .sized(4, 8),
        lines(
            "Devices: busy",
            "Share of the time that something ran on it, which is not how full it was.",
            "percentunit",
            vec![query("{{node}} {{device}}", of_device(&device::UTILIZATION_RATIO))],
        )
        .of_one()
        .sized(5, 8),
        lines(
            "Devices: memory",
            "In use.",
            "bytes",
            vec![query("{{node}} {{device}}", of_device(&device::MEMORY_USED_BYTES))],
        )
        .sized(5, 8),
        lines(
            "Devices: temperature",
            "As the device says.",
            "celsius",
            vec![query("{{node}} {{device}}", of_device(&device::TEMPERATURE_CELSIUS))],
        )
        .sized(5, 8),
        lines(
            "Devices: power",
            "As the device says; emulated ones compute it.",
            "watt",
            vec![query("{{node}} {{device}}", of_device(&device::POWER_WATTS))],
        )
        .sized(5, 8),
    ]
}

/// What is looked at first; the rows behind have a panel for each family.
fn machines() -> Vec<Panel> {
    let by = |metric, label: &'static str| sum(&["node", label], &of(metric).rate());
    vec![
        lines(
            "Processors",
            "Share in use.",
            "percentunit",
            vec![query("{{node}}", level(&machine::processor::CPU_RATIO))],
        )
        .of_one()
        .sized(8, 8),
        lines(
            "Memory",
            "What no new program could have, and all there is.",
            "bytes",
            vec![
                query("{{node}}", level(&machine::memory::RAM_BYTES)),
                query("{{node}} in all", level(&machine::memory::RAM_TOTAL_BYTES)),
            ],
        )
        .sized(8, 8),
        lines(
            "Network",
            "Received and sent, by interface.",
            "Bps",
            vec![
                query("{{node}} {{interface}} received", by(&machine::traffic::NETWORK_RECEIVED_BYTES, "interface")),
                query("{{node}} {{interface}} sent", by(&machine::traffic::NETWORK_SENT_BYTES, "interface")),
            ],
        )
        .sized(8, 8),
        table(
            "Machines",
            "Each that is sampled now, and the kernel's identifier of it since the boot.",
            of(&machine::INFO).once(),
        )
        .sized(12, 6),
        lines(
            "Samples",
            "Heard each second, and how old the last one is.",
            "short",
            vec![
                query("{{node}}", rate(&machine::SAMPLES, &["node"])),
                query("{{node}} age, s", format!("time() - {}", level(&machine::SAMPLED_SECONDS))),
            ],
        )
        .sized(12, 6),
    ]
}

fn of_machine(metric: &'static Metric) -> Panel {
    let own: Vec<&str> = metric.labels_scraped().collect();
    let legend: Vec<String> = own.iter().map(|label| format!("{{{{{label}}}}}")).collect();
    let (expr, unit) = match metric.kind {
        Kind::Counter => (of(metric).rate(), rate_unit(metric)),
        Kind::Gauge | Kind::Info | Kind::Histogram => (of(metric).once(), unit(metric)),
    };
    let title = metric.base_name().trim_start_matches("nuncius_").replace('_', " ");
    lines(&title, metric.help, unit, vec![query(&legend.join(" "), expr)]).sized(8, 7)
}
