//! The verdict: gates over the run and over windows, and whether the measurement can be trusted at all.

use std::collections::BTreeMap;

use nuncius_schemas::gate::{Gate, GateExpression, Quantity};
use nuncius_schemas::report::GateReport;
use nuncius_schemas::run::Verdict;
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_stats::{GateData, GateOutcome, Outcome, Windows, evaluate};

use crate::totals::{OPEN_SECONDS, SecondTotals, StepTotals, add};

/// What a run without gates is judged by.
pub const DEFAULT_GATE: &str = "failures < 1%";

/// The gates of one experiment, with what their windows have seen.
pub struct Judge {
    gates: Vec<JudgedGate>,
    steps_per_group: Vec<u16>,
    group_names: Vec<String>,
    step_names: Vec<Vec<String>>,
}

struct JudgedGate {
    gate: Gate,
    /// Not written by anybody: [`DEFAULT_GATE`].
    is_default: bool,
    windows: Option<Windows>,
}

impl Judge {
    /// Gates of a specification.
    pub fn new(spec: &ExperimentSpec) -> Self {
        let mut gates: Vec<JudgedGate> = spec
            .gates
            .iter()
            .map(|gate| JudgedGate {
                gate: gate.clone(),
                is_default: false,
                // A window that is no whole number of seconds was refused with the specification.
                windows: gate.over.and_then(|_| Windows::new(gate.clone(), u64::from(OPEN_SECONDS)).ok()),
            })
            .collect();
        if gates.is_empty()
            && let Ok(expression) = DEFAULT_GATE.parse::<GateExpression>()
        {
            let gate = Gate { expression, group: None, step: None, over: None, abort: false };
            gates.push(JudgedGate { gate, is_default: true, windows: None });
        }
        Self {
            gates,
            steps_per_group: steps_per_group(spec),
            group_names: spec.groups.iter().map(|group| group.name.clone()).collect(),
            step_names: spec.groups.iter().map(nuncius_schemas::spec::Group::step_names).collect(),
        }
    }

    /// Adds a closed second to the windows; returns the first gate that has failed and asks for the run's end.
    pub fn add_second(&mut self, second: u32, totals: &SecondTotals) -> Option<GateReport> {
        let (names, steps, per_group) = (&self.group_names, &self.step_names, &self.steps_per_group);
        let mut abort = None;
        for judged in &mut self.gates {
            let Some(windows) = &mut judged.windows else { continue };
            let scoped = scope(&totals.steps, &judged.gate, names, steps, per_group);
            let second = u64::from(second);
            let failed = (|| {
                if second > 0 {
                    windows.advance(second - 1)?;
                }
                windows.push(second, &data(&scoped, 1.0))?;
                windows.advance(second)
            })();
            match failed {
                Ok(true) if judged.gate.abort && abort.is_none() => {
                    let worst = windows.outcome();
                    abort = Some(report(&judged.gate, &worst.outcome, worst.worst_second, false));
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, gate = %judged.gate, "a second is missing in its windows"),
            }
        }
        abort
    }

    /// The first gate over the whole run that asks for an abort and has failed on what is known so far.
    pub fn failed_already(&self, steps: &BTreeMap<(u16, u16), StepTotals>, elapsed_seconds: f64) -> Option<GateReport> {
        self.gates.iter().filter(|judged| judged.gate.abort && judged.windows.is_none()).find_map(|judged| {
            let scoped = self.scope(steps, &judged.gate);
            let outcome = evaluate(&judged.gate, &data(&scoped, elapsed_seconds));
            (outcome.outcome == Outcome::Fail).then(|| report(&judged.gate, &outcome, None, false))
        })
    }

    /// Every gate, decided over the run.
    pub fn decide(&self, steps: &BTreeMap<(u16, u16), StepTotals>, offered_seconds: f64) -> Vec<GateReport> {
        self.gates
            .iter()
            .map(|judged| match &judged.windows {
                Some(windows) => {
                    let worst = windows.outcome();
                    report(&judged.gate, &worst.outcome, worst.worst_second, judged.is_default)
                }
                None => {
                    let scoped = self.scope(steps, &judged.gate);
                    let outcome = evaluate(&judged.gate, &data(&scoped, offered_seconds));
                    report(&judged.gate, &outcome, None, judged.is_default)
                }
            })
            .collect()
    }

    fn scope(&self, steps: &BTreeMap<(u16, u16), StepTotals>, gate: &Gate) -> StepTotals {
        scope(steps, gate, &self.group_names, &self.step_names, &self.steps_per_group)
    }
}

/// How many steps each group has.
pub fn steps_per_group(spec: &ExperimentSpec) -> Vec<u16> {
    spec.groups.iter().map(|group| u16::try_from(group.step_names().len()).unwrap_or(u16::MAX)).collect()
}

/// What a gate looks at: one step, or the iterations of the groups it names with the service of all their steps.
fn scope(
    steps: &BTreeMap<(u16, u16), StepTotals>,
    gate: &Gate,
    group_names: &[String],
    step_names: &[Vec<String>],
    steps_per_group: &[u16],
) -> StepTotals {
    let mut sum = StepTotals::default();
    for ((group, step), totals) in steps {
        let group = usize::from(*group);
        if gate.group.as_ref().is_some_and(|wanted| group_names.get(group) != Some(wanted)) {
            continue;
        }
        if let Some(wanted) = &gate.step {
            if step_names.get(group).and_then(|names| names.get(usize::from(*step))) == Some(wanted) {
                sum.merge(totals);
            }
            continue;
        }
        match steps_per_group.get(group) {
            Some(1) => sum.merge(totals),
            Some(count) if step == count => {
                // The whole iteration: its counts and its response.
                sum.merge(totals);
            }
            Some(_) => {
                // A step of several: what happened on the wire.
                for (target, source) in [
                    (&mut sum.service, &totals.service),
                    (&mut sum.blocked, &totals.blocked),
                    (&mut sum.lag, &totals.lag),
                ] {
                    add(&mut target.completed, &source.completed);
                    add(&mut target.censored, &source.censored);
                }
            }
            None => {}
        }
    }
    sum
}

