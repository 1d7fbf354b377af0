//! `/metrics` of the gateway: what it says is what the report, the database and the target say.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nuncius_schemas::gate::Quantity;
use nuncius_schemas::report::{Report, StepReport};
use nuncius_schemas::run::RunStatus;
use nuncius_store::Store;

use crate::harness::{Process, System, beside_others, stub_stats, until};
use crate::queue_harness::http_ask;

const OPEN_METRICS: &str = "accept: application/openmetrics-text;version=1.0.0\r\n";

/// A gateway.
struct Gateway {
    process: Process,
    address: String,
}

impl Gateway {
    fn start(system: &System, arguments: &[&str]) -> Self {
        let mut command = system.command(&["gateway", "--listen", "127.0.0.1:0"]);
        command.args(arguments).stdout(Stdio::piped());
        let log = system.directory.path().join(format!("gateway-{}.log", fastrand::u32(..)));
        let mut process = Process::start(&mut command, &log);
        let mut line = String::new();
        BufReader::new(process.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("metrics at http://").and_then(|rest| rest.strip_suffix("/metrics"));
        let address = address.unwrap_or_else(|| panic!("{line:?}: {}", std::fs::read_to_string(log).unwrap()));
        Self { address: address.to_owned(), process }
    }

    fn samples(&self) -> Samples {
        let (status, body) = http_ask(&self.address, "/metrics", OPEN_METRICS);
        assert_eq!(status, 200, "{body}");
        assert!(body.ends_with("# EOF\n"), "{body}");
        Samples::of(&body)
    }
}

type Labels = BTreeMap<String, String>;

/// Samples by name, each with its labels.
#[derive(Debug, Clone, Default, PartialEq)]
struct Samples(BTreeMap<String, Vec<(Labels, f64)>>);

impl Samples {
    fn of(text: &str) -> Self {
        let mut samples = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (sample, _exemplar) = line.split_once(" # ").unwrap_or((line, ""));
            let (series, value) = sample.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').unwrap();
            let pairs = labels.split("\",").filter(|pair| !pair.is_empty()).map(|pair| {
                let (name, value) = pair.split_once("=\"").unwrap();
                (name.to_owned(), value.trim_end_matches('"').to_owned())
            });
            samples.0.entry(name.to_owned()).or_default().push((pairs.collect(), value.parse().unwrap()));
        }
        samples
    }

    /// The sum of all samples of a name whose labels are these, among others.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let all = self.0.get(name)?;
        let has = |of: &BTreeMap<String, String>| {
            labels.iter().all(|(name, value)| of.get(*name).is_some_and(|found| found == value))
        };
        let chosen: Vec<f64> = all.iter().filter(|(of, _)| has(of)).map(|(_, value)| *value).collect();
        (!chosen.is_empty()).then(|| chosen.iter().sum())
    }

    fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.sum(name, labels).unwrap_or_default() as u64
    }

    /// The bucket in which a quantile lies: over the one bound and not over the other, in seconds.
    fn bucket(&self, name: &str, labels: &[(&str, &str)], quantile: f64) -> (f64, f64) {
        let all = &self.0[&format!("{name}_bucket")];
        let mut bounds: BTreeMap<u64, f64> = BTreeMap::new();
        for (of, count) in all {
            if labels.iter().all(|(name, value)| of.get(*name).is_some_and(|found| found == value)) {
                let bound: f64 = of["le"].replace("+Inf", "inf").parse().unwrap();
                *bounds.entry(bound.to_bits()).or_default() += count;
            }
        }
        let total = *bounds.values().last().unwrap();
        let rank = (quantile * total).ceil();
        let mut below = 0.0;
        for (bound, count) in bounds {
            let bound = f64::from_bits(bound);
            if count >= rank {
                return (below, bound);
            }
            below = bound;
        }
        panic!("no bucket of {name}");
    }

    /// Those of runs alone.
    fn of_runs(&self) -> Self {
        let of_runs = self.0.iter().filter(|(name, _)| name.starts_with("nuncius_experiment_"));
        Self(of_runs.map(|(name, samples)| (name.clone(), samples.clone())).collect())
    }
}

