//! Gates over windows: "p99 over any 30 s" holds when it holds in every full window, one starting each second.

use std::collections::{BTreeMap, VecDeque};

use nuncius_schemas::gate::{Gate, GateMetric, Quantity};
use nuncius_schemas::units::SECOND_NS;

use crate::Totals;
use crate::censored::Observed;
use crate::encoding::DecodeError;
use crate::gate::{GateData, GateOutcome, Outcome, evaluate};

/// Longest window, in seconds.
pub const WINDOW_SECONDS_MAX: u64 = 3_600;

/// Most seconds that may be closed at once.
pub const ADVANCE_SECONDS_MAX: u64 = 86_400;

/// Why a window could not be made, or data not be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// The gate has no window, or none that can be kept.
    #[error("a window is a whole number of seconds, 1 to {WINDOW_SECONDS_MAX}: {0} ns is not")]
    Length(u64),
    /// The second was judged already.
    #[error("data of second {second} came after second {closed} was closed: it is not in the windows")]
    Late {
        /// The second the data belong to.
        second: u64,
        /// The last one that was closed.
        closed: u64,
    },
    /// Further ahead than is kept.
    #[error("second {second} is too far ahead: from {next} on, {limit} seconds are kept open")]
    TooFarAhead {
        /// The second asked for.
        second: u64,
        /// The first one still open.
        next: u64,
        /// How many may be.
        limit: u64,
    },
    /// More than the counters hold.
    #[error(transparent)]
    Counts(#[from] DecodeError),
}

/// How a windowed gate came out.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowsOutcome {
    /// That of the worst window: a failed one before an undetermined one before a passed one, among equals the one that
    /// was furthest from holding.
    pub outcome: GateOutcome,
    /// First second of that window; `None` when no window was full.
    pub worst_second: Option<u64>,
    /// Full windows judged.
    pub judged: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were undetermined.
    pub undetermined: u64,
}

/// One gate over all windows of its length.
///
/// Memory: as many seconds as the window is long, encoded, and `slack_seconds` open ones.
#[derive(Debug, Clone)]
pub struct Windows {
    gate: Gate,
    quantity: Option<Quantity>,
    length: u64,
    slack_seconds: u64,
    /// Seconds that may still get data.
    open: BTreeMap<u64, Second>,
    /// The last closed seconds, at most a window of them.
    closed: VecDeque<ClosedSecond>,
    next: u64,
    worst: Option<(u64, GateOutcome)>,
    judged: u64,
    failed: u64,
    undetermined: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    planned: u64,
    succeeded: u64,
    failed: u64,
    censored: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.planned = self.planned.saturating_add(other.planned);
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        self.failed = self.failed.saturating_add(other.failed);
        self.censored = self.censored.saturating_add(other.censored);
    }
}

#[derive(Debug, Clone, Default)]
struct Second {
    observed: Observed,
    counts: Counts,
}

#[derive(Debug, Clone)]
struct ClosedSecond {
    completed: Vec<u8>,
    censored: Vec<u8>,
    counts: Counts,
}

impl Windows {
    /// The windows of a gate that has `over`; data may come up to `slack_seconds` (at least 1) ahead of the oldest open
    /// second.
    pub fn new(gate: Gate, slack_seconds: u64) -> Result<Self, WindowError> {
        let length_ns = gate.over.map_or(0, |over| over.0);
        let length = length_ns / SECOND_NS;
        if !length_ns.is_multiple_of(SECOND_NS) || !(1..=WINDOW_SECONDS_MAX).contains(&length) {
            return Err(WindowError::Length(length_ns));
        }
        let quantity = match gate.expression.metric {
            GateMetric::Quantile { quantity, .. } | GateMetric::Max(quantity) => Some(quantity),
            _ => None,
        };
        Ok(Self {
            gate,
            quantity,
            length,
            slack_seconds: slack_seconds.max(1),
            open: BTreeMap::new(),
            closed: VecDeque::new(),
            next: 0,
            worst: None,
            judged: 0,
            failed: 0,
            undetermined: 0,
        })
    }

