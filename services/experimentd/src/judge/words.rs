//! What is said of gates and of the whole.

use nuncius_report::text::duration;
use nuncius_schemas::gate::{Gate, GateMetric, Quantity};
use nuncius_schemas::report::GateReport;
use nuncius_schemas::run::Verdict;
use nuncius_stats::{GateOutcome, Outcome};

/// One gate for the report.
pub(super) fn report(gate: &Gate, outcome: &GateOutcome, window: Option<u64>, is_default: bool) -> GateReport {
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

/// Why a gate cannot be believed: at its own quantile the generator's lag is over `lag_limit`, or over what the gate
/// allows, and without any lag it might have come out otherwise.
pub(super) fn lag_problem(gate: &Gate, outcome: &GateOutcome, lag_limit_ns: u64) -> Option<String> {
    let lag_ns = outcome.lag_ns?;
    let limit_ns = gate.expression.limit as u64;
    if lag_ns <= lag_limit_ns.min(limit_ns) {
        return None;
    }
    let metric = match gate.expression.metric {
        GateMetric::Quantile { quantile, .. } => GateMetric::Quantile { quantity: Quantity::Lag, quantile },
        GateMetric::Max(_) => GateMetric::Max(Quantity::Lag),
        other @ (GateMetric::Failures | GateMetric::Censored | GateMetric::Rate) => other,
    };
    let over = if lag_ns > lag_limit_ns {
        format!("lag_limit {}", duration(lag_limit_ns))
    } else {
        "the gate's own limit".to_owned()
    };
    Some(format!(
        "gate {gate}: the generator's own delay may have decided it, {metric} is {}, over {over}: use a machine that \
         is not shared, more nodes or a lower rate, or judge a quantile that it does not reach",
        duration(lag_ns)
    ))
}

/// The verdict and its reasons, the weightiest first: invalid, fail, undetermined, pass.
///
/// `invalid` says why the measurement cannot be trusted, `aborted` which gate ended the run, `cut_short` why it did not
/// go to its end by request.
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
