//! The services around job queues: `nuncius frontend`, `worker`, `client --queue`, `emulator device`.

use std::net::SocketAddr;

use anyhow::Result;
use nuncius_bus::Bus;
use nuncius_client::queue_client::{self, HttpLimits, QueueClientConfig};
use nuncius_emulator::device::DeviceConfig;
use nuncius_frontend::FrontendConfig;
use nuncius_schemas::names::{check_token, token_from_host};
use nuncius_schemas::queue::check_queue_name;
use nuncius_worker::names::name_from;
use nuncius_worker::workload::{Workload, WorkloadOptions};
use nuncius_worker::{Shutdown, WhenEmpty, WorkerConfig};

use super::services::{stop_on_signal, stop_on_signals};
use super::telemetry;
use crate::args::{ClientArgs, DeviceArgs, FrontendArgs, Global, WorkerArgs};
use crate::local::{host_name, host_token, labels};
use crate::{Usage, connect};

/// Most slots of one worker.
const SLOTS_MAX: u32 = 4_096;
/// Exit code of `worker --once` for a workload that failed.
const EXIT_WORKLOAD_FAILED: u8 = 1;

/// `nuncius frontend`.
pub(super) async fn frontend(global: &Global, args: FrontendArgs) -> Result<u8> {
    check_token("node", &args.name).map_err(|error| Usage(format!("--name: {error}")))?;
    for queue in &args.queues {
        check_queue_name(queue).map_err(|error| Usage(error.to_string()))?;
    }
    let config = FrontendConfig {
        name: args.name,
        host: host_name(),
        queues: args.queues,
        settings: args.settings.settings(),
        metrics_address: args.maddr,
        interval: (args.interval.0 > 0).then(|| args.interval.to_std()),
        limits: nuncius_serve::HttpLimits::default(),
    };
    let shutdown = stop_on_signal()?;
    let announce = |address: SocketAddr| super::print(&format!("metrics at http://{address}/metrics"));
    let run = async |bus, ready| Ok(nuncius_frontend::run(config.clone(), bus, shutdown.clone(), Some(ready)).await?);
    connect::serve(global, "frontend", &shutdown, announce, run).await?;
    Ok(0)
}

/// `nuncius worker`.
pub(super) async fn worker(global: &Global, args: WorkerArgs) -> Result<u8> {
    let usage = |text: String| -> anyhow::Error { Usage(text).into() };
    check_queue_name(&args.queue).map_err(|error| usage(error.to_string()))?;
    if !(1..=SLOTS_MAX).contains(&args.slots) {
        return Err(usage(format!("--slots {}: give 1 to {SLOTS_MAX}", args.slots)));
    }
    let options = WorkloadOptions {
        ignore: args.ignore,
        directory: args.dir.clone(),
        glob: args.glob.clone(),
        null_in: args.null_in,
        null_out: args.null_out,
        capture_bytes: args.capture,
        limit: (args.limit.0 > 0).then(|| args.limit.to_std()),
        kill_grace: args.kill_grace.to_std(),
        slots: args.slots,
    };
    let workload = Workload::new(&args.workload, options).map_err(|error| usage(error.to_string()))?;
    let (drain, hand_back) = stop_on_signals()?;
    let shutdown = Shutdown { drain, hand_back };
    if args.once {
        return once(&workload, &shutdown).await;
    }
    if args.end_with_input {
        drain_with_input(&shutdown);
    }
    let name = args.name.clone().unwrap_or_else(|| token_from_host(&format!("{}-worker", host_name())));
    check_token("node", &name).map_err(|error| usage(format!("--name: {error}")))?;
    let config = WorkerConfig {
        name: name.clone(),
        host: host_name(),
        queue: args.queue.clone(),
        slots: args.slots,
        node: name_from(args.node_env.as_deref()),
        pod: name_from(args.pod_env.as_deref()),
        labels: labels(&args.labels, crate::environment::variables())?,
        workload,
        when_empty: when_empty(&args),
    };
    let sampler = telemetry::sampler(&args.sampler, "worker")?;
    let run = async |bus: Bus, ready| {
        let running = nuncius_worker::run(config.clone(), bus.clone(), shutdown.clone(), Some(ready));
        telemetry::beside(sampler.clone(), &bus, &shutdown.drain, async { Ok(running.await?) }).await
    };
    connect::serve(global, &format!("worker {name}"), &shutdown.drain, |_: String| {}, run).await?;
    Ok(0)
}

