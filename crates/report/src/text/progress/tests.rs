use nuncius_schemas::metric::{FailureCount, FailureKind};
use nuncius_schemas::run::RunStatus;
use nuncius_schemas::second::GroupSums;

use super::*;

fn latency(ns: u64) -> Distribution {
    Distribution {
        count: 9,
        p50_ns: Some(ns),
        p95_ns: Some(3 * ns),
        p99_ns: Some(9 * ns),
        max_ns: Some(9 * ns),
        histogram: Vec::new(),
    }
}

fn group(name: &str, open: bool, failed: u64) -> GroupSecond {
    let counts = Counts { offered: 12_000, sent: 24_000, succeeded: 23_990, failed, censored: 1 };
    let step = StepSecond {
        offered: 1_000,
        sent: 1_000,
        succeeded: 998,
        failed,
        in_flight: 14,
        response: if open { latency(1_200_000) } else { Distribution::default() },
        service: latency(800_000),
        ..StepSecond::default()
    };
    let failures =
        FailureCount { kind: FailureKind::Status, status: 503, count: failed, sample: Some("503".to_owned()) };
    GroupSecond {
        name: name.to_owned(),
        open,
        steps: vec![step],
        so_far: GroupSums {
            iterations: counts,
            requests: counts,
            failures: if failed > 0 { vec![failures] } else { Vec::new() },
        },
        ..GroupSecond::default()
    }
}

fn second(second: u32, groups: Vec<GroupSecond>) -> ExperimentSecond {
    ExperimentSecond {
        experiment: "e12".to_owned(),
        second,
        first_second: second,
        revision: 0,
        late: false,
        part: 0,
        parts: 1,
        length_ns: 1_000_000_000,
        at_unix_ns: 0,
        status: RunStatus::Running,
        seconds_total: Some(60),
        groups,
        nodes_left_out: 0,
        nodes: vec![NodeSecond {
            node: "n1".to_owned(),
            offered: 1_000,
            in_flight: 14,
            lag_p99_ns: Some(55_000),
            run_delay_share: 0.0,
            utilisation: 0.1,
        }],
    }
}

fn plain_options(width: usize) -> TextOptions {
    TextOptions { colour: false, width }
}

#[test]
fn rows_have_columns_that_never_move_whatever_the_numbers() {
    let heading = progress_heading();
    let small = progress_rows(&second(0, vec![group("browse", true, 2), group("publish", false, 0)]));
    assert_eq!(small.len(), 2);
    assert!(small[0].contains("browse") && small[0].ends_with("response"), "{small:?}");
    assert!(small[1].contains("publish") && small[1].ends_with("service"), "{small:?}");
    let mut huge = group("a-group-with-a-name-that-is-very-long", true, u64::MAX / 4);
    for step in &mut huge.steps {
        (step.offered, step.succeeded, step.in_flight) = (u64::MAX, u64::MAX / 4, 123_456_789_012);
    }
    let mut late = second(u32::MAX - 1, vec![huge]);
    late.seconds_total = None;
    for row in small.iter().chain(&progress_rows(&late)) {
        assert_eq!(row.chars().count(), heading.chars().count(), "\n{heading}\n{row}");
    }
    for (at, _) in heading.match_indices("/s") {
        assert_eq!(small[0].as_bytes().get(at + 2), Some(&b' '), "\n{heading}\n{}", small[0]);
    }
}

#[test]
fn where_nothing_succeeds_the_latency_of_failures_is_shown_as_such() {
    let mut failing = group("down", false, 9);
    for step in &mut failing.steps {
        (step.service, step.failed_service) = (Distribution::default(), latency(2_000_000));
    }
    let row = progress_rows(&second(0, vec![failing])).remove(0);
    assert!(row.contains("2.00ms") && row.ends_with("failed"), "{row}");
}

#[test]
fn seconds_beyond_the_load_are_told_as_such() {
    assert_eq!(position(&second(11, Vec::new())), "12/60s");
    assert_eq!(position(&second(59, Vec::new())), "60/60s");
    assert_eq!(position(&second(60, Vec::new())), "60/60s+1");
}

#[test]
fn the_block_fits_every_terminal_from_20_to_300_columns() {
    let groups = vec![group("browse", true, 2), group("ünïcode-groß", false, 0), group("漢字の長い名前の群", true, 1)];
    let mut shown = second(11, groups);
    shown.nodes = (0..20u64)
        .map(|i| NodeSecond {
            node: format!("node-with-a-long-name-{i}"),
            lag_p99_ns: Some(i * 1_000),
            ..NodeSecond::default()
        })
        .collect();
    for width in 20..=300 {
        let block = progress_block(&shown, plain_options(width), 50);
        for line in block.lines() {
            assert!(line.width() <= width, "{width}: {line:?} takes {}", line.width());
        }
        // What matters most is there at every width.
        assert!(
            block.contains("12/60s running") && block.contains("req/s") && block.contains("1,000"),
            "{width}\n{block}"
        );
        assert!(block.contains("succeeded") && block.contains("failed"), "{width}\n{block}");
    }
}

#[test]
fn the_block_is_never_higher_than_the_terminal() {
    let many: Vec<GroupSecond> = (0..40).map(|i| group(&format!("g{i}"), true, 1)).collect();
    for rows in [1, 5, 24] {
        let block = progress_block(&second(1, many.clone()), plain_options(80), rows);
        assert!(block.lines().count() < rows.max(2), "{rows}");
    }
}

#[test]
fn the_block_names_groups_totals_each_kind_of_failure_once_and_the_worst_nodes() {
    let mut shown = second(11, vec![group("browse", true, 2), group("publish", false, 0)]);
    shown.nodes = (0..20u64)
        .map(|i| NodeSecond { node: format!("n{i}"), lag_p99_ns: Some(i * 1_000), ..NodeSecond::default() })
        .collect();
    let text = progress_block(&shown, plain_options(100), 50);
    assert!(text.contains("browse failed 2 × status 503\n"), "{text}");
    assert!(text.contains("24,000 iterations, 48,000 requests sent"), "{text}");
    assert!(text.contains("  n19 ") && !text.contains("  n3 "), "{text}");
    assert!(text.contains("and 12 more, lag p99 at most 11.0µs"), "{text}");
}
