use nuncius_schemas::metric::{FailureCount, StatusCount};
use nuncius_schemas::run::RunStatus;
use nuncius_schemas::second::{GroupSecond, NodeSecond};
use nuncius_stats::second::{add_piece, distribution};
use nuncius_stats::{Histogram, Totals};

use super::*;

fn latency(values_ns: &[u64]) -> Distribution {
    let mut histogram = Histogram::default();
    values_ns.iter().for_each(|value_ns| histogram.record_ns(*value_ns));
    distribution(&Totals::from(&histogram))
}

fn step(step: u16, offered: u64, values_ns: &[u64]) -> StepSecond {
    let count = values_ns.len() as u64;
    StepSecond {
        step,
        offered,
        succeeded: count,
        failed: 1,
        in_flight: offered - count,
        bytes_sent: 10 * offered,
        statuses: vec![StatusCount { status: 200, count }],
        failures: vec![FailureCount { kind: FailureKind::Timeout, status: 0, count: 1, sample: None }],
        response: latency(values_ns),
        ..StepSecond::default()
    }
}

fn second(second: u32, steps: Vec<StepSecond>, iterations: Option<StepSecond>) -> ExperimentSecond {
    let group = GroupSecond {
        offered_ns: 1_000_000_000,
        scheduled: Some(10),
        open: true,
        iterations,
        steps,
        ..GroupSecond::default()
    };
    ExperimentSecond {
        experiment: "e".to_owned(),
        second,
        first_second: second,
        revision: 0,
        late: false,
        part: 0,
        parts: 1,
        length_ns: 1_000_000_000,
        at_unix_ns: 0,
        status: RunStatus::Running,
        seconds_total: None,
        groups: vec![group],
        nodes_left_out: 0,
        nodes: vec![NodeSecond::default(); 2],
    }
}

fn names(steps: usize) -> Vec<(String, Vec<String>)> {
    vec![("browse".to_owned(), (0..steps).map(|step| format!("s{step}")).collect())]
}

#[test]
fn iterations_and_the_requests_of_each_step_have_series_of_their_own() {
    let mut series = Series::new(&names(2));
    for at in 0..3 {
        let steps = vec![step(0, 10, &[1_000_000; 9]), step(1, 9, &[2_000_000; 8])];
        series.add(&second(at, steps, Some(step(2, 10, &[3_000_000; 8]))), None);
    }
    let (found, left_out) = series.report();
    let named: Vec<_> = found.iter().map(|one| (one.group.as_str(), one.step.as_deref())).collect();
    assert_eq!(named, [("browse", None), ("browse", Some("s0")), ("browse", Some("s1"))]);
    assert_eq!(left_out, 0);
    assert_eq!(found[0].columns.scheduled, [10, 10, 10]);
    assert!(found[1].columns.scheduled.is_empty());
    assert_eq!((found[1].columns.offered.clone(), found[2].columns.offered.clone()), (vec![10; 3], vec![9; 3]));
    assert_eq!(found[2].columns.response_p99_ns, [latency(&[2_000_000]).p99_ns; 3]);
    assert_eq!(found[1].statuses, [StatusSeries { status: 200, counts: vec![9; 3] }]);
    assert_eq!(found[1].failures[0].counts, [1, 1, 1]);
    assert_eq!(found[0].columns.nodes, [2, 2, 2]);
}

#[test]
fn the_only_step_of_a_group_is_its_iteration() {
    let mut series = Series::new(&names(1));
    series.add(&second(0, vec![step(0, 10, &[1_000_000])], None), None);
    let (found, _) = series.report();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].step.as_deref(), found[0].columns.scheduled.as_slice()), (Some("s0"), [10].as_slice()));
}

