//! Iterations as tasks: what engines have in common that run one on a runtime of the thread's own for each iteration. A
//! loop begins them when they are due; each says itself how it ended; what is still under way at the end is censored.
//!
//! Iterations and exchanges are remembered here, and tasks know them by number: any number of exchanges may be open in
//! an iteration, also at the same time.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nuncius_clock::{Alarm, Counter, monotonic_ns};
use nuncius_schemas::amendment::Amendment;
use nuncius_schemas::metric::FailureKind;
use tokio::sync::{Mutex, Notify};

use crate::counted::ByNumber;
use crate::failure::Failure;
use crate::pace::Pace;
use crate::plan::traceparent;
use crate::record::{Exchange, Recorder};
use crate::sequence::{Sequence, failed_at, was_answered};
use crate::start::Start;
use crate::wake::Waker;

/// An iteration that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Iteration {
    number: u64,
    /// See [`crate::sink::Row::index`].
    pub(crate) index: u64,
    /// Slot of the user on this thread; 0 in the open model.
    pub(crate) user: u32,
}

/// An exchange that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExchangeId {
    iteration: u64,
    number: u32,
}

/// How an iteration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It came to its end.
    Succeeded,
    /// It ended with a failure at a step.
    Failed {
        /// What went wrong.
        kind: FailureKind,
        /// Status of the answer, 0 without one.
        status: u16,
        /// Where.
        step: u16,
    },
    /// It ended because the generator had not what it takes to go on; the fault has been counted. It is censored.
    Unmade,
    /// It was given up by the rules of the test itself, before anything was sent.
    Skipped,
}

/// What is known of an iteration.
#[derive(Debug)]
struct UnderWay {
    start: Start,
    /// As an exchange of its own; none before it has begun, and where its only step is the iteration.
    whole: Option<Exchange>,
    open: Vec<(u32, Exchange)>,
    /// How many exchanges it has had.
    exchanges: u32,
}

#[derive(Debug)]
struct Books {
    pace: Pace,
    recorder: Recorder,
}

/// Shared by the loop and the tasks of one thread.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// Gone once they are closed.
    books: RefCell<Option<Books>>,
    under_way: RefCell<ByNumber<UnderWay>>,
    next: Cell<u64>,
    /// Held by who waits for the cap on the rate.
    gate: Mutex<()>,
    /// How many wait for it, or for the gate.
    held: Cell<u32>,
    /// An iteration has ended, or something else is to be looked at.
    pub(crate) changed: Notify,
}

impl InFlight {
    pub(crate) fn new(pace: Pace, recorder: Recorder) -> Self {
        Self {
            books: RefCell::new(Some(Books { pace, recorder })),
            under_way: RefCell::default(),
            next: Cell::new(0),
            gate: Mutex::new(()),
            held: Cell::new(0),
            changed: Notify::new(),
        }
    }

    /// Begins iterations with `launch` when they are due, until the thread's share is over. While `is_held` the group
    /// drains to the end of its time though nothing is in flight.
    pub(crate) async fn offer(
        &self,
        waker: Arc<Waker>,
        is_held: impl Fn() -> bool,
        launch: impl Fn(Iteration),
    ) -> std::io::Result<()> {
        let waker = Counter::new(waker.descriptor()?)?;
        let alarm = Alarm::new()?;
        let mut is_woken = true;
        loop {
            let now_ns = monotonic_ns();
            let due_ns = {
                let mut books = self.books.borrow_mut();
                let Some(Books { pace, recorder }) = books.as_mut() else { return Ok(()) };
                pace.hold(is_held());
                if is_woken || now_ns >= pace.due_ns() || pace.is_idle() {
                    pace.poll(recorder, now_ns);
                }
                if pace.is_over() {
                    return Ok(());
                }
                while let Some(start) = pace.next(recorder, now_ns) {
                    launch(self.remember(start));
                }
                pace.due_ns()
            };
            is_woken = false;
            tokio::select! {
                result = alarm.sleep_until(due_ns) => result?,
                result = waker.take() => {
                    result?;
                    is_woken = true;
                }
                () = self.changed.notified() => {}
            }
        }
    }

    fn remember(&self, start: Start) -> Iteration {
        let number = self.next.get();
        self.next.set(number + 1);
        let under_way = UnderWay { start, whole: None, open: Vec::new(), exchanges: 0 };
        self.under_way.borrow_mut().insert(number, under_way);
        Iteration { number, index: start.index, user: start.user }
    }

