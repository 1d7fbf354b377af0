use nuncius_schemas::meter::MeterKind;
use nuncius_schemas::report::MeterSummary;

use super::*;
use crate::fixture::checkout;

/// As it is written without a place to look at traces.
fn summary(report: &Report, options: TextOptions) -> String {
    super::summary(report, options, None)
}

#[test]
fn the_summary_of_a_passed_run_reads_as_expected() {
    let text = summary(&checkout(), TextOptions { colour: false, width: 100 });
    assert_eq!(text, include_str!("golden.txt"), "\n{text}");
}

#[test]
fn an_invalid_run_leads_with_the_reason() {
    let mut report = checkout();
    report.verdict = Some(Verdict::Invalid);
    report.reasons = vec!["node n2 was starved".to_owned(), "lag p99 was 40 ms".to_owned()];
    let text = summary(&report, TextOptions::default());
    assert!(text.starts_with("INVALID checkout (e12): node n2 was starved\n  also: lag p99 was 40 ms\n"), "{text}");
    let coloured = summary(&report, TextOptions { colour: true, width: 100 });
    assert!(coloured.starts_with("\x1b[1;35mINVALID\x1b[0m\x1b[1m checkout (e12): node n2"), "{coloured}");
}

#[test]
fn checks_redirects_meters_and_what_was_skipped_are_told_where_there_are_any() {
    let mut report = checkout();
    let none = summary(&report, TextOptions::default());
    assert!(!none.contains("checks:") && !none.contains("skipped") && !none.contains("redirect"), "{none}");
    let step = &mut report.groups[0].steps[0];
    (step.skipped, step.redirects) = (1_234, 5);
    step.checks = vec![
        CheckCount { name: "has a price".to_owned(), passed: 59_940, failed: 60 },
        CheckCount { name: "is <b>quick</b>".to_owned(), passed: 60_000, failed: 0 },
    ];
    let meter = |name: &str, unit, values| MeterReport {
        name: name.to_owned(),
        kind: if values { MeterKind::Histogram } else { MeterKind::Counter },
        unit,
        sum: 6_000,
        sum_per_second: 100.0,
        values: values.then(|| MeterSummary {
            count: 90,
            overflow: 0,
            min: 1.0,
            mean: 512.25,
            max: 4_096.0,
            quantiles: vec![(0.5, 500.0), (0.99, 4_000.0)],
        }),
    };
    report.groups[0].meters = vec![meter("events", MeterUnit::Number, false), meter("sizes", MeterUnit::Bytes, true)];
    let text = summary(&report, TextOptions { colour: false, width: 200 });
    for line in [
        "get check `has a price` failed 60 of 60,000 times (0.10%)",
        "get checks: 119,940 passed, 60 failed",
        "get: 1,234 × it was passed by or given up, by the rules of the test itself (skipped)",
        "get: 5 × a redirect was followed",
        "events 6,000 (100 per second)",
        "sizes 90 values: 1B to 4.00KiB, mean 512B, p50 500B, p99 3.91KiB",
    ] {
        assert!(text.contains(line), "`{line}` is not in\n{text}");
    }
    let page = crate::html::page(&report, None);
    for piece in
        ["<h3>Checks</h3>", "has a price", "is &lt;b&gt;quick&lt;/b&gt;", "events 6,000", "5 redirects followed"]
    {
        assert!(page.contains(piece), "`{piece}` is not on the page");
    }
}

#[test]
fn what_a_lost_node_may_have_offered_is_not_called_missing() {
    let mut report = checkout();
    (report.deficit, report.unaccounted) = (1_500, 1_200);
    let text = summary(&report, TextOptions { colour: false, width: 100 });
    assert!(text.contains("deficit 1,500 (") && text.contains("%), 1,200 of it not accounted for\n"), "{text}");
    assert!(crate::html::page(&report, None).contains("deficit 1,500, 1,200 of it not accounted for"));
}

#[test]
fn a_run_that_did_not_finish_leads_with_its_status() {
    let mut report = checkout();
    (report.status, report.verdict, report.reasons) = (RunStatus::Cancelled, Some(Verdict::Undetermined), Vec::new());
    let text = summary(&report, TextOptions::default());
    assert!(text.starts_with("CANCELLED checkout (e12): ended by request\n"), "{text}");
    assert!(text.contains("verdict undetermined"), "{text}");
}

#[test]
fn a_censored_quantile_is_shown_as_a_lower_bound() {
    let text = summary(&checkout(), TextOptions::default());
    let line = text.lines().find(|line| line.contains("get response")).unwrap();
    assert!(line.contains("≥12.3ms") && line.contains("3.69ms") && !line.contains("≥3.69ms"), "{line}");
    assert!(line.contains("+ 2 censored"), "{line}");
}

#[test]
fn a_closed_group_shows_no_response_even_when_there_is_one() {
    let mut report = checkout();
    let response = crate::fixture::summary(1, 0);
    report.groups[1].steps[0].quantities.insert(Quantity::Response, response);
    let text = summary(&report, TextOptions::default());
    let closed = text.split("group loop").nth(1).unwrap();
    assert!(closed.contains(CLOSED_NOTE), "{closed}");
    assert!(!closed.contains("publish response") && !closed.contains("publish lag"), "{closed}");
}

#[test]
fn a_group_whose_tls_peers_were_not_checked_is_marked_and_no_other() {
    let text = summary(&checkout(), TextOptions::default());
    let (browse, closed) = text.split_once("group loop").unwrap();
    assert!(closed.contains(UNVERIFIED_NOTE) && !browse.contains(UNVERIFIED_NOTE), "{text}");
}

#[test]
fn a_report_without_data_still_says_how_it_ended() {
    let mut report = checkout();
    (report.status, report.verdict) = (RunStatus::Failed, None);
    report.reasons = vec!["no node matched".to_owned()];
    report.groups.clear();
    report.gates.clear();
    report.nodes.clear();
    report.intervals.clear();
    report.events.clear();
    (report.scheduled, report.offered, report.offered_seconds) = (0, 0, 0.0);
    (report.trace_id, report.spec, report.started_unix_ms, report.ended_unix_ms) = (None, None, None, None);
    let text = summary(&report, TextOptions::default());
    assert_eq!(text, "FAILED checkout (e12): no node matched\n  0 of load, by alice, status failed\n");
}

#[test]
fn a_sample_cannot_drive_the_terminal() {
    let mut report = checkout();
    report.groups[0].steps[0].failures[0].sample = Some("\x1b]0;owned\x07\r\nsecond line".to_owned());
    report.name = "\x1b[2J".to_owned();
    let text = summary(&report, TextOptions::default());
    assert!(!text.contains('\x1b') && !text.contains('\x07') && !text.contains('\r'), "{text}");
}
