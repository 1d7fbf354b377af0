//! The system itself: NATS, streams and consumers, the daemon, the gateway.

use nuncius_metrics::Metric;
use nuncius_metrics::names::{daemon, gateway, nats as names};

use crate::board::{Annotation, Board, Draft};
use crate::panel::{Panel, lines, query, stack, stat, table};
use crate::promql::{max, of, share, sum};

/// The level of each server.
fn of_server(metric: &'static Metric) -> String {
    max(&["server"], &of(metric).plain())
}

/// What each server counts each second.
fn rate_of_server(metric: &'static Metric) -> String {
    sum(&["server"], &of(metric).rate())
}

fn of_stream(metric: &'static Metric) -> String {
    max(&["stream"], &of(metric).plain())
}

fn of_consumer(metric: &'static Metric) -> String {
    max(&["stream", "consumer"], &of(metric).plain())
}

fn rate(metric: &'static Metric, by: &[&str]) -> String {
    sum(by, &of(metric).rate())
}

pub(super) fn board() -> Board {
    let mut draft = Draft::new(
        "system",
        "Nuncius system",
        "The system itself: nats-servers, streams, consumers and leases, the experiment daemon, the gateway.",
    );
    draft
        .mark(&Annotation {
            name: "Alerts",
            colour: "red",
            expr: "ALERTS{alertstate=\"firing\", alertname=~\"Nuncius.*\", namespace=~\"$namespace\"}".to_owned(),
            title: "{{alertname}}",
            is_instant: false,
        })
        .row("Servers", &servers())
        .row("Streams and consumers", &streams())
        .row("The experiment daemon", &daemon_panels())
        .row("The gateway", &gateway_panels())
        .row("Telemetry that leaves", &telemetry());
    draft.done()
}

fn servers() -> Vec<Panel> {
    vec![
        table("Servers", "Every nats-server that answers.", of(&names::SERVER_INFO).once()).sized(8, 6),
        lines(
            "Up for",
            "Since the server started.",
            "s",
            vec![query("{{server}}", format!("time() - {}", of_server(&names::SERVER_START_TIME_SECONDS)))],
        )
        .sized(8, 6),
        lines(
            "Connections and subscriptions",
            "Of all clients of the server.",
            "short",
            vec![
                query("connections of {{server}}", of_server(&names::SERVER_CONNECTIONS)),
                query("subscriptions of {{server}}", of_server(&names::SERVER_SUBSCRIPTIONS)),
            ],
        )
        .sized(8, 6),
        lines(
            "Messages",
            "In and out, each second.",
            "ops",
            vec![
                query("in {{server}}", rate_of_server(&names::SERVER_IN_MESSAGES)),
                query("out {{server}}", rate_of_server(&names::SERVER_OUT_MESSAGES)),
            ],
        )
        .sized(8, 7),
        lines(
            "Bytes",
            "In and out, each second.",
            "Bps",
            vec![
                query("in {{server}}", rate_of_server(&names::SERVER_IN_BYTES)),
                query("out {{server}}", rate_of_server(&names::SERVER_OUT_BYTES)),
            ],
        )
        .sized(8, 7),
        lines(
            "Slow consumers, API errors",
            "Connections that the server ended because they did not read fast enough; requests to JetStream that it \
             refused.",
            "ops",
            vec![
                query("slow consumers of {{server}}", rate_of_server(&names::SERVER_SLOW_CONSUMERS)),
                query("API errors of {{server}}", rate_of_server(&names::SERVER_API_ERRORS)),
            ],
        )
        .sized(8, 7),
        lines("Processors", "In cores.", "short", vec![query("{{server}}", of_server(&names::SERVER_CPU_CORES))])
            .sized(6, 7),
        lines(
            "Memory and unread bytes",
            "Resident memory; bytes that wait to be read by connections.",
            "bytes",
            vec![
                query("memory of {{server}}", of_server(&names::SERVER_MEMORY_BYTES)),
                query("pending at {{server}}", of_server(&names::SERVER_PENDING_BYTES)),
            ],
        )
        .sized(6, 7),
        lines(
            "Store",
            "Bytes of streams on disk, and the most that may be there.",
            "bytes",
            vec![
                query("{{server}}", of_server(&names::SERVER_STORE_BYTES)),
                query("limit of {{server}}", of_server(&names::SERVER_STORE_LIMIT_BYTES)),
                query("own account", max(&[], &of(&names::ACCOUNT_STORE_BYTES).plain())),
                query("limit of the account", max(&[], &of(&names::ACCOUNT_STORE_LIMIT_BYTES).plain())),
            ],
        )
        .sized(6, 7),
        lines(
            "Questions without an answer",
            "What the gateway asked the servers in vain.",
            "ops",
            vec![query("{{what}}", rate(&names::SCRAPE_ERRORS, &["what"]))],
        )
        .sized(6, 7),
    ]
}