fn assert_step(samples: &Samples, id: &str, group: &str, step: &StepReport) {
    let own = [("experiment", id), ("group", group), ("step", step.name.as_str())];
    let of =
        |more: (&'static str, &str)| [own[0], own[1], own[2], (more.0, Box::leak(more.1.to_owned().into_boxed_str()))];
    let count = |name: &str| samples.count(name, &own);
    assert_eq!(count("nuncius_experiment_offered_requests_total"), step.planned, "{own:?}");
    assert_eq!(count("nuncius_experiment_sent_requests_total"), step.sent, "{own:?}");
    assert_eq!(count("nuncius_experiment_sent_bytes_total"), step.bytes_sent, "{own:?}");
    assert_eq!(count("nuncius_experiment_received_bytes_total"), step.bytes_received, "{own:?}");
    assert_eq!(count("nuncius_experiment_retried_requests_total"), step.retried, "{own:?}");
    for (outcome, told) in [("succeeded", step.succeeded), ("failed", step.failed), ("censored", step.censored)] {
        assert_eq!(samples.count("nuncius_experiment_requests_total", &of(("outcome", outcome))), told, "{own:?}");
    }
    for told in &step.statuses {
        let status = told.status.to_string();
        assert_eq!(samples.count("nuncius_experiment_answers_total", &of(("status", &status))), told.count, "{own:?}");
    }
    assert_eq!(count("nuncius_experiment_answers_total"), step.statuses.iter().map(|told| told.count).sum::<u64>());
    assert_eq!(count("nuncius_experiment_failures_total"), step.failures.iter().map(|told| told.count).sum::<u64>());
    for (quantity, name) in [
        (Quantity::Response, "nuncius_experiment_response_seconds"),
        (Quantity::Service, "nuncius_experiment_service_seconds"),
        (Quantity::Blocked, "nuncius_experiment_blocked_seconds"),
        (Quantity::Lag, "nuncius_experiment_lag_seconds"),
    ] {
        let Some(summary) = step.quantities.get(&quantity) else {
            assert_eq!(count(&format!("{name}_count")), 0, "{name} {own:?}");
            continue;
        };
        assert_eq!(count(&format!("{name}_count")), summary.count, "{name} {own:?}");
        for told in summary.quantiles.iter().filter(|_| summary.censored == 0) {
            let (over, up_to) = samples.bucket(name, &own, told.quantile);
            let value = told.value_ns as f64 / 1e9;
            // The report has the upper end of a bucket of 1 µs or 0.1 %; nothing is as short as 0.
            let near = (value - 1e-6) * 0.999;
            assert!(
                near <= up_to && value >= over,
                "{name} {own:?}: {} is {value}, in ({over}, {up_to}]",
                told.quantile
            );
        }
    }
}

/// What the database has of each step.
async fn assert_stored(system: &System, id: &str, samples: &Samples) {
    let store = Store::open(system.data().join("nuncius.db")).await.unwrap();
    let mut sums: BTreeMap<(String, String), [i64; 5]> = BTreeMap::new();
    for row in store.seconds(id).await.unwrap() {
        let sums = sums.entry((row.group_name, row.step_name)).or_default();
        let told = [row.offered, row.sent, row.succeeded, row.failed, row.censored];
        sums.iter_mut().zip(told).for_each(|(sum, told)| *sum += told);
    }
    store.close().await;
    assert!(!sums.is_empty());
    for ((group, step), stored) in sums {
        if step == "iteration" {
            continue;
        }
        let own = [("experiment", id), ("group", group.as_str()), ("step", step.as_str())];
        let of = |outcome| {
            samples.count("nuncius_experiment_requests_total", &[own[0], own[1], own[2], ("outcome", outcome)])
        };
        let shown = [
            samples.count("nuncius_experiment_offered_requests_total", &own),
            samples.count("nuncius_experiment_sent_requests_total", &own),
            of("succeeded"),
            of("failed"),
            of("censored"),
        ];
        assert_eq!(shown.map(|count| count as i64), stored, "{own:?}");
    }
}

fn assert_report(samples: &Samples, report: &Report) {
    for group in &report.groups {
        let own = [("experiment", report.id.as_str()), ("group", group.name.as_str())];
        if let Some(scheduled) = group.scheduled {
            assert_eq!(samples.count("nuncius_experiment_scheduled_iterations_total", &own), scheduled);
        }
        assert_eq!(samples.count("nuncius_experiment_offered_iterations_total", &own), group.offered);
        for step in &group.steps {
            if step.is_iteration {
                let of = |outcome| {
                    samples.count("nuncius_experiment_iterations_total", &[own[0], own[1], ("outcome", outcome)])
                };
                assert_eq!((of("succeeded"), of("failed")), (step.succeeded, step.failed), "{own:?}");
            } else {
                assert_step(samples, &report.id, &group.name, step);
            }
        }
    }
    let verdict = report.verdict.unwrap().name();
    let own = ("experiment", report.id.as_str());
    assert_eq!(samples.sum("nuncius_experiment_verdict", &[own, ("verdict", verdict)]), Some(1.0));
    assert_eq!(samples.sum("nuncius_experiment_verdict", &[own]), Some(1.0), "no other verdict");
}

/// The page once the run is all in it: its end, its verdict, its events, and every request.
async fn settled(system: &System, gateway: &Gateway, report: &Report) -> Samples {
    let steps = report.groups.iter().flat_map(|group| &group.steps).filter(|step| !step.is_iteration);
    let planned: u64 = steps.map(|step| step.planned).sum();
    let own = [("experiment", report.id.as_str())];
    until("the page has all of the run", async || {
        let events = system.events(&report.id).await.len() as u64;
        let samples = gateway.samples();
        let is_over = samples.sum("nuncius_experiment_verdict", &own).is_some();
        let has_events = samples.count("nuncius_experiment_events_total", &own) == events;
        let has_all = samples.count("nuncius_experiment_offered_requests_total", &own) == planned;
        (is_over && has_events && has_all).then_some(samples)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_report_and_database_agree_and_so_does_a_gateway_that_came_later() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&["--service-time", "exponential:3ms"]);
    let gateway = Gateway::start(&system, &[]);
    let spec = format!(
        "id: seen\nname: seen \"twice\"\nlag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\ngroups:\n\
         - name: browse\n  target: http://{address}/\n  rate: 60/s\n  duration: 4s\n  steps:\n  \
         - {{name: list, path: /}}\n  - {{name: missing, path: /status/404}}\n\
         - name: poll\n  target: http://{address}/\n  users: 3\n  think_time: 20ms\n  duration: 4s\n  steps:\n  \
         - {{name: ask, path: /status/204}}\n"
    );
    system.publish(spec.as_bytes()).await;
    until("zeros are there before anything happens, and the run is seen", async || {
        let samples = gateway.samples();
        samples.sum("nuncius_experiment_failures_total", &[("experiment", "seen"), ("kind", "timeout")])
    })
    .await;
    system.wait_for_status("seen", RunStatus::Running).await;
    // Counters only ever grow meanwhile.
    let mut last = 0;
    until("load is seen while it is offered", async || {
        let samples = gateway.samples();
        let now = samples.count("nuncius_experiment_offered_requests_total", &[]);
        assert!(now >= last, "{now} after {last}");
        last = now;
        let users = samples.count("nuncius_experiment_users", &[("group", "poll")]);
        (now > 0 && users == 3).then_some(())
    })
    .await;
    let joined_late = Gateway::start(&system, &[]);
    system.wait_for_end("seen").await;
    let report = system.report("seen").await;
    let samples = settled(&system, &gateway, &report).await;
    assert_report(&samples, &report);
    assert_stored(&system, "seen", &samples).await;
    let requests = samples.count("nuncius_experiment_answers_total", &[("experiment", "seen")]);
    assert_eq!(requests, stub_stats(&address).requests);
    assert_eq!(settled(&system, &joined_late, &report).await.of_runs(), samples.of_runs());
    let came_after = Gateway::start(&system, &[]);
    assert_eq!(settled(&system, &came_after, &report).await.of_runs(), samples.of_runs());
    let info = samples.sum("nuncius_experiment_info", &[("experiment", "seen"), ("name", "seen \\\"twice\\")]);
    assert_eq!(info, Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_series_of_a_run_end_after_it() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let gateway = Gateway::start(&system, &["--metrics-ended-for", "2s"]);
    system.publish(crate::harness::open_spec("brief", &address, "20/s", "1s", "").as_bytes()).await;
    until("the run is seen", async || gateway.samples().sum("nuncius_experiment_info", &[("experiment", "brief")]))
        .await;
    system.wait_for_end("brief").await;
    until("its series have ended", async || {
        let samples = gateway.samples();
        let of_runs: Vec<&String> = samples.0.keys().filter(|name| name.starts_with("nuncius_experiment_")).collect();
        of_runs.is_empty().then_some(())
    })
    .await;
    assert_eq!(gateway.samples().sum("nuncius_gateway_runs", &[]), Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_outlives_the_server_and_goes_on_with_it() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let mut gateway = Gateway::start(&system, &[]);
    system.publish(crate::harness::open_spec("first", &address, "20/s", "1s", "").as_bytes()).await;
    system.wait_for_end("first").await;
    let report = system.report("first").await;
    let before = settled(&system, &gateway, &report).await;
    system.server.kill();
    let meanwhile = gateway.samples();
    assert_eq!(meanwhile.of_runs(), before.of_runs(), "what was known is shown while the server is away");
    system.server.restart().await.unwrap();
    system.wait_for_nodes(2).await;
    system.publish(crate::harness::open_spec("second", &address, "20/s", "1s", "").as_bytes()).await;
    system.wait_for_end("second").await;
    let after = settled(&system, &gateway, &system.report("second").await).await;
    assert_report(&after, &system.report("second").await);
    let first = [("experiment", "first")];
    let offered = "nuncius_experiment_offered_requests_total";
    assert_eq!(after.count(offered, &first), before.count(offered, &first), "nothing is counted twice");
    assert!(gateway.process.child.try_wait().unwrap().is_none());
}