    /// Adds data of one second of run time, of any node, in any order. The time in `data` is not looked at.
    ///
    /// Errors: the second is closed, or too far ahead; then nothing was taken.
    pub fn push(&mut self, second: u64, data: &GateData) -> Result<(), WindowError> {
        if second < self.next {
            return Err(WindowError::Late { second, closed: self.next - 1 });
        }
        if second - self.next >= self.slack_seconds {
            return Err(WindowError::TooFarAhead { second, next: self.next, limit: self.slack_seconds });
        }
        let open = self.open.entry(second).or_default();
        if let Some(observed) = self.quantity.and_then(|quantity| data.quantity(quantity)) {
            open.observed.merge(observed)?;
        }
        open.counts.add(&Counts {
            planned: data.planned,
            succeeded: data.succeeded,
            failed: data.failed,
            censored: data.censored,
        });
        Ok(())
    }

    /// Closes all seconds up to and including `second`, for which no node has more data, and judges the windows that
    /// are full thereby. Seconds without data are empty. True when a window failed that had not before.
    ///
    /// Errors: more than [`ADVANCE_SECONDS_MAX`] seconds at once.
    pub fn advance(&mut self, second: u64) -> Result<bool, WindowError> {
        if second >= self.next.saturating_add(ADVANCE_SECONDS_MAX) {
            return Err(WindowError::TooFarAhead { second, next: self.next, limit: ADVANCE_SECONDS_MAX });
        }
        let failed_before = self.failed;
        while self.next <= second {
            let Second { observed, counts } = self.open.remove(&self.next).unwrap_or_default();
            let (completed, censored) = (observed.completed.encode(), observed.censored.encode());
            self.closed.push_back(ClosedSecond { completed, censored, counts });
            self.next += 1;
            if self.closed.len() as u64 > self.length {
                self.closed.pop_front();
            }
            if self.closed.len() as u64 == self.length {
                self.judge()?;
            }
        }
        Ok(self.failed > failed_before)
    }

    fn judge(&mut self) -> Result<(), WindowError> {
        let (mut completed, mut censored) = (Totals::new(), Totals::new());
        let mut counts = Counts::default();
        for second in &self.closed {
            completed.merge_delta(&second.completed)?;
            censored.merge_delta(&second.censored)?;
            counts.add(&second.counts);
        }
        let observed = Observed { completed, censored };
        let mut data = GateData {
            planned: counts.planned,
            succeeded: counts.succeeded,
            failed: counts.failed,
            censored: counts.censored,
            elapsed_seconds: self.length as f64,
            ..GateData::default()
        };
        if let Some(quantity) = self.quantity {
            data = data.with(quantity, &observed);
        }
        let outcome = evaluate(&self.gate, &data);
        self.judged += 1;
        match outcome.outcome {
            Outcome::Fail => self.failed += 1,
            Outcome::Undetermined => self.undetermined += 1,
            Outcome::Pass => {}
        }
        if self.worst.as_ref().is_none_or(|(_, worst)| self.is_worse(&outcome, worst)) {
            self.worst = Some((self.next - self.length, outcome));
        }
        Ok(())
    }

    fn is_worse(&self, outcome: &GateOutcome, than: &GateOutcome) -> bool {
        let weight = |outcome: Outcome| match outcome {
            Outcome::Pass => 0,
            Outcome::Undetermined => 1,
            Outcome::Fail => 2,
        };
        match weight(outcome.outcome).cmp(&weight(than.outcome)) {
            std::cmp::Ordering::Equal => match (outcome.observed, than.observed) {
                (Some(new), Some(old)) if self.gate.expression.comparison.is_upper_limit() => new > old,
                (Some(new), Some(old)) => new < old,
                // Any value tells more than none.
                (new, old) => new.is_some() && old.is_none(),
            },
            order => order.is_gt(),
        }
    }

    /// The first second that is not closed yet.
    pub const fn next_second(&self) -> u64 {
        self.next
    }

