//! What a servo does next, and when: pure, without clock or I/O.
//!
//! An event that follows from an answer is planned at the instant of the answer. Reports and the end of an operation
//! are planned by the servo's own clock, from the instant its command came: a slow answer to one delays none of those
//! after it. How long operations take and what goes wrong in them is drawn from (seed, group, servo, number of the
//! operation).

use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::servo::{ServoOptions, ServoRetry};

use super::draw::{self, Purpose, Source};

mod operation;

pub(super) use operation::{Kind, Operation};

/// Legacy: longest pause before a whats_next is sent again the first time.
const LEGACY_FIRST_PAUSE_NS: u64 = 1_000_000_000;
/// Legacy: how often a progress report and a goodbye are sent again.
const LEGACY_PROGRESS_RETRIES: u32 = 1;
const LEGACY_GOODBYE_RETRIES: u32 = 3;
/// Pause before a servo that failed says hello again; doubled with each failure in a row.
const RESTART_PAUSE_NS: u64 = 1_000_000_000;
const RESTART_PAUSE_MAX_NS: u64 = 20_000_000_000;

/// An event; its number is that of its step in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Hello = 0,
    WhatsNext = 1,
    Description = 2,
    MeasurementProgress = 3,
    Measurement = 4,
    AdjustmentProgress = 5,
    Adjustment = 6,
    Goodbye = 7,
}

impl Event {
    pub(super) fn step(self) -> u16 {
        self as u16
    }

    pub(super) fn is_progress(self) -> bool {
        matches!(self, Self::MeasurementProgress | Self::AdjustmentProgress)
    }
}

/// What a servo was told to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Describe,
    Measure,
    /// The components of the new state, as JSON.
    Adjust(Option<Box<str>>),
    Sleep(u64),
}

/// What came of an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Accepted,
    Command(Command),
    /// The operation is to be given up.
    Cancel,
    /// Not the event that was expected, or an unknown command.
    Refused(u16),
    /// The servo is not wanted any more.
    Gone(u16),
    /// No usable answer: its kind, and the status if there was one.
    Failed(FailureKind, u16),
}

/// What an answer means for the cycle that the servo is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Continues,
    Completed,
    Broken,
    Crashed,
}

/// The next event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) event: Event,
    pub(super) planned_ns: u64,
    /// What it tells is that of this instant: where it is sent again, of when it was planned first.
    pub(super) told_ns: u64,
    /// The connection is closed once it is written.
    pub(super) drops: bool,
}

/// What the servos of a group share.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) seed: u64,
    pub(super) group: u32,
    pub(super) options: ServoOptions,
}

#[derive(Debug)]
pub(super) struct Servo {
    /// Over all nodes.
    pub(super) number: u32,
    /// Completed cycles.
    pub(super) cycles: u32,
    /// The components it was last told to have, as JSON.
    pub(super) components: Option<Box<str>>,
    pub(super) operation: Option<Operation>,
    next: Option<Planned>,
    /// Operations begun.
    operations: u32,
    /// How often the event at hand was sent again.
    retries: u32,
    /// Failures since the last operation that ended well.
    failures: u32,
    /// Not before this does it say hello again.
    hello_at_ns: u64,
    /// The service may know it: it said hello, and no goodbye since.
    is_greeted: bool,
    is_stopping: bool,
}

impl Servo {
    pub(super) fn new(rules: &Rules, number: u32, start_ns: u64) -> Self {
        let source = Source { seed: rules.seed, group: rules.group, servo: number, operation: 0 };
        let spread_ns = rules.options.start_spread.0 as f64 * (1.0 - draw::unit(source, Purpose::Start));
        let mut servo = Self {
            number,
            cycles: 0,
            components: None,
            operation: None,
            next: None,
            operations: 0,
            retries: 0,
            failures: 0,
            hello_at_ns: 0,
            is_greeted: false,
            is_stopping: false,
        };
        servo.plan(Event::Hello, start_ns.saturating_add(spread_ns as u64));
        servo
    }

