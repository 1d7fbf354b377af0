//! Merged seconds: the one source of what is shown over time, compared with what the target counted.

use std::collections::BTreeMap;

use nuncius_bus::tail::Start;
use nuncius_schemas::codec;
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::report::Report;
use nuncius_schemas::second::{ExperimentSecond, StepSecond};
use nuncius_stats::Totals;
use nuncius_stats::second::{add_piece, add_step};

use crate::harness::{System, beside_others, stub_stats};

/// Every second that was published, complete: parts put together, the last revision of each, late pieces added.
async fn published(system: &System, id: &str) -> BTreeMap<u32, ExperimentSecond> {
    let namespace = system.bus.namespace();
    let (stream, subject) = (namespace.stream_second(), namespace.experiment_second(id));
    let last = system.bus.last_sequence_of(&stream, &subject).await.unwrap().unwrap();
    let mut tail = system.bus.tail(&stream, &subject, Start::All).await.unwrap();
    let mut seconds: BTreeMap<u32, ExperimentSecond> = BTreeMap::new();
    loop {
        let stored = tail.next().await.unwrap();
        let piece: ExperimentSecond = codec::decode(&stored.payload).unwrap();
        if piece.late || piece.part > 0 {
            add_piece(seconds.get_mut(&piece.second).unwrap(), &piece).unwrap();
        } else {
            seconds.insert(piece.second, piece);
        }
        if stored.sequence >= last {
            return seconds;
        }
    }
}

/// The sums of all seconds, by group and step.
fn sums(seconds: &BTreeMap<u32, ExperimentSecond>) -> BTreeMap<(String, String), StepSecond> {
    let mut sums: BTreeMap<(String, String), StepSecond> = BTreeMap::new();
    for group in seconds.values().flat_map(|second| &second.groups) {
        for step in group.steps.iter().chain(&group.iterations) {
            add_step(sums.entry((group.name.clone(), step.name.clone())).or_default(), step).unwrap();
        }
    }
    sums
}

