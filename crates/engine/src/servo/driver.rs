//! The loop of a thread: servos whose instant has come send their event, answers say what they do next, and at the end
//! of the time, or at the stop, all of them say goodbye. One heap of instants for all servos, and a task for each event
//! under way.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncius_schemas::fault::GeneratorFault;
use nuncius_schemas::metric::FailureKind;
use tokio::sync::Notify;

use super::body;
use super::ledger::{Cycle, Flight, Ledger};
use super::script::{Answer, Effect, Event, Rules, Servo};
use super::transport::{Order, Reply, Transport};
use crate::clock::monotonic_ns;
use crate::control::Control;
use crate::feed::first_of;
use crate::http::general::timer::{self, Timer};
use crate::plan::{ServoPlan, traceparent};
use crate::run::EngineOptions;
use crate::sink::FinishReason;
use crate::stand::{Look, Stand};
use crate::trouble::Trouble;
use crate::wake::Bell;

/// Most answers looked at before the clock is.
const ANSWERS_AT_ONCE: usize = 256;

/// What a task says of its event.
enum Note {
    Sent { slot: u32, at_ns: u64 },
    Done { slot: u32, at_ns: u64, result: Result<Reply, Trouble> },
}

/// What the tasks of a thread share with its loop.
struct Shared {
    transport: Transport,
    timeout: Duration,
    notes: RefCell<VecDeque<Note>>,
    changed: Notify,
}

/// A servo, and what it is in the middle of.
struct Slot {
    servo: Servo,
    flight: Option<Flight>,
    cycle: Option<Cycle>,
    /// When the answer before its next event came.
    ready_ns: u64,
    /// Events taken.
    events: u64,
    /// Why its last event failed; none where it was answered well.
    failure: Option<(FailureKind, u16)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Prepared,
    Running,
    Leaving,
    Over,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) timeout: Duration,
    /// Run time at which the servos come to this thread, where that is not the start.
    pub(super) joins_at_ns: Option<u64>,
    pub(super) options: EngineOptions,
}

