//! One connection of the plain engine, and the slab that all of a thread are kept in.

use std::net::{SocketAddr, TcpStream};

use nuncius_schemas::metric::FailureKind;
use socket2::{Domain, Protocol, Socket, Type};

use crate::connect::ConnectError;
use crate::failure::Failure;
use crate::http::response::ResponseReader;
use crate::plan::upstream::Hosts;
use crate::sequencer::Iteration;

/// Most connections of a thread. With several hosts the idle ones may be those of the wrong host.
pub(super) fn connections_max(hosts: &Hosts, in_flight_max: usize) -> usize {
    if hosts.len() > 1 { in_flight_max.saturating_mul(2) } else { in_flight_max }.max(1)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for the peer to accept; has an iteration unless it was opened ahead of need.
    Connecting,
    /// Open, nothing asked.
    Idle,
    /// A request is being written or its answer awaited.
    Busy,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    /// Whom it is to.
    pub(super) address: SocketAddr,
    pub(super) host: usize,
    pub(super) state: State,
    pub(super) iteration: Option<Iteration>,
    /// Other addresses of the host that were tried before this one.
    pub(super) tries: Tries,
    pub(super) reader: ResponseReader,
    /// When connecting or the request has taken too long.
    pub(super) timer_ns: u64,
    /// Was at rest, or gave an answer, before this request.
    pub(super) is_reused: bool,
    /// Answers it has given.
    pub(super) served: u32,
    /// When it is too old to be used again.
    pub(super) idle_until_ns: u64,
    /// Length of the request that is under way.
    pub(super) request_bytes: usize,
    /// Some of the answer has come.
    pub(super) has_answer: bool,
    /// What of the request the socket had no room for.
    pub(super) unsent: Vec<u8>,
}

/// Addresses of a host that could not be reached, with the reason for each; allocates nothing while there is none.
#[derive(Debug, Default)]
pub(super) struct Tries(Option<Box<ConnectError>>);

impl Tries {
    pub(super) fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |failed| failed.len())
    }

    pub(super) fn failed(&mut self, address: SocketAddr, error: std::io::Error) {
        self.0.get_or_insert_default().add(address, error);
    }
}

impl From<Tries> for Failure {
    fn from(tries: Tries) -> Self {
        tries.0.map_or_else(|| Self::new(FailureKind::Resolve, "no address"), |failed| Self::from(*failed))
    }
}

/// A socket on its way to `address`.
pub(super) fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Ok(()) => Ok(socket.into()),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => Ok(socket.into()),
        Err(error) => Err(error),
    }
}

/// Names a connection for the kernel: slot and generation, so that an event of a closed one is not taken for its
/// successor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl Key {
    pub(super) const fn to_u64(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    pub(super) const fn from_u64(bits: u64) -> Self {
        Self { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    connection: Option<Connection>,
}

/// All connections of a thread; slots are used again.
#[derive(Debug, Default)]
pub(super) struct Slab {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slab {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The key that the next [`Slab::insert`] will use.
    pub(super) fn next_key(&self) -> Key {
        match self.free.last() {
            Some(slot) => {
                Key { slot: *slot, generation: self.slots.get(*slot as usize).map_or(0, |slot| slot.generation) }
            }
            None => Key { slot: u32::try_from(self.slots.len()).unwrap_or(u32::MAX), generation: 0 },
        }
    }

    pub(super) fn insert(&mut self, connection: Connection) -> Key {
        let key = self.next_key();
        if self.free.pop().is_none() {
            self.slots.push(Slot::default());
        }
        if let Some(slot) = self.slots.get_mut(key.slot as usize) {
            slot.connection = Some(connection);
        }
        key
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Connection> {
        self.slots.get_mut(key.slot as usize).filter(|slot| slot.generation == key.generation)?.connection.as_mut()
    }

    /// Dropping what comes out closes the socket, and with it the kernel's interest.
    pub(super) fn remove(&mut self, key: Key) -> Option<Connection> {
        let slot = self.slots.get_mut(key.slot as usize).filter(|slot| slot.generation == key.generation)?;
        let connection = slot.connection.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.slot);
        Some(connection)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Connection)> + '_ {
        (0u32..).zip(&self.slots).filter_map(|(index, slot)| {
            let key = Key { slot: index, generation: slot.generation };
            slot.connection.as_ref().map(|connection| (key, connection))
        })
    }
}