fn streams() -> Vec<Panel> {
    let full = share(&of_stream(&names::STREAM_BYTES), &of_stream(&names::STREAM_LIMIT_BYTES));
    let full_of_messages = share(&of_stream(&names::STREAM_MESSAGES), &of_stream(&names::STREAM_LIMIT_MESSAGES));
    vec![
        lines(
            "How full",
            "Of the bytes and messages that a stream may hold. Those that discard the old stay at 100 % for ever; \
             the others refuse there.",
            "percentunit",
            vec![query("{{stream}}", full), query("{{stream}}, messages", full_of_messages)],
        )
        .of_one(),
        lines(
            "Bytes",
            "Of streams, buckets and object stores.",
            "bytes",
            vec![query("{{stream}}", of_stream(&names::STREAM_BYTES))],
        ),
        lines(
            "Published",
            "Messages that streams take each second.",
            "ops",
            vec![query("{{stream}}", rate(&names::STREAM_PUBLISHED_MESSAGES, &["stream"]))],
        )
        .sized(8, 8),
        lines(
            "Leases and nodes",
            "Entries of the buckets that say who runs what, and who is there.",
            "short",
            vec![query(
                "{{stream}}",
                max(
                    &["stream"],
                    &of(&names::STREAM_MESSAGES).like("stream", "KV_.*_(lease|node|run|queue|route)").plain(),
                ),
            )],
        )
        .sized(8, 8),
        lines(
            "Consumers",
            "Of each stream.",
            "short",
            vec![
                query("{{stream}}", of_stream(&names::STREAM_CONSUMERS)),
                query("all", max(&[], &of(&names::ACCOUNT_CONSUMERS).plain())),
            ],
        )
        .sized(8, 8),
        lines(
            "Yet to be given",
            "Messages that a consumer has not been given.",
            "short",
            vec![query("{{stream}} {{consumer}}", of_consumer(&names::CONSUMER_PENDING_MESSAGES))],
        )
        .sized(6, 8),
        lines(
            "Given, not acknowledged",
            "Jobs that run are among them.",
            "short",
            vec![query("{{stream}} {{consumer}}", of_consumer(&names::CONSUMER_ACK_PENDING_MESSAGES))],
        )
        .sized(6, 8),
        lines(
            "Given again",
            "And still not acknowledged.",
            "short",
            vec![query("{{stream}} {{consumer}}", of_consumer(&names::CONSUMER_REDELIVERED_MESSAGES))],
        )
        .sized(6, 8),
        lines(
            "Waiting pulls",
            "Of workers that have a free slot.",
            "short",
            vec![query("{{stream}} {{consumer}}", of_consumer(&names::CONSUMER_WAITING_PULLS))],
        )
        .sized(6, 8),
        stat("Streams", "Of the own account.", "short", max(&[], &of(&names::ACCOUNT_STREAMS).plain())).sized(24, 3),
    ]
}

fn daemon_panels() -> Vec<Panel> {
    let of_run = |metric| max(&["experiment"], &of(metric).plain());
    vec![
        lines(
            "Runs",
            "That daemons look after, by where they are.",
            "short",
            vec![query("{{status}}", sum(&["status"], &of(&daemon::RUNS).once()))],
        )
        .sized(8, 8),
        lines(
            "Submissions and ends",
            "In all that is shown.",
            "short",
            vec![
                query("{{outcome}}", sum(&["outcome"], &of(&daemon::SUBMISSIONS).increase_shown())),
                query(
                    "{{status}} {{verdict}}",
                    sum(&["status", "verdict"], &of(&daemon::FINISHED_RUNS).increase_shown()),
                ),
            ],
        )
        .sized(8, 8),
        lines(
            "Deltas and seconds",
            "What nodes sent, and what was merged of it and told.",
            "ops",
            vec![
                query("deltas {{outcome}}", rate(&daemon::DELTAS, &["outcome"])),
                query("seconds told", rate(&daemon::SECONDS, &[])),
                query("seconds not told", rate(&daemon::DROPPED_SECONDS, &[])),
            ],
        )
        .sized(8, 8),
        lines(
            "How late it is",
            "How long after its end a second was told; how long ago it was stored where a run stands.",
            "s",
            vec![
                query("second of {{experiment}}", of_run(&daemon::SECOND_DELAY_SECONDS)),
                query("checkpoint of {{experiment}}", of_run(&daemon::CHECKPOINT_AGE_SECONDS)),
            ],
        ),
        lines(
            "Trouble",
            "In all that is shown.",
            "short",
            vec![
                query("nodes lost", sum(&[], &of(&daemon::LOST_NODES).increase_shown())),
                query("runs taken over", sum(&[], &of(&daemon::TAKEOVERS).increase_shown())),
                query("checkpoints not stored", sum(&[], &of(&daemon::CHECKPOINT_ERRORS).increase_shown())),
                query("writes not taken", sum(&[], &of(&daemon::STORE_ERRORS).increase_shown())),
                query("runs owed to the database", sum(&[], &of(&daemon::OWED_RUNS).once())),
            ],
        ),
    ]
}

