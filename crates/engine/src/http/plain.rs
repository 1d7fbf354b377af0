//! The plain engine: HTTP/1.1 without TLS on an epoll loop of its own. In steady state a request costs one write, one
//! read, its share of a wait, two readings of the clock and no allocation.
//!
//! Answers are read into one buffer of the thread; a connection has a buffer only while a head comes in pieces or the
//! socket has no room for a request. The thread never spins: it sleeps until something comes or the next planned
//! instant, where arrivals are dense a little longer ([`Pace::wake_ns`]).

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nuncius_clock::monotonic_ns;
use nuncius_schemas::fault::GeneratorFault;
use nuncius_schemas::metric::FailureKind;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::failure::Failure;
use crate::http::response::{Progress, ResponseReader};
use crate::http::reuse::{self, Reuse};
use crate::pace::Pace;
use crate::plan::{Followed, GroupPlan, HttpPlan, Picker, TRACEPARENT_BYTES, write_traceparent};
use crate::record::Recorder;
use crate::sequencer::{Iteration, Sequencer};
use crate::wake::Waker;

mod connection;
mod route;
mod timeouts;
mod turn;

use connection::{Connection, Key, Slab, State, Tries, connections_max};

/// Size of the one buffer for answers.
const READ_BYTES: usize = 64 * 1024;
/// Most events taken at once.
const EVENTS: usize = 256;
/// Most connections opened for arrivals before it is looked whether answers have freed some.
const OPENINGS: usize = 4;
/// What the waker is known by; no connection ever has this key.
const WAKER: u64 = u64::MAX;

/// Whether this system can wait with nanosecond timeouts; where it cannot the general engine serves.
pub(crate) fn is_available() -> bool {
    let Ok(epoll) = epoll::create(epoll::CreateFlags::CLOEXEC) else { return false };
    let mut events = Vec::with_capacity(1);
    epoll::wait(&epoll, spare_capacity(&mut events), Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok()
}

/// Runs a thread's share to the end.
pub(crate) fn run(pace: Pace, recorder: Recorder, plan: Arc<GroupPlan>, waker: Arc<Waker>, ahead: usize) {
    let epoll = match make_epoll(&waker) {
        Ok(epoll) => epoll,
        Err(error) => {
            return pace.close_broken(recorder, "make an epoll instance", &error, monotonic_ns());
        }
    };
    let sequencer = Sequencer::new(pace, recorder, plan.sequence());
    let mut engine = PlainEngine::new(sequencer, plan, epoll, waker);
    engine.number_hosts();
    engine.preconnect(ahead);
    engine.run();
}

fn make_epoll(waker: &Waker) -> std::io::Result<OwnedFd> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, waker, epoll::EventData::new_u64(WAKER), epoll::EventFlags::IN)?;
    Ok(epoll)
}

/// The state of one thread.
struct PlainEngine {
    sequencer: Sequencer,
    plan: Arc<GroupPlan>,
    epoll: OwnedFd,
    waker: Arc<Waker>,
    connections: Slab,
    upstream: Followed,
    /// Of each host, what its exchanges are told under.
    numbers: Vec<u16>,
    /// Idle connections of each host; the one used last is used first.
    idle: Vec<Vec<Key>>,
    connections_max: usize,
    /// Of each host.
    reuse: Vec<Reuse>,
    is_per_request: bool,
    picker: Picker,
    /// When timeouts must be looked for; never when nothing is under way.
    timeout_due_ns: u64,
    /// A request that carries its own `traceparent`.
    sampled: Vec<u8>,
    /// Iterations that wait for the cap on the rate, each with the host of its next request; the one that came first is
    /// let through first.
    held: VecDeque<(usize, Iteration)>,
    /// When the first of them is looked at.
    held_due_ns: u64,
    /// Something is due that no connection was at rest for and none could be opened for yet.
    is_behind: bool,
}

impl PlainEngine {
    fn new(sequencer: Sequencer, plan: Arc<GroupPlan>, epoll: OwnedFd, waker: Arc<Waker>) -> Self {
        let in_flight_max = sequencer.pace.in_flight_max();
        let upstream = Followed::new(&plan.upstream);
        let hosts = upstream.hosts();
        Self {
            picker: plan.picker(sequencer.pace.first_shard()),
            idle: (0..hosts.len()).map(|_| Vec::new()).collect(),
            reuse: vec![Reuse::default(); hosts.len()],
            is_per_request: Self::http(&plan).is_some_and(|http| http.per_request),
            connections_max: connections_max(hosts, in_flight_max),
            numbers: Vec::new(),
            upstream,
            sequencer,
            plan,
            epoll,
            waker,
            connections: Slab::default(),
            timeout_due_ns: u64::MAX,
            sampled: Vec::new(),
            held: VecDeque::new(),
            held_due_ns: u64::MAX,
            is_behind: false,
        }
    }

