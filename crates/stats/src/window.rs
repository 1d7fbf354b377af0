//! Gates over windows: "p99 over any 30 s" holds when it holds in every window, one starting each second.
//!
//! **Where windows lie.** Inside the time that load was to be offered: from the first whole second of it to the last.
//! Seconds that hold a pause or the begin or end of the schedule are not whole; what ends in them, or in the drain, is
//! counted to the next whole second, and to the last one where there is none. All seconds of a window are whole, but
//! where load was offered for less than a window at a time there is one window for it. So nothing that was offered
//! escapes, and no window lacks what it could not have. A window in which nothing was offered, or that holds no
//! observation, is not judged: whatever is under way in it ends in another, or is known to have exceeded the limit.
//!
//! **How often the gate errs.** It fails when one window fails, so its error is divided over the windows it has
//! (Bonferroni); it passes only when all of them pass, so each may err by the whole (see [`Confidence`]). Where it is
//! not known how many windows there will be, the i-th gets 1 / (i (i + 1)) of the error.

use std::collections::VecDeque;

use nuncius_schemas::gate::{Gate, GateMetric, Quantity};
use nuncius_schemas::units::SECOND_NS;
use serde::{Deserialize, Serialize};

use crate::censored::Observed;
use crate::encoding::DecodeError;
use crate::gate::{Confidence, GateData, GateOutcome, OfferedTime, Outcome, evaluate};
use crate::offered::OfferedSpans;
use crate::{Histogram, Totals};

/// Longest window, in seconds.
pub const WINDOW_SECONDS_MAX: u64 = 3_600;

/// Why a window could not be made, or data not be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// The gate has no window, or none that can be kept.
    #[error("a window is a whole number of seconds, 1 to {WINDOW_SECONDS_MAX}: {0} ns is not")]
    Length(u64),
    /// More than the counters hold.
    #[error(transparent)]
    Counts(#[from] DecodeError),
}

/// What is under way at the end of a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// Requests that have been planned and have not ended.
    pub requests: u64,
    /// Those of them that have for certain waited for longer than the gate's limit.
    pub overdue: u64,
}

/// How a windowed gate came out.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowsOutcome {
    /// That of the worst window: a failed one before an undetermined one before a passed one, among equals the one that
    /// was furthest from holding.
    pub outcome: GateOutcome,
    /// First second of that window; `None` when no window was judged.
    pub worst_second: Option<u64>,
    /// Windows judged.
    pub judged: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were undetermined.
    pub undetermined: u64,
}

