//! One job queue: what waits, runs and ends, how long it takes, and who works.

use nuncius_metrics::Metric;
use nuncius_metrics::names::{bridge, gateway, queue as names};

use crate::board::{Annotation, Board, Draft, Variable};
use crate::panel::{Panel, Query, heat, lines, query, stat};
use crate::promql::{self, Series, max, share, sum};

/// Series of the queue that is chosen.
fn of(metric: &'static Metric) -> Series {
    promql::of(metric).is("queue", "$queue")
}

/// The level of a queue, whoever tells of it.
fn level(metric: &'static Metric) -> String {
    max(&[], &of(metric).plain())
}

/// What is added up each second.
fn rate(metric: &'static Metric) -> String {
    sum(&[], &of(metric).rate())
}

pub(super) fn board() -> Board {
    let mut draft = Draft::new(
        "queues",
        "Nuncius job queues",
        "Job queues of Nuncius: what waits, runs and ends, how long it takes, and who works.",
    );
    draft
        .choose(&Variable {
            name: "queue",
            label: "Queue",
            description: "Queues that a frontend holds.",
            series: promql::of(&names::WAITING_JOBS).plain(),
            value_of: "queue",
            is_many: false,
            is_descending: false,
        })
        .mark(&Annotation {
            name: "Alerts",
            colour: "red",
            expr: "ALERTS{alertstate=\"firing\", namespace=~\"$namespace\", queue=\"$queue\"}".to_owned(),
            title: "{{alertname}}",
            is_instant: false,
        })
        .row("Queue $queue now", &now())
        .row("Requests of $queue", &requests())
        .row("Jobs of $queue by state", &states())
        .row("Longest time of a job of $queue in a state", &longest())
        .row("Times of jobs of $queue", &times())
        .row("Trouble in $queue", &trouble())
        .row("Frontends, all queues", &frontends())
        .row("AMQP bridges, all mappings", &bridges());
    draft.done()
}

fn now() -> Vec<Panel> {
    let (waiting, running) = (level(&names::WAITING_JOBS), level(&names::RUNNING_JOBS));
    vec![
        stat("Waiting", "Jobs that no worker has taken.", "short", waiting.clone()),
        stat("Running", "Jobs that workers have taken.", "short", running.clone()),
        stat(
            "Oldest waiting",
            "How long the oldest job that was never begun has waited.",
            "s",
            level(&names::OLDEST_WAITING_SECONDS),
        ),
        stat("Workers", "Workers that are there.", "short", level(&names::WORKERS)),
        stat(
            "Slots in use",
            "Running jobs over all slots of the workers.",
            "percentunit",
            share(&running, &level(&names::SLOTS)),
        ),
        stat(
            "Full",
            "Waiting jobs over the limit; at 100 % the queue refuses. Empty where there is no limit.",
            "percentunit",
            share(&waiting, &level(&names::LIMIT_JOBS)),
        ),
        stat(
            "Dead letters",
            "Jobs that ran out of attempts, as far as they are kept.",
            "short",
            level(&names::DEAD_LETTERS),
        ),
        stat(
            "Frontends that tell",
            "Exactly one frontend holds the queue and tells its totals.",
            "short",
            level(&gateway::QUEUE_HOLDERS),
        ),
    ]
}

fn requests() -> Vec<Panel> {
    vec![
        lines(
            "Finished jobs by outcome",
            "Each job ends once: succeeded, failed, dead (out of attempts) or dropped (mostly since its client is \
             gone).",
            "reqps",
            vec![query("{{status}}", sum(&["status"], &of(&names::FINISHED_JOBS).rate()))],
        )
        .coloured(&[("succeeded", "green"), ("failed", "red"), ("dead", "purple"), ("dropped", "orange")]),
        lines(
            "Accepted and finished",
            "Where more are accepted than finished, the queue grows.",
            "reqps",
            vec![query("accepted", rate(&names::ACCEPTED_JOBS)), query("finished", rate(&names::FINISHED_JOBS))],
        ),
    ]
}

fn states() -> Vec<Panel> {
    let (waiting, running) = (level(&names::WAITING_JOBS), level(&names::RUNNING_JOBS));
    vec![
        lines(
            "Jobs",
            "Jobs in the queue. The limit is shown where there is one.",
            "short",
            vec![
                query("waiting", waiting.clone()),
                query("running", running.clone()),
                query("all", format!("{waiting} + {running}")),
                query("limit of waiting", format!("{} > 0", level(&names::LIMIT_JOBS))),
            ],
        )
        .coloured(&[("limit of waiting", "red")]),
        lines(
            "Workers and slots",
            "A worker runs as many jobs at once as it has slots.",
            "short",
            vec![
                query("workers", level(&names::WORKERS)),
                query("slots", level(&names::SLOTS)),
                query("slots in use", running),
            ],
        ),
    ]
}

fn longest() -> Vec<Panel> {
    let longest = |metric| max(&[], &promql::of(metric).is("name", "$queue").plain());
    vec![
        lines(
            "Longest of the last interval",
            "Of jobs that ended in the last --interval of the frontend or the one before; waiting counts what still \
             waits too.",
            "s",
            vec![
                query("waiting", longest(&names::HPA_QUEUE_MAXWAIT_SECONDS)),
                query("running", longest(&names::HPA_QUEUE_MAXRUN_SECONDS)),
                query("total", longest(&names::HPA_QUEUE_MAXTOTAL_SECONDS)),
            ],
        ),
        lines(
            "Oldest waiting job",
            "Of jobs that were never begun, at this moment: a queue that is stuck rises here.",
            "s",
            vec![query("waiting now", level(&names::OLDEST_WAITING_SECONDS))],
        ),
    ]
}

