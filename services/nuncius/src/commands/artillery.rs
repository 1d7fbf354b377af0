//! What a test of Artillery came to, in its own form: the summary, the checks, the file of `--output`, the exit code.

use anyhow::Result;
use nuncius_bus::Bus;
use nuncius_bus::tail::Start;
use nuncius_clock::unix_ms;
use nuncius_import::artillery::collect::Collector;
use nuncius_import::artillery::report::{LocalTime, checks_text, summary_text, to_json, to_legacy_text};
use nuncius_import::artillery::{Imported, ensure};
use nuncius_schemas::codec;
use nuncius_schemas::report::Report;
use nuncius_schemas::second::ExperimentSecond;

use crate::args::{ArtilleryForm, ArtilleryOutputArgs, REQUEST_TIMEOUT};
use crate::output::{is_standard_output, print, write_file};

/// Exit code of a test with a check that does not hold.
const CHECK_FAILED: u8 = 1;
/// Exit code of a test with an expectation that was not met, where that decides.
const EXPECTATION_FAILED: u8 = 21;

/// Tells what a test came to; its exit code, where that of the run is 0.
pub(super) async fn conclude(
    bus: &Bus,
    id: &str,
    imported: &Imported,
    report: &Report,
    args: &ArtilleryOutputArgs,
) -> Result<u8> {
    let mut collector = Collector::new(&imported.origin);
    collect(bus, id, &mut collector).await?;
    let metrics = collector.finish(Some(report));
    let apdex = imported.origin.apdex(&metrics.aggregate);
    let checked = ensure::check(&imported.ensure, &metrics.aggregate, apdex);
    let at = LocalTime { unix_ms: report.ended_unix_ms.unwrap_or_else(unix_ms), ahead_minutes: 0 };
    let total_ms = match (report.started_unix_ms, report.ended_unix_ms) {
        (Some(from), Some(to)) => to.saturating_sub(from),
        _ => 0,
    };
    if !args.output.as_deref().is_some_and(is_standard_output) {
        let text = match args.artillery_report {
            ArtilleryForm::V1 => to_legacy_text(&metrics, at),
            ArtilleryForm::V2 => summary_text(&metrics.aggregate, at, total_ms, &imported.origin.hidden),
        };
        print(&format!("\n{text}\n{}", checks_text(&checked, apdex)));
    }
    if let Some(path) = &args.output {
        write_file(path, &format!("{}\n", serde_json::to_string_pretty(&to_json(&metrics))?))?;
    }
    let failed: u64 = report.groups.iter().flat_map(|group| &group.steps).map(failed_checks).sum();
    Ok(match ensure::holds(&checked) {
        false => CHECK_FAILED,
        true if imported.origin.expectations_decide && failed > 0 => EXPECTATION_FAILED,
        true => 0,
    })
}

fn failed_checks(step: &nuncius_schemas::report::StepReport) -> u64 {
    step.checks.iter().map(|check| check.failed).sum()
}

/// Gives all merged seconds of a run that has ended to what adds them up.
async fn collect(bus: &Bus, id: &str, collector: &mut Collector<'_>) -> Result<()> {
    let (stream, subject) = (bus.namespace().stream_second(), bus.namespace().experiment_second(id));
    let Some(last) = bus.last_sequence_of(&stream, &subject).await? else { return Ok(()) };
    let mut tail = bus.tail(&stream, &subject, Start::All).await?;
    loop {
        let stored = tokio::time::timeout(REQUEST_TIMEOUT, tail.next()).await??;
        if let Ok(piece) = codec::decode::<ExperimentSecond>(&stored.payload) {
            collector.add(&piece);
        }
        if stored.sequence >= last {
            return Ok(());
        }
    }
}
