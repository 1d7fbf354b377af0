//! The bench of the engine: the real one, closed with users or open at a rate, against one URL.
//!
//! `engine_load closed URL USERS SECONDS` or `engine_load open URL RATE SECONDS`; `--general` at the end uses the
//! general client, `--poisson` Poisson arrivals; `--traced` samples every request, `--untraced` none, and does not tell
//! the slowest either.
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::sync::mpsc::sync_channel;

use nuncius_engine::{
    Control, EngineMessage, EngineOptions, GroupInput, TargetPolicy, monotonic_ns, plan_group, spawn_group,
};
use nuncius_load::ShardSet;
use nuncius_schemas::spec::{ExperimentSpec, RecordsMode};
use nuncius_stats::Totals;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args_os().skip(1).filter_map(|text| text.into_string().ok()).collect();
    let [mode, url, amount, seconds, flags @ ..] = arguments.as_slice() else {
        let flags = "[--general] [--poisson] [--traced|--untraced]";
        return Err(format!("usage: engine_load closed|open URL USERS|RATE SECONDS {flags}").into());
    };
    let has = |flag: &str| flags.iter().any(|given| given == flag);
    let load = match mode.as_str() {
        "closed" => format!("\"users\": {amount}"),
        "open" => format!("\"rate\": \"{amount}/s\""),
        _ => return Err("the model is closed or open".into()),
    };
    let arrivals = if has("--poisson") { "poisson" } else { "constant" };
    let spec: ExperimentSpec = nuncius_schemas::codec::decode(
        format!(
            "{{\"groups\": [{{\"target\": \"{url}\", {load}, \"duration\": \"{seconds}s\", \"arrivals\": \"{arrivals}\"}}]}}"
        )
        .as_bytes(),
    )?;
    spec.validate()?;
    let input = GroupInput {
        spec: &spec,
        group: 0,
        shards: ShardSet::all(256),
        nodes: 1,
        routes: &[],
        run_key: 1,
        trace_id: 1,
        threads: 1,
        bundle: None,
    };
    let mut plan = plan_group(&input, &TargetPolicy::default(), &|name| std::env::var(name).ok())?;
    if has("--general") {
        plan = plan.with_general_client();
    }
    // As a specification has it that says nothing.
    let (trace_ratio, trace_slowest) = match (has("--traced"), has("--untraced")) {
        (true, _) => (1.0, 3),
        (false, true) => (0.0, 0),
        (false, false) => (0.001, 3),
    };
    let options = EngineOptions {
        records: RecordsMode::None,
        trace_ratio,
        trace_slowest,
        seed: 1,
        drain_ns: 1_000_000_000,
        orphan_limit_ns: u64::MAX,
    };
    let control = Control::new();
    let (sink, messages) = sync_channel(64);
    let threads = spawn_group(plan, options, control.clone(), sink, None)?;
    let cpu_before = cpu_seconds();
    let start_ns = monotonic_ns() + 100_000_000;
    control.start(start_ns, u64::MAX);
    let (mut planned, mut succeeded, mut failed, mut censored) = (0, 0, 0, 0);
    let mut run_delay_ns = 0;
    let (mut lag, mut service) = (Totals::new(), Totals::new());
    for message in messages {
        match message {
            EngineMessage::Second(report) => {
                // As long as the threads live: their files end with them.
                let delays = threads.iter().filter_map(|thread| run_delay_of(thread.thread_id));
                run_delay_ns = delays.max().unwrap_or(0).max(run_delay_ns);
                for step in &report.steps {
                    planned += step.planned;
                    succeeded += step.succeeded;
                    failed += step.failed;
                    censored += step.censored;
                    lag.add(&step.lag)?;
                    service.add(&step.service)?;
                    for failure in &step.failures {
                        println!("failure {failure:?}");
                    }
                }
            }
            EngineMessage::Rows(_) => {}
            EngineMessage::Finished { reason, .. } => println!("finished: {reason:?}"),
        }
    }
    let elapsed = (monotonic_ns() - start_ns) as f64 / 1e9;
    let cpu = cpu_seconds() - cpu_before;
    for thread in threads {
        let _ = thread.handle.join();
    }
    let us = |totals: &Totals, q: f64| totals.quantile_ns(q).map_or(0.0, |ns| ns as f64 / 1e3);
    println!(
        "engine mode={mode} requests={succeeded} planned={planned} failed={failed} censored={censored} rate={:.0} \
         cpu_seconds={cpu:.3} requests_per_cpu_second={:.0} lag_p50_us={:.1} lag_p99_us={:.1} service_p50_us={:.1} \
         service_p99_us={:.1} run_delay_ms={:.1} resident_bytes={}",
        succeeded as f64 / elapsed,
        succeeded as f64 / cpu,
        us(&lag, 0.5),
        us(&lag, 0.99),
        us(&service, 0.5),
        us(&service, 0.99),
        run_delay_ns as f64 / 1e6,
        resident_bytes()?
    );
    Ok(())
}

/// Processor time of this process, user and system.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// How long a thread was runnable without running, in nanoseconds.
fn run_delay_of(thread_id: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread_id}/schedstat")).ok()?;
    text.split_whitespace().nth(1)?.parse().ok()
}

/// Resident memory of this process.
fn resident_bytes() -> Result<usize, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024)
}