fn when_empty(args: &WorkerArgs) -> WhenEmpty {
    match args.backoff {
        None if args.exit_on_empty => WhenEmpty::Exit,
        None => WhenEmpty::Wait,
        Some(step) if step.0 == 0 => WhenEmpty::Exit,
        Some(step) => {
            // As the scalability tester's worker has it.
            let most = if args.limit.0 > 0 { args.backoff_max.min(args.limit) } else { args.backoff_max };
            WhenEmpty::BackOff { step: step.to_std(), most: most.to_std() }
        }
    }
}

/// Runs the workload one time, with nothing of a job's.
async fn once(workload: &Workload, shutdown: &Shutdown) -> Result<u8> {
    let prepared = workload.prepare(0, &nuncius_schemas::job::Job::default()).map_err(|e| Usage(e.to_string()))?;
    let outcome = nuncius_worker::execute::execute(&prepared, shutdown.drain.clone()).await;
    for text in [&outcome.stdout_tail, &outcome.stderr_tail].into_iter().flatten() {
        super::print(text);
    }
    if outcome.is_success() {
        return Ok(0);
    }
    crate::output::note(&format!("nuncius: {}", outcome.error.unwrap_or_else(|| "the workload failed".to_owned())));
    Ok(EXIT_WORKLOAD_FAILED)
}

/// Drains when standard input ends. The thread is the process's: it may wait for ever, and nobody waits for it.
fn drain_with_input(shutdown: &Shutdown) {
    let drain = shutdown.drain.clone();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drain.cancel();
    });
}

/// `nuncius client --queue`.
pub(super) async fn queue_client(global: &Global, args: ClientArgs) -> Result<u8> {
    let jobs = args.jobs;
    let queue = jobs.queue.unwrap_or_default();
    check_queue_name(&queue).map_err(|error| Usage(error.to_string()))?;
    // A name of its own for every process: what waits for one must not be dropped for another.
    let client = args.name.unwrap_or_else(|| {
        let host: String = host_token().chars().take(40).collect();
        format!("{host}-{:08x}", fastrand::u32(..))
    });
    check_token("client", &client).map_err(|error| Usage(format!("--name: {error}")))?;
    if jobs.req_now > jobs.req_max || jobs.req_max > queue_client::PARALLEL_MAX {
        let most = queue_client::PARALLEL_MAX;
        let text = format!("--req-now {} --req-max {}: give 0 ≤ now ≤ max ≤ {most}", jobs.req_now, jobs.req_max);
        return Err(Usage(text).into());
    }
    if !(0.0..=1.0).contains(&jobs.trace_ratio) {
        return Err(Usage(format!("--trace-ratio {}: give 0 to 1", jobs.trace_ratio)).into());
    }
    let config = QueueClientConfig {
        queue,
        client,
        args: jobs.arguments,
        limit: (jobs.limit.0 > 0).then_some(jobs.limit),
        priority: jobs.priority,
        parallel: jobs.req_now,
        parallel_max: jobs.req_max,
        delay: jobs.delay.to_std(),
        trace_ratio: jobs.trace_ratio,
        address: jobs.caddr,
        limits: HttpLimits { allowed_hosts: jobs.hosts.allow_hosts, ..HttpLimits::default() },
    };
    let shutdown = stop_on_signal()?;
    let announce = |address: SocketAddr| super::print(&format!("control page at http://{address}/stats"));
    let run = async |bus, ready| {
        let report = queue_client::run(config.clone(), bus, shutdown.clone(), Some(ready)).await?;
        super::print(&report);
        Ok(())
    };
    connect::serve(global, &format!("client {}", config.client), &shutdown, announce, run).await?;
    Ok(0)
}

/// `nuncius emulator device`.
pub(super) async fn device(global: &Global, args: DeviceArgs) -> Result<u8> {
    let mut config = DeviceConfig::new(&args.device, &host_name());
    config.lanes = args.lanes;
    config.work = args.work.parse().map_err(|error| Usage(format!("--work: {error}")))?;
    config.alpha = args.alpha;
    config.beta = args.beta;
    config.queue = args.queue;
    config.seed = args.seed;
    config.check().map_err(|error| Usage(error.to_string()))?;
    let shutdown = stop_on_signal()?;
    let device = &args.device;
    let announce = |node: String| super::print(&format!("emulated device {device} is node {node}"));
    let sampler = telemetry::sampler(&args.sampler, "emulator")?;
    let run = async |bus: Bus, ready| {
        let running = nuncius_emulator::device::run(config.clone(), bus.clone(), shutdown.clone(), Some(ready));
        telemetry::beside(sampler.clone(), &bus, &shutdown, async { Ok(running.await?) }).await
    };
    connect::serve(global, &format!("device {device}"), &shutdown, announce, run).await?;
    Ok(0)
}
