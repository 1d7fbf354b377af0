//! One kind of resource from outside: requests go in, and how it stands is read without waiting for anybody.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use nuncius_schemas::resource::{
    Amount, ResourceKind, ResourcePhase, ResourceRequest, ResourceState, ResourceUnitError,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::ladder::Plan;
use super::limits::{LimitError, Limits};
use super::program::Program;

/// What those who hold tell while they work.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// Held, in bytes or thousandths of a percent of one core.
    pub(crate) held: AtomicU64,
    /// Bytes written to disk since the start.
    pub(crate) written: AtomicU64,
    /// Bytes read from disk since the start.
    pub(crate) read: AtomicU64,
    /// Processor time used up since the start, in nanoseconds.
    pub(crate) cpu_ns: AtomicU64,
    /// Whether to leave what is being done.
    pub(crate) cancel: AtomicBool,
    /// Whether the number has been factored that the load was put on for; `factoring_ended` wakes whoever waits for it.
    pub(crate) is_factored: AtomicBool,
    pub(crate) factoring_ended: Notify,
    /// What went wrong in a thread that nobody waits for.
    failure: Mutex<Option<String>>,
}

impl Gauge {
    /// Tells of a failure; the keeper takes note of it within a second.
    pub(crate) fn fail(&self, problem: String) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
    }

    /// The failure that was told last, once.
    pub(crate) fn take_failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Why not all that is wanted is held.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoldError {
    /// Something else is wanted by now.
    #[error("given up for another request")]
    Cancelled,
    /// There is less than there was when the request was taken.
    #[error(
        "{kind}: {wanted_bytes} bytes more would leave less than {left_bytes} of {available_bytes} free; ask for less"
    )]
    Room { kind: ResourceKind, wanted_bytes: u64, left_bytes: u64, available_bytes: u64 },
    /// The limit cannot be read any more.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The system gave no memory.
    #[error("no part of {bytes} bytes of memory was given: {source}; ask for less")]
    Memory { bytes: u64, source: std::io::Error },
    /// The file system.
    #[error("{path}: {source}; ask for less, or use another data directory")]
    Disk { path: String, source: std::io::Error },
    /// The system gave no thread.
    #[error("no thread was given: {0}")]
    Thread(std::io::Error),
    /// A fault of the program.
    #[error("the work was left: {0}")]
    Broken(String),
}

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It cannot be meant; the text names the field.
    #[error("{0}")]
    Invalid(String),
    /// An amount of it.
    #[error("amount: {0}")]
    Amount(#[from] ResourceUnitError),
    /// More than may be had.
    #[error("{kind}: over the limit: {} wanted, {} may be; ask for less", level(*.kind, *.wanted), level(*.kind, *.most))]
    OverLimit { kind: ResourceKind, wanted: u64, most: u64 },
    /// A share of nothing.
    #[error(
        "{kind}: nothing may be had: {available_bytes} bytes are free, and {floor_bytes} must be left; lower --floor, or make room"
    )]
    NoRoom { kind: ResourceKind, available_bytes: u64, floor_bytes: u64 },
    /// A limit cannot be read.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// It is ending.
    #[error("the emulator is shutting down")]
    ShutDown,
}

/// A request, and how it is to be carried out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// What is asked.
    pub(crate) request: ResourceRequest,
    /// Whether whole parts are taken, as Testero does.
    pub(crate) is_whole: bool,
    /// Whether load is put on by factoring.
    pub(crate) is_factoring: bool,
}

/// An amount as people write it.
fn level(kind: ResourceKind, amount: u64) -> String {
    match kind {
        ResourceKind::Cpu => Amount::Percent(amount).to_string(),
        ResourceKind::Memory | ResourceKind::Disk => format!("{amount} bytes"),
    }
}

/// What a keeper is told.
pub(super) enum Order {
    Take(Wish, oneshot::Sender<Result<u64, Refusal>>),
    Release(oneshot::Sender<()>),
    /// Look up what is there.
    Look(oneshot::Sender<()>),
    Dump,
}

/// How a kind stands, as its keeper last wrote.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    /// The last accepted request, nanoseconds since the Unix epoch; 0 where there was none.
    pub(crate) id: u64,
    pub(crate) phase: ResourcePhase,
    /// Bytes, or thousandths of a percent of one core.
    pub(crate) wanted: u64,
    pub(crate) error: Option<String>,
    pub(crate) ends_at_unix_ms: Option<u64>,
    /// Whether a request waits for the work of another one to be left.
    pub(crate) is_pending: bool,
    /// Whether something is being taken or given back.
    pub(crate) is_working: bool,
    /// What the last accepted request came to.
    pub(crate) planned: Plan,
    /// What is there.
    pub(crate) parts: Plan,
    /// When the running program was taken, and the program with what was held then.
    pub(crate) program: Option<(Instant, Arc<Program>, u64)>,
    /// Used in the last second, in thousandths of a percent of one core.
    pub(crate) measured: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            id: 0,
            phase: ResourcePhase::Idle,
            wanted: 0,
            error: None,
            ends_at_unix_ms: None,
            is_pending: false,
            is_working: false,
            planned: Plan::default(),
            parts: Plan::default(),
            program: None,
            measured: 0,
            accepted: 0,
            refused: 0,
            failed: 0,
        }
    }
}

