//! Sessions: iterations that go step by step through a program, each a task with variables, cookies and connections.
//!
//! One thread with a runtime of its own: a loop that begins what is due, and one task for each iteration under way. A
//! session that thinks holds neither a connection nor room at the target.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nuncius_bus::Bus;
use nuncius_clock::monotonic_ns;
use nuncius_schemas::metric::FailureKind;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::failure::Failure;
use crate::in_flight::{InFlight, Iteration, Outcome};
use crate::pace::Pace;
use crate::plan::GroupPlan;
use crate::program::Program;
use crate::program::action::Action;
use crate::program::instruction::Pc;
use crate::program::machine::{self, Cursor, Event, Fault};
use crate::program::script::Script;
use crate::record::Recorder;
use crate::wake::Waker;

mod ahead;
mod amqp;
mod answer;
mod channels;
mod counting;
mod fetch;
mod follow;
mod job;
mod links;
mod meters;
mod nats;
mod pool;
mod receive;
mod request;
mod scenarios;
mod scripts;
mod send;
mod shared;
mod sleep;
mod socketio;
mod state;
mod token;
mod user;
mod views;
mod ws;

use shared::Shared;
use state::{Ready, Session, Stop};

/// A branch under way.
type Branch<'b> = Pin<Box<dyn Future<Output = Result<Ready, Stop>> + 'b>>;

/// Runs the share of a thread to the end; `thread` is its number in the group, from 0.
pub(crate) fn run(
    (pace, recorder): (Pace, Recorder),
    plan: Arc<GroupPlan>,
    thread: usize,
    waker: Arc<Waker>,
    (ahead, bus): (usize, Option<Bus>),
) {
    let Some(program) = plan.program() else {
        return pace.close_failed(recorder, "the plan has no program".to_owned(), monotonic_ns());
    };
    let (runtime, script) = match start(program) {
        Ok(started) => started,
        Err((what, error)) => return pace.close_broken(recorder, what, &error, monotonic_ns()),
    };
    let (first_shard, is_open) = (pace.first_shard(), pace.is_open());
    let in_flight = InFlight::new(pace, recorder);
    let shared = Rc::new(Shared::new(in_flight, &plan, (program, bus), script, (first_shard, thread), is_open));
    let local = LocalSet::new();
    let outcome = local.block_on(&runtime, offer(&shared, waker, ahead));
    shared.in_flight.close(outcome);
    drop(local);
    // Nobody waits for names that are still looked up.
    runtime.shutdown_background();
}

/// What a thread needs before anything else; or what could not be done, and why.
fn start(program: &Program) -> Result<(Runtime, Option<nuncius_script::Runtime>), (&'static str, io::Error)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ("start a runtime", error))?;
    let script = program.script.as_ref().map(Script::load).transpose();
    let script = script.map_err(|error| ("load the script", io::Error::other(error.to_string())))?;
    Ok((runtime, script))
}

async fn offer(shared: &Rc<Shared>, waker: Arc<Waker>, ahead: usize) -> io::Result<()> {
    let sleepers = Rc::clone(shared);
    let sleep = tokio::task::spawn_local(async move { sleepers.sleepers.run().await });
    ahead::open(shared, ahead);
    let launch = |iteration| {
        tokio::task::spawn_local(iterate(Rc::clone(shared), iteration));
    };
    let offered = shared.in_flight.offer(waker, || false, launch);
    tokio::select! {
        offered = offered => offered,
        slept = sleep => slept.unwrap_or_else(|error| Err(io::Error::other(error))),
    }
}

/// One iteration, to its end.
async fn iterate(shared: Rc<Shared>, iteration: Iteration) {
    shared.in_flight.begun(iteration);
    let Some(program) = shared.plan.program() else { return };
    let user = shared.user(iteration, program);
    let user_number = shared.user_number(iteration);
    let position = shared.position(iteration.index);
    let session = Session { shared: &shared, program, iteration, user, user_number, position };
    let outcome = match session.data() {
        Ok(()) => {
            let entry = shared.entry(program, iteration);
            session.run(entry).await.map_or_else(Stop::outcome, |_| Outcome::Succeeded)
        }
        Err(stop) => stop.outcome(),
    };
    if program.is_once && outcome == Outcome::Succeeded {
        session.tell();
    }
    counting::part(&session.user.channels, &shared, iteration, program.body_max_bytes).await;
    let Session { user, .. } = session;
    shared.part(iteration, user, program);
    shared.in_flight.finish(iteration, outcome, monotonic_ns());
}

