//! As many requests as there are connections, always.

use std::io::Write;

use nuncius_engine::monotonic_ns;
use nuncius_stats::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::{Failure, connections, cpu_seconds};

pub(crate) fn run(address: &str, count: usize, seconds: u64) -> Result<(), Failure> {
    let request = connections::request(address);
    let (epoll, sockets) = connections::open(address, count)?;
    let mut sockets: Vec<_> = sockets.into_iter().map(|socket| (socket, 0u64)).collect();
    let mut histograms = [Histogram::default(), Histogram::default(), Histogram::default()];
    let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
    let mut buffer = vec![0u8; 64 * 1024];
    let (start_ns, mut requests) = (monotonic_ns(), 0u64);
    let end_ns = start_ns + seconds * 1_000_000_000;
    let cpu_before = cpu_seconds();
    for (socket, sent_ns) in &mut sockets {
        *sent_ns = monotonic_ns();
        socket.write_all(request.as_bytes())?;
    }
    let mut now_ns = start_ns;
    while now_ns < end_ns {
        events.clear();
        let timeout = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        epoll::wait(&epoll, spare_capacity(&mut events), Some(&timeout))?;
        now_ns = monotonic_ns();
        for event in &events {
            let data = event.data;
            let Some((socket, sent_ns)) = sockets.get_mut(usize::try_from(data.u64())?) else { continue };
            connections::read_answer(socket, &mut buffer)?;
            now_ns = monotonic_ns();
            for histogram in &mut histograms {
                histogram.record_ns(now_ns - *sent_ns);
            }
            requests += 1;
            *sent_ns = now_ns;
            socket.write_all(request.as_bytes())?;
        }
    }
    let cpu = cpu_seconds() - cpu_before;
    let elapsed = (monotonic_ns() - start_ns) as f64 / 1e9;
    println!(
        "bare requests={requests} seconds={elapsed:.3} rate={:.0} cpu_seconds={cpu:.3} requests_per_cpu_second={:.0}",
        requests as f64 / elapsed,
        requests as f64 / cpu
    );
    Ok(())
}