    /// Opens `count` connections ahead of need. That one fails is no error: nothing was planned yet.
    fn preconnect(&mut self, count: usize) {
        for _ in 0..count.min(self.connections_max) {
            let host = self.picker.next_ahead();
            self.open(host, None, Tries::default(), monotonic_ns());
        }
    }

    /// Runs to the end.
    fn run(mut self) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS);
        let mut buffer = vec![0u8; READ_BYTES];
        let mut now_ns = monotonic_ns();
        self.sequencer.poll(now_ns);
        let failure = loop {
            self.turn(now_ns, OPENINGS);
            if self.sequencer.pace.is_over() {
                break None;
            }
            events.clear();
            let timeout = self.sleep_until(now_ns);
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => break Some(format!("cannot wait for events: {error}")),
            }
            now_ns = monotonic_ns();
            for event in &events {
                // The structure is packed: its fields are copied, never borrowed.
                let (data, flags) = ({ event.data }.u64(), { event.flags });
                if data == WAKER {
                    self.waker.reset();
                    self.sequencer.poll(now_ns);
                } else {
                    now_ns = self.on_event(Key::from_u64(data), flags, &mut buffer, now_ns);
                }
                self.turn(now_ns, 0);
            }
        };
        let now_ns = monotonic_ns();
        let open: Vec<Iteration> = self.connections.iter().filter_map(|(_, connection)| connection.iteration).collect();
        let held = std::mem::take(&mut self.held).into_iter().map(|(_, iteration)| iteration);
        for iteration in open.into_iter().chain(held) {
            self.sequencer.censor(iteration, now_ns);
        }
        self.sequencer.close(failure, now_ns);
    }

    #[inline]
    fn http(plan: &GroupPlan) -> Option<&HttpPlan> {
        match &plan.action {
            crate::plan::Action::Http(http) => Some(http),
            crate::plan::Action::Amqp(_)
            | crate::plan::Action::Queue(_)
            | crate::plan::Action::Servo(_)
            | crate::plan::Action::Session(_) => None,
        }
    }

    /// Opens a connection to the host's next address that has not been tried; without one the iteration fails.
    fn open(&mut self, host: usize, iteration: Option<Iteration>, tries: Tries, now_ns: u64) {
        let mut tries = tries;
        while let Some(address) = self.upstream.hosts().get(host).and_then(|host| host.attempt(tries.count())) {
            match self.begin_connect(address, now_ns) {
                Ok((socket, timer_ns)) => {
                    self.connections.insert(Connection {
                        socket,
                        address,
                        host,
                        state: State::Connecting,
                        iteration,
                        tries,
                        reader: ResponseReader::new(),
                        timer_ns,
                        is_reused: false,
                        served: 0,
                        idle_until_ns: u64::MAX,
                        request_bytes: 0,
                        has_answer: false,
                        unsent: Vec::new(),
                    });
                    return;
                }
                Err(error) => tries.failed(address, error),
            }
        }
        if let Some(iteration) = iteration {
            self.sequencer.ended(iteration, tries.into(), now_ns);
        }
    }

    fn begin_connect(&mut self, address: SocketAddr, now_ns: u64) -> std::io::Result<(TcpStream, u64)> {
        let socket = connection::connect(address)?;
        let key = self.connections.next_key();
        let data = epoll::EventData::new_u64(key.to_u64());
        epoll::add(&self.epoll, &socket, data, epoll::EventFlags::OUT)?;
        Ok((socket, self.arm(now_ns)))
    }

    /// Returns a later reading of the clock if one was taken.
    #[inline]
    fn on_event(&mut self, key: Key, flags: epoll::EventFlags, buffer: &mut [u8], now_ns: u64) -> u64 {
        let Some(connection) = self.connections.get_mut(key) else { return now_ns };
        match connection.state {
            State::Busy => {
                if flags.contains(epoll::EventFlags::OUT) {
                    self.flush(key, now_ns);
                }
                if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                    return self.read_answer(key, buffer, now_ns);
                }
            }
            State::Connecting => {
                // Many may be accepted at once; each is written to at a reading of its own.
                let now_ns = monotonic_ns();
                self.connected(key, now_ns);
                return now_ns;
            }
            // The peer has closed it, or says what it was not asked.
            State::Idle => {
                let host = connection.host;
                if let Some(idle) = self.idle.get_mut(host) {
                    idle.retain(|known| *known != key);
                }
                self.connections.remove(key);
            }
        }
        now_ns
    }

    fn connected(&mut self, key: Key, now_ns: u64) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let data = epoll::EventData::new_u64(key.to_u64());
        let error = match connection.socket.take_error() {
            Ok(None) => epoll::modify(&self.epoll, &connection.socket, data, epoll::EventFlags::IN)
                .map_err(std::io::Error::from)
                .err(),
            Ok(Some(error)) | Err(error) => Some(error),
        };
        if let Some(error) = error {
            let Some(mut connection) = self.connections.remove(key) else { return };
            connection.tries.failed(connection.address, error);
            return self.open(connection.host, connection.iteration, connection.tries, now_ns);
        }
        if let Some(host) = self.upstream.hosts().get(connection.host).filter(|host| host.len() > 1) {
            host.prefer(connection.address);
        }
        if connection.iteration.is_some() {
            self.write_request(key, now_ns);
        } else {
            self.rest(key, now_ns);
        }
    }

    /// The connection is free.
    #[inline]
    fn rest(&mut self, key: Key, now_ns: u64) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.state = State::Idle;
        connection.iteration = None;
        connection.reader.shrink();
        connection.idle_until_ns = match connection.reader.idle_seconds() {
            Some(seconds) if connection.served > 0 => {
                now_ns.saturating_add(u64::from(seconds).saturating_mul(1_000_000_000))
            }
            _ => u64::MAX,
        };
        if !self.upstream.hosts().is_used(connection.host) {
            drop(self.connections.remove(key));
        } else if let Some(idle) = self.idle.get_mut(connection.host) {
            idle.push(key);
        }
    }

    #[inline]
    fn write_request(&mut self, key: Key, now_ns: u64) {
        let timer_ns = self.arm(now_ns);
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(iteration) = &mut connection.iteration else { return };
        let step = usize::from(iteration.exchange.step);
        let Some(request) = Self::http(&self.plan).and_then(|http| http.requests.get(step)) else { return };
        let bytes: &[u8] = if iteration.exchange.is_sampled {
            let (trace_id, span_id) = self.sequencer.recorder.identifiers(&iteration.exchange);
            self.sampled.clear();
            self.sampled.extend_from_slice(&request.sampled);
            if let Some(value) = self.sampled.get_mut(request.trace_at..request.trace_at + TRACEPARENT_BYTES) {
                write_traceparent(value, trace_id, span_id);
            }
            &self.sampled
        } else {
            &request.plain
        };
        iteration.exchange.host = self.numbers.get(connection.host).copied().unwrap_or(0);
        self.sequencer.sent(iteration, now_ns);
        connection.state = State::Busy;
        connection.timer_ns = timer_ns;
        connection.has_answer = false;
        connection.request_bytes = bytes.len();
        connection.reader.reset(request.is_head);
        connection.unsent.clear();
        let written = match connection.socket.write(bytes) {
            Ok(written) => written,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(error) => return self.broken(key, true, Some(&error), now_ns),
        };
        self.sequencer.recorder.written(iteration.exchange.place, written as u64);
        if written < bytes.len() {
            connection.unsent.extend_from_slice(bytes.get(written..).unwrap_or_default());
            let data = epoll::EventData::new_u64(key.to_u64());
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT;
            if let Err(error) = epoll::modify(&self.epoll, &connection.socket, data, flags) {
                self.broken(key, false, Some(&error.into()), now_ns);
            }
        }
    }

    fn flush(&mut self, key: Key, now_ns: u64) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !connection.unsent.is_empty() {
            match connection.socket.write(&connection.unsent) {
                Ok(written) => {
                    drop(connection.unsent.drain(..written));
                    if let Some(iteration) = &connection.iteration {
                        self.sequencer.recorder.written(iteration.exchange.place, written as u64);
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
                // Its answer, if there is one, says why.
                Err(_) => connection.unsent.clear(),
            }
        }
        if connection.unsent.is_empty() {
            connection.unsent = Vec::new();
            let data = epoll::EventData::new_u64(key.to_u64());
            if let Err(error) = epoll::modify(&self.epoll, &connection.socket, data, epoll::EventFlags::IN) {
                self.broken(key, false, Some(&error.into()), now_ns);
            }
        }
    }

    fn read_answer(&mut self, key: Key, buffer: &mut [u8], now_ns: u64) -> u64 {
        let mut now_ns = now_ns;
        loop {
            let Some(connection) = self.connections.get_mut(key) else { return now_ns };
            let read = match connection.socket.read(buffer) {
                Ok(0) => {
                    now_ns = monotonic_ns();
                    if connection.has_answer && connection.reader.close() {
                        self.complete(key, false, now_ns);
                    } else {
                        self.broken(key, false, None, now_ns);
                    }
                    return now_ns;
                }
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return now_ns,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    now_ns = monotonic_ns();
                    self.broken(key, false, Some(&error), now_ns);
                    return now_ns;
                }
            };
            now_ns = monotonic_ns();
            connection.has_answer = true;
            if let Some(iteration) = &connection.iteration {
                self.sequencer.recorder.read(iteration.exchange.place, read as u64);
            }
            let bytes = buffer.get(..read).unwrap_or_default();
            match connection.reader.feed(bytes) {
                Ok(Progress::Partial) if read < buffer.len() => return now_ns,
                Ok(Progress::Partial) => {}
                Ok(Progress::Complete { consumed }) => {
                    // What follows an answer was not asked for; who has not taken the whole request may misread the
                    // next.
                    let keeps = connection.reader.keeps_alive() && consumed == read && connection.unsent.is_empty();
                    self.complete(key, keeps, now_ns);
                    return now_ns;
                }
                Err(error) => {
                    let Some(connection) = self.connections.remove(key) else { return now_ns };
                    if let Some(iteration) = connection.iteration {
                        let address = self.address(connection.host);
                        let sample = || format!("{address}: {error}");
                        self.sequencer.failed(iteration, FailureKind::Protocol, now_ns, sample);
                    }
                    return now_ns;
                }
            }
        }
    }

    #[inline]
    fn complete(&mut self, key: Key, keeps: bool, now_ns: u64) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(iteration) = connection.iteration.take() else { return };
        let (status, host) = (connection.reader.status(), connection.host);
        connection.served = connection.served.saturating_add(1);
        let reuse = self.reuse.get_mut(host);
        let is_allowed = reuse.is_some_and(|reuse| {
            reuse.answered(connection.served);
            reuse.allows(connection.served)
        });
        let keeps = keeps && is_allowed && !self.is_per_request;
        let request = Self::http(&self.plan).and_then(|http| http.requests.get(usize::from(iteration.exchange.step)));
        let expected = request.is_some_and(|request| request.expected.contains(status));
        let next = self.sequencer.answered(iteration, status, expected, now_ns);
        let next = next.and_then(|mut next| self.is_permitted(host, &mut next, now_ns).then_some(next));
        let Some(connection) = self.connections.get_mut(key) else { return };
        match (next, keeps) {
            (Some(next), true) => {
                connection.iteration = Some(next);
                connection.is_reused = true;
                self.write_request(key, now_ns);
            }
            (Some(next), false) => {
                self.connections.remove(key);
                self.open_for(host, next, now_ns);
            }
            (None, true) => self.rest(key, now_ns),
            (None, false) => drop(self.connections.remove(key)),
        }
    }

    /// The connection has failed under a request, with an error or because the peer has closed it; `is_unwritten` when
    /// none of it can have reached the peer.
    fn broken(&mut self, key: Key, is_unwritten: bool, error: Option<&std::io::Error>, now_ns: u64) {
        let Some(connection) = self.connections.remove(key) else { return };
        let Some(iteration) = connection.iteration else { return };
        let step = usize::from(iteration.exchange.step);
        let request = Self::http(&self.plan).and_then(|http| http.requests.get(step));
        let is_own = error.is_some_and(|error| GeneratorFault::of_error(error).is_some());
        // It was closed while it was idle, and our request met that on its way.
        if connection.is_reused && !connection.has_answer && !is_own {
            let is_unseen =
                is_unwritten || error.is_none() && reuse::is_unseen(&connection.socket, connection.request_bytes);
            // One that ends in order was read before: that says nothing of a limit.
            if let Some(reuse) = self.reuse.get_mut(connection.host).filter(|_| is_unseen || error.is_some()) {
                reuse.cut(connection.served);
            }
            if !iteration.is_resent && (is_unseen || request.is_some_and(|request| request.idempotent)) {
                self.sequencer.recorder.retried(iteration.exchange.place);
                let mut iteration = iteration;
                iteration.is_resent = true;
                if self.is_permitted(connection.host, &mut iteration, now_ns) {
                    self.open_for(connection.host, iteration, now_ns);
                }
                return;
            }
        }
        let address = self.address(connection.host);
        let failure = match error {
            Some(error) => Failure::of_error(FailureKind::Closed, address, error),
            None => {
                let sample = format!("{address}: closed by the peer before the answer was complete");
                Failure::Failed(FailureKind::Closed, sample)
            }
        };
        self.sequencer.ended(iteration, failure, now_ns);
    }
}
