//! The clocks of a process: the monotonic one, the wall's, processor time; alarms of the kernel to wait for; and how a
//! wall clock elsewhere stands to a clock here.
//!
//! This crate is a leaf: it must never know what a time is wanted for, and never ask anybody else what time it is. How
//! the server's clock is measured is `nuncius-bus`'s.

mod alarm;
mod reading;

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_gettime};

pub use alarm::{Alarm, Counter, NEVER};
pub use reading::ClockReading;

const SECOND_NS: u64 = 1_000_000_000;

/// `CLOCK_MONOTONIC`, in nanoseconds.
#[inline]
pub fn monotonic_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// The wall clock, in nanoseconds since the Unix epoch; 0 where it is set to a time before.
pub fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The same in milliseconds.
pub fn unix_ms() -> u64 {
    unix_ns() / 1_000_000
}

/// Processor time of this thread, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::ThreadCPUTime))
}

/// Processor time of this process, all threads together, in nanoseconds.
pub fn process_cpu_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::ProcessCPUTime))
}

/// The kernel never gives a negative reading of these clocks.
#[inline]
const fn nanoseconds(time: Timespec) -> u64 {
    (time.tv_sec as u64).wrapping_mul(SECOND_NS).wrapping_add(time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_go_forward_and_count_nanoseconds() {
        let (monotonic, unix, cpu) = (monotonic_ns(), unix_ns(), thread_cpu_ns());
        let begun = std::time::Instant::now();
        while begun.elapsed().as_millis() < 20 {
            std::hint::spin_loop();
        }
        let passed_ns = monotonic_ns() - monotonic;
        assert!((20_000_000..20_000_000_000).contains(&passed_ns), "{passed_ns}");
        assert!(thread_cpu_ns() > cpu);
        assert!(process_cpu_ns() >= thread_cpu_ns());
        // 2020-01-01; nobody sets the clock back by years meanwhile.
        assert!(unix > 1_577_836_800 * SECOND_NS);
        assert!(unix_ms() >= unix / 1_000_000);
    }
}