impl Session<'_> {
    /// The rows of data that the iteration has.
    fn data(&self) -> Result<(), Stop> {
        let mut memory = self.user.memory.borrow_mut();
        for (number, feeder) in (0u32..).zip(&self.program.feeders) {
            match self.shared.row(self.program, number, self.iteration.index) {
                Ok(row) => memory.set(feeder.slot, Some(row)),
                Err(None) => return Err(Stop::Skipped),
                Err(Some(problem)) => {
                    drop(memory);
                    let step = self.program.place(0).map_or(0, |place| place.step);
                    let text = format!("feeder `{}`: {problem}", feeder.name);
                    return Err(self.fail_at(step, None, Failure::new(FailureKind::Data, text)));
                }
            }
        }
        Ok(())
    }

    /// The whole iteration. Whatever it waits for, what comes on its connections is read meanwhile.
    async fn run(&self, entry: Pc) -> Result<Ready, Stop> {
        let mut going = pin!(self.go(Cursor::at(entry), None));
        let (channels, most) = (&self.user.channels, self.program.body_max_bytes);
        poll_fn(|context| {
            if !channels.is_empty() {
                channels.stir(context, most);
            }
            let polled = going.as_mut().poll(context);
            if polled.is_pending() && !channels.is_empty() {
                counting::pump(channels, context, self.shared, self.iteration, most);
            }
            polled
        })
        .await
    }

    /// Goes on from here to the end of the iteration, or of the branch.
    async fn go(&self, mut cursor: Cursor, mut ready: Ready) -> Result<Ready, Stop> {
        loop {
            let pc = cursor.pc;
            let event = self.with_facts(|facts| {
                machine::advance(self.program, &mut cursor, &mut self.user.memory.borrow_mut(), facts)
            });
            match event {
                Err(fault) => return Err(self.fault(&fault, ready)),
                Ok(Event::Do(number, draws)) => match self.program.actions.get(usize::from(number)) {
                    Some(Action::Http(action)) => {
                        ready = Some(self.request(action, &mut cursor, draws, ready).await?);
                    }
                    Some(Action::Ws(plan)) => {
                        ready = Some(Box::pin(self.ws(plan, &mut cursor, draws, ready)).await?);
                    }
                    Some(Action::SocketIo(plan)) => {
                        ready = Some(Box::pin(self.socketio(plan, &mut cursor, draws, ready)).await?);
                    }
                    Some(Action::Amqp(plan)) => {
                        ready = Some(Box::pin(self.amqp(plan, &mut cursor, draws, ready)).await?);
                    }
                    Some(Action::Job(plan)) => {
                        ready = Some(Box::pin(self.job(plan, &mut cursor, draws, ready)).await?);
                    }
                    Some(Action::Nats(plan)) => {
                        ready = Some(Box::pin(self.nats(plan, &mut cursor, draws, ready)).await?);
                    }
                    None => return Ok(ready),
                },
                Ok(Event::Call(number, draws)) => {
                    if let Some(call) = self.program.calls.get(usize::from(number)) {
                        ready = self.call(call, draws, ready).await?;
                    }
                }
                Ok(Event::Think(pause_ns)) => {
                    let from_ns = ready.unwrap_or_else(|| self.planned_ns());
                    let until_ns = from_ns.saturating_add(pause_ns);
                    self.shared.sleepers.until(until_ns).await;
                    ready = Some(until_ns);
                }
                Ok(Event::Skipped(steps)) => {
                    steps.iter().for_each(|step| self.in_flight().count(self.iteration, *step, Recorder::skip));
                }
                Ok(Event::Fork(branches, at_most)) => {
                    ready = self.at_once(&cursor, branches, at_most, ready).await?;
                }
                Ok(Event::Log(text)) => self.shared.log.line(self.program.group, self.iteration.index, &text),
                Ok(Event::Breath) => tokio::task::yield_now().await,
                Ok(Event::Joined | Event::Ended) => {
                    debug_assert!(usize::from(pc) < self.program.instructions.len());
                    return Ok(ready);
                }
            }
        }
    }

    /// Branches at once; all that were begun are waited for, whatever becomes of one.
    async fn at_once(&self, cursor: &Cursor, branches: &[Pc], at_most: usize, ready: Ready) -> Result<Ready, Stop> {
        let mut left = branches.iter();
        let mut under_way: FuturesUnordered<Branch<'_>> = FuturesUnordered::new();
        let (mut last, mut stop) = (ready, None);
        // A branch that waits for room is planned when there is some.
        let mut begins = ready;
        loop {
            while stop.is_none()
                && under_way.len() < at_most.max(1)
                && let Some(branch) = left.next()
            {
                under_way.push(Box::pin(self.go(cursor.branch(*branch), begins)));
            }
            match under_way.next().await {
                None => return stop.map_or(Ok(last), Err),
                Some(Ok(ended)) => {
                    last = last.max(ended);
                    begins = ended.or(begins);
                }
                Some(Err(other)) => stop = stop.or(Some(other)),
            }
        }
    }

    /// Tells what the iteration has made.
    fn tell(&self) {
        let variables = self.variables();
        *self.program.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(variables);
    }

    /// Something went wrong between two steps: it counts at the one that comes next.
    fn fault(&self, fault: &Fault, ready: Ready) -> Stop {
        let place = self.program.place(fault.pc);
        let (step, path) = place.map_or((0, ""), |place| (place.step, place.path.as_ref()));
        self.fail_at(step, ready, Failure::new(fault.kind, format!("{path}: {}", fault.text)))
    }
}

#[cfg(test)]
mod tests;
