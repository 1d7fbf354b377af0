//! One experiment: its phases, what was offered and what came of it, latencies, failures, nodes.

use nuncius_metrics::Metric;
use nuncius_metrics::names::experiment as names;

use crate::board::{Annotation, Board, Draft, Variable};
use crate::panel::{Panel, Query, heat, lines, name, query, rate_unit, stack, stat, states};
use crate::promql::{self, Series, max, share, sum};

/// Series of the experiment that is chosen.
fn of(metric: &'static Metric) -> Series {
    promql::of(metric).is("experiment", "$experiment")
}

/// Of the groups that are chosen.
fn of_groups(metric: &'static Metric) -> Series {
    of(metric).like("group", "$group")
}

/// Of the steps that are chosen.
fn of_steps(metric: &'static Metric) -> Series {
    of_groups(metric).like("step", "$step")
}

/// How far the classic buckets can be believed.
const RESOLUTION: &str = "From 24 buckets between 100 µs and 60 s, interpolated: off by up to a bucket. The report has \
    the whole histogram, within 1 %.";

pub(super) fn board() -> Board {
    let mut draft = Draft::new(
        "experiment",
        "Nuncius experiment",
        "One experiment: phases and verdict, what was scheduled and offered, latencies from the planned instant, \
         failures, nodes.",
    );
    draft
        .choose(&Variable {
            name: "experiment",
            label: "Experiment",
            description: "Those that have series in the time that is shown: an experiment's end five minutes after it.",
            series: promql::of(&names::INFO).plain(),
            value_of: "experiment",
            is_many: false,
            is_descending: true,
        })
        .choose(&Variable {
            name: "group",
            label: "Group",
            description: "Groups of the experiment.",
            series: of(&names::OFFERED_ITERATIONS).plain(),
            value_of: "group",
            is_many: true,
            is_descending: false,
        })
        .choose(&Variable {
            name: "step",
            label: "Step",
            description: "Steps of the groups.",
            series: of_groups(&names::OFFERED_REQUESTS).plain(),
            value_of: "step",
            is_many: true,
            is_descending: false,
        });
    mark(&mut draft);
    draft
        .row("Experiment $experiment", &now())
        .row("Load", &load())
        .row("Latencies", &latencies())
        .row("Failures", &failures())
        .row("Nodes", &nodes())
        .closed_row("Native histograms: a Prometheus of 3.8 or newer that scrapes them", &native());
    draft.done()
}

fn mark(draft: &mut Draft) {
    let started = max(&["phase"], &of(&names::PHASE_START_TIME_SECONDS).plain());
    let events = of(&names::EVENTS).without("kind", "status").plain();
    draft
        .mark(&Annotation {
            name: "Phases",
            colour: "blue",
            expr: format!("{started} * 1000"),
            title: "{{phase}}",
            is_instant: true,
        })
        .mark(&Annotation {
            name: "Events",
            colour: "orange",
            expr: format!("max by (kind) (changes({events}[15s])) > 0"),
            title: "{{kind}}",
            is_instant: false,
        })
        .mark(&Annotation {
            name: "Alerts",
            colour: "red",
            expr: "ALERTS{alertstate=\"firing\", namespace=~\"$namespace\", experiment=\"$experiment\"}".to_owned(),
            title: "{{alertname}}",
            is_instant: false,
        });
}

fn now() -> Vec<Panel> {
    let ended = of(&names::REQUESTS);
    let failed = sum(&[], &ended.clone().is("outcome", "failed").once());
    let requests = sum(&[], &ended.once());
    let offered = sum(&[], &of(&names::OFFERED_ITERATIONS).once());
    let verdict = format!("{} == 1", max(&["verdict"], &of(&names::VERDICT).plain()));
    vec![
        name("Phase", "Where the experiment is.", "{{phase}}", max(&["phase"], &of(&names::PHASE_INFO).plain())),
        name(
            "Verdict",
            "Empty until it was judged. Invalid: the measurement cannot be trusted.",
            "{{verdict}}",
            verdict,
        )
        .coloured(&[("pass", "green"), ("fail", "red"), ("invalid", "purple"), ("undetermined", "yellow")]),
        stat("p99 response", RESOLUTION, "s", of(&names::RESPONSE_SECONDS).quantile(0.99, &[])),
        stat("Failed requests", "Of those that ended, so far.", "percentunit", share(&failed, &requests)),
        stat("Offered iterations", "Taken from the schedule, or begun, so far.", "short", offered),
        stat(
            "Deficit",
            "Iterations that the schedule held so far and nobody has offered yet.",
            "short",
            sum(&[], &of(&names::DEFICIT_ITERATIONS).once()),
        ),
        stat("Nodes", "That told of the last second.", "short", max(&[], &of(&names::NODES).plain())),
        stat("Load so far", "Seconds that have been merged.", "s", max(&[], &of(&names::RUN_TIME_SECONDS).plain())),
        name(
            "What it is",
            "Its name, and who wanted it.",
            "{{name}} ({{creator}})",
            max(&["name", "creator"], &of(&names::INFO).plain()),
        )
        .sized(6, 4),
        stat(
            "Load began",
            "When load was first offered.",
            "dateTimeAsIso",
            format!("{} * 1000", max(&[], &of(&names::START_TIME_SECONDS).plain())),
        )
        .sized(6, 4),
        stat(
            "Load in all",
            "Seconds of load that were planned; empty where there is no end.",
            "s",
            max(&[], &of(&names::PLANNED_TIME_SECONDS).plain()),
        ),
        states(
            "Phases",
            "When the experiment was where.",
            "{{phase}}",
            max(&["phase"], &of(&names::PHASE_INFO).plain()),
        ),
    ]
}

