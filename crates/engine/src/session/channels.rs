//! The connections that a user has open under names: read whenever the session is polled, whatever it waits for.

use std::cell::RefCell;
use std::task::Context;

use nuncius_clock::monotonic_ns;

use super::shared::{ChannelMeters, Shared};
use crate::in_flight::Iteration;
use crate::record::Recorder;
use crate::socket::{Socket, Traffic};

/// A connection.
pub(super) struct Channel {
    /// Number of its name in the program.
    name: u16,
    /// The step that opened it: what comes while nobody waits counts there.
    step: u16,
    pub(super) socket: Socket,
}

/// The connections of a user.
#[derive(Default)]
pub(super) struct Channels {
    open: RefCell<Vec<Channel>>,
}

impl std::fmt::Debug for Channels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channels").field("open", &self.open.borrow().len()).finish()
    }
}

impl Channels {
    pub(super) fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// Keeps a connection under a name; the one that had it before is given back.
    pub(super) fn put(&self, name: u16, step: u16, socket: Socket) -> Option<Socket> {
        let before = self.take(name);
        self.open.borrow_mut().push(Channel { name, step, socket });
        before
    }

    /// The connection of a name, open no longer.
    pub(super) fn take(&self, name: u16) -> Option<Socket> {
        let mut open = self.open.borrow_mut();
        let at = open.iter().position(|channel| channel.name == name)?;
        Some(open.swap_remove(at).socket)
    }

    /// Something with the connection of a name; `None` where there is none.
    pub(super) fn with<T>(&self, name: u16, with: impl FnOnce(&mut Socket) -> T) -> Option<T> {
        let mut open = self.open.borrow_mut();
        open.iter_mut().find(|channel| channel.name == name).map(|channel| with(&mut channel.socket))
    }

    /// Reads what is there, of all of them.
    pub(super) fn pump(&self, context: &mut Context<'_>, shared: &Shared, iteration: Iteration, body_max_bytes: usize) {
        for channel in self.open.borrow_mut().iter_mut() {
            channel.socket.pump(context, body_max_bytes);
            let received = channel.socket.take_received();
            if received != Traffic::default() {
                count_received(shared, iteration, channel.step, received);
            }
        }
    }

    /// The iteration is over, and its connections with it.
    pub(super) fn part(&self, shared: &Shared, iteration: Iteration) {
        for channel in self.open.take() {
            parted(shared, iteration, channel.socket);
        }
    }
}

/// Messages were received at a step.
fn count_received(shared: &Shared, iteration: Iteration, step: u16, received: Traffic) {
    shared.in_flight.count(iteration, step, |recorder, place| recorder.read(place, received.bytes));
    add(shared, iteration, |meters| meters.received, received.messages);
}

/// A connection is closed by whoever has opened it.
pub(super) fn parted(shared: &Shared, iteration: Iteration, socket: Socket) {
    let lasted_ns = monotonic_ns().saturating_sub(socket.opened_ns);
    add(shared, iteration, |meters| meters.duration, lasted_ns);
    socket.part();
}

/// Adds to a meter of the protocol; what begins in the warm-up adds to none.
pub(super) fn add(
    shared: &Shared,
    iteration: Iteration,
    meter: impl FnOnce(&ChannelMeters) -> Option<usize>,
    value: u64,
) {
    if let Some(meter) = meter(&shared.ws_meters).filter(|_| !shared.in_flight.is_warm_up(iteration)) {
        shared.in_flight.record(|recorder: &mut Recorder| recorder.meter(meter, value));
    }
}