fn data(totals: &StepTotals, elapsed_seconds: f64) -> GateData<'_> {
    GateData {
        planned: totals.planned,
        succeeded: totals.succeeded,
        failed: totals.failed,
        censored: totals.censored,
        elapsed_seconds,
        ..GateData::default()
    }
    .with(Quantity::Response, &totals.response)
    .with(Quantity::Service, &totals.service)
    .with(Quantity::Blocked, &totals.blocked)
    .with(Quantity::Lag, &totals.lag)
}

fn report(gate: &Gate, outcome: &GateOutcome, window: Option<u64>, is_default: bool) -> GateReport {
    GateReport {
        gate: if is_default { format!("{gate} (default)") } else { gate.to_string() },
        outcome: match outcome.outcome {
            Outcome::Pass => Verdict::Pass,
            Outcome::Fail => Verdict::Fail,
            Outcome::Undetermined => Verdict::Undetermined,
        },
        observed: outcome.observed,
        lower: outcome.lower,
        upper: outcome.upper,
        samples: outcome.samples,
        worst_window_second: window.and_then(|second| u32::try_from(second).ok()),
        reason: outcome.reason.clone(),
    }
}

/// The verdict and its reasons, the weightiest first: invalid, fail, undetermined, pass.
///
/// `invalid` says why the measurement cannot be trusted, `aborted` which gate ended the run, `cut_short` why it did not go
/// to its end by request.
pub fn verdict(
    gates: &[GateReport],
    invalid: &[String],
    aborted: Option<&str>,
    cut_short: Option<&str>,
) -> (Verdict, Vec<String>) {
    let told = |wanted: Verdict| {
        let of = gates.iter().filter(move |gate| gate.outcome == wanted);
        of.map(|gate| format!("gate {}: {}", gate.gate, gate.reason))
    };
    let found = [
        (Verdict::Invalid, invalid.to_vec()),
        // An abort is a decision on enough data: the gates that were cut off do not soften it.
        (Verdict::Fail, aborted.map(str::to_owned).into_iter().chain(told(Verdict::Fail)).collect::<Vec<_>>()),
        (Verdict::Undetermined, cut_short.map(str::to_owned).into_iter().chain(told(Verdict::Undetermined)).collect()),
    ];
    let verdict = found.iter().find(|(_, reasons)| !reasons.is_empty()).map_or(Verdict::Pass, |(verdict, _)| *verdict);
    let mut reasons: Vec<String> = found.into_iter().flat_map(|(_, reasons)| reasons).collect();
    if reasons.is_empty() {
        reasons.push(match gates {
            [only] => format!("the gate held: {}", only.gate),
            gates => format!("all {} gates held", gates.len()),
        });
    }
    (verdict, reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(outcome: Verdict) -> GateReport {
        GateReport {
            gate: "failures < 1%".into(),
            outcome,
            observed: None,
            lower: None,
            upper: None,
            samples: 0,
            worst_window_second: None,
            reason: "because".into(),
        }
    }

    #[test]
    fn invalid_outweighs_fail_outweighs_undetermined_outweighs_pass() {
        let (pass, fail, open) = (gate(Verdict::Pass), gate(Verdict::Fail), gate(Verdict::Undetermined));
        let judge = |gates: &[&GateReport], invalid: &[String], cut_short: Option<&str>| {
            let gates: Vec<GateReport> = gates.iter().copied().cloned().collect();
            verdict(&gates, invalid, None, cut_short)
        };
        assert_eq!(judge(&[&pass], &[], None).0, Verdict::Pass);
        assert_eq!(judge(&[&pass, &open], &[], None).0, Verdict::Undetermined);
        assert_eq!(judge(&[&pass, &fail], &[], None).0, Verdict::Fail);
        assert_eq!(judge(&[&pass], &[], Some("cancelled")).0, Verdict::Undetermined);
        assert_eq!(judge(&[&fail], &[], Some("cancelled")).0, Verdict::Fail);
        assert_eq!(judge(&[&pass, &fail, &open], &["node n was starved".into()], None).0, Verdict::Invalid);
    }

    #[test]
    fn a_certain_failure_is_never_hidden_and_comes_before_what_is_undetermined() {
        let mut open = gate(Verdict::Undetermined);
        open.reason = "needs 299 samples".into();
        let (found, reasons) = verdict(&[open, gate(Verdict::Fail)], &[], None, Some("cancelled"));
        assert_eq!(found, Verdict::Fail);
        assert!(reasons[0].contains("because"), "{reasons:?}");
        assert_eq!(reasons[1], "cancelled");
        assert!(reasons[2].contains("299"), "{reasons:?}");
    }

    #[test]
    fn an_abort_fails_the_run_and_stands_behind_what_makes_it_invalid() {
        let (found, reasons) = verdict(&[gate(Verdict::Undetermined)], &[], Some("aborted: gate"), None);
        assert_eq!((found, reasons[0].as_str()), (Verdict::Fail, "aborted: gate"));
        let (found, reasons) = verdict(&[], &["node n was starved".into()], Some("aborted: gate"), None);
        assert_eq!((found, reasons[0].as_str()), (Verdict::Invalid, "node n was starved"));
        assert_eq!(reasons[1], "aborted: gate");
    }
}
