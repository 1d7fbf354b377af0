//! The baseline of the engine's bench: the least a load generator can do per request and still be one. A bare
//! single-thread epoll loop, httparse for the head, three histogram recordings and a reading of the clock per request;
//! no timeouts, no failures.
//!
//! - `bare_loop closed ADDRESS CONNECTIONS SECONDS`: as fast as it goes, as in `bare_loop closed 127.0.0.1:8080 50 10`.
//! - `bare_loop open ADDRESS CONNECTIONS SECONDS RATE`: a constant rate, and how late each request was taken from it.
//! - `bare_loop gaps SECONDS`: no load at all, a thread that reads the clock: how long the host took the processor
//!   away.
#![allow(clippy::print_stdout, reason = "it is a program")]

use nuncius_engine::monotonic_ns;
use nuncius_stats::Histogram;

mod closed;
mod connections;
mod open;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args_os().skip(1).filter_map(|text| text.into_string().ok()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["closed", address, connections, seconds] => closed::run(address, connections.parse()?, seconds.parse()?),
        ["open", address, connections, seconds, rate] => {
            open::run(address, connections.parse()?, seconds.parse()?, rate.parse()?)
        }
        ["gaps", seconds] => {
            gaps(seconds.parse()?);
            Ok(())
        }
        _ => Err("usage: bare_loop closed|open ADDRESS CONNECTIONS SECONDS [RATE], or bare_loop gaps SECONDS".into()),
    }
}

/// Reads the clock without a pause. What lies between two readings is some 30 ns, unless the host ran something else.
fn gaps(seconds: u64) {
    /// Shorter ones are interrupts, which every program has.
    const GAP_MIN_NS: u64 = 50_000;
    let start_ns = monotonic_ns();
    let end_ns = start_ns + seconds * 1_000_000_000;
    let (mut last_ns, mut stopped_ns, mut longest_ns, mut count) = (start_ns, 0, 0, 0u64);
    while last_ns < end_ns {
        let now_ns = monotonic_ns();
        let gap_ns = now_ns - last_ns;
        if gap_ns >= GAP_MIN_NS {
            stopped_ns += gap_ns;
            longest_ns = gap_ns.max(longest_ns);
            count += 1;
        }
        last_ns = now_ns;
    }
    println!(
        "gaps count={count} stopped_percent={:.4} longest_us={:.1}",
        stopped_ns as f64 * 100.0 / (last_ns - start_ns) as f64,
        longest_ns as f64 / 1e3
    );
}

/// Processor time of this process, user and system.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn microseconds(histogram: &Histogram, quantile: f64) -> f64 {
    histogram.quantile_ns(quantile).map_or(0.0, |ns| ns as f64 / 1e3)
}