fn load() -> Vec<Panel> {
    let rate = |metric| sum(&[], &of_groups(metric).rate());
    let of_outcome = sum(&["outcome"], &of_steps(&names::REQUESTS).rate());
    let ended = sum(&["outcome"], &of_groups(&names::ITERATIONS).rate());
    let colours = [("succeeded", "green"), ("failed", "red"), ("censored", "purple")];
    let bytes = |metric| sum(&[], &of_steps(metric).rate());
    vec![
        lines(
            "Scheduled and offered",
            "Iterations each second. Where less is offered than was scheduled, the generator falls behind, or nodes \
             are missing.",
            "ops",
            vec![
                query("scheduled", rate(&names::SCHEDULED_ITERATIONS)),
                query("offered", rate(&names::OFFERED_ITERATIONS)),
            ],
        ),
        stack(
            "Requests by outcome",
            "Censored: unanswered or unsent at the end.",
            "reqps",
            vec![query("{{outcome}}", of_outcome)],
        )
        .coloured(&colours),
        stack(
            "Iterations by outcome",
            "Of whole iterations; each has one request or several.",
            "ops",
            vec![query("{{outcome}}", ended)],
        )
        .coloured(&colours)
        .sized(8, 8),
        lines(
            "In flight",
            "At the end of each second. In an open model it grows when the target falls behind.",
            "short",
            vec![
                query("iterations of {{group}}", max(&["group"], &of_groups(&names::IN_FLIGHT_ITERATIONS).once())),
                query("requests of {{step}}", sum(&["step"], &of_steps(&names::IN_FLIGHT_REQUESTS).once())),
                query("users of {{group}}", max(&["group"], &of_groups(&names::USERS).plain())),
            ],
        )
        .sized(8, 8),
        lines(
            "Requests on the way",
            "Begun by an iteration, and written to a connection.",
            "reqps",
            vec![
                query("offered", sum(&[], &of_steps(&names::OFFERED_REQUESTS).rate())),
                query("sent", sum(&[], &of_steps(&names::SENT_REQUESTS).rate())),
            ],
        )
        .sized(8, 8),
        lines(
            "Bytes",
            "Written to connections and read from them.",
            rate_unit(&names::SENT_BYTES),
            vec![query("sent", bytes(&names::SENT_BYTES)), query("received", bytes(&names::RECEIVED_BYTES))],
        )
        .sized(24, 6),
    ]
}

