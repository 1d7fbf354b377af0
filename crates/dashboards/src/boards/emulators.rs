//! Systems under test: what they counted themselves.

use nuncius_metrics::Metric;
use nuncius_metrics::names::emulator as names;

use crate::board::{Board, Draft, Variable};
use crate::panel::{Panel, lines, query, stack, states};
use crate::promql::{self, Series, max, sum};

/// Series of the emulators that are chosen.
fn of(metric: &'static Metric) -> Series {
    promql::of(metric).like("node", "$node")
}

/// The level of each of them.
fn level(metric: &'static Metric) -> String {
    max(&["node"], &of(metric).plain())
}

/// What each counts each second.
fn rate(metric: &'static Metric) -> String {
    sum(&["node"], &of(metric).rate())
}

/// What each counts each second, of each kind of resource.
fn rate_of_kind(metric: &'static Metric) -> String {
    sum(&["node", "kind"], &of(metric).rate())
}

fn level_of_kind(metric: &'static Metric) -> String {
    max(&["node", "kind"], &of(metric).plain())
}

pub(super) fn board() -> Board {
    let mut draft = Draft::new(
        "emulators",
        "Nuncius emulators",
        "Systems under test: what the stub, OCO backends, consumers of resources and emulated devices count \
         themselves.",
    );
    draft
        .choose(&Variable {
            name: "node",
            label: "Emulator",
            description: "Emulators in the registry.",
            series: "nuncius_process_info{namespace=~\"$namespace\", service=~\"nuncius-emulator|nuncius-up\"}"
                .to_owned(),
            value_of: "node",
            is_many: true,
            is_descending: false,
        })
        .row("Stub", &stub())
        .row("OCO backends", &oco())
        .row("Consumption of resources", &resource())
        .row("Emulated devices", &device());
    draft.done()
}

fn stub() -> Vec<Panel> {
    vec![
        lines(
            "Requests",
            "Read whole; of these answered, refused with 503 since the waiting room was full, answered with the \
             seeded 500.",
            "reqps",
            vec![
                query("read by {{node}}", rate(&names::STUB_REQUESTS)),
                query("answered by {{node}}", rate(&names::STUB_ANSWERED_REQUESTS)),
                query("refused by {{node}}", rate(&names::STUB_REFUSED_REQUESTS)),
                query("seeded errors of {{node}}", rate(&names::STUB_ERRORS)),
                query("rejected by {{node}}", rate(&names::STUB_REJECTED_REQUESTS)),
            ],
        ),
        lines(
            "Requests in it",
            "In service: hold a slot. Waiting: for one.",
            "short",
            vec![
                query("in service at {{node}}", level(&names::STUB_IN_SERVICE_REQUESTS)),
                query("waiting at {{node}}", level(&names::STUB_WAITING_REQUESTS)),
                query("{{node}} frozen", level(&names::STUB_FROZEN)),
            ],
        ),
        lines("Connections", "Open at the moment.", "short", vec![query("{{node}}", level(&names::STUB_CONNECTIONS))])
            .sized(12, 6),
        lines(
            "New connections",
            "Accepted, and closed at once because there were too many.",
            "ops",
            vec![
                query("accepted by {{node}}", rate(&names::STUB_ACCEPTED_CONNECTIONS)),
                query("refused by {{node}}", rate(&names::STUB_REFUSED_CONNECTIONS)),
            ],
        )
        .sized(12, 6),
    ]
}

fn oco() -> Vec<Panel> {
    vec![
        lines(
            "Events",
            "Accepted, refused, and bodies that were no event.",
            "ops",
            vec![
                query("{{event}}", sum(&["event"], &of(&names::OCO_EVENTS).rate())),
                query("refused by {{node}}", rate(&names::OCO_ERRORS)),
                query("unreadable at {{node}}", rate(&names::OCO_UNREADABLE)),
            ],
        )
        .sized(8, 8),
        lines(
            "Applications and cycles",
            "Applications that have registered; measurements that were completed.",
            "short",
            vec![
                query("applications of {{node}}", level(&names::OCO_APPS)),
                query("cycles of {{node}}", level(&names::OCO_CYCLES)),
            ],
        )
        .sized(8, 8),
        lines(
            "How even it is",
            "Cycles of the application with fewest and with most, and of one on average.",
            "short",
            vec![
                query("fewest at {{node}}", level(&names::OCO_APP_CYCLES_MIN)),
                query("most at {{node}}", level(&names::OCO_APP_CYCLES_MAX)),
                query("average at {{node}}", level(&names::OCO_APP_CYCLES_AVERAGE)),
            ],
        )
        .sized(8, 8),
        lines(
            "Spread over average",
            "0 where all applications have as many cycles.",
            "percentunit",
            vec![query("{{node}}", level(&names::OCO_EVENNESS_RATIO))],
        )
        .sized(12, 6),
        lines(
            "Time since the start",
            "State that is kept outlives it.",
            "s",
            vec![query("{{node}}", level(&names::OCO_UPTIME_SECONDS))],
        )
        .sized(12, 6),
    ]
}

