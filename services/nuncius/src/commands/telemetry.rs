//! `nuncius telemetry`: samples this machine, or shows and steers the samples of others.

use std::io::{BufReader, stdin, stdout};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::future::join_all;
use nuncius_bus::{Bus, lease};
use nuncius_machine::publish::{self, TelemetryConfig};
use nuncius_machine::{MachineConfig, MachineLimits, Roots};
use nuncius_report::format::bytes;
use nuncius_schemas::names::check_token;
use nuncius_schemas::spec::telemetry::matches;
use nuncius_schemas::subjects::telemetry_lease;
use nuncius_schemas::telemetry::{NodeTelemetry, TelemetryControl, TelemetryState, check_period, for_each_value};
use tokio_util::sync::CancellationToken;

use crate::args::{Global, SamplerArgs, TelemetryArgs, TelemetryCommand, TelemetrySamplerArgs};
use crate::connect;
use crate::exit::{EXIT_FAILED, Usage};
use crate::host::host_name;
use crate::output::{print_json, print_table};
use crate::signals::stop_on_signal;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a process may take to say that it samples no longer.
const FAREWELL: Duration = Duration::from_secs(1);
/// Name of the command that asks NVML.
pub(crate) const NVML_COMMAND: &str = "nvml-sampler";

/// A sampled machine.
struct Shown {
    node: String,
    state: Result<TelemetryState, String>,
    sample: Option<NodeTelemetry>,
}

/// `nuncius telemetry`.
pub(super) async fn telemetry(global: &Global, args: TelemetryArgs) -> Result<u8> {
    match args.command {
        None => sample(global, args.sampler).await,
        Some(TelemetryCommand::Show { nodes, all }) => show(global, &nodes, all).await,
        Some(TelemetryCommand::Pause { nodes }) => steer(global, &nodes, TelemetryControl::Pause {}).await,
        Some(TelemetryCommand::Resume { nodes }) => steer(global, &nodes, TelemetryControl::Resume {}).await,
        Some(TelemetryCommand::Period { node, period: None }) => {
            steer(global, &[node], TelemetryControl::Describe {}).await
        }
        Some(TelemetryCommand::Period { node, period: Some(period) }) => {
            check_period(period).map_err(|error| Usage(error.to_string()))?;
            steer(global, &[node], TelemetryControl::Period { period }).await
        }
    }
}

/// The process that asks NVML, and does nothing else.
pub(super) async fn nvml_sampler() -> Result<u8> {
    let library = std::env::var_os("NUNCIUS_NVML_LIBRARY").map(std::path::PathBuf::from);
    let serving = tokio::task::spawn_blocking(move || {
        nuncius_machine::gpu::nvml::serve(BufReader::new(stdin().lock()), stdout().lock(), library.as_deref())
    });
    serving.await.context("NVML is asked no longer")??;
    Ok(0)
}

/// What a process beside whose work the machine is sampled does about it; none where it is not to be.
///
/// # Errors
/// A period that nobody samples at.
pub(crate) fn sampler(args: &SamplerArgs, process: &str) -> Result<Option<TelemetryConfig>> {
    let period = args.telemetry_period;
    if period.0 == 0 {
        return Ok(None);
    }
    check_period(period).map_err(|error| Usage(format!("--telemetry-period: {error}")))?;
    let usual = TelemetryConfig::new(&host_name(), process);
    let machine = MachineConfig { nvml: Some(nvml_command()), ..MachineConfig::default() };
    Ok(Some(TelemetryConfig { period, machine, ..usual }))
}

/// This program, as the process that asks NVML.
fn nvml_command() -> Vec<std::ffi::OsString> {
    // Under the link of the kernel, so that a program that was replaced meanwhile is still the same.
    vec!["/proc/self/exe".into(), NVML_COMMAND.into()]
}

/// Does something with the machine sampled beside it.
pub(crate) async fn beside<T>(
    config: Option<TelemetryConfig>,
    bus: &Bus,
    shutdown: &CancellationToken,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let stop = shutdown.child_token();
    let sampling = config.map(|config| publish::beside(config, bus, &stop));
    let outcome = work.await;
    stop.cancel();
    if let Some(sampling) = sampling {
        let _ = tokio::time::timeout(FAREWELL, sampling).await;
    }
    outcome
}