/// Three quantiles, from the classic buckets.
fn quantiles(series: &Series) -> Vec<Query> {
    [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")]
        .into_iter()
        .map(|(q, legend)| query(legend, series.quantile(q, &[])).with_exemplars())
        .collect()
}

fn latencies() -> Vec<Panel> {
    let told = |what: &str| format!("{what} {RESOLUTION}");
    let four = [
        (&names::RESPONSE_SECONDS, "response"),
        (&names::SERVICE_SECONDS, "service"),
        (&names::BLOCKED_SECONDS, "blocked"),
        (&names::LAG_SECONDS, "lag"),
    ];
    let side_by_side =
        four.into_iter().map(|(metric, legend)| query(legend, of_steps(metric).quantile(0.99, &[]))).collect();
    let rate_of = |metric: &'static Metric| of_steps(metric);
    vec![
        lines(
            "Response",
            &told("From the planned instant to the answer: the headline. Points are requests with a trace."),
            "s",
            quantiles(&rate_of(&names::RESPONSE_SECONDS)),
        ),
        lines(
            "p99 of the four latencies",
            &told("Lag is the generator's own fault, blocked waits for a free connection, service is the target's."),
            "s",
            side_by_side,
        ),
        heat("Responses", "How many requests took how long.", of_steps(&names::RESPONSE_SECONDS).heat()),
        lines(
            "p99 response by step",
            &told("From the planned instant."),
            "s",
            vec![query("{{group}} {{step}}", of_steps(&names::RESPONSE_SECONDS).quantile(0.99, &["group", "step"]))],
        ),
        lines("Service", &told("From sending to the answer."), "s", quantiles(&of_steps(&names::SERVICE_SECONDS)))
            .sized(8, 8),
        lines(
            "Lag",
            &told("From the planned instant to taking it from the schedule."),
            "s",
            quantiles(&of_steps(&names::LAG_SECONDS)),
        )
        .sized(8, 8),
        lines(
            "Iterations",
            &told("From the planned instant of the first step to the end of the last."),
            "s",
            quantiles(&of_groups(&names::ITERATION_RESPONSE_SECONDS)),
        )
        .sized(8, 8),
    ]
}

fn failures() -> Vec<Panel> {
    vec![
        stack(
            "Failures",
            "Failed requests by kind and by the status of the answer; 0 is none.",
            "reqps",
            vec![query("{{kind}} {{status}}", sum(&["kind", "status"], &of_steps(&names::FAILURES).rate()))],
        )
        .sized(8, 8),
        stack(
            "Answers by status",
            "Those that were expected among them.",
            "reqps",
            vec![query("{{status}}", sum(&["status"], &of_steps(&names::ANSWERS).rate()))],
        )
        .sized(8, 8),
        lines(
            "Sent again, and led elsewhere",
            "Requests that a server closed its connection on without seeing them, and redirects that were followed.",
            "reqps",
            vec![
                query("{{step}} sent again", sum(&["step"], &of_steps(&names::RETRIED_REQUESTS).rate())),
                query("{{step}} led elsewhere", sum(&["step"], &of_steps(&names::REDIRECTS).rate())),
            ],
        )
        .sized(8, 8),
        lines(
            "Checks",
            "Of what steps got, by name and by how they came out: one that fails is no failed request.",
            "cps",
            vec![query("{{check}} {{outcome}}", sum(&["check", "outcome"], &of_steps(&names::CHECKS).rate()))],
        )
        .sized(8, 8),
        lines(
            "Hosts",
            "Requests by the host that they went to, of targets that have several or go by a route.",
            "reqps",
            vec![query("{{host}} {{outcome}}", sum(&["host", "outcome"], &of_steps(&names::HOST_REQUESTS).rate()))],
        )
        .sized(8, 8),
        lines(
            "Meters",
            "What counters of the test or its protocol add each second: messages, reconnections, what a script counts.",
            "short",
            vec![
                query("{{meter}}", sum(&["meter"], &of(&names::METER_SUM).rate())),
                query("{{meter}} values", sum(&["meter"], &of(&names::METER_VALUES).rate())),
            ],
        )
        .sized(8, 8),
        lines(
            "Meters, distribution",
            "Quantiles of what such histograms were given in each second; times are in seconds.",
            "short",
            vec![query("{{meter}} {{statistic}}", max(&["meter", "statistic"], &of(&names::METER_VALUE).plain()))],
        )
        .sized(8, 8),
    ]
}

fn nodes() -> Vec<Panel> {
    let of_node = |metric| max(&["node"], &of(metric).plain());
    vec![
        stack(
            "Offered by node",
            "Iterations each second.",
            "ops",
            vec![query("{{node}}", sum(&["node"], &of(&names::NODE_OFFERED_ITERATIONS).rate()))],
        ),
        lines(
            "p99 lag by node",
            "Of each second; the limit is the experiment's lag_limit.",
            "s",
            vec![query("{{node}}", of_node(&names::NODE_LAG_P99_SECONDS))],
        ),
        lines(
            "Waiting for a processor",
            "Share of each second that the busiest engine thread of a node was ready and did not run: over 10 % the \
             run is invalid.",
            "percentunit",
            vec![query("{{node}}", of_node(&names::NODE_RUN_DELAY_RATIO))],
        )
        .of_one()
        .sized(8, 8),
        lines(
            "Busiest engine thread",
            "Share of each second that it ran: over 95 % the run is invalid.",
            "percentunit",
            vec![query("{{node}}", of_node(&names::NODE_UTILISATION_RATIO))],
        )
        .of_one()
        .sized(8, 8),
        lines(
            "In flight by node",
            "Iterations at the end of each second.",
            "short",
            vec![
                query("{{node}}", of_node(&names::NODE_IN_FLIGHT_ITERATIONS)),
                query("nodes without series of their own", max(&[], &of(&names::NODES_LEFT_OUT).plain())),
            ],
        )
        .sized(8, 8),
    ]
}

fn native() -> Vec<Panel> {
    let response = of_steps(&names::RESPONSE_SECONDS);
    let queries = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")];
    let queries = queries.into_iter().map(|(q, legend)| query(legend, response.native_quantile(q))).collect();
    vec![
        lines("Response, native", "Buckets are 2.2 % wide: off by 1.1 % at most.", "s", queries),
        heat("Responses, native", "How many requests took how long.", response.native_heat()),
    ]
}
