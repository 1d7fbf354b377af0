//! Sees calls that nothing can end: a thread looks on from outside.
//!
//! The interpreter asks now and then whether it has to stop, but not inside of some of its own functions
//! (`new Array(1e9).join('')`). A thread in there sends nothing, reports nothing and cannot be freed. All that can be
//! done is to say so, which makes the run invalid: the generator's fault.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// After how long a call counts as stuck, unless told otherwise.
pub const OVERRUN: Duration = Duration::from_secs(1);

/// How often the thread looks, at most and at least.
const LOOK_MIN: Duration = Duration::from_millis(5);
const LOOK_MAX: Duration = Duration::from_millis(250);

/// A call that has been running for too long and still is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overrun {
    /// Name of the thread that it holds.
    pub thread: String,
    /// The function of the script.
    pub function: String,
    /// How long it has been running, by the clock on the wall.
    pub running_ns: u64,
}

impl fmt::Display for Overrun {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { thread, function, running_ns } = self;
        let seconds = *running_ns as f64 / 1e9;
        write!(
            out,
            "the script's function `{function}` has held thread {thread} for {seconds:.1} s and cannot be ended: it is \
             inside of a built-in function that works on something huge"
        )
    }
}

/// Looks on from a thread of its own, which ends with the last handle. One per process is enough.
#[derive(Clone, Debug)]
pub struct Watchdog {
    shared: Arc<Shared>,
    /// Ends the thread when the last of them goes.
    _end: Arc<End>,
}

#[derive(Debug)]
struct Shared {
    base: Instant,
    overrun: Duration,
    watched: Mutex<Vec<Weak<Watched>>>,
    overruns: AtomicU64,
    ended: Mutex<bool>,
    end: Condvar,
}

#[derive(Debug)]
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.end.notify_all();
    }
}

/// What one runtime is doing.
#[derive(Debug)]
pub(crate) struct Watched {
    shared: Arc<Shared>,
    thread: String,
    functions: Vec<String>,
    /// Nanoseconds since the base, and at least 1; 0: it is idle.
    started_ns: AtomicU64,
    function: AtomicUsize,
    /// The start that was reported last.
    reported_ns: AtomicU64,
}

impl Watchdog {
    /// Starts the thread. It tells `report` of each call that has been running for `overrun`, once.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(overrun: Duration, report: impl Fn(&Overrun) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            base: Instant::now(),
            overrun,
            watched: Mutex::default(),
            overruns: AtomicU64::new(0),
            ended: Mutex::new(false),
            end: Condvar::new(),
        });
        let looks = Arc::clone(&shared);
        std::thread::Builder::new().name("script-watchdog".to_owned()).spawn(move || looks.look_on(&report))?;
        let end = Arc::new(End(Arc::clone(&shared)));
        Ok(Self { shared, _end: end })
    }

    /// How many calls were stuck so far.
    #[must_use]
    pub fn overruns(&self) -> u64 {
        self.shared.overruns.load(Ordering::Relaxed)
    }

    /// Watches a runtime of the calling thread.
    pub(crate) fn watch(&self, functions: Vec<String>) -> Arc<Watched> {
        let thread = std::thread::current().name().unwrap_or("without a name").to_owned();
        let watched = Arc::new(Watched {
            shared: Arc::clone(&self.shared),
            thread,
            functions,
            started_ns: AtomicU64::new(0),
            function: AtomicUsize::new(0),
            reported_ns: AtomicU64::new(0),
        });
        let mut all = self.shared.watched.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::downgrade(&watched));
        drop(all);
        watched
    }
}

impl Shared {
    fn look_on(&self, report: &dyn Fn(&Overrun)) {
        let pause = (self.overrun / 4).clamp(LOOK_MIN, LOOK_MAX);
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            let (again, _) = self.end.wait_timeout(ended, pause).unwrap_or_else(PoisonError::into_inner);
            ended = again;
            let mut all = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|watched| watched.strong_count() > 0);
            let all: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
            for overrun in all.iter().filter_map(|watched| watched.overrun()) {
                self.overruns.fetch_add(1, Ordering::Relaxed);
                report(&overrun);
            }
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

impl Watched {
    pub(crate) fn begin(&self, function: usize) {
        self.function.store(function, Ordering::Relaxed);
        self.started_ns.store(self.shared.now_ns(), Ordering::Release);
    }

    pub(crate) fn end(&self) {
        self.started_ns.store(0, Ordering::Release);
    }

    /// The call that is running, if it has been for too long and nobody was told.
    fn overrun(&self) -> Option<Overrun> {
        let started_ns = self.started_ns.load(Ordering::Acquire);
        let running_ns = self.shared.now_ns().saturating_sub(started_ns);
        if started_ns == 0
            || u128::from(running_ns) < self.shared.overrun.as_nanos()
            || self.reported_ns.swap(started_ns, Ordering::Relaxed) == started_ns
        {
            return None;
        }
        let function = self.functions.get(self.function.load(Ordering::Relaxed)).cloned().unwrap_or_default();
        Some(Overrun { thread: self.thread.clone(), function, running_ns })
    }
}