/// A kind of resource; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) kind: ResourceKind,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) board: watch::Receiver<Board>,
    pub(super) gauge: Arc<Gauge>,
    pub(super) limits: Arc<Limits>,
}

impl Group {
    /// Asks for something; the number of the request once it is accepted, which is before anything is held.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) async fn take(&self, wish: Wish) -> Result<u64, Refusal> {
        let (sender, answer) = oneshot::channel();
        self.orders.send(Order::Take(wish, sender)).await.map_err(|_| Refusal::ShutDown)?;
        answer.await.map_err(|_| Refusal::ShutDown)?
    }

    /// Gives all back.
    ///
    /// # Errors
    /// [`Refusal::ShutDown`].
    pub(crate) async fn release(&self) -> Result<(), Refusal> {
        let (sender, answer) = oneshot::channel();
        self.orders.send(Order::Release(sender)).await.map_err(|_| Refusal::ShutDown)?;
        answer.await.map_err(|_| Refusal::ShutDown)
    }

    /// Has what is really there looked up, so that [`Self::board`] and [`Self::held`] tell that.
    ///
    /// # Errors
    /// [`Refusal::ShutDown`].
    pub(crate) async fn look(&self) -> Result<(), Refusal> {
        if self.kind != ResourceKind::Disk {
            return Ok(());
        }
        let (sender, answer) = oneshot::channel();
        self.orders.send(Order::Look(sender)).await.map_err(|_| Refusal::ShutDown)?;
        answer.await.map_err(|_| Refusal::ShutDown)
    }

    /// Has the log tell how each part of memory begins.
    ///
    /// # Errors
    /// [`Refusal::ShutDown`].
    pub(crate) async fn dump(&self) -> Result<(), Refusal> {
        self.orders.send(Order::Dump).await.map_err(|_| Refusal::ShutDown)
    }

    /// What the keeper last wrote.
    pub(crate) fn board(&self) -> Board {
        self.board.borrow().clone()
    }

    /// Held at present, in bytes or thousandths of a percent of one core.
    pub(crate) fn held(&self) -> u64 {
        self.gauge.held.load(Relaxed)
    }

    /// How it stands. Limits that cannot be read are left out.
    pub(crate) fn state(&self) -> ResourceState {
        let board = self.board();
        let held = self.held();
        let mut state = ResourceState {
            kind: self.kind,
            id: board.id,
            phase: board.phase,
            progress: progress(&board, held, Instant::now()),
            wanted_bytes: None,
            actual_bytes: None,
            limit_bytes: None,
            floor_bytes: None,
            wanted_percent: None,
            measured_percent: None,
            limit_percent: None,
            written_bytes: None,
            read_bytes: None,
            error: board.error,
            ends_at_unix_ms: board.ends_at_unix_ms,
        };
        if self.kind == ResourceKind::Cpu {
            let percent = |millipercent: u64| Some(millipercent as f64 / 1000.0);
            state.wanted_percent = percent(board.wanted);
            state.measured_percent = percent(board.measured);
            state.limit_percent = percent(self.limits.most_core_millipercent());
            return state;
        }
        state.wanted_bytes = Some(board.wanted);
        state.actual_bytes = Some(held);
        if let Ok(room) = self.limits.room(self.kind) {
            state.limit_bytes = Some(self.limits.most_bytes(self.kind, room, held));
            state.floor_bytes = Some(room.floor_bytes);
        }
        if self.kind == ResourceKind::Disk {
            state.written_bytes = Some(self.gauge.written.load(Relaxed));
            state.read_bytes = Some(self.gauge.read.load(Relaxed));
        }
        state
    }
}

/// Share of the way that is done: of the time of ramps and profiles, of the amount elsewhere.
fn progress(board: &Board, held: u64, now: Instant) -> f64 {
    let share = |done: f64, all: f64| if all > 0.0 { (done / all).clamp(0.0, 1.0) } else { 1.0 };
    match (&board.program, board.phase) {
        (None, ResourcePhase::Idle) if board.id == 0 => 0.0,
        (_, ResourcePhase::Idle) => 1.0,
        (Some((begun, program, _)), _) if now.saturating_duration_since(*begun) < program.length() => {
            share(now.saturating_duration_since(*begun).as_secs_f64(), program.length().as_secs_f64())
        }
        (_, ResourcePhase::Holding) => 1.0,
        (Some((_, program, from)), _) => {
            let (way, left) = (from.abs_diff(program.last()), held.abs_diff(program.last()));
            share(way as f64 - left as f64, way as f64)
        }
        (None, _) => share(0.0, held as f64),
    }
}