/// Samples this machine until it is told to stop.
async fn sample(global: &Global, args: TelemetrySamplerArgs) -> Result<u8> {
    check_period(args.period).map_err(|error| Usage(format!("--period: {error}")))?;
    let usual = TelemetryConfig::new(&host_name(), "telemetry");
    let node = args.name.unwrap_or_else(|| usual.node.clone());
    check_token("node", &node).map_err(|error| Usage(format!("--name: {error}")))?;
    let machine = MachineConfig {
        roots: Roots { proc: args.proc, sys: args.sys, ..Roots::default() },
        limits: MachineLimits { cgroups: args.cgroups_max, ..MachineLimits::default() },
        cgroups: if args.cgroups.is_empty() { usual.machine.cgroups.clone() } else { args.cgroups },
        nvml: (!args.no_nvml).then(nvml_command),
    };
    let config = TelemetryConfig { node, period: args.period, machine, is_alone: true, ..usual };
    let shutdown = stop_on_signal()?;
    let announce = |node: String| super::print(&format!("samples this machine as {node}"));
    let run = async |bus, ready| Ok(publish::run(config.clone(), bus, shutdown.clone(), Some(ready)).await?);
    connect::serve(global, &format!("telemetry {}", config.node), &shutdown, announce, run).await?;
    Ok(0)
}

/// The machines that are sampled and meant.
pub(super) async fn select(bus: &Bus, patterns: &[String], wait: Duration) -> Result<Vec<String>> {
    let deadline = Instant::now() + wait;
    let bucket = bus.kv(&bus.namespace().bucket_lease()).await?;
    loop {
        let mut nodes = lease::names_under(&bucket, &telemetry_lease("")).await?;
        nodes.retain(|node| patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, node)));
        nodes.sort();
        if !nodes.is_empty() {
            return Ok(nodes);
        }
        if Instant::now() >= deadline {
            let meant = if patterns.is_empty() { String::new() } else { format!(" of {}", patterns.join(", ")) };
            bail!("no machine{meant} is sampled; start `nuncius telemetry` there");
        }
        tokio::time::sleep(connect::LOOK_AGAIN).await;
    }
}

/// Tells a machine what to do; how it stands then, or why it does not.
pub(super) async fn ask(bus: &Bus, node: &str, control: &TelemetryControl) -> Result<TelemetryState, String> {
    let subject = bus.namespace().telemetry_control(node);
    match bus.request_message::<_, TelemetryState>(&subject, "telemetry-control.v1", control, PATIENCE).await {
        Ok(TelemetryState { error: Some(error), .. }) => Err(error),
        Ok(state) => Ok(state),
        Err(error) => Err(error.to_string()),
    }
}

async fn steer(global: &Global, patterns: &[String], control: TelemetryControl) -> Result<u8> {
    let bus = connect::existing(global, "nuncius-telemetry").await?;
    nuncius_bus::streams::ensure_streams(&bus).await?;
    let nodes = select(&bus, patterns, global.wait.to_std()).await?;
    let asked = nodes.iter().map(async |node| {
        let state = ask(&bus, node, &control).await;
        Shown { node: node.clone(), state, sample: None }
    });
    let all = join_all(asked).await;
    print_states(global, &all)?;
    Ok(if all.iter().any(|shown| shown.state.is_err()) { EXIT_FAILED } else { 0 })
}

fn print_states(global: &Global, all: &[Shown]) -> Result<()> {
    if global.json {
        return print_json(&all.iter().map(as_json).collect::<Vec<_>>());
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|shown| {
            let mut row = state_cells(shown);
            row.push(match &shown.state {
                Ok(state) => held_for(state),
                Err(error) => error.escape_debug().to_string(),
            });
            row
        })
        .collect();
    print_table(&["node", "sampled by", "samples", "period", "for"], &rows, &[1, 2, 4], "no machine is sampled");
    Ok(())
}

fn as_json(shown: &Shown) -> serde_json::Value {
    match &shown.state {
        Ok(state) => serde_json::json!({ "node": shown.node, "state": state, "telemetry": shown.sample }),
        Err(error) => serde_json::json!({ "node": shown.node, "error": error, "telemetry": shown.sample }),
    }
}

/// Who samples a machine, and how often.
fn state_cells(shown: &Shown) -> Vec<String> {
    let Ok(state) = &shown.state else {
        return vec![shown.node.clone(), "-".to_owned(), "-".to_owned(), "-".to_owned()];
    };
    let samples = match (state.is_paused, state.sampled_every) {
        (_, None) => "paused".to_owned(),
        (true, Some(every)) => format!("every {every}, else paused"),
        (false, Some(every)) => format!("every {every}"),
    };
    vec![shown.node.clone(), format!("{} {}", state.process, state.process_id), samples, state.period.to_string()]
}

