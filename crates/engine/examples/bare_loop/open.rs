//! A constant rate: what comes due is sent on a connection that is free, or waits for one.

use std::collections::VecDeque;
use std::io::Write;

use nuncius_engine::monotonic_ns;
use nuncius_stats::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::{Failure, connections, microseconds};

pub(crate) fn run(address: &str, count: usize, seconds: u64, rate: u64) -> Result<(), Failure> {
    let request = connections::request(address);
    let (epoll, mut sockets) = connections::open(address, count)?;
    let mut free: Vec<usize> = (0..sockets.len()).collect();
    let mut sent_at_ns = vec![0u64; sockets.len()];
    let mut waiting: VecDeque<u64> = VecDeque::new();
    let (mut lag, mut service, mut response) = (Histogram::default(), Histogram::default(), Histogram::default());
    let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
    let mut buffer = vec![0u8; 64 * 1024];
    let (mut next, mut answered, total) = (0u64, 0u64, rate * seconds);
    let start_ns = monotonic_ns() + 10_000_000;
    let planned = |index: u64| start_ns + (u128::from(index) * 1_000_000_000 / u128::from(rate)) as u64;
    let mut planned_of = vec![0u64; sockets.len()];
    let mut now_ns = monotonic_ns();
    while answered < total {
        while next < total && planned(next) <= now_ns {
            now_ns = monotonic_ns();
            lag.record_ns(now_ns - planned(next));
            waiting.push_back(planned(next));
            next += 1;
        }
        while !waiting.is_empty()
            && let Some(index) = free.pop()
            && let (Some(socket), Some(sent_ns), Some(plan_ns)) =
                (sockets.get_mut(index), sent_at_ns.get_mut(index), planned_of.get_mut(index))
        {
            (*sent_ns, *plan_ns) = (monotonic_ns(), waiting.pop_front().unwrap_or_default());
            socket.write_all(request.as_bytes())?;
        }
        now_ns = monotonic_ns();
        let wait_ns = if next < total { planned(next).saturating_sub(now_ns) } else { 100_000_000 };
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::try_from(wait_ns.min(100_000_000))? };
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), Some(&timeout))?;
        now_ns = monotonic_ns();
        for event in &events {
            let data = event.data;
            let index = usize::try_from(data.u64())?;
            let Some(socket) = sockets.get_mut(index) else { continue };
            connections::read_answer(socket, &mut buffer)?;
            let done_ns = monotonic_ns();
            service.record_ns(done_ns - sent_at_ns.get(index).copied().unwrap_or(done_ns));
            response.record_ns(done_ns - planned_of.get(index).copied().unwrap_or(done_ns));
            free.push(index);
            answered += 1;
        }
    }
    println!(
        "bare requests={answered} lag_p50_us={:.1} lag_p99_us={:.1} service_p50_us={:.1} response_p99_us={:.1}",
        microseconds(&lag, 0.5),
        microseconds(&lag, 0.99),
        microseconds(&service, 0.5),
        microseconds(&response, 0.99)
    );
    Ok(())
}