pub(super) struct Driver<'a> {
    plan: &'a ServoPlan,
    rules: Rules,
    control: Arc<Control>,
    ledger: Ledger,
    shared: Rc<Shared>,
    numbers: Vec<u32>,
    slots: Vec<Slot>,
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    phase: Phase,
    reason: FinishReason,
    start_ns: u64,
    stand: Stand,
    leave_until_ns: u64,
    limits: Limits,
    under_way: usize,
    /// No event is sent before this: the node's cap on the rate; 0 while it holds none back.
    gate_ns: u64,
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        plan: &'a ServoPlan,
        rules: Rules,
        numbers: Vec<u32>,
        ledger: Ledger,
        transport: Transport,
        control: Arc<Control>,
        limits: Limits,
    ) -> Self {
        let shared =
            Shared { transport, timeout: limits.timeout, notes: RefCell::new(VecDeque::new()), changed: Notify::new() };
        Self {
            plan,
            rules,
            control,
            ledger,
            shared: Rc::new(shared),
            numbers,
            slots: Vec::new(),
            heap: BinaryHeap::new(),
            phase: Phase::Prepared,
            reason: FinishReason::ScheduleEnded,
            start_ns: u64::MAX,
            stand: Stand::default(),
            leave_until_ns: u64::MAX,
            limits,
            under_way: 0,
            gate_ns: 0,
        }
    }

    /// Until all is over.
    pub(super) async fn drive(&mut self, bell: &Bell) -> std::io::Result<()> {
        let bell = timer::readable(bell.descriptor()?)?;
        let mut timer = Timer::new()?;
        let shared = Rc::clone(&self.shared);
        loop {
            self.heed(ANSWERS_AT_ONCE);
            let now_ns = monotonic_ns();
            self.advance(now_ns);
            if self.phase == Phase::Over {
                return Ok(());
            }
            self.launch_due(now_ns);
            if !shared.notes.borrow().is_empty() {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                result = timer.sleep_until(self.due_ns()) => result?,
                result = timer::drain(&bell) => result?,
                () = shared.changed.notified() => {}
            }
        }
    }

    /// Ends the books: what is under way is censored. Gives back the transport for its leave.
    pub(super) fn close(mut self, outcome: std::io::Result<()>) {
        self.heed(usize::MAX);
        let now_ns = monotonic_ns();
        let mut cycles: std::collections::BTreeMap<u32, u64> = std::collections::BTreeMap::new();
        for slot in &mut self.slots {
            if let Some(flight) = slot.flight.take() {
                self.ledger.censored(&flight, now_ns);
            }
            if let Some(cycle) = slot.cycle.take() {
                self.ledger.cycle_censored(cycle, now_ns);
            }
            *cycles.entry(slot.servo.cycles).or_default() += 1;
        }
        self.ledger.book.cycles(cycles.into_iter().collect());
        let reason = match outcome {
            Ok(()) => self.reason,
            Err(error) => {
                if let Some(fault) = GeneratorFault::of_error(&error) {
                    self.ledger.book.fault(fault);
                }
                FinishReason::Failed(format!("cannot wait for events: {error}"))
            }
        };
        self.ledger.book.close(now_ns, reason, self.stand.told_ns());
    }

    pub(super) async fn leave_bus(&self, limit: Duration) {
        if let Transport::Nats(nats) = &self.shared.transport {
            nats.close(limit).await;
        }
    }

    fn advance(&mut self, now_ns: u64) {
        if self.phase == Phase::Prepared {
            match self.control.start_at() {
                Some(start_ns) => self.start(start_ns, now_ns),
                None if self.control.is_abandoned() => return self.end(FinishReason::Abandoned),
                None if self.control.stop_at().is_some() => return self.end(FinishReason::Stopped),
                None => return,
            }
        }
        self.ledger.book.tick(now_ns);
        if self.ledger.book.is_deaf() {
            return self.end(FinishReason::Failed("the receiver of its measurements is gone".to_owned()));
        }
        if self.phase == Phase::Running {
            let end_ns = self.end_ns();
            let horizon_ns = self.start_ns.saturating_add(self.control.horizon_ns());
            let cap_end_ns = self.control.caps().end_ns(self.start_ns);
            let drain_until_ns = now_ns.saturating_add(self.limits.options.drain_ns);
            if let Look::GoesOn { since_ns } = self.stand.look(horizon_ns, now_ns) {
                self.put_off(now_ns.saturating_sub(since_ns));
            }
            if now_ns >= end_ns || self.heap.is_empty() && self.under_way == 0 {
                let has_missed = self.stand.is_standing() && horizon_ns < end_ns && now_ns >= end_ns;
                let reason = if has_missed { FinishReason::Horizon } else { FinishReason::ScheduleEnded };
                self.leave(reason, now_ns, drain_until_ns);
            } else if let Some(stop_ns) = self.control.stop_at() {
                let until_ns = stop_ns.saturating_add(self.control.stop_drain_ns());
                self.leave(FinishReason::Stopped, now_ns, until_ns);
            } else if now_ns >= cap_end_ns {
                let reason = FinishReason::Failed(self.control.caps().end_reason());
                self.leave(reason, now_ns, drain_until_ns);
            } else if self.orphaned_at_ns().is_some_and(|at_ns| now_ns >= at_ns) {
                self.leave(self.limits.options.orphan_reason(), now_ns, drain_until_ns);
            }
        }
        if self.phase == Phase::Leaving {
            if let Some(stop_ns) = self.control.stop_at() {
                let until_ns = stop_ns.saturating_add(self.control.stop_drain_ns());
                self.leave_until_ns = self.leave_until_ns.min(until_ns);
            }
            if now_ns >= self.leave_until_ns || self.heap.is_empty() && self.under_way == 0 {
                self.phase = Phase::Over;
            }
        }
    }

    fn start(&mut self, start_ns: u64, now_ns: u64) {
        self.start_ns = start_ns;
        self.phase = Phase::Running;
        self.stand.begin(start_ns.saturating_add(self.control.horizon_ns()));
        let joins_at_ns = self.limits.joins_at_ns;
        let begin_ns = joins_at_ns.map_or(start_ns, |at_ns| start_ns.saturating_add(at_ns).max(now_ns));
        self.ledger.book.start(start_ns, if joins_at_ns.is_some() { now_ns } else { start_ns });
        let events = first_of(joins_at_ns);
        for (index, number) in (0u32..).zip(std::mem::take(&mut self.numbers)) {
            let servo = Servo::new(&self.rules, number, begin_ns);
            self.slots.push(Slot { servo, flight: None, cycle: None, ready_ns: 0, events, failure: None });
            self.plan_next(index);
        }
    }

    /// Time stood still for the servos: what they had in mind comes so much later, and no cycle is longer by it.
    fn put_off(&mut self, by_ns: u64) {
        self.heap.clear();
        for index in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            let Some(slot) = self.slots.get_mut(index as usize) else { continue };
            slot.servo.put_off(slot.flight.is_some(), by_ns);
            slot.ready_ns = slot.ready_ns.saturating_add(by_ns);
            if let Some(cycle) = &mut slot.cycle {
                cycle.planned_ns = cycle.planned_ns.saturating_add(by_ns);
                cycle.begun_ns = cycle.begun_ns.saturating_add(by_ns);
            }
            self.plan_next(index);
        }
    }

    /// When servos have stood at their horizon for long enough.
    fn orphaned_at_ns(&self) -> Option<u64> {
        Some(self.stand.since_ns()?.saturating_add(self.limits.options.orphan_limit_ns))
    }

    fn end(&mut self, reason: FinishReason) {
        self.reason = reason;
        self.phase = Phase::Over;
    }

    /// Everybody who is known says goodbye, as spread as the hellos were but within half of the time there is, or when
    /// the answer that is waited for has come: thousands at one instant would be late for no fault of the service.
    fn leave(&mut self, reason: FinishReason, now_ns: u64, until_ns: u64) {
        self.reason = reason;
        self.phase = Phase::Leaving;
        self.leave_until_ns = until_ns;
        self.heap.clear();
        let spread_ns = (until_ns.saturating_sub(now_ns) / 2).min(self.rules.options.start_spread.0);
        let servos = self.slots.len().max(1) as u128;
        for index in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            let Some(slot) = self.slots.get_mut(index as usize) else { continue };
            let offset_ns = u128::from(spread_ns) * u128::from(index) / servos;
            let goodbye_ns = now_ns.saturating_add(u64::try_from(offset_ns).unwrap_or(spread_ns));
            slot.servo.stop(slot.flight.is_some(), goodbye_ns);
            slot.ready_ns = now_ns;
            // An answer that is still to come may complete it.
            if slot.flight.is_none()
                && let Some(cycle) = slot.cycle.take()
            {
                self.ledger.cycle_cut_off(cycle, slot.failure, now_ns);
            }
            self.plan_next(index);
        }
    }

    fn end_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.plan.duration_ns)
    }

    fn due_ns(&self) -> u64 {
        // What the cap holds back is due when it lets through.
        let next_ns = self.heap.peek().map_or(u64::MAX, |Reverse((at_ns, _))| *at_ns).max(self.gate_ns);
        let is_standing = self.stand.is_standing();
        let next_ns = if is_standing && self.phase == Phase::Running { u64::MAX } else { next_ns };
        let until_ns = match self.phase {
            Phase::Prepared => return u64::MAX,
            Phase::Over => return 0,
            Phase::Running => {
                let stands_ns =
                    if is_standing { self.orphaned_at_ns().unwrap_or(u64::MAX) } else { self.stand.horizon_at_ns() };
                self.end_ns().min(stands_ns).min(self.control.caps().end_ns(self.start_ns))
            }
            Phase::Leaving => self.leave_until_ns,
        };
        next_ns.min(until_ns).min(self.ledger.book.second_end_ns())
    }

    /// Puts a servo that waits for no answer where its next instant is.
    fn plan_next(&mut self, index: u32) {
        let Some(slot) = self.slots.get(index as usize).filter(|slot| slot.flight.is_none()) else { return };
        if let Some(planned) = slot.servo.next() {
            self.heap.push(Reverse((planned.planned_ns, index)));
        }
    }

    fn launch_due(&mut self, now_ns: u64) {
        if self.phase == Phase::Running && self.stand.is_standing() {
            return;
        }
        while let Some(Reverse((at_ns, index))) = self.heap.peek().copied() {
            if at_ns > now_ns {
                return;
            }
            let was_held = std::mem::take(&mut self.gate_ns) != 0;
            if let Err(gate_ns) = self.control.caps().take(now_ns) {
                self.gate_ns = gate_ns;
                return;
            }
            self.heap.pop();
            if was_held && let Some(slot) = self.slots.get(index as usize) {
                self.ledger.held_back(slot.servo.next().map(|planned| planned.event.step()));
            }
            self.launch(index);
        }
    }

    fn launch(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize).filter(|slot| slot.flight.is_none()) else { return };
        let Some(planned) = slot.servo.next() else { return };
        let Some(app) = self.plan.options.app_name(slot.servo.number) else { return };
        // Its own reading: many may be due at once, and each is measured by itself.
        let now_ns = monotonic_ns();
        let order_index =
            slot.events.wrapping_mul(u64::from(self.plan.users)).wrapping_add(u64::from(slot.servo.number));
        slot.events += 1;
        let flight = self.ledger.taken(planned.event.step(), order_index, planned.planned_ns, slot.ready_ns, now_ns);
        if slot.cycle.is_none() && planned.event != Event::Goodbye && self.phase == Phase::Running {
            slot.cycle = Some(self.ledger.cycle_begun(planned.planned_ns, now_ns));
        }
        let order = Order {
            servo: slot.servo.number,
            app,
            body: body::render(&self.rules, &slot.servo, planned),
            traceparent: flight.is_sampled.then(|| {
                let (trace_id, span_id) = self.ledger.identifiers(&flight);
                traceparent(trace_id, span_id)
            }),
            authorization: self.plan.authorization.clone(),
            drops: planned.drops,
        };
        slot.flight = Some(flight);
        self.under_way += 1;
        let shared = Rc::clone(&self.shared);
        tokio::task::spawn_local(async move {
            let sent = || shared.notes.borrow_mut().push_back(Note::Sent { slot: index, at_ns: monotonic_ns() });
            let result = shared.transport.exchange(&order, shared.timeout, sent).await;
            let at_ns = monotonic_ns();
            shared.notes.borrow_mut().push_back(Note::Done { slot: index, at_ns, result });
            shared.changed.notify_one();
        });
    }

    /// Takes in what the tasks have said.
    fn heed(&mut self, most: usize) {
        for _ in 0..most {
            let note = self.shared.notes.borrow_mut().pop_front();
            match note {
                None => return,
                Some(Note::Sent { slot, at_ns }) => {
                    let flight = self.slots.get_mut(slot as usize).and_then(|slot| slot.flight.as_mut());
                    if let Some(flight) = flight {
                        self.ledger.sent(flight, at_ns);
                    }
                }
                Some(Note::Done { slot, at_ns, result }) => self.done(slot, at_ns, result),
            }
        }
    }

    fn done(&mut self, index: u32, at_ns: u64, result: Result<Reply, Trouble>) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let (Some(flight), Some(planned)) = (slot.flight.take(), slot.servo.next()) else { return };
        self.under_way = self.under_way.saturating_sub(1);
        slot.ready_ns = at_ns;
        let mut fault = None;
        let mut replied = 0;
        let (answer, sample) = match result {
            Ok(reply) => {
                replied = reply.status;
                self.ledger.traffic(&flight, &reply);
                (body::read(planned.event, reply.status, &reply.body), None)
            }
            Err(Trouble::Target(kind, sample)) => (Answer::Failed(kind, 0), Some(sample)),
            // To the servo it is a connection that failed; in the books it is no failure of the service's.
            Err(Trouble::Generator(missing)) => {
                fault = Some(missing);
                (Answer::Failed(FailureKind::Connect, 0), None)
            }
        };
        let failure = match &answer {
            Answer::Accepted | Answer::Command(_) | Answer::Cancel => None,
            Answer::Refused(status) => Some((FailureKind::Refused, *status)),
            Answer::Gone(status) => Some((FailureKind::Status, *status)),
            Answer::Failed(kind, status) => Some((*kind, *status)),
        };
        slot.failure = failure.filter(|_| fault.is_none());
        match (fault, failure) {
            (Some(fault), _) => {
                self.ledger.book.fault(fault);
                self.ledger.censored(&flight, at_ns);
            }
            (None, None) => self.ledger.succeeded(&flight, replied, at_ns),
            (None, Some((kind, status))) => {
                let sample = sample.unwrap_or_else(|| format!("status {status}"));
                self.ledger.failed(&flight, kind, status, &sample, at_ns);
            }
        }
        let effect = slot.servo.answered(&self.rules, answer, at_ns);
        match (effect, slot.cycle) {
            (Effect::Continues, _) | (_, None) => {}
            (Effect::Completed, Some(cycle)) => {
                self.ledger.cycle_completed(cycle, at_ns);
                slot.cycle = None;
            }
            (Effect::Broken | Effect::Crashed, Some(cycle)) if fault.is_some() => {
                self.ledger.cycle_censored(cycle, at_ns);
                slot.cycle = None;
            }
            (Effect::Broken | Effect::Crashed, Some(_)) => {
                let (kind, status) = failure.unwrap_or((FailureKind::Closed, 0));
                let name = if effect == Effect::Crashed { "crashed on purpose" } else { "an event failed" };
                self.ledger.cycle_broken(kind, status, name);
                slot.cycle = None;
            }
        }
        if self.phase == Phase::Leaving
            && let Some(cycle) = slot.cycle.take()
        {
            self.ledger.cycle_cut_off(cycle, failure, at_ns);
        }
        self.plan_next(index);
    }
}