/// One gate over all windows of its length.
///
/// Memory: as many seconds as the window is long, encoded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Windows {
    gate: Gate,
    quantity: Option<Quantity>,
    length: u64,
    offered: OfferedSpans,
    /// Last whole second of the schedule; `None` while nobody knows.
    last_whole: Option<u64>,
    /// How many windows the schedule has, when that is known.
    planned_windows: Option<u64>,
    /// The last seconds that count as whole, at most a window of them.
    closed: VecDeque<ClosedSecond>,
    /// What ended in seconds that are not whole, for the next whole one.
    carried: Second,
    /// First second that has not been closed.
    next: u64,
    worst: Option<(u64, GateOutcome)>,
    judged: u64,
    failed: u64,
    undetermined: u64,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Counts {
    planned: u64,
    succeeded: u64,
    failed: u64,
    censored: u64,
    unknown: u64,
    /// Succeeded while load was offered: what a rate is made of.
    succeeded_in_time: u64,
    offered_ns: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        for (sum, other) in [
            (&mut self.planned, other.planned),
            (&mut self.succeeded, other.succeeded),
            (&mut self.failed, other.failed),
            (&mut self.censored, other.censored),
            (&mut self.unknown, other.unknown),
            (&mut self.succeeded_in_time, other.succeeded_in_time),
            (&mut self.offered_ns, other.offered_ns),
        ] {
            *sum = sum.saturating_add(other);
        }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Second {
    observed: Observed,
    lag: Totals,
    counts: Counts,
}

impl Second {
    fn merge(&mut self, other: &Self) -> Result<(), DecodeError> {
        self.observed.merge(&other.observed)?;
        self.lag.merge(&other.lag)?;
        self.counts.add(&other.counts);
        Ok(())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ClosedSecond {
    second: u64,
    #[serde(with = "serde_bytes")]
    completed: Vec<u8>,
    #[serde(with = "serde_bytes")]
    censored: Vec<u8>,
    #[serde(with = "serde_bytes")]
    lag: Vec<u8>,
    counts: Counts,
}

impl ClosedSecond {
    fn of(second: u64, data: &Second) -> Self {
        Self {
            second,
            completed: data.observed.completed.encode(),
            censored: data.observed.censored.encode(),
            lag: data.lag.encode(),
            counts: data.counts,
        }
    }

    fn add_to(&self, sum: &mut Second) -> Result<(), DecodeError> {
        sum.observed.completed.merge_delta(&self.completed)?;
        sum.observed.censored.merge_delta(&self.censored)?;
        sum.lag.merge_delta(&self.lag)?;
        sum.counts.add(&self.counts);
        Ok(())
    }
}

impl Windows {
    /// The windows of a gate that has `over`, while load is offered in `offered`.
    ///
    /// # Errors
    ///
    /// The gate has no window, or its window is no whole number of seconds from 1 to [`WINDOW_SECONDS_MAX`].
    pub fn new(gate: Gate, offered: OfferedSpans) -> Result<Self, WindowError> {
        let length_ns = gate.over.map_or(0, |over| over.0);
        let length = length_ns / SECOND_NS;
        if !length_ns.is_multiple_of(SECOND_NS) || !(1..=WINDOW_SECONDS_MAX).contains(&length) {
            return Err(WindowError::Length(length_ns));
        }
        Ok(Self {
            quantity: gate.expression.metric.quantity(),
            gate,
            length,
            last_whole: offered.last_whole_second(),
            planned_windows: offered.windows(length),
            offered,
            closed: VecDeque::new(),
            carried: Second::default(),
            next: 0,
            worst: None,
            judged: 0,
            failed: 0,
            undetermined: 0,
        })
    }

    /// Load is offered in `offered` from some second on that has not been closed: the run was amended.
    pub fn offer(&mut self, offered: OfferedSpans) {
        self.last_whole = offered.last_whole_second();
        // What was judged has used up its part of the error that all windows share; those that are more than were
        // planned share the rest.
        if let (Some(planned), Some(now)) = (self.planned_windows, offered.windows(self.length))
            && now > planned
        {
            let (judged, planned) = (u128::from(self.judged), u128::from(planned));
            let left = u128::from(now).saturating_sub(judged) * planned;
            let shared = left.checked_div(planned.saturating_sub(judged)).unwrap_or(u128::MAX);
            self.planned_windows = Some(u64::try_from(shared).unwrap_or(u64::MAX).max(now));
        }
        self.offered = offered;
    }

    /// Load is offered no longer than to `end_ns`: the run was cut short.
    pub fn end_at(&mut self, end_ns: u64) {
        self.offered.end_at(end_ns);
        // How many windows there were to be stays: that fewer are judged makes the gate err less often, not more.
        self.last_whole = self.offered.last_whole_second();
    }

    /// Closes `second`, and all before it, with what all nodes measured in it, and judges the window that is full
    /// thereby. What comes for a second that is closed is counted to the next. True when the window failed.
    ///
    /// # Errors
    ///
    /// More observations than the counters hold; the second counts as empty then.
    pub fn close(&mut self, second: u64, data: &GateData, under_way: UnderWay) -> Result<bool, WindowError> {
        let mut one = Second::default();
        if let Some(observed) = self.quantity.and_then(|quantity| data.quantity(quantity)) {
            one.observed.merge(observed)?;
        }
        if let Some(lag) = data.generator_lag {
            one.lag.merge(lag)?;
        }
        let is_late = second < self.next;
        let offered_ns = if is_late { 0 } else { self.offered.within_second(second) };
        one.counts = Counts {
            planned: data.planned,
            succeeded: data.succeeded,
            failed: data.failed,
            censored: data.censored,
            unknown: data.unknown,
            succeeded_in_time: if offered_ns > 0 || is_late { data.succeeded } else { 0 },
            offered_ns,
        };
        // Where nobody knows when the load ends, a second in which nothing was begun may be past it.
        let is_whole = offered_ns == SECOND_NS && (self.last_whole.is_some() || data.planned > 0);
        if !is_late {
            self.fill_up_to(second)?;
            self.next = second.saturating_add(1);
        }
        if is_late || !is_whole {
            self.carried.merge(&one)?;
            return Ok(false);
        }
        let mut whole = std::mem::take(&mut self.carried);
        whole.merge(&one)?;
        self.take(second, &whole);
        // What ends after the schedule belongs to its last second: that window is judged at the end.
        let is_last = self.last_whole == Some(second);
        if is_last || !self.is_window(second) { Ok(false) } else { self.judge(under_way) }
    }

    /// Seconds between the last whole one and `second` that nobody spoke of are empty.
    fn fill_up_to(&mut self, second: u64) -> Result<(), WindowError> {
        // Of those longer ago than a window nothing would be left.
        let from = self.next.max(second.saturating_sub(self.length));
        for gap in from..second {
            if self.offered.within_second(gap) == SECOND_NS && self.last_whole.is_some() {
                let mut empty = std::mem::take(&mut self.carried);
                empty.counts.offered_ns += SECOND_NS;
                self.take(gap, &empty);
            }
        }
        Ok(())
    }

    fn take(&mut self, second: u64, data: &Second) {
        self.closed.push_back(ClosedSecond::of(second, data));
        let first = second.saturating_add(1).saturating_sub(self.length);
        while self.closed.front().is_some_and(|oldest| oldest.second < first) {
            self.closed.pop_front();
        }
    }

    /// Whether a window ends with `second`: all its seconds are whole, or it holds all of a stretch of load that is
    /// shorter than a window and so fits into no other.
    fn is_window(&self, second: u64) -> bool {
        let Some((first, last)) = self.offered.whole_run(second) else { return false };
        let length = second - first + 1;
        length >= self.length || (second == last && self.offered.whole_extent().is_none_or(|all| all >= self.length))
    }

    /// Closes the schedule: what ended after it counts to its last second, and so does what is `unknown`. To be called
    /// once, when nothing can come any more.
    ///
    /// # Errors
    ///
    /// More observations than the counters hold.
    pub fn finish(&mut self, unknown: u64) -> Result<bool, WindowError> {
        let mut rest = std::mem::take(&mut self.carried);
        rest.counts.unknown = rest.counts.unknown.saturating_add(unknown);
        if unknown > 0 && self.quantity.is_some() {
            rest.observed.censored.merge(&waited(0, unknown))?;
        }
        let Some(last) = self.closed.pop_back() else {
            self.carried = rest;
            return Ok(false);
        };
        last.add_to(&mut rest)?;
        self.closed.push_back(ClosedSecond::of(last.second, &rest));
        if self.is_window(last.second) { self.judge(UnderWay::default()) } else { Ok(false) }
    }

    fn judge(&mut self, under_way: UnderWay) -> Result<bool, WindowError> {
        let mut sum = Second::default();
        for second in &self.closed {
            second.add_to(&mut sum)?;
        }
        let Second { mut observed, lag, counts } = sum;
        let is_rate = matches!(self.gate.expression.metric, GateMetric::Rate);
        if self.quantity.is_some() && under_way.overdue > 0 {
            let exceeded = crate::censored::exceeding_ns(self.gate.expression.limit as u64);
            observed.censored.merge(&waited(exceeded, under_way.overdue))?;
        }
        let last = self.closed.back().map_or(0, |closed| closed.second);
        let first = last.saturating_add(1).saturating_sub(self.length);
        let mut data = GateData {
            generator_lag: Some(&lag),
            planned: counts.planned,
            succeeded: counts.succeeded,
            failed: counts.failed,
            censored: counts.censored,
            unknown: counts.unknown,
            offered: OfferedTime::exactly(counts.offered_ns as f64 / SECOND_NS as f64),
            ..GateData::default()
        };
        if is_rate {
            data.succeeded = counts.succeeded_in_time;
            // Where load begins within the window, the first answers are still on their way at its end.
            let begins = (first.saturating_sub(1)..=last).any(|second| self.offered.begins_in(second));
            data.unknown = counts.unknown + if begins { under_way.requests } else { 0 };
        }
        if let Some(quantity) = self.quantity {
            data = data.with(quantity, &observed);
        }
        let observations = match self.gate.expression.metric {
            GateMetric::Quantile { .. } | GateMetric::Max(_) => observed.count(),
            GateMetric::Failures | GateMetric::Censored => {
                counts.succeeded + counts.failed + counts.censored + counts.unknown
            }
            GateMetric::Rate => counts.planned,
        };
        if observations == 0 {
            return Ok(false);
        }
        self.judged += 1;
        let confidence = match self.planned_windows {
            Some(windows) => Confidence::of_share(1.0 / windows.max(1) as f64),
            None => Confidence::of_look(self.judged, 1.0),
        };
        let outcome = evaluate(&self.gate, &data, confidence);
        let failed = outcome.outcome == Outcome::Fail;
        match outcome.outcome {
            Outcome::Fail => self.failed += 1,
            Outcome::Undetermined => self.undetermined += 1,
            Outcome::Pass => {}
        }
        if self.worst.as_ref().is_none_or(|(_, worst)| self.is_worse(&outcome, worst)) {
            self.worst = Some((first, outcome));
        }
        Ok(failed)
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

    /// How the gate stands: fail when a window failed, undetermined when one was or none was judged, else pass.
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
                let reason =
                    format!("no data in a full window of {} s within the time that load was offered", self.length);
                (None, GateOutcome::unknown(0, reason))
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

/// So many observations that have waited for so long.
fn waited(value_ns: u64, times: u64) -> Totals {
    let mut histogram = Histogram::new();
    histogram.record_ns_many(value_ns, times);
    Totals::from(&histogram)
}

#[cfg(test)]
mod tests;