    /// Where an iteration comes from.
    pub(crate) fn start_of(&self, iteration: Iteration) -> Option<Start> {
        self.under_way.borrow().get(&iteration.number).map(|under_way| under_way.start)
    }

    /// The amendments of the load that are known, and the run time that an iteration was planned for; of the closed
    /// model, when it was begun.
    pub(crate) fn planned(&self, iteration: Iteration) -> Option<(Arc<[Amendment]>, u64)> {
        self.with(iteration.number, |books, under_way| {
            let planned_ns = books.recorder.run_time_ns(under_way.start.planned_ns);
            (books.pace.amendments(), planned_ns)
        })
    }

    /// What only counts; `None` once the records are closed.
    pub(crate) fn record<T>(&self, with: impl FnOnce(&mut Recorder) -> T) -> Option<T> {
        self.books.borrow_mut().as_mut().map(|books| with(&mut books.recorder))
    }

    /// What only counts at a step of an iteration that is under way; the recorder's place is given for that.
    pub(crate) fn count(&self, iteration: Iteration, step: u16, count: impl FnOnce(&mut Recorder, u16)) {
        self.with(iteration.number, |books, under_way| {
            let place = books.recorder.place(step, under_way.start.is_warm_up);
            count(&mut books.recorder, place);
        });
    }

    /// What only counts at an exchange that is open.
    pub(crate) fn count_at(&self, id: ExchangeId, count: impl FnOnce(&mut Recorder, u16)) {
        self.with_exchange(id, |books, exchange| count(&mut books.recorder, exchange.place));
    }

    /// Whether an iteration began before anything counts.
    pub(crate) fn is_warm_up(&self, iteration: Iteration) -> bool {
        self.start_of(iteration).is_some_and(|start| start.is_warm_up)
    }

    /// Something of an iteration that is under way, or of the one that an exchange is of.
    fn with<T>(&self, iteration: u64, with: impl FnOnce(&mut Books, &mut UnderWay) -> T) -> Option<T> {
        let mut books = self.books.borrow_mut();
        let mut under_way = self.under_way.borrow_mut();
        Some(with(books.as_mut()?, under_way.get_mut(&iteration)?))
    }

    /// Something of an exchange that is open.
    fn with_exchange<T>(&self, id: ExchangeId, with: impl FnOnce(&mut Books, &mut Exchange) -> T) -> Option<T> {
        self.with(id.iteration, |books, under_way| {
            let (_, exchange) = under_way.open.iter_mut().find(|(number, _)| *number == id.number)?;
            Some(with(books, exchange))
        })?
    }

    /// An exchange is open no longer.
    fn take(&self, id: ExchangeId, with: impl FnOnce(&mut Recorder, Exchange)) {
        self.with(id.iteration, |books, under_way| {
            if let Some(at) = under_way.open.iter().position(|(number, _)| *number == id.number) {
                let (_, exchange) = under_way.open.swap_remove(at);
                with(&mut books.recorder, exchange);
            }
        });
    }

    /// The task of an iteration runs for the first time.
    pub(crate) fn begun(&self, iteration: Iteration) {
        let now_ns = monotonic_ns();
        self.with(iteration.number, |books, under_way| {
            books.recorder.begun(&mut under_way.start, now_ns);
            under_way.whole = books.recorder.whole(&under_way.start);
        });
    }

    fn open(&self, iteration: Iteration, open: impl FnOnce(&mut Recorder, &Start) -> Exchange) -> ExchangeId {
        let number = self.with(iteration.number, |books, under_way| {
            let number = under_way.exchanges;
            under_way.exchanges = number.wrapping_add(1);
            under_way.open.push((number, open(&mut books.recorder, &under_way.start)));
            number
        });
        ExchangeId { iteration: iteration.number, number: number.unwrap_or(u32::MAX) }
    }

    /// Its first step, where that is the same in every iteration: see [`Recorder::enter`].
    pub(crate) fn enter(&self, iteration: Iteration) -> ExchangeId {
        self.open(iteration, |recorder, start| recorder.enter(start))
    }

    /// Waits until a request that is not an iteration's very first may be written: the node's cap on the rate. Those
    /// who wait are let through in the order in which they came.
    pub(crate) async fn permit(&self, id: ExchangeId) {
        // Nearly always nobody waits, and there is no turn to keep.
        if self.held.get() == 0 && self.permitted(id).is_ok() {
            return;
        }
        let _held = Held::begin(&self.held);
        let _turn = self.gate.lock().await;
        while let Err(pause) = self.permitted(id) {
            tokio::time::sleep(pause).await;
        }
    }

