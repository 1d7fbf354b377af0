use nuncius_schemas::report::SeriesColumns;

use super::*;

/// Six seconds of ten jobs each, and one more while answers were waited for.
fn report() -> Report {
    let columns = SeriesColumns {
        second: (0..7).collect(),
        nodes: vec![1; 7],
        succeeded: vec![10; 7],
        failed: vec![0, 0, 0, 1, 0, 0, 0],
        ..SeriesColumns::default()
    };
    Report {
        schema: "report.v2".to_owned(),
        version: String::new(),
        id: "s-w1-r1".to_owned(),
        name: String::new(),
        creator: None,
        status: RunStatus::Finished,
        verdict: Some(Verdict::Undetermined),
        reasons: vec!["too little to say".to_owned()],
        submitted_unix_ms: 0,
        started_unix_ms: Some(1_000_000),
        ended_unix_ms: None,
        offered_seconds: 6.0,
        scheduled: 0,
        offered: 0,
        deficit: 0,
        unaccounted: 0,
        groups: Vec::new(),
        gates: Vec::new(),
        nodes: Vec::new(),
        machines: Vec::new(),
        series: vec![SeriesReport { row_seconds: 1, columns, ..SeriesReport::default() }],
        series_left_out: 0,
        tracks: Vec::new(),
        profiles: Vec::new(),
        intervals: Vec::new(),
        search: None,
        sweep: None,
        events: Vec::new(),
        trace_id: None,
        spec: None,
    }
}

fn job(ended_unix_seconds: f64, run_seconds: f64) -> JobTimes {
    JobTimes { ended_unix_seconds, wait_seconds: run_seconds / 2.0, run_seconds }
}

#[test]
fn jobs_are_counted_from_the_end_of_the_warm_up_to_the_end_of_the_load() {
    // The first and the last are outside.
    let times = [job(1_000.9, 9.0), job(1_001.0, 0.1), job(1_003.0, 0.2), job(1_005.9, 0.3), job(1_006.0, 9.0)];
    // The records of all but three are missing, so that whole jobs are counted.
    let found = measured(&report(), 1..6, 2, &times).unwrap();
    let wanted = ScalingMeasurement {
        experiment: "s-w1-r1".to_owned(),
        seconds: 5.0,
        succeeded: 50,
        failed: 1,
        jobs_per_second: 10.0,
        run_p50_seconds: Some(0.2),
        wait_p50_seconds: Some(0.1),
    };
    assert_eq!(found, wanted);
    assert_eq!(measured(&report(), 1..6, 2, &[]).unwrap().run_p50_seconds, None);
}

#[test]
fn a_measurement_that_cannot_be_trusted_says_why() {
    let refused = |change: fn(&mut Report)| {
        let mut report = report();
        change(&mut report);
        measured(&report, 1..6, 2, &[]).unwrap_err()
    };
    let starved = refused(|report| {
        report.verdict = Some(Verdict::Invalid);
        report.reasons = vec!["node n was starved".to_owned()];
    });
    assert_eq!(starved, "node n was starved");
    assert!(refused(|report| report.offered_seconds = 5.5).contains("5.50 s of 6 s"));
    // Figures of a second that come with those of a later one may be moved over an end, not within.
    for end in [0usize, 5] {
        let mut report = report();
        report.series[0].columns.nodes[end] = 0;
        let problem = measured(&report, 1..6, 2, &[]).unwrap_err();
        assert!(problem.contains(&format!("second {end} ")), "{problem}");
    }
    let mut folded = report();
    folded.series[0].columns.nodes[3] = 0;
    assert!(measured(&folded, 1..6, 2, &[]).is_ok());
}

#[test]
fn jobs_that_run_over_an_end_count_with_their_share_so_that_slots_in_step_are_counted_right() {
    // Eight slots in step, jobs of 0.34 s: 23.53 a second, but by eights at a time.
    let times: Vec<JobTimes> =
        (1..=20).flat_map(|turn| std::iter::repeat_n(job(1_000.0 + f64::from(turn) * 0.34, 0.34), 8)).collect();
    let whole = times.iter().filter(|job| (1_001.0..1_006.0).contains(&job.ended_unix_seconds)).count() as u64;
    assert_eq!(whole, 120, "2 % too many");
    let mut report = report();
    report.series[0].columns.succeeded = vec![whole / 5; 7];
    let found = measured(&report, 1..6, 16, &times).unwrap();
    assert_eq!(found.succeeded, 120);
    assert!((found.jobs_per_second - 8.0 / 0.34).abs() < 1e-6, "{found:?}");
    let instant = [job(1_001.0, 0.0), job(1_000.5, 0.0), job(1_006.0, 0.0)];
    let shares: Vec<f64> = instant.iter().map(|job| job.share_within(&(1_001.0..1_006.0))).collect();
    assert_eq!(shares, [1.0, 0.0, 0.0]);
}