fn gateway_panels() -> Vec<Panel> {
    let level = |metric| max(&[], &of(metric).plain());
    vec![
        lines(
            "What it shows",
            "Processes, runs and series.",
            "short",
            vec![
                query("series", level(&gateway::SERIES)),
                query("processes", level(&gateway::PROCESSES)),
                query("runs", level(&gateway::RUNS)),
            ],
        )
        .sized(8, 8),
        lines(
            "Scrapes",
            "Answered, by format, and refused.",
            "ops",
            vec![
                query("{{format}}", rate(&gateway::SCRAPES, &["format"])),
                query("refused", rate(&gateway::REFUSED_SCRAPES, &[])),
            ],
        )
        .sized(8, 8),
        lines(
            "Size of a scrape",
            "As it was rendered last.",
            "bytes",
            vec![query("{{format}}", max(&["format"], &of(&gateway::RENDERED_BYTES).plain()))],
        )
        .sized(8, 8),
        lines(
            "Time of a rendering",
            "The last one.",
            "s",
            vec![query("rendering", level(&gateway::RENDERING_SECONDS))],
        )
        .sized(8, 8),
        lines(
            "Left out",
            "Series beyond the limit of their family, and runs beyond the limit of runs: there are too many.",
            "short",
            vec![
                query("runs", level(&gateway::LEFT_OUT_RUNS)),
                query("series of {{family}}", max(&["family"], &of(&gateway::FOLDED_SERIES).plain())),
            ],
        )
        .sized(8, 8),
        lines(
            "Not understood",
            "Metrics that were refused, messages that could not be read, seconds that came too late.",
            "ops",
            vec![
                query("late seconds", rate(&gateway::LATE_SECONDS, &[])),
                query("refused: {{reason}}", rate(&gateway::REFUSED_METRICS, &["reason"])),
                query("unreadable {{what}}", rate(&gateway::UNREADABLE_MESSAGES, &["what"])),
            ],
        )
        .sized(8, 8),
    ]
}

fn telemetry() -> Vec<Panel> {
    let of_signal = |metric| max(&["signal"], &of(metric).plain());
    vec![
        stack(
            "Heard",
            "Messages of traces, metrics and logs on the bus.",
            "ops",
            vec![query("{{signal}}", rate(&gateway::OTLP_MESSAGES, &["signal"]))],
        )
        .sized(6, 8),
        stack(
            "Exported",
            "Messages that a collector took; none where the gateway has none.",
            "ops",
            vec![query("{{signal}}", rate(&gateway::EXPORTED_MESSAGES, &["signal"]))],
        )
        .sized(6, 8),
        lines(
            "Dropped, and tries that failed",
            "Messages that were not exported, by why; spans, points and lines that a collector did not want.",
            "ops",
            vec![
                query("{{signal}} dropped: {{reason}}", rate(&gateway::DROPPED_MESSAGES, &["signal", "reason"])),
                query("{{signal}} failed tries", rate(&gateway::EXPORT_ERRORS, &["signal"])),
                query("{{signal}} rejected items", rate(&gateway::REJECTED_ITEMS, &["signal"])),
            ],
        )
        .sized(6, 8),
        lines(
            "Waiting to be exported",
            "Bytes in memory, the most that may be there, and bytes in files.",
            "bytes",
            vec![
                query("{{signal}}", of_signal(&gateway::SPOOL_BYTES)),
                query("{{signal}} limit", of_signal(&gateway::SPOOL_LIMIT_BYTES)),
                query("{{signal}} in files", of_signal(&gateway::SPOOL_DIRECTORY_BYTES)),
            ],
        )
        .sized(6, 8),
        stat("Messages that wait", "Of all signals.", "short", sum(&[], &of(&gateway::SPOOL_MESSAGES).once()))
            .sized(24, 3),
    ]
}