fn assert_seconds_are_the_report(sums: &BTreeMap<(String, String), StepSecond>, report: &Report) {
    for group in &report.groups {
        for step in &group.steps {
            let name = format!("{}/{}", group.name, step.name);
            let sum = &sums[&(group.name.clone(), step.name.clone())];
            let found = (sum.offered, sum.sent, sum.succeeded, sum.failed, sum.censored, sum.retried);
            let told = (step.planned, step.sent, step.succeeded, step.failed, step.censored, step.retried);
            assert_eq!(found, told, "{name}");
            assert_eq!((sum.bytes_sent, sum.bytes_received), (step.bytes_sent, step.bytes_received), "{name}");
            assert_eq!(sum.statuses, step.statuses, "{name}");
            let failed: u64 = sum.failures.iter().map(|failure| failure.count).sum();
            assert_eq!(failed, step.failures.iter().map(|failure| failure.count).sum::<u64>(), "{name}");
            for (quantity, distribution) in [(Quantity::Service, &sum.service), (Quantity::Response, &sum.response)] {
                let Some(summary) = step.quantities.get(&quantity) else { continue };
                assert_eq!(distribution.count, summary.count, "{name} {quantity:?}");
                // Added bucket by bucket, the seconds have the quantiles of the run.
                let totals = Totals::decode(&distribution.histogram).unwrap();
                let p50 = summary.quantiles.iter().find(|found| found.quantile == 0.5).unwrap();
                if summary.censored == 0 {
                    assert_eq!(totals.quantile_ns(0.5), Some(p50.value_ns), "{name} {quantity:?}");
                }
            }
            let series = report.series.iter().find(|series| {
                let of_step = if step.is_iteration { None } else { Some(step.name.as_str()) };
                series.group == group.name && series.step.as_deref() == of_step
            });
            let columns = &series.unwrap_or_else(|| panic!("no series of {name}")).columns;
            assert_eq!(columns.offered.iter().sum::<u64>(), step.planned, "{name}");
            assert_eq!(columns.succeeded.iter().sum::<u64>(), step.succeeded, "{name}");
            assert_eq!(columns.bytes_received.iter().sum::<u64>(), step.bytes_received, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seconds_of_every_group_and_step_add_up_to_the_report_and_to_what_the_target_counted() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    let spec = format!(
        "id: sums\ngroups:\n- name: browse\n  target: http://{address}/\n  rate: 40/s\n  duration: 2500ms\n  steps:\n  \
         - {{name: list, path: /}}\n  - {{name: missing, path: /status/404}}\n\
         - name: poll\n  target: http://{address}/\n  users: 3\n  think_time: 20ms\n  duration: 2s\n  steps:\n  \
         - {{name: ask, path: /status/204}}\n"
    );
    system.publish(spec.as_bytes()).await;
    system.wait_for_end("sums").await;
    let report = system.report("sums").await;
    let seconds = published(&system, "sums").await;
    let sums = sums(&seconds);
    assert_seconds_are_the_report(&sums, &report);

    // Iterations are 40 a second, requests 80.
    let step = |group: &str, step: &str| &sums[&(group.to_owned(), step.to_owned())];
    assert_eq!((step("browse", "iteration").offered, step("browse", "list").offered), (100, 100));
    let sent: u64 = sums.iter().filter(|((_, name), _)| name != "iteration").map(|(_, step)| step.sent).sum();
    let stub = stub_stats(&address);
    assert_eq!(sent, stub.requests);
    let answers = |status: u16| -> u64 {
        let steps = sums.iter().filter(|((_, name), _)| name != "iteration").map(|(_, step)| step);
        steps.flat_map(|step| &step.statuses).filter(|found| found.status == status).map(|found| found.count).sum()
    };
    assert_eq!((answers(200), answers(404)), (100, 100));
    assert_eq!(answers(204), step("poll", "ask").succeeded);
    assert_eq!(answers(200) + answers(204) + answers(404), stub.answered);
    assert!(step("browse", "list").bytes_received > 100 * 17 && step("browse", "list").bytes_sent > 100 * 16);

    // Every second is there, whole but for the last; each group has its own time.
    assert_eq!(seconds.keys().copied().collect::<Vec<_>>(), (0..seconds.len() as u32).collect::<Vec<_>>());
    let (last, whole) =
        seconds.values().rev().collect::<Vec<_>>().split_first().map(|(l, w)| (*l, w.to_vec())).unwrap();
    assert!(whole.iter().all(|second| second.length_ns == 1_000_000_000));
    assert!(last.length_ns >= 500_000_000, "{}", last.length_ns);
    let scheduled: Vec<_> = seconds.values().filter_map(|second| second.groups[0].scheduled).take(3).collect();
    assert_eq!(scheduled, [40, 40, 20]);
    let times: Vec<f64> = report.groups.iter().map(|group| group.offered_seconds).collect();
    assert_eq!((times, report.offered_seconds), (vec![2.5, 2.0], 2.5));
    assert!((report.groups[0].offered_per_second - 40.0).abs() < 1e-9);

    // What is exported is the same.
    let directory = system.directory.path().join("csv");
    let exported = system.output(&["export", "sums", "--csv", "--out", directory.to_str().unwrap()]);
    assert!(exported.status.success(), "{exported:?}");
    let table = std::fs::read_to_string(directory.join("seconds.csv")).unwrap();
    let mut rows = table.lines().map(|line| line.splitn(12, ',').collect::<Vec<_>>());
    let heading = rows.next().unwrap();
    assert_eq!((heading[2], heading[3], heading[9]), ("group", "step", "offered"));
    let offered: u64 =
        rows.filter(|row| (row[2], row[3]) == ("poll", "ask")).map(|row| row[9].parse::<u64>().unwrap()).sum();
    assert_eq!(offered, step("poll", "ask").offered);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_iterations_ends_the_time_that_rates_are_over() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let spec = format!(
        "id: short\ngroups:\n- {{name: g, target: 'http://{address}/', rate: 100/s, duration: 3s, iterations: 77}}\n"
    );
    system.publish(spec.as_bytes()).await;
    system.wait_for_end("short").await;
    let report = system.report("short").await;
    assert_eq!((report.groups[0].offered, stub_stats(&address).requests), (77, 77));
    assert_eq!((report.offered_seconds, report.groups[0].offered_seconds), (0.77, 0.77));
    assert!((report.groups[0].steps[0].succeeded_per_second - 100.0).abs() < 1e-9, "{:?}", report.groups[0].steps[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_joins_late_shows_the_state_and_writes_columns_that_do_not_move() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let spec = format!(
        "id: late\ngroups:\n- {{name: a, target: 'http://{address}/', rate: 50/s, duration: 5s}}\n\
         - {{name: b, target: 'http://{address}/', users: 1, think_time: 10ms, duration: 5s}}\n"
    );
    system.publish(spec.as_bytes()).await;
    system.wait_for_requests(150).await;
    let watched = system.output(&["watch", "late"]);
    let text = String::from_utf8(watched.stderr).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("/5s")).collect();
    let heading = text.lines().find(|line| line.contains("iterations/s")).unwrap_or_else(|| panic!("{text}"));
    assert!(rows.len() >= 2 && rows.len().is_multiple_of(2), "a row for each group\n{text}");
    assert!(rows.iter().all(|row| row.chars().count() == heading.chars().count()), "{text}");
    assert!(
        rows.iter().any(|row| row.ends_with(" service")) && rows.iter().any(|row| row.ends_with("response")),
        "{text}"
    );
    assert!(rows.last().is_some_and(|row| row.contains("5/5s")), "the last second is told\n{text}");
    assert!(!text.contains("6/5s"), "{text}");
}
