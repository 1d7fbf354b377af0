//! The task that alone changes what is held of one kind: takes requests, follows their programs, and lets go in time.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use nuncius_bus::clock::unix_ms;
use nuncius_schemas::resource::{Amount, ResourceKind, ResourcePhase};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::cpu::{CORE_MILLIPERCENT, Cpu, Number};
use super::disk::{Disk, Rates};
use super::group::{Board, Gauge, Group, HoldError, Order, Refusal, Wish};
use super::ladder::{DISK, Ladder, MEMORY, Plan};
use super::limits::{Limits, Room};
use super::memory::Memory;
use super::program::Program;

/// Requests that may wait for a keeper.
const ORDERS: usize = 16;
/// How often figures are looked at while something is held.
const LOOK: Duration = Duration::from_millis(250);
/// Over how long the use of processors is measured.
const MEASURED_OVER: Duration = Duration::from_secs(1);

/// What holds.
enum Hold {
    Memory(Memory),
    Disk(Disk),
    Cpu(Cpu),
}

/// What is to be held at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Goal {
    /// In bytes, or thousandths of a percent of one core.
    amount: u64,
    plan: Plan,
    rates: Rates,
    number: Option<Number>,
}

/// An accepted request.
struct Course {
    begun: Instant,
    program: Arc<Program>,
    is_whole: bool,
    rates: Rates,
    number: Option<Number>,
    /// What was held when it began.
    from: u64,
}

struct Keeper {
    kind: ResourceKind,
    limits: Arc<Limits>,
    gauge: Arc<Gauge>,
    number: Number,
    /// None while a job has it.
    hold: Option<Hold>,
    job: Option<JoinHandle<(Hold, Result<(), HoldError>)>>,
    /// What the job is about; else what was last held without an error.
    goal: Goal,
    course: Option<Course>,
    has_failed: bool,
    samples: VecDeque<(Instant, u64)>,
    /// When figures are looked at next, if there are any.
    look_at: Instant,
    board: watch::Sender<Board>,
}

/// Starts the keeper of a kind; it ends, with nothing held, after `shutdown`.
pub(crate) fn start(
    kind: ResourceKind,
    limits: Arc<Limits>,
    number: Number,
    shutdown: CancellationToken,
) -> (Group, JoinHandle<()>) {
    let (sender, orders) = mpsc::channel(ORDERS);
    let (board, read) = watch::channel(Board::default());
    let gauge = Arc::new(Gauge::default());
    let hold = match kind {
        ResourceKind::Memory => Hold::Memory(Memory::new()),
        ResourceKind::Disk => Hold::Disk(Disk::new(limits.data_directory.clone())),
        ResourceKind::Cpu => Hold::Cpu(Cpu::default()),
    };
    let group = Group { kind, orders: sender, board: read, gauge: Arc::clone(&gauge), limits: Arc::clone(&limits) };
    let keeper = Keeper {
        kind,
        limits,
        gauge,
        number,
        hold: Some(hold),
        job: None,
        goal: Goal::default(),
        course: None,
        has_failed: false,
        samples: VecDeque::new(),
        look_at: Instant::now(),
        board,
    };
    (group, tokio::spawn(keeper.run(orders, shutdown)))
}

