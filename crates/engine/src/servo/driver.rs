//! The loop of a thread: servos whose instant has come send their event, answers say what they do next, and at the end
//! of the time, or at the stop, all of them say goodbye. One heap of instants for all servos, and a task for each event
//! under way.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use nuncius_clock::{Alarm, Counter, monotonic_ns};
use nuncius_schemas::metric::FailureKind;
use tokio::sync::Notify;

use super::body;
use super::order::{Order, Reply};
use super::script::{Answer, Effect, Event, Rules, Servo};
use super::transport::Transport;
use crate::failure::Failure;
use crate::pace::{Frame, Look, Phase, first_of};
use crate::plan::{ServoPlan, traceparent};
use crate::record::{Exchange, Recorder};
use crate::sink::FinishReason;
use crate::wake::Waker;

/// Most answers looked at before the clock is.
const ANSWERS_AT_ONCE: usize = 256;

/// What a task says of its event.
enum Note {
    Sent { slot: u32, at_ns: u64 },
    Done { slot: u32, at_ns: u64, result: Result<Reply, Failure> },
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
    /// Its event under way.
    event: Option<Exchange>,
    cycle: Option<Exchange>,
    /// When the answer before its next event came.
    ready_ns: u64,
    /// Events taken.
    events: u64,
    /// Why its last event failed; none where it was answered well.
    failure: Option<(FailureKind, u16)>,
}

pub(super) struct Driver<'a> {
    plan: &'a ServoPlan,
    rules: Rules,
    frame: Frame,
    recorder: Recorder,
    shared: Rc<Shared>,
    numbers: Vec<u32>,
    slots: Vec<Slot>,
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    under_way: usize,
    /// No event is sent before this: the node's cap on the rate; 0 while it holds none back.
    gate_ns: u64,
}

impl<'a> Driver<'a> {
    /// `timeout` is how long the answer to an event may take.
    pub(super) fn new(
        (plan, rules): (&'a ServoPlan, Rules),
        numbers: Vec<u32>,
        (frame, recorder): (Frame, Recorder),
        transport: Transport,
        timeout: Duration,
    ) -> Self {
        let shared = Shared { transport, timeout, notes: RefCell::new(VecDeque::new()), changed: Notify::new() };
        Self {
            plan,
            rules,
            frame,
            recorder,
            shared: Rc::new(shared),
            numbers,
            slots: Vec::new(),
            heap: BinaryHeap::new(),
            under_way: 0,
            gate_ns: 0,
        }
    }

    /// Until all is over.
    pub(super) async fn drive(&mut self, waker: &Waker) -> std::io::Result<()> {
        let waker = Counter::new(waker.descriptor()?)?;
        let alarm = Alarm::new()?;
        let shared = Rc::clone(&self.shared);
        loop {
            self.heed(ANSWERS_AT_ONCE);
            let now_ns = monotonic_ns();
            self.poll(now_ns);
            if self.frame.phase() == Phase::Over {
                return Ok(());
            }
            self.launch_due(now_ns);
            if !shared.notes.borrow().is_empty() {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                result = alarm.sleep_until(self.due_ns()) => result?,
                result = waker.take() => drop(result?),
                () = shared.changed.notified() => {}
            }
        }
    }

    /// Ends the records: what is under way is censored.
    pub(super) fn close(mut self, outcome: std::io::Result<()>) {
        self.heed(usize::MAX);
        let now_ns = monotonic_ns();
        let mut cycles: BTreeMap<u32, u64> = BTreeMap::new();
        for slot in &mut self.slots {
            for exchange in [slot.event.take(), slot.cycle.take()].into_iter().flatten() {
                self.recorder.censored(exchange, now_ns);
            }
            *cycles.entry(slot.servo.cycles).or_default() += 1;
        }
        self.recorder.cycles(cycles.into_iter().collect());
        if let Err(error) = outcome {
            self.frame.fail_at(&mut self.recorder, "wait for events", &error);
        }
        let stood_ns = self.frame.stand().told_ns();
        self.frame.close(self.recorder, stood_ns, now_ns);
    }

    pub(super) async fn leave_bus(&self, limit: Duration) {
        if let Transport::Nats(nats) = &self.shared.transport {
            nats.close(limit).await;
        }
    }

    fn poll(&mut self, now_ns: u64) {
        if self.frame.begins(&mut self.recorder, now_ns) {
            self.start(now_ns);
        }
        match self.frame.phase() {
            Phase::Prepared | Phase::Over => return,
            Phase::Offering => self.go_on(now_ns),
            Phase::Draining => {}
        }
        if self.frame.tick(&mut self.recorder, now_ns) {
            self.frame.settle(self.is_idle(), now_ns);
        }
    }

    fn is_idle(&self) -> bool {
        self.heap.is_empty() && self.under_way == 0
    }

    fn go_on(&mut self, now_ns: u64) {
        if let Look::GoesOn { since_ns } = self.frame.look(now_ns) {
            self.put_off(now_ns.saturating_sub(since_ns));
        }
        let end_ns = self.end_ns();
        let ended = (now_ns >= end_ns || self.is_idle()).then(|| {
            let is_cut_off =
                self.frame.is_standing() && self.frame.stand().horizon_at_ns() < end_ns && now_ns >= end_ns;
            let reason = if is_cut_off { FinishReason::Horizon } else { FinishReason::ScheduleEnded };
            (reason, self.frame.drain_from(now_ns, now_ns))
        });
        if self.frame.drains(ended, now_ns) {
            self.say_goodbye(now_ns);
        }
    }

    fn start(&mut self, now_ns: u64) {
        let joins_at_ns = self.frame.joins_at_ns();
        let begin_ns = self.frame.begin_ns();
        let begin_ns = if joins_at_ns.is_some() { begin_ns.max(now_ns) } else { begin_ns };
        let events = first_of(joins_at_ns);
        for (index, number) in (0u32..).zip(std::mem::take(&mut self.numbers)) {
            let servo = Servo::new(&self.rules, number, begin_ns);
            self.slots.push(Slot { servo, event: None, cycle: None, ready_ns: 0, events, failure: None });
            self.plan_next(index);
        }
    }

    /// Time stood still for the servos: what they had in mind comes so much later, and no cycle is longer by it.
    fn put_off(&mut self, by_ns: u64) {
        self.heap.clear();
        for index in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            let Some(slot) = self.slots.get_mut(index as usize) else { continue };
            slot.servo.put_off(slot.event.is_some(), by_ns);
            slot.ready_ns = slot.ready_ns.saturating_add(by_ns);
            if let Some(cycle) = &mut slot.cycle {
                for at_ns in [&mut cycle.planned_ns, &mut cycle.taken_ns, &mut cycle.sent_ns] {
                    *at_ns = at_ns.saturating_add(by_ns);
                }
            }
            self.plan_next(index);
        }
    }

