//! Iterations as tasks: what engines have in common that run one on a runtime of the thread's own for each iteration. A
//! loop begins them when they are due; each says itself how it ended; what is still under way at the end is censored.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use crate::clock::monotonic_ns;
use crate::dispatch::{Dispatcher, Iteration};
use crate::http::general::timer::{self, Timer};
use crate::plan::traceparent;
use crate::trouble::Trouble;
use crate::wake::Bell;

/// Shared by the loop and the tasks of one thread.
pub(crate) struct Flights {
    /// Gone once the books are closed.
    pub(crate) dispatcher: RefCell<Option<Dispatcher>>,
    /// Iterations under way, as they are known by now.
    under_way: RefCell<HashMap<u64, Iteration>>,
    next: Cell<u64>,
    /// Held by who waits for the cap on the rate.
    gate: Mutex<()>,
    /// An iteration has ended, or something else is to be looked at.
    pub(crate) changed: Notify,
}

impl Flights {
    pub(crate) fn new(dispatcher: Dispatcher) -> Self {
        Self {
            dispatcher: RefCell::new(Some(dispatcher)),
            under_way: RefCell::new(HashMap::new()),
            next: Cell::new(0),
            gate: Mutex::new(()),
            changed: Notify::new(),
        }
    }

    /// The task of an iteration runs for the first time.
    pub(crate) fn begun(&self, flight: u64, iteration: &mut Iteration) {
        if let Some(dispatcher) = self.dispatcher.borrow_mut().as_mut() {
            dispatcher.begun(iteration, monotonic_ns());
        }
        self.note(flight, *iteration);
    }

    /// Waits until the request of a later step, or one that is made once more, may be written: the node's cap on the
    /// rate. Those who wait are let through in the order in which they came.
    pub(crate) async fn permit(&self, flight: u64, iteration: &mut Iteration) {
        let _turn = self.gate.lock().await;
        loop {
            let now_ns = monotonic_ns();
            let permitted = match self.dispatcher.borrow_mut().as_mut() {
                Some(dispatcher) => dispatcher.permit(iteration, now_ns),
                None => Ok(()),
            };
            let Err(at_ns) = permitted else { break };
            tokio::time::sleep(Duration::from_nanos(at_ns.saturating_sub(now_ns))).await;
        }
        self.note(flight, *iteration);
    }

    /// Remembers an iteration as it is now: at its next step, or sent.
    pub(crate) fn note(&self, flight: u64, iteration: Iteration) {
        self.under_way.borrow_mut().insert(flight, iteration);
    }

    /// The step was answered with `status` at `now_ns`, as `expected` or not: the iteration at its next step, if it
    /// goes on.
    pub(crate) fn answered(
        &self,
        flight: u64,
        iteration: Iteration,
        status: u16,
        expected: bool,
        now_ns: u64,
    ) -> Option<Iteration> {
        let mut dispatcher = self.dispatcher.borrow_mut();
        let next = dispatcher.as_mut().and_then(|dispatcher| dispatcher.answered(iteration, status, expected, now_ns));
        match next {
            Some(next) => self.note(flight, next),
            None => self.ended(flight),
        }
        next
    }

    /// The step ended without an answer, and the iteration with it.
    pub(crate) fn failed(&self, flight: u64, iteration: Iteration, trouble: Trouble) {
        if let Some(dispatcher) = self.dispatcher.borrow_mut().as_mut() {
            dispatcher.ended(iteration, trouble, monotonic_ns());
        }
        self.ended(flight);
    }

    /// The step's request is to be written once more.
    pub(crate) async fn retried(&self, flight: u64, iteration: &mut Iteration) {
        iteration.is_resent = true;
        if let Some(dispatcher) = self.dispatcher.borrow_mut().as_mut() {
            dispatcher.retried(iteration.step);
        }
        self.permit(flight, iteration).await;
    }

    fn ended(&self, flight: u64) {
        self.under_way.borrow_mut().remove(&flight);
        self.changed.notify_one();
    }

    /// The trace context of a sampled iteration's step.
    pub(crate) fn trace_of(&self, iteration: &Iteration) -> Option<String> {
        if !iteration.is_sampled {
            return None;
        }
        let (trace_id, span_id) = self.dispatcher.borrow().as_ref()?.identifiers(iteration);
        Some(traceparent(trace_id, span_id))
    }

    /// Ends the books: what is under way is censored.
    pub(crate) fn close(&self, outcome: std::io::Result<()>) {
        let now_ns = monotonic_ns();
        let Some(mut dispatcher) = self.dispatcher.take() else { return };
        for (_, iteration) in self.under_way.take() {
            dispatcher.censor(iteration, now_ns);
        }
        match outcome {
            Ok(()) => dispatcher.close(now_ns),
            Err(error) => dispatcher.close_unstarted("wait for events", &error),
        }
    }

    /// Begins iterations with `launch` when they are due, until the thread's share is over. While `is_held` the group
    /// drains to the end of its time though nothing is in flight.
    pub(crate) async fn offer(
        &self,
        bell: Arc<Bell>,
        is_held: impl Fn() -> bool,
        launch: impl Fn(u64, Iteration),
    ) -> std::io::Result<()> {
        let bell = timer::readable(bell.descriptor()?)?;
        let mut timer = Timer::new()?;
        let mut is_rung = true;
        loop {
            let now_ns = monotonic_ns();
            let due_ns = {
                let mut dispatcher = self.dispatcher.borrow_mut();
                let Some(dispatcher) = dispatcher.as_mut() else { return Ok(()) };
                dispatcher.hold(is_held());
                if is_rung || now_ns >= dispatcher.due_ns() || dispatcher.is_idle() {
                    dispatcher.poll(now_ns);
                }
                if dispatcher.is_over() {
                    return Ok(());
                }
                while let Some(iteration) = dispatcher.next(now_ns) {
                    let flight = self.next.get();
                    self.next.set(flight + 1);
                    self.note(flight, iteration);
                    launch(flight, iteration);
                }
                dispatcher.due_ns()
            };
            is_rung = false;
            tokio::select! {
                result = timer.sleep_until(due_ns) => result?,
                result = timer::drain(&bell) => {
                    result?;
                    is_rung = true;
                }
                () = self.changed.notified() => {}
            }
        }
    }
}