    /// The next event; `None` when there is none any more.
    pub(super) fn next(&self) -> Option<Planned> {
        self.next
    }

    pub(super) fn source(&self, rules: &Rules) -> Source {
        Source { seed: rules.seed, group: rules.group, servo: self.number, operation: self.operations }
    }

    fn plan(&mut self, event: Event, planned_ns: u64) {
        self.retries = 0;
        self.next = Some(Planned { event, planned_ns, told_ns: planned_ns, drops: false });
    }

    /// Time stood still for so long: the operation at hand takes no longer by it, and what is planned comes so much
    /// later, unless it is under way (`is_waiting`).
    pub(super) fn put_off(&mut self, is_waiting: bool, by_ns: u64) {
        if let Some(operation) = &mut self.operation {
            operation.put_off(by_ns);
        }
        if let Some(next) = self.next.as_mut().filter(|_| !is_waiting) {
            next.planned_ns = next.planned_ns.saturating_add(by_ns);
            next.told_ns = next.told_ns.saturating_add(by_ns);
        }
    }

    /// Nothing but a goodbye follows. `is_waiting` says that an answer is still to come; the goodbye follows it.
    pub(super) fn stop(&mut self, is_waiting: bool, now_ns: u64) {
        self.is_stopping = true;
        // Who is gone comes back for no goodbye.
        if !is_waiting && self.next.is_some() {
            self.leave(now_ns);
        }
    }

    fn leave(&mut self, now_ns: u64) {
        match self.is_greeted {
            true => self.plan(Event::Goodbye, now_ns),
            false => self.next = None,
        }
    }

    /// What came of the next event, at `now_ns`; there is a new next one after it.
    pub(super) fn answered(&mut self, rules: &Rules, answer: Answer, now_ns: u64) -> Effect {
        let Some(Planned { event, .. }) = self.next else { return Effect::Continues };
        let effect = match answer {
            Answer::Gone(_) => {
                self.is_greeted = false;
                self.next = None;
                Effect::Broken
            }
            Answer::Refused(status) => self.refused(event, status, now_ns),
            Answer::Failed(kind, _) => self.failed(rules, event, kind, now_ns),
            Answer::Command(command) => self.commanded(rules, command, now_ns),
            Answer::Cancel if event.is_progress() => {
                if let Some(operation) = &mut self.operation {
                    operation.is_cancelled = true;
                    let kind = operation.kind;
                    self.plan(kind.last(), now_ns);
                }
                Effect::Continues
            }
            Answer::Accepted | Answer::Cancel => self.accepted(rules, event, now_ns),
        };
        if self.is_stopping && event != Event::Goodbye && self.next.is_some() {
            self.leave(now_ns);
        }
        effect
    }

    fn accepted(&mut self, rules: &Rules, event: Event, now_ns: u64) -> Effect {
        match event {
            Event::Hello => {
                self.is_greeted = true;
                self.plan(Event::WhatsNext, now_ns);
            }
            Event::WhatsNext | Event::Description => self.plan(Event::WhatsNext, now_ns),
            Event::MeasurementProgress | Event::AdjustmentProgress => return self.go_on(rules),
            Event::Measurement | Event::Adjustment => {
                self.operation = None;
                self.failures = 0;
                self.plan(Event::WhatsNext, now_ns);
                if event == Event::Adjustment {
                    self.cycles += 1;
                    return Effect::Completed;
                }
            }
            Event::Goodbye => {
                self.is_greeted = false;
                self.greet_again(now_ns);
            }
        }
        Effect::Continues
    }

    fn greet_again(&mut self, now_ns: u64) {
        match self.is_stopping {
            true => self.next = None,
            false => self.plan(Event::Hello, now_ns.max(self.hello_at_ns)),
        }
    }

