//! The baseline of the engine's bench: the least a load generator can do per request and still be one. A bare single-thread epoll loop,
//! httparse for the head, three histogram recordings and one reading of the clock per request; no schedule, no timeouts, no failures.
//!
//! `bare_loop ADDRESS CONNECTIONS SECONDS`, as in `bare_loop 127.0.0.1:8080 50 10`.
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::io::{Read, Write};
use std::net::TcpStream;

use nuncius_engine::monotonic_ns;
use nuncius_stats::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, connections, seconds] = arguments.as_slice() else {
        return Err("usage: bare_loop ADDRESS CONNECTIONS SECONDS".into());
    };
    let (connections, seconds): (usize, u64) = (connections.parse()?, seconds.parse()?);
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut sockets = Vec::new();
    for index in 0..connections {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        epoll::add(&epoll, &socket, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
        sockets.push((socket, 0u64));
    }
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
            let read = socket.read(&mut buffer)?;
            now_ns = monotonic_ns();
            let mut fields = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut fields);
            let bytes = buffer.get(..read).unwrap_or_default();
            let httparse::Status::Complete(head) = response.parse(bytes)? else {
                return Err("the answer came in pieces, or the peer has closed: use a target with small answers".into());
            };
            let field = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
            let length: usize = std::str::from_utf8(field.ok_or("no content-length")?.value)?.parse()?;
            if head + length != read || response.code != Some(200) {
                return Err("not one small answer with status 200".into());
            }
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

/// Processor time of this process, user and system.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