fn held_for(state: &TelemetryState) -> String {
    let held: Vec<&str> = state.holds.iter().map(|hold| hold.experiment.as_str()).collect();
    if held.is_empty() { "-".to_owned() } else { held.join(",") }
}

async fn show(global: &Global, patterns: &[String], all: bool) -> Result<u8> {
    let bus = connect::existing(global, "nuncius-telemetry").await?;
    nuncius_bus::streams::ensure_streams(&bus).await?;
    let nodes = select(&bus, patterns, global.wait.to_std()).await?;
    let shown = join_all(nodes.iter().map(|node| look(&bus, node))).await;
    if global.json {
        print_json(&shown.iter().map(as_json).collect::<Vec<_>>())?;
    } else if all {
        print_figures(&shown);
    } else {
        let rows: Vec<Vec<String>> = shown.iter().map(summary).collect();
        let heading =
            ["node", "sampled by", "samples", "period", "cpu", "load", "memory", "network", "disk", "problem"];
        print_table(&heading, &rows, &[1, 2, 9], "no machine is sampled");
    }
    Ok(if shown.iter().any(|shown| shown.state.is_err()) { EXIT_FAILED } else { 0 })
}

/// How a sampler stands, and its next sample that has rates, if it samples.
async fn look(bus: &Bus, node: &str) -> Shown {
    let name = node.to_owned();
    let subscription = bus.subscribe(&bus.namespace().telemetry(node)).await;
    let state = ask(bus, node, &TelemetryControl::Describe {}).await;
    let every = state.as_ref().ok().and_then(|state| state.sampled_every);
    let (Ok(mut samples), Some(every)) = (subscription, every) else {
        return Shown { node: name, state, sample: None };
    };
    let next = async {
        while let Some(message) = samples.next().await {
            if let Ok(sample) = message.decode::<NodeTelemetry>() {
                return Some(sample);
            }
        }
        None
    };
    let sample = tokio::time::timeout(every.to_std() + PATIENCE, next).await.ok().flatten();
    Shown { node: name, state, sample }
}

fn summary(shown: &Shown) -> Vec<String> {
    let mut row = state_cells(shown);
    let none = || "-".to_owned();
    let sample = shown.sample.as_ref();
    let cpu = sample.and_then(|sample| sample.cpu.as_ref());
    row.push(cpu.and_then(|cpu| cpu.busy_ratio).map_or_else(none, |ratio| format!("{:.0}%", ratio * 100.0)));
    row.push(sample.and_then(|sample| sample.load).map_or_else(none, |load| format!("{:.2}", load.load1)));
    row.push(sample.and_then(|sample| sample.memory).map_or_else(none, |memory| {
        let used = memory.total_bytes.saturating_sub(memory.available_bytes);
        format!("{} of {}", bytes(used), bytes(memory.total_bytes))
    }));
    type Rates = (Option<f64>, Option<f64>);
    let rates = |pairs: Vec<Rates>| {
        if pairs.iter().all(|(one, other)| one.is_none() && other.is_none()) {
            return none();
        }
        let sum = |part: fn(&Rates) -> Option<f64>| pairs.iter().filter_map(part).sum::<f64>();
        format!("{}/s in, {}/s out", bytes(sum(|pair| pair.0) as u64), bytes(sum(|pair| pair.1) as u64))
    };
    let networks = sample.map(|sample| sample.networks.as_slice()).unwrap_or_default();
    row.push(rates(networks.iter().map(|net| (net.received_bytes_per_second, net.sent_bytes_per_second)).collect()));
    let disks = sample.map(|sample| sample.disks.as_slice()).unwrap_or_default();
    row.push(rates(disks.iter().map(|disk| (disk.read_bytes_per_second, disk.written_bytes_per_second)).collect()));
    row.push(match &shown.state {
        Ok(state) => state.problems.first().map_or_else(none, |problem| problem.escape_debug().to_string()),
        Err(error) => error.escape_debug().to_string(),
    });
    row
}

fn print_figures(shown: &[Shown]) {
    let mut rows = Vec::new();
    for sample in shown.iter().filter_map(|shown| shown.sample.as_ref()) {
        for_each_value(sample, |value| {
            rows.push(vec![
                sample.node.clone(),
                value.metric.name.to_owned(),
                value.subsystem.escape_debug().to_string(),
                value.value.to_string(),
                value.metric.unit.name().to_owned(),
            ]);
        });
    }
    print_table(&["node", "metric", "of", "value", "unit"], &rows, &[1, 2, 4], "no machine samples at present");
}