    /// How the gate stands: fail when a window failed, undetermined when one was or none was full, else pass.
    pub fn outcome(&self) -> WindowsOutcome {
        let (worst_second, outcome) = match &self.worst {
            Some((second, outcome)) => {
                let mut outcome = outcome.clone();
                outcome.reason = format!(
                    "worst of {} windows of {} s, from second {second}: {}",
                    self.judged, self.length, outcome.reason
                );
                (Some(*second), outcome)
            }
            None => {
                let reason = format!("no full window of {} s in {} s", self.length, self.next);
                let outcome = GateOutcome {
                    outcome: Outcome::Undetermined,
                    observed: None,
                    lower: None,
                    upper: None,
                    samples: 0,
                    reason,
                };
                (None, outcome)
            }
        };
        WindowsOutcome {
            outcome,
            worst_second,
            judged: self.judged,
            failed: self.failed,
            undetermined: self.undetermined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Histogram;

    const MS: u64 = 1_000_000;

    fn gate(text: &str, over: &str) -> Gate {
        let expression = text.parse().unwrap();
        Gate { expression, group: None, step: None, over: Some(over.parse().unwrap()), abort: false }
    }

    fn push(windows: &mut Windows, second: u64, value_ns: u64, count: u64) -> Result<(), WindowError> {
        let mut histogram = Histogram::new();
        histogram.record_ns_many(value_ns, count);
        let observed = Observed::complete(Totals::from(&histogram));
        let data = GateData { planned: count, succeeded: count, ..GateData::default() };
        windows.push(second, &data.with(Quantity::Response, &observed))
    }

    #[test]
    fn one_bad_window_fails_the_gate_and_is_named() {
        let mut windows = Windows::new(gate("p99(response) < 250ms", "5s"), 10).unwrap();
        for second in 0..30 {
            push(&mut windows, second, if second == 12 { 900 * MS } else { 10 * MS }, 100).unwrap();
            let failed = windows.advance(second).unwrap();
            assert_eq!(failed, (12..=16).contains(&second));
        }
        let outcome = windows.outcome();
        assert_eq!(outcome.outcome.outcome, Outcome::Fail);
        assert_eq!((outcome.judged, outcome.failed, outcome.undetermined), (26, 5, 0));
        assert_eq!(outcome.worst_second, Some(8));
        assert_eq!(outcome.outcome.samples, 500);
        assert!(windows.closed.len() == 5 && windows.open.is_empty());
    }

    #[test]
    fn order_and_nodes_within_the_slack_change_nothing() {
        let mut ordered = Windows::new(gate("p99(response) < 250ms", "3s"), 10).unwrap();
        let mut shuffled = ordered.clone();
        let mut parts: Vec<(u64, u64)> = (0..10).flat_map(|second| (0..4).map(move |node| (second, node))).collect();
        for (second, node) in &parts {
            push(&mut ordered, *second, (10 + second + node) * MS, 50).unwrap();
        }
        fastrand::Rng::with_seed(3).shuffle(&mut parts);
        for (second, node) in &parts {
            push(&mut shuffled, *second, (10 + second + node) * MS, 50).unwrap();
        }
        ordered.advance(9).unwrap();
        shuffled.advance(9).unwrap();
        assert_eq!(ordered.outcome(), shuffled.outcome());
        assert_eq!(ordered.outcome().outcome.outcome, Outcome::Pass);
        assert_eq!(ordered.outcome().worst_second, Some(7));
    }

    #[test]
    fn a_window_that_cannot_decide_makes_the_gate_undetermined() {
        let mut windows = Windows::new(gate("p99(response) < 250ms", "2s"), 100).unwrap();
        for second in 0..10 {
            push(&mut windows, second, 10 * MS, if second == 4 { 10 } else { 200 }).unwrap();
        }
        windows.advance(9).unwrap();
        let outcome = windows.outcome();
        assert_eq!((outcome.outcome.outcome, outcome.failed, outcome.undetermined), (Outcome::Undetermined, 0, 2));
        assert_eq!(outcome.worst_second, Some(3));
    }

    #[test]
    fn a_run_shorter_than_the_window_is_undetermined() {
        let mut windows = Windows::new(gate("failures < 1%", "30s"), 10).unwrap();
        push(&mut windows, 0, MS, 1_000).unwrap();
        windows.advance(28).unwrap();
        assert_eq!(windows.outcome().outcome.outcome, Outcome::Undetermined);
        windows.advance(29).unwrap();
        assert_eq!(windows.outcome().outcome.outcome, Outcome::Pass);
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_with_the_limit() {
        let mut windows = Windows::new(gate("rate > 10/s", "1s"), 5).unwrap();
        assert!(push(&mut windows, 4, MS, 1).is_ok());
        assert_eq!(push(&mut windows, 5, MS, 1), Err(WindowError::TooFarAhead { second: 5, next: 0, limit: 5 }));
        windows.advance(2).unwrap();
        assert_eq!(push(&mut windows, 2, MS, 1), Err(WindowError::Late { second: 2, closed: 2 }));
        assert_eq!(windows.advance(1), Ok(false));
        assert!(windows.advance(u64::MAX).is_err());
        for over in ["0s", "1500ms", "2h"] {
            assert!(Windows::new(gate("rate > 10/s", over), 5).is_err());
        }
        let mut whole = gate("rate > 10/s", "1s");
        whole.over = None;
        assert!(Windows::new(whole, 5).is_err());
    }
}