fn quantiles(metric: &'static Metric) -> Vec<Query> {
    let quantiles = [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")];
    quantiles.into_iter().map(|(q, legend)| query(legend, of(metric).quantile(q, &[]))).collect()
}

fn times() -> Vec<Panel> {
    let interpolated = |what: &str| format!("{what} Interpolated within buckets.");
    vec![
        lines("Waiting", &interpolated("From submission to the last attempt."), "s", quantiles(&names::WAIT_SECONDS))
            .sized(8, 8),
        lines("Running", &interpolated("How long the last attempt ran."), "s", quantiles(&names::RUN_SECONDS))
            .sized(8, 8),
        lines("Total", &interpolated("Waiting and running together."), "s", quantiles(&names::TOTAL_SECONDS))
            .sized(8, 8),
        heat("Waiting, all jobs", "How many jobs waited how long.", of(&names::WAIT_SECONDS).heat()),
        heat(
            "Running, all jobs",
            "How many jobs ran how long; two bands are often two kinds of device.",
            of(&names::RUN_SECONDS).heat(),
        ),
    ]
}

fn trouble() -> Vec<Panel> {
    let ended = |status: &str| sum(&[], &of(&names::FINISHED_JOBS).is("status", status).rate());
    vec![
        lines(
            "Tried again, over the limit",
            "Attempts beyond the first, after lost workers and, where the queue is set so, failures; jobs over their \
             limit; messages of jobs that had ended before, which are not run.",
            "reqps",
            vec![
                query("retries", rate(&names::RETRIES)),
                query("over the run limit", rate(&names::TIMED_OUT_JOBS)),
                query("repeated", rate(&names::REPEATED_JOBS)),
            ],
        )
        .sized(8, 8),
        lines(
            "Given up and dropped",
            "Jobs that ended without being run to their end.",
            "reqps",
            vec![query("dead", ended("dead")), query("dropped", ended("dropped"))],
        )
        .coloured(&[("dead", "purple"), ("dropped", "orange")])
        .sized(8, 8),
        lines(
            "Dead letters kept, jobs missing",
            "Copies of jobs that were given up, with the reason. Missing: accepted, not ended and not there; 0 \
             unless records were lost.",
            "short",
            vec![query("dead letters", level(&names::DEAD_LETTERS)), query("missing", level(&names::UNACCOUNTED_JOBS))],
        )
        .coloured(&[("dead letters", "red")])
        .sized(8, 8),
    ]
}

fn frontends() -> Vec<Panel> {
    let everywhere = |metric| max(&[], &promql::of(metric).rate());
    vec![
        lines(
            "New connections",
            "Clients and workers that came, each second. Every frontend sees all of them.",
            "ops",
            vec![
                query("Clients", everywhere(&names::HPA_CLIENT_CONNECTIONS)),
                query("Workers", everywhere(&names::HPA_WORKER_CONNECTIONS)),
            ],
        ),
        lines(
            "Frontends",
            "Queues whose books each keeps, and clients of queues that are there.",
            "short",
            vec![
                query("queues of {{node}}", max(&["node"], &promql::of(&names::FRONTEND_HELD_QUEUES).plain())),
                query("clients", max(&[], &promql::of(&names::FRONTEND_CLIENTS).plain())),
            ],
        ),
    ]
}

fn bridges() -> Vec<Panel> {
    let rate = |legend: &str, metric| query(legend, sum(&["mapping"], &promql::of(metric).rate()));
    let level = |legend: &str, metric| query(legend, sum(&["mapping"], &promql::of(metric).plain()));
    vec![
        lines(
            "Messages of AMQP",
            "What became of the messages of each mapping: delivered by the broker, new as jobs or experiments, known \
             already, acknowledged, answered.",
            "ops",
            vec![
                rate("{{mapping}} delivered", &bridge::RECEIVED_MESSAGES),
                rate("{{mapping}} accepted", &bridge::ACCEPTED_MESSAGES),
                rate("{{mapping}} known already", &bridge::KNOWN_MESSAGES),
                rate("{{mapping}} acknowledged", &bridge::ACKNOWLEDGED_MESSAGES),
                rate("{{mapping}} answered", &bridge::ANSWERS),
            ],
        )
        .sized(8, 8),
        lines(
            "Under way",
            "Messages that are neither acknowledged nor rejected, and those of them that wait for a queue, a daemon or \
             a server; bridges that consume the queue.",
            "short",
            vec![
                level("{{mapping}} under way", &bridge::IN_FLIGHT_MESSAGES),
                level("{{mapping}} waiting", &bridge::HELD_MESSAGES),
                level("{{mapping}} bridges", &bridge::CONNECTED),
            ],
        )
        .sized(8, 8),
        lines(
            "Trouble with AMQP",
            "Messages that were rejected, by reason; messages that came again, or had no id; answers that no queue \
             would take; connections that ended.",
            "ops",
            vec![
                query(
                    "{{mapping}} refused: {{reason}}",
                    sum(&["mapping", "reason"], &promql::of(&bridge::REFUSED_MESSAGES).rate()),
                ),
                rate("{{mapping}} delivered again", &bridge::REDELIVERED_MESSAGES),
                rate("{{mapping}} without id", &bridge::MESSAGES_WITHOUT_ID),
                rate("{{mapping}} not to be delivered", &bridge::UNROUTABLE_ANSWERS),
                rate("{{mapping}} connections lost", &bridge::LOST_CONNECTIONS),
            ],
        )
        .sized(8, 8),
    ]
}