    /// Takes the leave of the node's cap on the rate; or how long there is none.
    fn permitted(&self, id: ExchangeId) -> Result<(), Duration> {
        let now_ns = monotonic_ns();
        let permitted =
            self.with_exchange(id, |books, exchange| books.pace.permit(&mut books.recorder, exchange, now_ns));
        match permitted {
            Some(Err(at_ns)) => Err(Duration::from_nanos(at_ns.saturating_sub(now_ns))),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Opens an exchange whose request is written at once, and says when that is: [`InFlight::first`] or
    /// [`InFlight::later`] and [`InFlight::sent`] in one. No instant where it `asks_leave` and has to wait for it.
    pub(crate) fn dispatch(
        &self,
        (iteration, step): (Iteration, u16),
        planned_ns: Option<u64>,
        asks_leave: bool,
    ) -> (ExchangeId, Option<u64>) {
        let now_ns = monotonic_ns();
        let dispatched = self.with(iteration.number, |books, under_way| {
            let UnderWay { start, whole, open, exchanges } = under_way;
            let Books { pace, recorder } = books;
            let mut exchange = match planned_ns {
                None => recorder.first(step, start, now_ns),
                Some(planned_ns) => recorder.later(step, start, planned_ns, now_ns),
            };
            let has_leave = !asks_leave || self.held.get() == 0 && pace.permit(recorder, &mut exchange, now_ns).is_ok();
            if has_leave {
                recorder.sent(&mut exchange, now_ns);
                if let Some(whole) = whole {
                    recorder.sent(whole, now_ns);
                }
            }
            let number = *exchanges;
            *exchanges = number.wrapping_add(1);
            open.push((number, exchange));
            (number, has_leave)
        });
        let (number, has_leave) = dispatched.unwrap_or((u32::MAX, true));
        (ExchangeId { iteration: iteration.number, number }, has_leave.then_some(now_ns))
    }

    /// The host that an exchange goes to, where hosts are told apart.
    pub(crate) fn reaches(&self, id: ExchangeId, host: SocketAddr) {
        self.with_exchange(id, |books, exchange| exchange.host = books.recorder.host_number(host));
    }

    /// The request is to be written once more.
    pub(crate) async fn retry(&self, id: ExchangeId) {
        self.with_exchange(id, |books, exchange| books.recorder.retried(exchange.place));
        self.permit(id).await;
    }

    /// The request is being written, and the iteration with it, where it is the first of that. A second time changes
    /// nothing. Gives the instant of now.
    pub(crate) fn sent(&self, id: ExchangeId) -> u64 {
        let now_ns = monotonic_ns();
        self.with(id.iteration, |books, under_way| {
            if let Some((_, exchange)) = under_way.open.iter_mut().find(|(number, _)| *number == id.number) {
                books.recorder.sent(exchange, now_ns);
                if let Some(whole) = &mut under_way.whole {
                    books.recorder.sent(whole, now_ns);
                }
            }
        });
        now_ns
    }

    /// The trace context of an exchange of a sampled iteration.
    pub(crate) fn trace_of(&self, id: ExchangeId) -> Option<String> {
        self.with_exchange(id, |books, exchange| {
            exchange.is_sampled.then(|| {
                let (trace_id, span_id) = books.recorder.identifiers(exchange);
                traceparent(trace_id, span_id)
            })
        })?
    }

    /// It ended as expected.
    pub(crate) fn succeeded(&self, id: ExchangeId, status: u16, now_ns: u64) {
        self.take(id, |recorder, exchange| recorder.succeeded(exchange, status, now_ns));
    }

    /// It failed.
    pub(crate) fn failed(
        &self,
        id: ExchangeId,
        kind: FailureKind,
        status: u16,
        now_ns: u64,
        sample: impl FnOnce() -> String,
    ) {
        self.take(id, |recorder, exchange| recorder.failed(exchange, kind, status, now_ns, sample));
    }

    /// It ended without an answer: failed, or censored where the generator could not make the request.
    pub(crate) fn ended(&self, id: ExchangeId, failure: Failure, now_ns: u64) {
        self.take(id, |recorder, exchange| recorder.ended(exchange, failure, now_ns));
    }

    /// The iteration has ended; what of it is open still is censored.
    pub(crate) fn finish(&self, iteration: Iteration, outcome: Outcome, now_ns: u64) {
        if let Some(under_way) = self.under_way.borrow_mut().remove(&iteration.number)
            && let Some(books) = self.books.borrow_mut().as_mut()
        {
            let Books { pace, recorder } = books;
            under_way.open.into_iter().for_each(|(_, exchange)| recorder.censored(exchange, now_ns));
            if let Some(whole) = under_way.whole {
                match outcome {
                    Outcome::Succeeded => recorder.succeeded(whole, 0, now_ns),
                    Outcome::Failed { kind, status, step } => {
                        recorder.failed(whole, kind, status, now_ns, || failed_at(step));
                    }
                    Outcome::Unmade => recorder.censored(whole, now_ns),
                    Outcome::Skipped => recorder.skipped(whole),
                }
            }
            let was_answered = match outcome {
                Outcome::Succeeded => true,
                Outcome::Failed { kind, .. } => was_answered(kind),
                Outcome::Unmade | Outcome::Skipped => false,
            };
            pace.ended(recorder, under_way.start.user, was_answered, now_ns);
        }
        self.changed.notify_one();
    }

    /// Ends the records: what is under way is censored.
    pub(crate) fn close(&self, outcome: std::io::Result<()>) {
        let now_ns = monotonic_ns();
        let Some(Books { mut pace, mut recorder }) = self.books.take() else { return };
        for (_, under_way) in self.under_way.take() {
            let user = under_way.start.user;
            if under_way.start.begun_ns == 0 {
                recorder.never_begun(under_way.start, now_ns);
            } else {
                under_way.open.into_iter().for_each(|(_, exchange)| recorder.censored(exchange, now_ns));
                if let Some(whole) = under_way.whole {
                    recorder.censored(whole, now_ns);
                }
            }
            pace.ended(&mut recorder, user, true, now_ns);
        }
        match outcome {
            Ok(()) => pace.close(recorder, now_ns),
            Err(error) => pace.close_broken(recorder, "wait for events", &error, now_ns),
        }
    }
}

/// Somebody waits for the cap on the rate, until this is dropped.
struct Held<'a>(&'a Cell<u32>);

impl<'a> Held<'a> {
    fn begin(held: &'a Cell<u32>) -> Self {
        held.set(held.get() + 1);
        Self(held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Tasks whose iterations may begin with any step.
impl InFlight {
    /// Its first step, whichever that is: see [`Recorder::first`].
    pub(crate) fn first(&self, iteration: Iteration, step: u16) -> ExchangeId {
        let now_ns = monotonic_ns();
        self.open(iteration, |recorder, start| recorder.first(step, start, now_ns))
    }

    /// A later step, planned at an instant that is known: see [`Recorder::later`].
    pub(crate) fn later(&self, iteration: Iteration, step: u16, planned_ns: u64) -> ExchangeId {
        let now_ns = monotonic_ns();
        self.open(iteration, |recorder, start| recorder.later(step, start, planned_ns, now_ns))
    }
}

/// Tasks whose iterations take the same steps in the same order.
impl InFlight {
    /// The step was answered with `status` at `now_ns`, as `expected` or not: the next one, if the iteration goes on.
    pub(crate) fn answered(
        &self,
        (iteration, id): (Iteration, ExchangeId),
        sequence: &Sequence,
        status: u16,
        expected: bool,
        now_ns: u64,
    ) -> Option<(u16, ExchangeId)> {
        let exchange = self.with_exchange(id, |_, exchange| *exchange)?;
        let step = exchange.step;
        if !expected {
            let kind = FailureKind::Status;
            self.failed(id, kind, status, now_ns, || format!("status {status}"));
            self.finish(iteration, Outcome::Failed { kind, status, step }, now_ns);
            return None;
        }
        self.succeeded(id, status, now_ns);
        let Some(next) = sequence.after(step) else {
            self.finish(iteration, Outcome::Succeeded, now_ns);
            return None;
        };
        Some((next, self.open(iteration, |recorder, _| recorder.next(next, &exchange, now_ns))))
    }

    /// The step ended without an answer, and the iteration with it.
    pub(crate) fn broken(&self, (iteration, id): (Iteration, ExchangeId), failure: Failure) {
        let now_ns = monotonic_ns();
        let outcome = match &failure {
            Failure::Failed(kind, _) => {
                let step = self.with_exchange(id, |_, exchange| exchange.step).unwrap_or(0);
                Outcome::Failed { kind: *kind, status: 0, step }
            }
            Failure::Unmade(_) => Outcome::Unmade,
        };
        self.ended(id, failure, now_ns);
        self.finish(iteration, outcome, now_ns);
    }
}

#[cfg(test)]
mod tests;
