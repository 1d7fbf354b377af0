//! How throughput grows with what serves it: workers of a queue, and nodes of experiments.

use nuncius_metrics::Metric;
use nuncius_metrics::names::{device, experiment, node, queue};

use crate::board::{Annotation, Board, Draft, Variable};
use crate::panel::{Panel, lines, query, stat};
use crate::promql::{self, max, min, of, share, sum};

/// The level of the queue that is chosen.
fn level(metric: &'static Metric) -> String {
    max(&[], &of(metric).is("queue", "$queue").plain())
}

pub(super) fn board() -> Board {
    let mut draft = Draft::new(
        "scaling",
        "Nuncius scaling",
        "How throughput grows with what serves it: workers of a queue, and nodes of experiments.",
    );
    draft
        .choose(&Variable {
            name: "queue",
            label: "Queue",
            description: "Queues that a frontend holds.",
            series: promql::of(&queue::WAITING_JOBS).plain(),
            value_of: "queue",
            is_many: false,
            is_descending: false,
        })
        .mark(&Annotation {
            name: "Workers",
            colour: "green",
            expr: format!("max(changes({}[15s])) > 0", of(&queue::WORKERS).is("queue", "$queue").plain()),
            title: "workers come or go",
            is_instant: false,
        })
        .row("Workers of $queue", &workers())
        .row("Nodes of experiments", &nodes());
    draft.done()
}

fn workers() -> Vec<Panel> {
    let finished = sum(&[], &of(&queue::FINISHED_JOBS).is("queue", "$queue").is("status", "succeeded").rate());
    let (workers, slots) = (level(&queue::WORKERS), level(&queue::SLOTS));
    let run = of(&queue::RUN_SECONDS).is("queue", "$queue");
    let total = of(&queue::TOTAL_SECONDS).is("queue", "$queue");
    let by_worker = of(&node::WORKER_FINISHED_JOBS).is("queue", "$queue").rate();
    let by_worker = sum(&["node"], &by_worker);
    vec![
        stat("Jobs each second", "That succeeded.", "reqps", finished.clone()),
        stat("Workers", "That are there.", "short", workers.clone()),
        stat("Each worker", "Jobs that succeeded each second, over the workers.", "reqps", share(&finished, &workers)),
        stat("Each slot", "Jobs that succeeded each second, over the slots.", "reqps", share(&finished, &slots)),
        stat(
            "Slots in use",
            "Jobs that run, over the slots. Below 100 % with jobs waiting, something else holds workers up.",
            "percentunit",
            share(&level(&queue::RUNNING_JOBS), &slots),
        ),
        stat("p95 run", "Of jobs that ended; grows where devices are shared.", "s", run.quantile(0.95, &[])),
        stat("p95 wait and run", "Of jobs that ended.", "s", total.quantile(0.95, &[])),
        stat("Waiting", "Jobs that no worker has taken.", "short", level(&queue::WAITING_JOBS)),
        lines(
            "Throughput and workers",
            "Where workers are added and throughput stays, they are in each other's way. The report of a \
             scaling experiment judges this with intervals.",
            "short",
            vec![
                query("jobs each second", finished.clone()),
                query("workers", workers.clone()),
                query("slots", slots.clone()),
            ],
        ),
        lines(
            "Each worker",
            "Jobs each second: over all workers, and of the slowest and the fastest.",
            "reqps",
            vec![
                query("average", share(&finished, &workers)),
                query("slowest", min(&[], &by_worker)),
                query("fastest", max(&[], &by_worker)),
            ],
        ),
        lines(
            "Demand and supply",
            "Jobs that wait, and slots: what an autoscaler sees.",
            "short",
            vec![
                query("waiting", level(&queue::WAITING_JOBS)),
                query("running", level(&queue::RUNNING_JOBS)),
                query("slots", slots),
            ],
        )
        .sized(8, 8),
        lines(
            "Times",
            "Interpolated within buckets.",
            "s",
            vec![
                query("p50 run", run.quantile(0.5, &[])),
                query("p95 run", run.quantile(0.95, &[])),
                query("p95 wait and run", total.quantile(0.95, &[])),
            ],
        )
        .sized(8, 8),
        lines(
            "Devices",
            "Share of the time that something ran on each.",
            "percentunit",
            vec![query("{{node}} {{device}}", max(&["node", "device"], &of(&device::UTILIZATION_RATIO).plain()))],
        )
        .of_one()
        .sized(8, 8),
    ]
}

fn nodes() -> Vec<Panel> {
    let offered = sum(&["experiment"], &of(&experiment::OFFERED_ITERATIONS).rate());
    let nodes = max(&["experiment"], &of(&experiment::NODES).plain());
    let busiest = max(&["experiment"], &of(&experiment::NODE_UTILISATION_RATIO).plain());
    vec![
        lines(
            "Offered and nodes",
            "Iterations each second, and nodes that told of the last one.",
            "short",
            vec![query("offered in {{experiment}}", offered.clone()), query("nodes of {{experiment}}", nodes.clone())],
        )
        .sized(8, 8),
        lines(
            "Each node",
            "Iterations each second, over the nodes.",
            "ops",
            vec![query("{{experiment}}", share(&offered, &nodes))],
        )
        .sized(8, 8),
        lines(
            "Busiest engine thread",
            "Of all nodes: towards 95 % of a core it takes more nodes, or threads.",
            "percentunit",
            vec![query("{{experiment}}", busiest)],
        )
        .of_one()
        .sized(8, 8),
    ]
}
