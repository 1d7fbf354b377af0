//! One measurement or adjustment of a servo: when it reports, when it ends, and what goes wrong in it.

use super::super::draw::{Purpose, Source, duration_ns, happens};
use super::{Event, Planned, Rules};

/// What a report says when reports are to go backwards: first this, then less.
const BACKWARDS_FIRST_PERCENT: u32 = 50;
const BACKWARDS_LATER_PERCENT: u32 = 25;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Measure,
    Adjust,
}

impl Kind {
    fn report(self) -> Event {
        if self == Self::Measure { Event::MeasurementProgress } else { Event::AdjustmentProgress }
    }

    /// The event that ends it.
    pub(super) fn last(self) -> Event {
        if self == Self::Measure { Event::Measurement } else { Event::Adjustment }
    }
}

#[derive(Debug)]
pub(in super::super) struct Operation {
    pub(super) kind: Kind,
    pub(super) asks_twice: bool,
    pub(in super::super) is_cancelled: bool,
    began_ns: u64,
    duration_ns: u64,
    /// Reports planned so far.
    reports: u32,
    skips_progress: bool,
    goes_backwards: bool,
    drops_connection: bool,
    crashes: bool,
}

impl Operation {
    pub(super) fn draw(rules: &Rules, source: Source, kind: Kind, began_ns: u64) -> Self {
        let (options, faults) = (&rules.options, &rules.options.faults);
        let length = if kind == Kind::Measure { &options.measure } else { &options.adjust };
        Self {
            kind,
            began_ns,
            duration_ns: duration_ns(source, Purpose::Length, length),
            reports: 0,
            is_cancelled: false,
            asks_twice: happens(source, Purpose::DoubleWhatsNext, faults.double_whats_next),
            skips_progress: happens(source, Purpose::SkipProgress, faults.skip_progress),
            goes_backwards: happens(source, Purpose::ProgressBackwards, faults.progress_backwards),
            drops_connection: happens(source, Purpose::DropConnection, faults.drop_connection),
            crashes: happens(source, Purpose::Crash, faults.crash),
        }
    }

    /// Time stood still for so long.
    pub(super) fn put_off(&mut self, by_ns: u64) {
        self.began_ns = self.began_ns.saturating_add(by_ns);
    }

    /// The next report, or the end; `None` when the servo is gone by then.
    pub(super) fn next(&mut self, interval_ns: u64) -> Option<Planned> {
        let end_ns = self.began_ns.saturating_add(self.duration_ns);
        let report_ns = self.began_ns.saturating_add(interval_ns.saturating_mul(u64::from(self.reports)));
        let reports_min = if self.goes_backwards { 2 } else { 1 };
        let is_report = !self.skips_progress && (self.reports < reports_min || report_ns < end_ns);
        let planned_ns = if is_report { report_ns.min(end_ns) } else { end_ns };
        // It says that it has begun, if it says anything, and is gone in the middle.
        let middle_ns = self.began_ns.saturating_add(self.duration_ns / 2);
        let is_first_report = is_report && self.reports == 0;
        if self.crashes && !is_first_report && planned_ns >= middle_ns {
            return None;
        }
        let drops = is_first_report && self.drops_connection;
        if is_report {
            self.reports += 1;
        }
        let event = if is_report { self.kind.report() } else { self.kind.last() };
        Some(Planned { event, planned_ns, told_ns: planned_ns, drops })
    }

    /// Percent of the operation at an instant, as its report says.
    pub(in super::super) fn percent(&self, at_ns: u64) -> u32 {
        if self.goes_backwards {
            return if self.reports <= 1 { BACKWARDS_FIRST_PERCENT } else { BACKWARDS_LATER_PERCENT };
        }
        let elapsed_ns = at_ns.saturating_sub(self.began_ns);
        let percent = u128::from(elapsed_ns) * 100 / u128::from(self.duration_ns.max(1));
        u32::try_from(percent.min(100)).unwrap_or(100)
    }

    /// Seconds since it began.
    pub(in super::super) fn runtime_seconds(&self, at_ns: u64) -> u64 {
        at_ns.saturating_sub(self.began_ns) / 1_000_000_000
    }
}
