//! The report of all measurements. Pure.

use nuncius_schemas::run::Verdict;
use nuncius_schemas::scaling::ScalingReport;
use nuncius_stats::{MeasuredStep, ScalingRules, judge_scaling};

use super::Wanted;

/// A measurement that cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Untrusted {
    /// Workers of its step.
    pub(super) workers: u32,
    /// Which measurement of the step, from 1.
    pub(super) repeat: u32,
    /// Why.
    pub(super) problem: String,
}

/// Judges what was measured. A step with a measurement that cannot be trusted is invalid, and so is the whole when the
/// step counts; the law and the knee come from the other measurements.
pub(super) fn report_of(
    wanted: &Wanted,
    started_unix_ms: u64,
    steps: Vec<MeasuredStep>,
    untrusted: &[Untrusted],
) -> ScalingReport {
    let scaling = &wanted.scaling;
    let rules = ScalingRules { min_efficiency: scaling.min_efficiency, judge_up_to: scaling.judge_up_to };
    let mut judged = judge_scaling(steps, rules);
    for step in &mut judged.steps {
        let mut problems = untrusted.iter().filter(|untrusted| untrusted.workers == step.workers);
        let Some(first) = problems.next() else { continue };
        let more = match problems.count() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        step.reason = format!("measurement {} is not valid: {}{more}", first.repeat, first.problem);
        step.outcome = Verdict::Invalid;
    }
    if let Some(step) = judged.steps.iter().find(|step| step.judged && step.outcome == Verdict::Invalid) {
        judged.verdict = Verdict::Invalid;
        judged.reason = format!("at {} workers: {}", step.workers, step.reason);
    }
    ScalingReport {
        id: wanted.id.clone(),
        queue: wanted.queue.clone(),
        started_unix_ms,
        verdict: judged.verdict,
        reason: judged.reason,
        steps: judged.steps,
        fit: judged.fit,
        fit_problem: judged.fit_problem,
        knee: judged.knee,
        knee_reason: judged.knee_reason,
        min_efficiency: scaling.min_efficiency,
        judge_up_to: scaling.judge_up_to,
        device: scaling.device.clone(),
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::scaling::ScalingMeasurement;

    use super::*;

    fn wanted() -> Wanted {
        let text = "id: s\ngroups: [{engine: queue, target: 'queue://q'}]\n\
             scaling: {steps: [1, 2, 4], judge_up_to: 2, workers: {start: wait}}";
        let submission = nuncius_schemas::submission::from_bytes(text.as_bytes()).unwrap();
        super::super::read(&submission, "test.yaml".as_ref()).unwrap().unwrap()
    }

    fn step(workers: u32) -> MeasuredStep {
        let measurement = |count: u64| ScalingMeasurement {
            experiment: String::new(),
            seconds: 10.0,
            succeeded: count * u64::from(workers),
            failed: 0,
            jobs_per_second: (count * u64::from(workers)) as f64 / 10.0,
            run_p50_seconds: None,
            wait_p50_seconds: None,
        };
        MeasuredStep { workers, slots: workers, measurements: [1_000, 1_001, 999].map(measurement).to_vec() }
    }

    fn untrusted(workers: u32) -> Untrusted {
        Untrusted { workers, repeat: 3, problem: "node n was starved".to_owned() }
    }

    #[test]
    fn a_measurement_that_cannot_be_trusted_makes_a_judged_step_and_the_whole_invalid() {
        let report = |untrusted: &[Untrusted]| report_of(&wanted(), 7, [1, 2, 4].map(step).to_vec(), untrusted);
        assert_eq!(report(&[]).verdict, Verdict::Pass);
        let invalid = report(&[untrusted(2), untrusted(2)]);
        assert_eq!((invalid.verdict, invalid.steps[1].outcome), (Verdict::Invalid, Verdict::Invalid));
        let wanted = "at 2 workers: measurement 3 is not valid: node n was starved; and 1 more";
        assert_eq!(invalid.reason, wanted);
        assert!(invalid.fit.is_some() && invalid.steps[1].jobs_per_second.is_some(), "the others still count");
        // A step that does not count does not decide.
        let shown = report(&[untrusted(4)]);
        assert_eq!((shown.verdict, shown.steps[2].outcome), (Verdict::Pass, Verdict::Invalid));
    }

    #[test]
    fn an_emulated_device_is_named_in_the_report_and_needs_no_memory_of_its_own() {
        let device = nuncius_schemas::scaling::EmulatedDevice {
            name: "gpu".to_owned(),
            lanes: 10_000,
            work: "exponential:100ms".to_owned(),
            alpha: 0.5,
            beta: 0.0,
        };
        let config = super::super::device_config(&device).unwrap();
        assert_eq!((config.lanes, config.alpha), (10_000, 0.5));
        let wrong = nuncius_schemas::scaling::EmulatedDevice { work: "long".to_owned(), ..device.clone() };
        assert!(super::super::device_config(&wrong).unwrap_err().starts_with("scaling.device.work: "));
        let mut wanted = wanted();
        wanted.scaling.device = Some(device.clone());
        assert_eq!(report_of(&wanted, 7, Vec::new(), &[]).device, Some(device));
    }
}