impl Keeper {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>, shutdown: CancellationToken) {
        let gauge = Arc::clone(&self.gauge);
        loop {
            self.end_factored();
            self.follow();
            self.publish();
            let next = self.next_look();
            let job = async {
                match &mut self.job {
                    Some(job) => job.await,
                    None => pending().await,
                }
            };
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Take(wish, answer)) => self.take(&wish, answer),
                    Some(Order::Release(answer)) => self.release(answer),
                    Some(Order::Look(answer)) => {
                        self.look_up();
                        let _ = answer.send(());
                    }
                    Some(Order::Dump) => self.dump(),
                    None => break,
                },
                ended = job => self.ended(ended),
                () = wake(next) => self.look(),
                () = gauge.factoring_ended.notified() => {}
                () = shutdown.cancelled() => break,
            }
        }
        self.let_go().await;
    }

    /// A load that was put on to factor a number ends with that. While a job is under way the word may be of the load
    /// before it; the job takes that back.
    fn end_factored(&mut self) {
        if self.job.is_none() && self.course.is_some() && self.gauge.is_factored.swap(false, Relaxed) {
            info!(kind = %self.kind, "the number is factored; everything is released");
            self.course = None;
            self.has_failed = false;
        }
    }

    /// What is there, where others may have changed it.
    fn look_up(&self) {
        if let Some(Hold::Disk(disk)) = &self.hold {
            let parts = disk.look_up(&self.gauge);
            self.board.send_modify(|board| board.parts = parts);
        }
    }

    /// Carries out what is wanted now, unless that is held or being carried out.
    fn follow(&mut self) {
        let now = Instant::now();
        if self.course.as_ref().is_some_and(|course| course.program.has_ended(now - course.begun)) {
            info!(kind = %self.kind, "the time is over; everything is released");
            self.course = None;
            self.has_failed = false;
            // Whatever is still being taken is not wanted any more.
            self.gauge.cancel.store(true, Relaxed);
        }
        let is_over = |course: &Course| course.program.is_over(now - course.begun) && !course.rates.is_load();
        if self.course.as_ref().is_some_and(is_over) {
            self.course = None;
            // What was got before it failed goes, too.
            self.has_failed = false;
        }
        if self.has_failed || self.job.is_some() {
            return;
        }
        let goal = self.goal_at(now);
        if goal == self.goal {
            return;
        }
        let Some(mut hold) = self.hold.take() else { return };
        self.goal = goal;
        self.gauge.cancel.store(false, Relaxed);
        let (kind, limits, gauge) = (self.kind, Arc::clone(&self.limits), Arc::clone(&self.gauge));
        self.job = Some(tokio::task::spawn_blocking(move || {
            let may_grow = |bytes| may_grow(kind, &limits, bytes);
            let held = match &mut hold {
                Hold::Memory(memory) => memory.hold(&goal.plan, &gauge, may_grow),
                Hold::Disk(disk) => disk.hold(&goal.plan, goal.rates, &gauge, may_grow),
                Hold::Cpu(cpu) => cpu.hold(goal.amount, goal.number, &gauge),
            };
            (hold, held)
        }));
    }

    fn goal_at(&self, now: Instant) -> Goal {
        let Some(course) = &self.course else { return Goal::default() };
        let amount = course.program.wanted(now - course.begun);
        let plan = self.plan(amount, course.is_whole);
        Goal { amount, plan, rates: course.rates, number: course.number }
    }

    const fn ladder(&self) -> Option<&'static Ladder> {
        match self.kind {
            ResourceKind::Memory => Some(&MEMORY),
            ResourceKind::Disk => Some(&DISK),
            ResourceKind::Cpu => None,
        }
    }

    fn plan(&self, amount: u64, is_whole: bool) -> Plan {
        let plan = |ladder: &Ladder| if is_whole { ladder.whole(amount) } else { ladder.exact(amount) };
        self.ladder().map(plan).unwrap_or_default()
    }

    fn ended(&mut self, ended: Result<(Hold, Result<(), HoldError>), tokio::task::JoinError>) {
        self.job = None;
        let held = match ended {
            Ok((hold, held)) => {
                self.hold = Some(hold);
                held
            }
            Err(error) => {
                // What was held went with it.
                self.hold = Some(match self.kind {
                    ResourceKind::Memory => Hold::Memory(Memory::new()),
                    ResourceKind::Disk => Hold::Disk(Disk::new(self.limits.data_directory.clone())),
                    ResourceKind::Cpu => Hold::Cpu(Cpu::default()),
                });
                self.gauge.held.store(0, Relaxed);
                Err(HoldError::Broken(error.to_string()))
            }
        };
        match held {
            Ok(()) => {}
            Err(HoldError::Cancelled) => self.goal = self.unknown_goal(),
            Err(error) => self.fail(&error.to_string()),
        }
        let parts = match &self.hold {
            Some(Hold::Memory(memory)) => memory.plan(),
            Some(Hold::Disk(disk)) => disk.plan(),
            _ => Plan::default(),
        };
        self.board.send_modify(|board| board.parts = parts);
    }

    /// A goal that nobody has, so that the next one is carried out whatever it is.
    fn unknown_goal(&self) -> Goal {
        Goal { amount: u64::MAX, ..self.goal }
    }

    fn fail(&mut self, problem: &str) {
        warn!(kind = %self.kind, problem, "what is wanted could not be had");
        self.has_failed = true;
        self.goal = self.unknown_goal();
        self.board.send_modify(|board| {
            board.error = Some(problem.to_owned());
            board.failed += 1;
        });
    }

    fn take(&mut self, wish: &Wish, answer: oneshot::Sender<Result<u64, Refusal>>) {
        let taken = self.course_of(wish);
        let accepted = match taken {
            Ok(course) => Ok(self.accept(course)),
            Err(refusal) => {
                info!(kind = %self.kind, %refusal, "refused");
                self.board.send_modify(|board| board.refused += 1);
                Err(refusal)
            }
        };
        // Whoever reads after the answer finds it.
        self.follow();
        self.publish();
        let _ = answer.send(accepted);
    }

    /// What a request comes to, if it may be.
    fn course_of(&self, wish: &Wish) -> Result<Course, Refusal> {
        let request = &wish.request;
        let held = self.gauge.held.load(Relaxed);
        let is_disk = self.kind == ResourceKind::Disk;
        if !is_disk && (request.write_rate.is_some() || request.read_rate.is_some() || request.sync) {
            let problem = format!("write_rate, read_rate and sync: only for disk, not for {}", self.kind);
            return Err(Refusal::Invalid(problem));
        }
        let (program, most) = if self.kind == ResourceKind::Cpu {
            let program = Program::read(request, held, |amount| Ok(amount.to_core_millipercent()?))?;
            (program, self.limits.most_core_millipercent())
        } else {
            let room = self.limits.room(self.kind)?;
            let most = self.limits.most_bytes(self.kind, room, held);
            let resolve = |amount: Amount| {
                let bytes = amount.to_bytes(most)?;
                // A share of nothing is nothing, which nobody means who asks for some.
                if most == 0 && matches!(amount, Amount::Percent(share) if share > 0) {
                    let Room { available_bytes, floor_bytes } = room;
                    return Err(Refusal::NoRoom { kind: self.kind, available_bytes, floor_bytes });
                }
                Ok(bytes)
            };
            (Program::read(request, held, resolve)?, most)
        };
        // What is held already may be kept, even where the limit has fallen below it.
        if program.peak() > most && program.peak() > held {
            return Err(Refusal::OverLimit { kind: self.kind, wanted: program.peak(), most });
        }
        let rates = Rates {
            write_bytes: request.write_rate.map_or(0, |rate| rate.0),
            read_bytes: request.read_rate.map_or(0, |rate| rate.0),
            sync: request.sync,
        };
        let number = wish.is_factoring.then_some(self.number);
        let program = Arc::new(program);
        Ok(Course { begun: Instant::now(), program, is_whole: wish.is_whole, rates, number, from: held })
    }

    fn accept(&mut self, course: Course) -> u64 {
        let planned = self.plan(course.program.last(), course.is_whole);
        self.supersede();
        if (self.kind == ResourceKind::Disk || course.number.is_some()) && self.job.is_none() {
            // Files may have been removed by others, a number may have been factored: what is there is looked up anew.
            self.goal = self.unknown_goal();
        }
        let id = self.begin(|board| board.planned = planned);
        info!(kind = %self.kind, id, last = course.program.last(), "accepted");
        self.course = Some(course);
        id
    }

    fn release(&mut self, answer: oneshot::Sender<()>) {
        self.supersede();
        self.begin(|board| board.planned = Plan::default());
        info!(kind = %self.kind, "released by request");
        self.follow();
        self.publish();
        let _ = answer.send(());
    }

    /// All of the contents would be gigabytes of log; that they are there, and are no two the same, their beginnings
    /// show.
    fn dump(&self) {
        match &self.hold {
            Some(Hold::Memory(memory)) => {
                for (part, (size_bytes, begins)) in memory.beginnings().enumerate() {
                    info!(part, size_bytes, begins, "memory held");
                }
            }
            Some(_) => {}
            None => info!(kind = %self.kind, "no dump while it changes"),
        }
    }

    fn supersede(&mut self) {
        self.course = None;
        self.has_failed = false;
        drop(self.gauge.take_failure());
        if self.job.is_some() {
            self.gauge.cancel.store(true, Relaxed);
        }
    }

    fn begin(&self, change: impl FnOnce(&mut Board)) -> u64 {
        let now_ns = unix_ns();
        let mut id = 0;
        self.board.send_modify(|board| {
            board.id = now_ns.max(board.id + 1);
            board.error = None;
            board.accepted += 1;
            change(board);
            id = board.id;
        });
        id
    }

    /// Looks at the figures.
    fn look(&mut self) {
        if let Some(problem) = self.gauge.take_failure() {
            self.fail(&problem);
        }
        let now = Instant::now();
        self.look_at = now + LOOK;
        self.samples.push_back((now, self.gauge.cpu_ns.load(Relaxed)));
        while self.samples.get(1).is_some_and(|(at, _)| now - *at >= MEASURED_OVER) {
            self.samples.pop_front();
        }
    }

    /// Thousandths of a percent of one core.
    fn measured(&self) -> u64 {
        let (Some((from, used_from)), Some((to, used_to))) = (self.samples.front(), self.samples.back()) else {
            return 0;
        };
        let passed_ns = (*to - *from).as_nanos();
        let used_ns = u128::from(used_to.saturating_sub(*used_from));
        (used_ns * u128::from(CORE_MILLIPERCENT))
            .checked_div(passed_ns)
            .and_then(|share| share.try_into().ok())
            .unwrap_or(0)
    }

    fn next_look(&self) -> Option<Instant> {
        let program = self.course.as_ref().and_then(|course| {
            let next = course.program.next_look(course.begun.elapsed())?;
            course.begun.checked_add(next)
        });
        let is_measured = self.kind == ResourceKind::Cpu && (self.course.is_some() || self.measured() > 0);
        let is_watched = self.course.as_ref().is_some_and(|course| course.rates.is_load());
        let look = (is_measured || is_watched).then_some(self.look_at);
        [program, look].into_iter().flatten().min()
    }

    fn publish(&self) {
        let now = Instant::now();
        let goal = self.goal_at(now);
        let held = self.gauge.held.load(Relaxed);
        let is_held = self.job.is_none() && goal == self.goal;
        let is_moving = self.course.as_ref().is_some_and(|course| course.program.is_moving(now - course.begun));
        let phase = match (&self.course, is_held && !is_moving) {
            _ if self.has_failed => ResourcePhase::Failed,
            (None, true) => ResourcePhase::Idle,
            (None, false) => ResourcePhase::Releasing,
            (Some(_), true) if goal.amount == 0 && held == 0 && !goal.rates.is_load() => ResourcePhase::Idle,
            (Some(_), true) => ResourcePhase::Holding,
            (Some(course), false) if course.program.peak() == 0 => ResourcePhase::Releasing,
            (Some(_), false) => ResourcePhase::Working,
        };
        self.board.send_modify(|board| {
            board.phase = phase;
            board.wanted = goal.amount;
            board.is_working = self.job.is_some();
            board.is_pending = self.job.is_some() && self.gauge.cancel.load(Relaxed);
            board.measured = self.measured();
            let course = self.course.as_ref();
            board.program = course.map(|course| (course.begun, Arc::clone(&course.program), course.from));
            let left =
                course.and_then(|course| course.program.ends().map(|ends| ends.saturating_sub(now - course.begun)));
            let left_ms = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
            // Not reckoned anew every time: the two clocks would make it tremble.
            board.ends_at_unix_ms = match (board.ends_at_unix_ms, left_ms) {
                (Some(told), Some(left)) if told.abs_diff(unix_ms().saturating_add(left)) < 1000 => Some(told),
                (_, left) => left.map(|left| unix_ms().saturating_add(left)),
            };
        });
    }

    /// Ends with nothing held.
    async fn let_go(mut self) {
        self.gauge.cancel.store(true, Relaxed);
        if let Some(job) = self.job.take()
            && let Ok((hold, _)) = job.await
        {
            self.hold = Some(hold);
        }
        let hold = self.hold.take();
        if let Err(error) = tokio::task::spawn_blocking(move || drop(hold)).await {
            warn!(kind = %self.kind, %error, "not everything was released");
        }
        self.gauge.held.store(0, Relaxed);
    }
}

async fn wake(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

fn unix_ns() -> u64 {
    let passed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether so many bytes more leave enough. Half the floor is kept even where whole parts come to more than was asked:
/// the request itself was checked against all of it.
fn may_grow(kind: ResourceKind, limits: &Limits, wanted_bytes: u64) -> Result<(), HoldError> {
    let Room { available_bytes, floor_bytes } = limits.room(kind)?;
    let left_bytes = floor_bytes / 2;
    if available_bytes >= wanted_bytes.saturating_add(left_bytes) {
        return Ok(());
    }
    Err(HoldError::Room { kind, wanted_bytes, left_bytes, available_bytes })
}
