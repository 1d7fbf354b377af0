//! Lanes, the line before them, and work that slows down in company.
//!
//! With n jobs running at once, each of them progresses at the speed 1 / (1 + alpha (n - 1) + beta n (n - 1)): the
//! universal scalability law, seen from one job. All running jobs are equally fast, so that one number brings all of
//! them up to date: the progress of a job that had run for ever. A job that starts at progress P with work W ends at P
//! + W.
//!
//! Progress is counted in units of 2^-64 ns, in integers: how often and when the owner looks changes nothing. There is
//! no clock here; instants are nanoseconds which the owner hands in, and which fit 64 bits for centuries.

use std::collections::{BTreeMap, VecDeque};

#[cfg(test)]
mod tests;

/// One nanosecond of progress.
const PROGRESS_PER_NS: u128 = 1 << 64;

/// A job that has ended, or was given up. It waited from its arrival to its start and ran from there to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended<T> {
    /// What the owner gave with it.
    pub tag: T,
    /// Its work: nanoseconds on a device of its own.
    pub work_ns: u64,
    /// When it came.
    pub arrived_ns: u64,
    /// When it got a lane; of one that was given up before, the same as its end.
    pub started_ns: u64,
    /// When it ended: the instant of the model, not that at which the owner looked.
    pub ended_ns: u64,
}

struct Job<T> {
    tag: T,
    work_ns: u64,
    arrived_ns: u64,
}

/// The device.
pub(crate) struct Model<T> {
    lanes: u32,
    queue: u32,
    alpha: f64,
    beta: f64,
    now_ns: u64,
    progress: u128,
    /// Progress per nanosecond of each running job.
    speed: u128,
    /// By the progress at which they end, then by the order of their starts; with the instant they started.
    running: BTreeMap<(u128, u64), (u64, Job<T>)>,
    waiting: VecDeque<Job<T>>,
    ended: VecDeque<Ended<T>>,
    starts: u64,
    finished: u64,
    busy_lane_ns: u128,
}

impl<T> Model<T> {
    /// An idle device at instant 0; at least one lane.
    pub(crate) fn new(lanes: u32, queue: u32, alpha: f64, beta: f64) -> Self {
        Self {
            lanes: lanes.max(1),
            queue,
            alpha,
            beta,
            now_ns: 0,
            progress: 0,
            speed: PROGRESS_PER_NS,
            running: BTreeMap::new(),
            waiting: VecDeque::new(),
            ended: VecDeque::new(),
            starts: 0,
            finished: 0,
            busy_lane_ns: 0,
        }
    }

    /// A job comes at `now_ns`: it gets a lane, or waits.
    ///
    /// # Errors
    /// Gives the tag back when as many wait as may.
    pub(crate) fn arrive(&mut self, now_ns: u64, work_ns: u64, tag: T) -> Result<(), T> {
        self.advance(now_ns);
        let job = Job { tag, work_ns, arrived_ns: self.now_ns };
        if self.running() < self.lanes {
            self.start(job);
            // Work of no time ends as it starts.
            self.advance(now_ns);
        } else if self.waiting() < self.queue {
            self.waiting.push_back(job);
        } else {
            return Err(job.tag);
        }
        Ok(())
    }

    /// Lets everything happen that happens until `now_ns`, each at its own instant. An earlier instant than the last
    /// one changes nothing.
    pub(crate) fn advance(&mut self, now_ns: u64) {
        while let Some(end_ns) = self.next_end_ns()
            && end_ns <= now_ns.max(self.now_ns)
        {
            self.pass(end_ns);
            self.end_first();
        }
        self.pass(now_ns);
    }

    /// When the next job ends if none comes before; none while nothing runs.
    pub(crate) fn next_end_ns(&self) -> Option<u64> {
        let (&(end, _), _) = self.running.first_key_value()?;
        let left_ns = end.saturating_sub(self.progress).div_ceil(self.speed);
        Some(self.now_ns.saturating_add(u64::try_from(left_ns).unwrap_or(u64::MAX)))
    }

    /// The next of those that have ended and were not fetched yet, in the order of their ends.
    pub(crate) fn next_ended(&mut self) -> Option<Ended<T>> {
        self.ended.pop_front()
    }

    /// Gives up at `now_ns` whatever runs and waits, in the order of starts and arrivals.
    pub(crate) fn abandon(&mut self, now_ns: u64) -> Vec<Ended<T>> {
        self.advance(now_ns);
        let ended_ns = self.now_ns;
        let mut running: Vec<_> = std::mem::take(&mut self.running).into_iter().collect();
        running.sort_by_key(|((_, start), _)| *start);
        let running = running.into_iter().map(|(_, job)| job);
        let waiting = std::mem::take(&mut self.waiting).into_iter().map(|job| (ended_ns, job));
        running.chain(waiting).map(|(started_ns, job)| job.end(started_ns, ended_ns)).collect()
    }

    /// Jobs that run.
    pub(crate) fn running(&self) -> u32 {
        // Never more than lanes.
        u32::try_from(self.running.len()).unwrap_or(u32::MAX)
    }

    /// Jobs that wait.
    pub(crate) fn waiting(&self) -> u32 {
        // Never more than the queue allows.
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// Jobs that were done.
    pub(crate) fn finished(&self) -> u64 {
        self.finished
    }

    /// Time that lanes were occupied, summed over the lanes.
    pub(crate) fn busy_lane_ns(&self) -> u128 {
        self.busy_lane_ns
    }

    fn start(&mut self, job: Job<T>) {
        let work = u128::from(job.work_ns).saturating_mul(PROGRESS_PER_NS);
        let end = self.progress.saturating_add(work);
        self.running.insert((end, self.starts), (self.now_ns, job));
        self.starts += 1;
        self.speed = self.speed_now();
    }

    fn end_first(&mut self) {
        let Some((_, (started_ns, job))) = self.running.pop_first() else { return };
        self.ended.push_back(job.end(started_ns, self.now_ns));
        self.finished += 1;
        match self.waiting.pop_front() {
            Some(job) => self.start(job),
            None => self.speed = self.speed_now(),
        }
    }

    /// Time passes and nothing happens.
    fn pass(&mut self, to_ns: u64) {
        let passed_ns = u128::from(to_ns.saturating_sub(self.now_ns));
        self.progress = self.progress.saturating_add(passed_ns.saturating_mul(self.speed));
        self.busy_lane_ns = self.busy_lane_ns.saturating_add(passed_ns.saturating_mul(u128::from(self.running())));
        self.now_ns = self.now_ns.max(to_ns);
    }

    fn speed_now(&self) -> u128 {
        let jobs = f64::from(self.running().max(1));
        let slowdown = 1.0 + self.alpha * (jobs - 1.0) + self.beta * jobs * (jobs - 1.0);
        // At least something, so that everything ends.
        ((PROGRESS_PER_NS as f64 / slowdown) as u128).max(1)
    }
}

impl<T> Job<T> {
    fn end(self, started_ns: u64, ended_ns: u64) -> Ended<T> {
        Ended { tag: self.tag, work_ns: self.work_ns, arrived_ns: self.arrived_ns, started_ns, ended_ns }
    }
}