    /// Everybody who is known says goodbye, as spread as the hellos were but within half of the time there is, or when
    /// the answer that is waited for has come: thousands at one instant would be late for no fault of the service.
    fn say_goodbye(&mut self, now_ns: u64) {
        self.heap.clear();
        let half_ns = self.frame.drain_until_ns().saturating_sub(now_ns) / 2;
        let spread_ns = half_ns.min(self.rules.options.start_spread.0);
        let servos = self.slots.len().max(1) as u128;
        for index in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            let Some(slot) = self.slots.get_mut(index as usize) else { continue };
            let offset_ns = u128::from(spread_ns) * u128::from(index) / servos;
            let goodbye_ns = now_ns.saturating_add(u64::try_from(offset_ns).unwrap_or(spread_ns));
            slot.servo.stop(slot.event.is_some(), goodbye_ns);
            slot.ready_ns = now_ns;
            // An answer that is still to come may complete it.
            if slot.event.is_none()
                && let Some(cycle) = slot.cycle.take()
            {
                cut_off(&mut self.recorder, cycle, slot.failure, now_ns);
            }
            self.plan_next(index);
        }
    }

    fn end_ns(&self) -> u64 {
        self.frame.start_ns().saturating_add(self.plan.duration_ns)
    }

    fn due_ns(&self) -> u64 {
        // What the cap holds back is due when it lets through.
        let next_ns = self.heap.peek().map_or(u64::MAX, |Reverse((at_ns, _))| *at_ns).max(self.gate_ns);
        let due_ns = match self.frame.phase() {
            Phase::Prepared => return u64::MAX,
            Phase::Over => return 0,
            Phase::Offering => {
                let next_ns = if self.frame.is_standing() { u64::MAX } else { next_ns };
                let end_ns = self.end_ns();
                next_ns.min(end_ns).min(self.frame.offering_due_ns(end_ns))
            }
            Phase::Draining => next_ns.min(self.frame.drain_until_ns()),
        };
        due_ns.min(self.recorder.second_end_ns())
    }

    /// Puts a servo that waits for no answer where its next instant is.
    fn plan_next(&mut self, index: u32) {
        let Some(slot) = self.slots.get(index as usize).filter(|slot| slot.event.is_none()) else { return };
        if let Some(planned) = slot.servo.next() {
            self.heap.push(Reverse((planned.planned_ns, index)));
        }
    }

    fn launch_due(&mut self, now_ns: u64) {
        if self.frame.phase() == Phase::Offering && self.frame.is_standing() {
            return;
        }
        while let Some(Reverse((at_ns, index))) = self.heap.peek().copied() {
            if at_ns > now_ns {
                return;
            }
            let was_held = std::mem::take(&mut self.gate_ns) != 0;
            if let Err(gate_ns) = self.frame.leave(now_ns) {
                self.gate_ns = gate_ns;
                return;
            }
            self.heap.pop();
            let planned = self.slots.get(index as usize).and_then(|slot| slot.servo.next());
            if let Some(planned) = planned.filter(|_| was_held) {
                self.recorder.held_back(planned.event.step());
            }
            self.launch(index);
        }
    }

    fn launch(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize).filter(|slot| slot.event.is_none()) else { return };
        let Some(planned) = slot.servo.next() else { return };
        let Some(app) = self.plan.options.app_name(slot.servo.number) else { return };
        // Its own reading: many may be due at once, and each is measured by itself.
        let now_ns = monotonic_ns();
        let order_index =
            slot.events.wrapping_mul(u64::from(self.plan.users)).wrapping_add(u64::from(slot.servo.number));
        slot.events += 1;
        let times = (planned.planned_ns, slot.ready_ns);
        let event = self.recorder.event(planned.event.step(), order_index, times, now_ns);
        if slot.cycle.is_none() && planned.event != Event::Goodbye && self.frame.phase() == Phase::Offering {
            slot.cycle = Some(self.recorder.cycle(planned.planned_ns, now_ns));
        }
        let order = Order {
            servo: slot.servo.number,
            app,
            body: body::render(&self.rules, &slot.servo, planned),
            traceparent: event.is_sampled.then(|| {
                let (trace_id, span_id) = self.recorder.identifiers(&event);
                traceparent(trace_id, span_id)
            }),
            authorization: self.plan.authorization.clone(),
            drops: planned.drops,
        };
        slot.event = Some(event);
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
                    let event = self.slots.get_mut(slot as usize).and_then(|slot| slot.event.as_mut());
                    if let Some(event) = event {
                        self.recorder.sent(event, at_ns);
                    }
                }
                Some(Note::Done { slot, at_ns, result }) => self.done(slot, at_ns, result),
            }
        }
    }

    fn done(&mut self, index: u32, at_ns: u64, result: Result<Reply, Failure>) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let (Some(event), Some(planned)) = (slot.event.take(), slot.servo.next()) else { return };
        self.under_way = self.under_way.saturating_sub(1);
        slot.ready_ns = at_ns;
        let (answer, fault) = match result {
            Ok(reply) => (count_reply(&mut self.recorder, event, planned.event, &reply, at_ns), None),
            Err(Failure::Failed(kind, sample)) => {
                self.recorder.failed(event, kind, 0, at_ns, || sample);
                (Answer::Failed(kind, 0), None)
            }
            // To the servo it is a connection that failed; to the records it is no failure of the service's.
            Err(Failure::Unmade(fault)) => {
                self.recorder.ended(event, Failure::Unmade(fault), at_ns);
                (Answer::Failed(FailureKind::Connect, 0), Some(fault))
            }
        };
        let failure = failure_of(&answer);
        slot.failure = failure.filter(|_| fault.is_none());
        let effect = slot.servo.answered(&self.rules, answer, at_ns);
        match (effect, slot.cycle) {
            (Effect::Continues, _) | (_, None) => {}
            (Effect::Completed, Some(cycle)) => {
                self.recorder.succeeded(cycle, 0, at_ns);
                slot.cycle = None;
            }
            (Effect::Broken | Effect::Crashed, Some(cycle)) if fault.is_some() => {
                self.recorder.censored(cycle, at_ns);
                slot.cycle = None;
            }
            (Effect::Broken | Effect::Crashed, Some(cycle)) => {
                let (kind, status) = failure.unwrap_or((FailureKind::Closed, 0));
                let sample = if effect == Effect::Crashed { "crashed on purpose" } else { "an event failed" };
                self.recorder.broken_off(cycle, kind, status, || sample.to_owned());
                slot.cycle = None;
            }
        }
        if self.frame.phase() == Phase::Draining
            && let Some(cycle) = slot.cycle.take()
        {
            cut_off(&mut self.recorder, cycle, failure, at_ns);
        }
        self.plan_next(index);
    }
}

