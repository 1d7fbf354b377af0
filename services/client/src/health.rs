//! How the generator itself fares: run-queue delay of its engine threads, cgroup throttling, memory, processor time.
//!
//! Everything is a difference between two readings, so a reading that is missing on a host (no cgroup, no schedstat)
//! counts as nothing rather than as an error.

use std::fs;
use std::path::PathBuf;

use nuncius_clock::{monotonic_ns, process_cpu_ns};
use nuncius_schemas::metric::Health;

/// Counters at one instant.
#[derive(Debug, Clone, Default)]
struct Reading {
    at_ns: u64,
    /// Of each engine thread that lives: time it ran, and time it waited for a processor.
    threads: Vec<(i32, Schedule)>,
    throttled_ns: u64,
    cpu_ns: u64,
}

/// Turns counters into what happened since the last look.
#[derive(Debug)]
pub(crate) struct HealthMeter {
    threads: Vec<i32>,
    throttle_file: Option<ThrottleFile>,
    last: Reading,
}

#[derive(Debug, Clone)]
struct ThrottleFile {
    path: PathBuf,
    key: &'static str,
    scale_to_ns: u64,
}

impl HealthMeter {
    /// Watches these threads, by their Linux ids.
    pub(crate) fn new(threads: Vec<i32>) -> Self {
        let throttle_file = find_throttle_file();
        let last = read(&threads, throttle_file.as_ref());
        Self { threads, throttle_file, last }
    }

    /// Watches more of them from now on.
    pub(crate) fn watch(&mut self, threads: Vec<i32>) {
        self.last.threads.extend(threads.iter().filter_map(|id| Some((*id, schedule_of(*id)?))));
        self.threads.extend(threads);
    }

    /// What happened since the last call; `late_ns` is how late the heartbeat was meanwhile.
    pub(crate) fn sample(&mut self, late_ns: u64) -> Health {
        let now = read(&self.threads, self.throttle_file.as_ref());
        let (mut run_delay_ns, mut busy_ns) = (0, 0);
        for (thread, schedule) in &now.threads {
            let Some((_, before)) = self.last.threads.iter().find(|(known, _)| known == thread) else { continue };
            run_delay_ns = schedule.waited_ns.saturating_sub(before.waited_ns).max(run_delay_ns);
            busy_ns = schedule.ran_ns.saturating_sub(before.ran_ns).max(busy_ns);
        }
        let health = Health {
            interval_ns: now.at_ns.saturating_sub(self.last.at_ns),
            run_delay_ns,
            throttled_ns: now.throttled_ns.saturating_sub(self.last.throttled_ns),
            cpu_ns: now.cpu_ns.saturating_sub(self.last.cpu_ns),
            resident_bytes: resident_bytes(),
            dropped_records: 0,
            slow_consumer: 0,
            heartbeat_late_ns: late_ns,
            busy_ns,
            faults: Vec::new(),
        };
        self.last = now;
        health
    }
}

fn read(threads: &[i32], throttle_file: Option<&ThrottleFile>) -> Reading {
    Reading {
        at_ns: monotonic_ns(),
        threads: threads.iter().filter_map(|id| Some((*id, schedule_of(*id)?))).collect(),
        throttled_ns: throttle_file.and_then(read_throttled_ns).unwrap_or(0),
        cpu_ns: process_cpu_ns(),
    }
}

/// The first two fields of a thread's schedstat.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    /// Time on a processor, in nanoseconds.
    ran_ns: u64,
    /// Time runnable and waiting for one, in nanoseconds.
    waited_ns: u64,
}

fn schedule_of(thread: i32) -> Option<Schedule> {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    let mut fields = text.split_ascii_whitespace().map(str::parse);
    Some(Schedule { ran_ns: fields.next()?.ok()?, waited_ns: fields.next()?.ok()? })
}

fn read_throttled_ns(file: &ThrottleFile) -> Option<u64> {
    let text = fs::read_to_string(&file.path).ok()?;
    let value: u64 = text.lines().find_map(|line| line.strip_prefix(file.key)?.trim().parse().ok())?;
    Some(value.saturating_mul(file.scale_to_ns))
}

/// The `cpu.stat` of this process's cgroup: version 2 first, then version 1's cpu controller.
fn find_throttle_file() -> Option<ThrottleFile> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut found = None;
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let path = path.trim_start_matches('/');
        if controllers.is_empty() {
            for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
                let file = PathBuf::from(root).join(path).join("cpu.stat");
                let throttle = ThrottleFile { path: file, key: "throttled_usec ", scale_to_ns: 1_000 };
                if read_throttled_ns(&throttle).is_some() {
                    found = found.or(Some(throttle));
                }
            }
        } else if controllers.split(',').any(|c| c == "cpu") {
            for root in ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"] {
                let file = PathBuf::from(root).join(path).join("cpu.stat");
                let throttle = ThrottleFile { path: file, key: "throttled_time ", scale_to_ns: 1 };
                if read_throttled_ns(&throttle).is_some() {
                    return Some(throttle);
                }
            }
        }
    }
    found
}

fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    pages.saturating_mul(rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_process_shows_processor_time_and_memory() {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        let mut meter = HealthMeter::new(vec![thread]);
        let mut x = 0u64;
        // Other tests of this process use other processors meanwhile, and the kernel tells of them in leaps.
        let begun = std::time::Instant::now();
        while meter.last.cpu_ns + 5_000_000 > process_cpu_ns() || begun.elapsed().as_millis() < 5 {
            x = x.wrapping_mul(31).wrapping_add(1);
        }
        let health = meter.sample(0);
        assert!(health.cpu_ns >= 5_000_000, "{health:?} {x}");
        assert!(health.interval_ns >= 4_000_000, "{health:?}");
        assert!(health.resident_bytes > 100_000);
        // The kernel brings a running thread's figure up to date at each tick of its own.
        assert!(health.busy_ns > 0 && health.busy_ns <= health.interval_ns + 1_000_000, "{health:?}");
    }
}
