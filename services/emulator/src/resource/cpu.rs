//! Processor time that is used up: so many threads, each busy for its share of every period by the clock of the thread.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::group::{Gauge, HoldError};

mod factor;

pub(crate) use factor::Factoring;

/// One core, in thousandths of a percent.
pub(crate) const CORE_MILLIPERCENT: u64 = 100_000;
/// A thread is busy and idle within this.
const PERIOD: Duration = Duration::from_millis(100);
/// So much work that could not be done in time is made up for later.
const ARREARS: Duration = Duration::from_secs(1);
/// Rounds of work between looks at the clock: well below a millisecond.
const ROUNDS: u64 = 20_000;

/// A number that is factored for load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) value: u128,
    /// Whether it is factored over and over; else the load ends with the first time, as Testero's does.
    pub(crate) is_repeated: bool,
}

/// Threads under load.
#[derive(Debug, Default)]
pub(crate) struct Cpu {
    workers: Vec<Worker>,
    factoring: Option<Number>,
}

#[derive(Debug)]
struct Worker {
    order: Arc<Order>,
    thread: Option<JoinHandle<()>>,
}

/// What a thread is told.
#[derive(Debug)]
struct Order {
    stop: AtomicBool,
    /// Thousandths of a percent of the thread's core.
    millipercent: AtomicU64,
}

impl Cpu {
    /// Puts this much load on, in thousandths of a percent of one core; with a number, by factoring that.
    ///
    /// # Errors
    /// [`HoldError::Thread`]; what was there goes on.
    pub(crate) fn hold(
        &mut self,
        millipercent: u64,
        number: Option<Number>,
        gauge: &Arc<Gauge>,
    ) -> Result<(), HoldError> {
        if self.factoring != number || number.is_some_and(|number| !number.is_repeated) {
            self.stop_beyond(0);
            self.factoring = number;
            // Those that could have said it have ended.
            gauge.is_factored.store(false, Relaxed);
        }
        let threads = millipercent.div_ceil(CORE_MILLIPERCENT);
        // Evenly, so that each has room to make up for what it missed.
        let share = millipercent.checked_div(threads).unwrap_or(0);
        self.stop_beyond(usize::try_from(threads).unwrap_or(usize::MAX));
        for worker in &self.workers {
            worker.order.millipercent.store(share, Relaxed);
        }
        while (self.workers.len() as u64) < threads {
            self.workers.push(Worker::start(share, number, Arc::clone(gauge))?);
        }
        gauge.held.store(millipercent, Relaxed);
        Ok(())
    }

    fn stop_beyond(&mut self, threads: usize) {
        let stopped = self.workers.split_off(threads.min(self.workers.len()));
        // All are told before any is waited for.
        stopped.iter().for_each(Worker::tell_to_stop);
    }
}

impl Worker {
    fn start(millipercent: u64, number: Option<Number>, gauge: Arc<Gauge>) -> Result<Self, HoldError> {
        let order = Arc::new(Order { stop: AtomicBool::new(false), millipercent: AtomicU64::new(millipercent) });
        let told = Arc::clone(&order);
        let run = move || keep_busy(&told, &gauge, number);
        let thread = std::thread::Builder::new().name("cpu-load".to_owned()).spawn(run).map_err(HoldError::Thread)?;
        Ok(Self { order, thread: Some(thread) })
    }

