//! `nuncius run` of an experiment with `scaling`: more and more workers for one queue, each number of them measured by
//! experiments of their own, judged together.
//!
//! Layout: `workers` brings and counts workers; `measure` is one measurement; `judge` makes the report of all of them,
//! pure.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use nuncius_clock::unix_ms;
use nuncius_emulator::device::DeviceConfig;
use nuncius_jobs::Queues;
use nuncius_schemas::node::Role;
use nuncius_schemas::queue::{QueueSettings, QueueState};
use nuncius_schemas::run::{RunStatus, exit_code};
use nuncius_schemas::scaling::{EmulatedDevice, ScalingReport};
use nuncius_schemas::submission::Submission;
use nuncius_stats::MeasuredStep;
use tokio_util::sync::CancellationToken;

use super::nodes::present;
use crate::exit::Usage;
use crate::host::host_name;
use crate::local::Local;
use crate::output::{note, print, text_options, write_file};
use crate::signals::stop_on_signal;

mod judge;
mod measure;
mod scene;
mod workers;

use judge::{Untrusted, report_of};
use scene::{Interrupted, Wanted};
use workers::Workers;

pub(super) use scene::Scene;

/// What is to be measured, read and checked before anything is started; `None` for any other experiment, which the
/// daemon judges.
pub(super) fn read(submission: &Submission, file: &Path) -> Result<Option<Wanted>> {
    let spec = match submission {
        Submission::Spec(spec) => (**spec).clone(),
        Submission::Galileo(_) => return Ok(None),
    };
    let usage = |problem: String| Usage(format!("{}: {problem}", file.display()));
    let (Some(scaling), Some(queue)) = (spec.scaling.clone(), spec.scaled_queue().map(str::to_owned)) else {
        return Ok(None);
    };
    let device = scaling.device.as_ref().map(device_config).transpose().map_err(usage)?;
    let id = spec.id.clone().unwrap_or_else(nuncius_control::submit::fresh_id);
    Ok(Some(Wanted { id, queue, spec, scaling, device }))
}

fn device_config(device: &EmulatedDevice) -> Result<DeviceConfig, String> {
    let mut config = DeviceConfig::new(&device.name, &host_name());
    config.lanes = device.lanes;
    config.work = device.work.parse().map_err(|error| format!("scaling.device.work: {error}"))?;
    config.alpha = device.alpha;
    config.beta = device.beta;
    // However many lanes it has, its memory is enough: nobody can say how large it is.
    let memory_bytes = config.memory_bytes.saturating_sub(config.memory_base_bytes);
    config.memory_per_job_bytes = config.memory_per_job_bytes.min(memory_bytes / u64::from(config.lanes.max(1)));
    config.check().map_err(|error| format!("scaling.device: {error}"))?;
    Ok(config)
}

/// Measures every step and shows what came of it: 0 pass, 1 fail, 3 undetermined, 4 invalid, 6 interrupted.
pub(super) async fn run(scene: &Scene<'_>, local: &Local, wanted: Wanted) -> Result<u8> {
    let interrupted = stop_on_signal()?;
    let started_unix_ms = unix_ms();
    let measured = async {
        let queues = bring_queue(scene, local, &wanted).await?;
        let mut workers = Workers::new(scene, &wanted, interrupted.clone())?;
        let measured = measure_steps(scene, &wanted, &queues, &mut workers, &interrupted).await;
        workers.stop().await;
        measured
    };
    match measured.await {
        Ok((steps, untrusted)) => {
            let report = report_of(&wanted, started_unix_ms, steps, &untrusted);
            show(scene, &report)?;
            Ok(exit_code(RunStatus::Finished, Some(report.verdict)))
        }
        Err(error) if error.is::<Interrupted>() => {
            note(&format!("{error:#}"));
            Ok(exit_code(RunStatus::Cancelled, None))
        }
        Err(error) => Err(error),
    }
}

/// Makes the queue where there is none, somebody to keep it, and the device.
async fn bring_queue(scene: &Scene<'_>, local: &Local, wanted: &Wanted) -> Result<Queues> {
    let queues = Queues::open(scene.bus).await?;
    queues.ensure(&wanted.queue, &QueueSettings::default()).await?;
    let state = queues.get(&wanted.queue).await?.state;
    if state != QueueState::Open {
        bail!("queue {0} is {1}: open it with `nuncius queue resume {0}`", wanted.queue, state.name());
    }
    if !present(scene.bus).await?.contains(&Role::Frontend) {
        local.frontend(std::slice::from_ref(&wanted.queue), "127.0.0.1:0").await?;
    }
    if let Some(device) = &wanted.device {
        let node = local.device(device.clone()).await?;
        if node != device.name {
            bail!(
                "there is a node {} already, and a device of that name would share its work; choose another name",
                device.name
            );
        }
    }
    Ok(queues)
}

async fn measure_steps(
    scene: &Scene<'_>,
    wanted: &Wanted,
    queues: &Queues,
    workers: &mut Workers,
    interrupted: &CancellationToken,
) -> Result<(Vec<MeasuredStep>, Vec<Untrusted>)> {
    let mut steps = Vec::new();
    let mut untrusted = Vec::new();
    let place = measure::Place { scene, wanted, queues, interrupted };
    for count in wanted.scaling.steps.iter().copied() {
        let slots = count.saturating_mul(wanted.scaling.workers.slots());
        let mut step = MeasuredStep { workers: count, slots, measurements: Vec::new() };
        for repeat in 1..=wanted.scaling.repeats {
            workers.bring(count).await?;
            let told = match place.measure(workers, count, repeat).await? {
                Ok(measurement) => {
                    let told = format!("{:.2} jobs/s", measurement.jobs_per_second);
                    step.measurements.push(measurement);
                    told
                }
                Err(problem) => {
                    let told = format!("not valid: {problem}");
                    untrusted.push(Untrusted { workers: count, repeat, problem });
                    told
                }
            };
            if !scene.args.quiet {
                note(&format!("{:>9}  {count} workers, {repeat}/{}: {told}", "scaling", wanted.scaling.repeats));
            }
        }
        steps.push(step);
    }
    Ok((steps, untrusted))
}

fn show(scene: &Scene<'_>, report: &ScalingReport) -> Result<()> {
    let json = serde_json::to_string_pretty(report)? + "\n";
    if scene.global.json {
        print(&json);
    } else {
        print(&nuncius_report::scaling::text(report, text_options()));
    }
    if let Some(path) = &scene.args.report_json {
        write_file(path, &json)?;
    }
    let default = || -> PathBuf { scene.data.join("reports").join(format!("{}.html", report.id)) };
    let path = scene.args.html.clone().unwrap_or_else(default);
    write_file(&path, &nuncius_report::scaling::html(report))?;
    note(&format!("HTML report: {}", path.display()));
    Ok(())
}