#[test]
fn a_long_run_is_folded_without_losing_a_count_or_averaging_a_percentile() {
    let mut series = Series::with_rows(&names(1), 100);
    let seconds = 1_000u32;
    for at in 0..seconds {
        let slow = if at == 777 { 900_000_000 } else { 1_000_000 };
        series.add(&second(at, vec![step(0, 10, &[slow; 9])], None), None);
    }
    let (found, _) = series.report();
    let one = &found[0];
    assert_eq!(one.row_seconds, 16);
    assert_eq!(one.columns.second.len(), 63);
    let sum = |column: &[u64]| column.iter().sum::<u64>();
    assert_eq!(sum(&one.columns.offered), 10_000);
    assert_eq!((sum(&one.columns.succeeded), sum(&one.columns.bytes_sent)), (9_000, 100_000));
    assert_eq!(sum(&one.columns.length_ns), 1_000 * 1_000_000_000);
    assert_eq!((sum(&one.statuses[0].counts), sum(&one.failures[0].counts)), (9_000, 1_000));
    // Quantiles are those of all of the row's seconds together, and a gauge is that of its end.
    for (row, width) in [(777 / 16, 16), (62, 8)] {
        let is_slow = row == 777 / 16;
        let mut values = vec![1_000_000; if is_slow { 9 * 15 } else { 9 * width }];
        values.extend(vec![900_000_000; if is_slow { 9 } else { 0 }]);
        let all = latency(&values);
        let told = |column: &[Option<u64>]| column[row];
        assert_eq!(told(&one.columns.response_p50_ns), all.p50_ns);
        assert_eq!(told(&one.columns.response_p95_ns), all.p95_ns);
        assert_eq!(told(&one.columns.response_p99_ns), all.p99_ns);
        assert_eq!(told(&one.columns.response_max_ns), all.max_ns);
    }
    assert_eq!(one.columns.in_flight, [1; 63]);
    let heat = one.heat_map.as_ref().unwrap();
    assert!(heat.column_seconds == 4 && heat.cells.iter().all(|(column, ..)| *column < 300));
    assert_eq!(heat.cells.iter().map(|(_, _, count)| count).sum::<u64>(), 9_000);
    let (_, row, _) = heat.cells.iter().find(|(column, row, _)| *column == 777 / 4 && *row > 0).unwrap();
    let row = *row as usize;
    assert!(heat.row_upper_ns[row] >= 900_000_000 && heat.row_upper_ns[row - 1] < 900_000_000, "{heat:?}");
}

#[test]
fn rows_of_any_length_have_the_quantiles_of_all_their_seconds_however_they_came() {
    let values_of =
        |at: u32| -> Vec<u64> { (0..5).map(|n| u64::from((at * 7_919 + n * 104_729) % 1_000 + 1) * 10_000).collect() };
    for rows_max in [4, 7, 50] {
        let mut series = Series::with_rows(&names(1), rows_max);
        let seconds = 203u32;
        for at in 0..seconds {
            series.add(&second(at, vec![step(0, 5, &values_of(at)[..4])], None), None);
            // The fifth answer of a second comes some seconds later.
            if let Some(before) = at.checked_sub(9) {
                let mut late = second(before, vec![step(0, 1, &values_of(before)[4..])], None);
                late.revision = 1;
                series.add(&late, None);
            }
        }
        let (found, _) = series.report();
        let (columns, width) = (&found[0].columns, found[0].row_seconds);
        assert!(width > 1 && columns.second.len() <= rows_max);
        for (row, first) in columns.second.iter().enumerate() {
            let of_row = (*first..(first + width).min(seconds)).flat_map(|at| {
                let known = if at + 9 < seconds { 5 } else { 4 };
                values_of(at)[..known].to_vec()
            });
            let all = latency(&of_row.collect::<Vec<_>>());
            let told = (columns.response_p50_ns[row], columns.response_p95_ns[row], columns.response_p99_ns[row]);
            assert_eq!(told, (all.p50_ns, all.p95_ns, all.p99_ns), "{rows_max} rows, second {first}");
        }
    }
}

#[test]
fn what_comes_late_is_added_to_its_row_and_its_quantiles_are_taken_anew() {
    let mut series = Series::new(&names(1));
    let mut whole = second(0, vec![step(0, 10, &[9_000_000; 2])], None);
    series.add(&whole, None);
    series.add(&second(1, vec![step(0, 10, &[1_000_000; 2])], None), None);
    let mut piece = second(0, vec![step(0, 300, &[1_000_000; 299])], None);
    (piece.revision, piece.late) = (1, true);
    add_piece(&mut whole, &piece).unwrap();
    series.add(&piece, Some(&whole));
    let (found, _) = series.report();
    let columns = &found[0].columns;
    assert_eq!((columns.offered.clone(), columns.second.clone()), (vec![310, 10], vec![0, 1]));
    assert_eq!(columns.scheduled, [10, 10], "the schedule is not counted twice");
    assert_eq!(columns.length_ns[0], 1_000_000_000);
    let mut all = vec![9_000_000; 2];
    all.extend([1_000_000; 299]);
    assert_eq!((columns.response_p50_ns[0], columns.response_p99_ns[0]), (latency(&all).p50_ns, latency(&all).p99_ns));
}

#[test]
fn a_report_of_very_many_steps_stays_bounded_and_says_what_is_missing() {
    let groups: Vec<_> =
        (0..64).map(|group| (format!("g{group}"), (0..64).map(|s| format!("s{s}")).collect())).collect();
    let (found, left_out) = Series::new(&groups).report();
    assert_eq!((found.len(), left_out as usize), (SERIES_MAX, 64 * 65 - SERIES_MAX));
    assert_eq!(found.iter().filter(|one| one.step.is_none()).count(), 64, "every group's iterations are there");
}