/// Counts what an answer had and what it took to ask for it, and what it means.
fn count_reply(recorder: &mut Recorder, exchange: Exchange, event: Event, reply: &Reply, at_ns: u64) -> Answer {
    let step = exchange.step;
    recorder.written(step, reply.written_bytes);
    recorder.read(step, reply.read_bytes);
    (0..reply.retried).for_each(|_| recorder.retried(step));
    let answer = body::read(event, reply.status, &reply.body);
    match failure_of(&answer) {
        None => recorder.succeeded(exchange, reply.status, at_ns),
        Some((kind, status)) => recorder.failed(exchange, kind, status, at_ns, || format!("status {status}")),
    }
    answer
}

/// What an answer is a failure of, if it is one.
fn failure_of(answer: &Answer) -> Option<(FailureKind, u16)> {
    match answer {
        Answer::Accepted | Answer::Command(_) | Answer::Cancel => None,
        Answer::Refused(status) => Some((FailureKind::Refused, *status)),
        Answer::Gone(status) => Some((FailureKind::Status, *status)),
        Answer::Failed(kind, status) => Some((*kind, *status)),
    }
}

/// The end has come in the middle of a cycle. What was being tried again and again is no cycle that would have ended
/// well.
fn cut_off(recorder: &mut Recorder, cycle: Exchange, failure: Option<(FailureKind, u16)>, now_ns: u64) {
    match failure {
        Some((kind, status)) => {
            recorder.broken_off(cycle, kind, status, || "an event failed until the end".to_owned());
        }
        None => recorder.censored(cycle, now_ns),
    }
}