    fn commanded(&mut self, rules: &Rules, command: Command, now_ns: u64) -> Effect {
        let kind = match command {
            Command::Describe => {
                self.plan(Event::Description, now_ns);
                return Effect::Continues;
            }
            Command::Sleep(pause_ns) => {
                self.plan(Event::WhatsNext, now_ns.saturating_add(pause_ns));
                return Effect::Continues;
            }
            Command::Measure => Kind::Measure,
            Command::Adjust(components) => {
                self.components = components.or(self.components.take());
                Kind::Adjust
            }
        };
        // Asked a second time, and told again: the same operation, from now on.
        let is_second = self.operation.as_ref().is_some_and(|operation| operation.kind == kind);
        if !is_second {
            self.operations = self.operations.wrapping_add(1);
        }
        let mut operation = Operation::draw(rules, self.source(rules), kind, now_ns);
        operation.asks_twice &= !is_second;
        let asks_twice = operation.asks_twice;
        self.operation = Some(operation);
        if asks_twice {
            self.plan(Event::WhatsNext, now_ns);
            return Effect::Continues;
        }
        self.go_on(rules)
    }

    /// The next report of the operation, or its end.
    fn go_on(&mut self, rules: &Rules) -> Effect {
        let Some(operation) = &mut self.operation else { return Effect::Continues };
        let planned = operation.next(rules.options.progress_interval.0);
        self.retries = 0;
        self.next = planned;
        if planned.is_some() { Effect::Continues } else { Effect::Crashed }
    }

    /// The service says softly that this was not what it waited for: the servo begins its loop again.
    fn refused(&mut self, event: Event, status: u16, now_ns: u64) -> Effect {
        self.operation = None;
        match event {
            Event::Hello | Event::WhatsNext | Event::Goodbye => self.restart(event, status != 0, now_ns),
            _ => {
                self.failures += 1;
                self.plan(Event::WhatsNext, now_ns);
            }
        }
        Effect::Broken
    }

    fn failed(&mut self, rules: &Rules, event: Event, kind: FailureKind, now_ns: u64) -> Effect {
        if rules.options.retry != ServoRetry::None {
            return self.retry(rules, event, now_ns);
        }
        self.operation = None;
        self.restart(event, kind != FailureKind::Connect, now_ns);
        Effect::Broken
    }

    /// Goodbye, where the service may know the servo, and hello after a pause.
    fn restart(&mut self, event: Event, may_have_come: bool, now_ns: u64) {
        self.failures += 1;
        let doublings = self.failures.saturating_sub(1).min(10);
        let pause_ns = (RESTART_PAUSE_NS << doublings).min(RESTART_PAUSE_MAX_NS);
        self.hello_at_ns = now_ns.saturating_add(pause_ns);
        match event {
            Event::Goodbye => {
                self.is_greeted = false;
                self.greet_again(now_ns);
            }
            Event::Hello if may_have_come => {
                self.is_greeted = true;
                self.plan(Event::Goodbye, self.hello_at_ns);
            }
            Event::Hello => self.plan(Event::Hello, self.hello_at_ns),
            _ => self.plan(Event::Goodbye, now_ns),
        }
    }

    fn retry(&mut self, rules: &Rules, event: Event, now_ns: u64) -> Effect {
        let limit = match event {
            _ if rules.options.retry == ServoRetry::Always => u32::MAX,
            Event::MeasurementProgress | Event::AdjustmentProgress => LEGACY_PROGRESS_RETRIES,
            Event::Goodbye => LEGACY_GOODBYE_RETRIES,
            _ => u32::MAX,
        };
        if self.retries >= limit {
            return self.accepted(rules, event, now_ns);
        }
        let is_soon = event == Event::WhatsNext && self.retries == 0;
        let pause_ns = rules.options.retry_delay.0;
        let pause_ns = if is_soon { pause_ns.min(LEGACY_FIRST_PAUSE_NS) } else { pause_ns };
        self.retries += 1;
        let planned_ns = now_ns.saturating_add(pause_ns);
        let told_ns = self.next.map_or(planned_ns, |next| next.told_ns);
        self.next = Some(Planned { event, planned_ns, told_ns, drops: false });
        Effect::Continues
    }
}

#[cfg(test)]
mod tests;