fn resource() -> Vec<Panel> {
    vec![
        lines(
            "Memory and disk",
            "Wanted, held, the most that may be wanted, and what is always left free.",
            "bytes",
            vec![
                query("{{kind}} wanted at {{node}}", level_of_kind(&names::RESOURCE_WANTED_BYTES)),
                query("{{kind}} held at {{node}}", level_of_kind(&names::RESOURCE_ACTUAL_BYTES)),
                query("{{kind}} limit at {{node}}", level_of_kind(&names::RESOURCE_LIMIT_BYTES)),
                query("{{kind}} left free at {{node}}", level_of_kind(&names::RESOURCE_FLOOR_BYTES)),
            ],
        ),
        lines(
            "Processors",
            "In cores: wanted, measured in the last second, and the most that may be wanted.",
            "short",
            vec![
                query("wanted at {{node}}", level_of_kind(&names::RESOURCE_WANTED_CORES)),
                query("measured at {{node}}", level_of_kind(&names::RESOURCE_MEASURED_CORES)),
                query("limit at {{node}}", level_of_kind(&names::RESOURCE_LIMIT_CORES)),
                query("processor time at {{node}}", rate_of_kind(&names::RESOURCE_CPU_SECONDS)),
            ],
        ),
        lines(
            "Disk traffic",
            "Written and read.",
            "Bps",
            vec![
                query("written by {{node}}", rate_of_kind(&names::RESOURCE_WRITTEN_BYTES)),
                query("read by {{node}}", rate_of_kind(&names::RESOURCE_READ_BYTES)),
            ],
        )
        .sized(8, 8),
        lines(
            "On the way",
            "Share of the way to what was asked.",
            "percentunit",
            vec![query("{{kind}} at {{node}}", level_of_kind(&names::RESOURCE_PROGRESS_RATIO))],
        )
        .of_one()
        .sized(8, 8),
        lines(
            "Requests",
            "Accepted, refused, and times that what was wanted could not be had.",
            "ops",
            vec![
                query("{{kind}} accepted", sum(&["kind"], &of(&names::RESOURCE_ACCEPTED).rate())),
                query("{{kind}} refused", sum(&["kind"], &of(&names::RESOURCE_REFUSED).rate())),
                query("{{kind}} failed", sum(&["kind"], &of(&names::RESOURCE_FAILURES).rate())),
            ],
        )
        .sized(8, 8),
        states(
            "What it is doing",
            "The phase of each kind.",
            "{{node}} {{kind}}: {{phase}}",
            format!("{} == 1", max(&["node", "kind", "phase"], &of(&names::RESOURCE_PHASE).plain())),
        ),
    ]
}

fn device() -> Vec<Panel> {
    let level = |metric| max(&["device"], &of(metric).plain());
    vec![
        stack(
            "Requests",
            "To emulated devices, by how they ended.",
            "reqps",
            vec![query(
                "{{device}} {{outcome}}",
                sum(&["device", "outcome"], &of(&names::EMULATED_DEVICE_REQUESTS).rate()),
            )],
        ),
        lines(
            "Lanes",
            "A device serves as many requests at once as it has lanes.",
            "short",
            vec![
                query("{{device}} running", level(&names::EMULATED_DEVICE_RUNNING_REQUESTS)),
                query("{{device}} waiting", level(&names::EMULATED_DEVICE_WAITING_REQUESTS)),
                query("{{device}} lanes", level(&names::EMULATED_DEVICE_LANES)),
            ],
        ),
    ]
}