    fn tell_to_stop(&self) {
        self.order.stop.store(true, Relaxed);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.tell_to_stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Processor time of this thread, in nanoseconds.
fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

fn keep_busy(order: &Order, gauge: &Gauge, number: Option<Number>) {
    let mut factoring = number.map(Factoring::new);
    let mut value = 1;
    let mut used_ns = thread_cpu_ns();
    let mut period_began = Instant::now();
    // The first period is paid for at its beginning, all others for the one before: nothing is missing at the end.
    let mut passed = PERIOD;
    let mut owed_ns = 0.0;
    while !order.stop.load(Relaxed) {
        let share = order.millipercent.load(Relaxed) as f64 / CORE_MILLIPERCENT as f64;
        let most_ns = share * (PERIOD + ARREARS).as_nanos() as f64;
        owed_ns = (owed_ns + share * passed.as_nanos() as f64).min(most_ns);
        let period_ends = period_began + PERIOD;
        while owed_ns > 0.0 && Instant::now() < period_ends && !order.stop.load(Relaxed) {
            match &mut factoring {
                Some(factoring) => {
                    if factoring.go_on(ROUNDS / 10) {
                        gauge.is_factored.store(true, Relaxed);
                        gauge.factoring_ended.notify_one();
                        return;
                    }
                }
                None => value = arithmetic(value),
            }
            let now_ns = thread_cpu_ns();
            let spent_ns = now_ns.saturating_sub(used_ns);
            used_ns = now_ns;
            owed_ns -= spent_ns as f64;
            gauge.cpu_ns.fetch_add(spent_ns, Relaxed);
        }
        loop {
            let left = period_ends.saturating_duration_since(Instant::now());
            if left.is_zero() || order.stop.load(Relaxed) {
                break;
            }
            std::thread::park_timeout(left);
        }
        let now = Instant::now();
        passed = now - period_began;
        period_began = now;
    }
}

/// Some rounds of work that stays within the processor.
fn arithmetic(mut value: u64) -> u64 {
    for round in 0..ROUNDS / 10 {
        value = black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round | 1));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_held_and_ends_at_once() {
        // Shorter than the promise of ten seconds, and looser, since other tests run beside it.
        let gauge = Arc::new(Gauge::default());
        let mut cpu = Cpu::default();
        let begun = Instant::now();
        cpu.hold(50_000, None, &gauge).unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        let stopping = Instant::now();
        cpu.hold(0, None, &gauge).unwrap();
        assert!(stopping.elapsed() < Duration::from_millis(100), "{:?}", stopping.elapsed());
        let percent = gauge.cpu_ns.load(Relaxed) as f64 / begun.elapsed().as_nanos() as f64 * 100.0;
        assert!((35.0..58.0).contains(&percent), "{percent} %");
        assert!(cpu.workers.is_empty());
    }

    #[test]
    fn threads_follow_the_load_and_share_it_evenly() {
        let gauge = Arc::new(Gauge::default());
        let mut cpu = Cpu::default();
        for (millipercent, threads, share) in [(10_000, 1, 10_000), (150_000, 2, 75_000), (5_000, 1, 5_000), (0, 0, 0)]
        {
            cpu.hold(millipercent, None, &gauge).unwrap();
            assert_eq!((cpu.workers.len(), gauge.held.load(Relaxed)), (threads, millipercent));
            assert!(cpu.workers.iter().all(|worker| worker.order.millipercent.load(Relaxed) == share));
        }
    }

    #[test]
    fn a_number_that_is_soon_factored_is_factored_over_and_over() {
        let gauge = Arc::new(Gauge::default());
        let mut cpu = Cpu::default();
        cpu.hold(CORE_MILLIPERCENT, Some(Number { value: 4, is_repeated: true }), &gauge).unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while gauge.cpu_ns.load(Relaxed) < 50_000_000 && Instant::now() < until {
            std::thread::yield_now();
        }
        assert!(gauge.cpu_ns.load(Relaxed) >= 50_000_000);
    }

    #[test]
    fn a_number_that_was_set_ends_its_load_when_it_is_factored() {
        let gauge = Arc::new(Gauge::default());
        let mut cpu = Cpu::default();
        for _ in 0..2 {
            cpu.hold(CORE_MILLIPERCENT, Some(Number { value: 97, is_repeated: false }), &gauge).unwrap();
            let until = Instant::now() + Duration::from_secs(10);
            while !gauge.is_factored.load(Relaxed) && Instant::now() < until {
                std::thread::yield_now();
            }
            assert!(gauge.is_factored.load(Relaxed));
        }
        cpu.hold(CORE_MILLIPERCENT, None, &gauge).unwrap();
        assert!(!gauge.is_factored.load(Relaxed));
    }
}
