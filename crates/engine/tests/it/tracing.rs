//! Which requests are traced, and what is told of them.

use std::collections::BTreeSet;

use crate::conformance::with_each;
use crate::support::{Reply, Run, Server};

#[test]
fn sampled_requests_carry_the_trace_of_their_row() {
    with_each(|client| {
        let server = Server::start(|_, _| Reply::ok());
        let mut run = Run::new(client, server.address, r#""rate": "500/s", "iterations": 200"#);
        run.options.trace_ratio = 0.2;
        run.options.records = nuncius_schemas::spec::RecordsMode::Sample;
        let outcome = run.go();
        let carried: BTreeSet<String> =
            server.seen().iter().filter_map(|seen| seen.header("traceparent").map(str::to_owned)).collect();
        let recorded: BTreeSet<String> =
            outcome.rows.iter().map(|row| format!("00-{:032x}-{:016x}-01", row.trace_id, row.span_id)).collect();
        assert!((15..70).contains(&carried.len()), "{}", carried.len());
        assert_eq!(carried, recorded);
    });
}

#[test]
fn the_slowest_are_told_with_identifiers_though_nothing_is_sampled() {
    with_each(|client| {
        let server = Server::start(|_, _| Reply::ok());
        // All within the first second.
        let outcome = Run::new(client, server.address, r#""rate": "500/s", "iterations": 200"#).go();
        let response_ns = |row: &nuncius_engine::Row| row.done_ns - row.planned_ns;
        let mut told: Vec<u64> = outcome.slowest.iter().map(|slow| slow.response_ns()).collect();
        told.sort_unstable_by(|a, b| b.cmp(a));
        let mut all: Vec<u64> = outcome.rows.iter().map(response_ns).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(told, all[..3], "{client:?}");
        for slow in &outcome.slowest {
            assert!(!slow.is_sampled && slow.row.trace_id != 0 && slow.row.span_id != 0, "{slow:?}");
            let own = outcome.rows.iter().find(|row| row.index == slow.row.index).unwrap();
            assert_eq!((own.trace_id, response_ns(own)), (0, slow.response_ns()));
        }
        assert!(server.seen().iter().all(|seen| seen.header("traceparent").is_none()));
    });
}
