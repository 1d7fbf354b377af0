//! What a user has open under names, connections and subscriptions: read whenever the session is polled, whatever it
//! waits for.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::{Context, Poll};

use nuncius_bus::target::TargetSubscription;
use nuncius_clock::monotonic_ns;
use nuncius_schemas::track::TRACK_HEADER;

use super::shared::{ProtocolMeters, Shared};
use crate::in_flight::Iteration;
use crate::inbox::{Inbox, Traffic};
use crate::record::Recorder;
use crate::socket::Socket;
use crate::socketio::SocketIo;

/// A subscription, and what has come of it.
pub(super) struct Subscription {
    subscription: TargetSubscription,
    pub(super) inbox: Inbox,
    /// What its messages are counted under.
    track: Option<Arc<str>>,
    pub(super) has_ended: bool,
}

impl Subscription {
    pub(super) fn new(subscription: TargetSubscription, track: Option<Arc<str>>) -> Self {
        Self { subscription, inbox: Inbox::default(), track, has_ended: false }
    }

    /// Reads what is there. Whoever waits for a message is woken.
    pub(super) fn pump(&mut self, context: &mut Context<'_>, shared: &Shared) {
        while !self.has_ended {
            match self.subscription.poll_next(context) {
                Poll::Pending => break,
                Poll::Ready(None) => self.has_ended = true,
                Poll::Ready(Some(message)) => {
                    if let (Some(track), Some(header)) = (&self.track, message.headers.get(TRACK_HEADER)) {
                        shared.in_flight.record(|recorder| recorder.received_numbered(track, header));
                    }
                    self.inbox.push(message.payload, false, message.headers);
                }
            }
        }
        if self.has_ended || !self.inbox.is_empty() {
            self.inbox.wake(context);
        }
    }
}

/// What is kept under a name: its number in the program, and the step that opened it, where all counts that comes while
/// nobody waits.
struct Named<T> {
    name: u16,
    step: u16,
    open: T,
}

fn find<T>(all: &mut [Named<T>], name: u16) -> Option<&mut T> {
    all.iter_mut().find(|named| named.name == name).map(|named| &mut named.open)
}

fn take<T>(all: &mut Vec<Named<T>>, name: u16) -> Option<T> {
    let at = all.iter().position(|named| named.name == name)?;
    Some(all.swap_remove(at).open)
}

/// What a user has open.
#[derive(Default)]
pub(super) struct Channels {
    sockets: RefCell<Vec<Named<Socket>>>,
    socketio: RefCell<Vec<Named<SocketIo>>>,
    subscriptions: RefCell<Vec<Named<Subscription>>>,
}

impl std::fmt::Debug for Channels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sockets, subscriptions) = (self.sockets.borrow().len(), self.subscriptions.borrow().len());
        let socketio = self.socketio.borrow().len();
        f.debug_struct("Channels")
            .field("sockets", &sockets)
            .field("socketio", &socketio)
            .field("subscriptions", &subscriptions)
            .finish()
    }
}

impl Channels {
    pub(super) fn is_empty(&self) -> bool {
        self.sockets.borrow().is_empty() && self.socketio.borrow().is_empty() && self.subscriptions.borrow().is_empty()
    }

    /// Keeps a connection under a name; the one that had it before is given back.
    pub(super) fn put_socket(&self, name: u16, step: u16, socket: Socket) -> Option<Socket> {
        let before = self.take_socket(name);
        self.sockets.borrow_mut().push(Named { name, step, open: socket });
        before
    }

    /// The connection of a name, open no longer.
    pub(super) fn take_socket(&self, name: u16) -> Option<Socket> {
        take(&mut self.sockets.borrow_mut(), name)
    }

    /// Something with the connection of a name; `None` where there is none.
    pub(super) fn with_socket<T>(&self, name: u16, with: impl FnOnce(&mut Socket) -> T) -> Option<T> {
        find(&mut self.sockets.borrow_mut(), name).map(with)
    }

    /// Keeps a connection of Socket.IO under a name; the one that had it before is given back.
    pub(super) fn put_socketio(&self, name: u16, step: u16, io: SocketIo) -> Option<SocketIo> {
        let before = self.take_socketio(name);
        self.socketio.borrow_mut().push(Named { name, step, open: io });
        before
    }

    /// The connection of Socket.IO of a name, open no longer.
    pub(super) fn take_socketio(&self, name: u16) -> Option<SocketIo> {
        take(&mut self.socketio.borrow_mut(), name)
    }

    /// Something with the connection of Socket.IO of a name; `None` where there is none.
    pub(super) fn with_socketio<T>(&self, name: u16, with: impl FnOnce(&mut SocketIo) -> T) -> Option<T> {
        find(&mut self.socketio.borrow_mut(), name).map(with)
    }

    /// Keeps a subscription under a name; the one that had it before ends.
    pub(super) fn put_subscription(&self, name: u16, step: u16, subscription: Subscription) {
        let mut all = self.subscriptions.borrow_mut();
        take(&mut all, name);
        all.push(Named { name, step, open: subscription });
    }

    /// Something with the subscription of a name; `None` where there is none.
    pub(super) fn with_subscription<T>(&self, name: u16, with: impl FnOnce(&mut Subscription) -> T) -> Option<T> {
        find(&mut self.subscriptions.borrow_mut(), name).map(with)
    }

    /// Reads what is there, of all of them.
    pub(super) fn pump(&self, context: &mut Context<'_>, shared: &Shared, iteration: Iteration, body_max_bytes: usize) {
        for Named { step, open: socket, .. } in self.sockets.borrow_mut().iter_mut() {
            socket.pump(context, body_max_bytes);
            count_received(shared, iteration, (*step, &shared.meters.ws), socket.inbox.take_received());
        }
        for Named { step, open: io, .. } in self.socketio.borrow_mut().iter_mut() {
            io.pump(context, body_max_bytes);
            count_received(shared, iteration, (*step, &shared.meters.socketio), io.take_received());
        }
        for Named { step, open: subscription, .. } in self.subscriptions.borrow_mut().iter_mut() {
            subscription.pump(context, shared);
            count_received(shared, iteration, (*step, &shared.meters.nats), subscription.inbox.take_received());
        }
    }

    /// The iteration is over, and what it has open with it.
    pub(super) fn part(&self, shared: &Shared, iteration: Iteration) {
        for Named { step, open: mut socket, .. } in self.sockets.take() {
            count_received(shared, iteration, (step, &shared.meters.ws), socket.inbox.take_received());
            parted(shared, iteration, socket);
        }
        for Named { step, open: mut io, .. } in self.socketio.take() {
            count_received(shared, iteration, (step, &shared.meters.socketio), io.take_received());
            io_parted(shared, iteration, io);
        }
        for Named { step, open: mut subscription, .. } in self.subscriptions.take() {
            count_received(shared, iteration, (step, &shared.meters.nats), subscription.inbox.take_received());
        }
    }
}

/// Messages were received at a step.
pub(super) fn count_received(
    shared: &Shared,
    iteration: Iteration,
    (step, meters): (u16, &ProtocolMeters),
    received: Traffic,
) {
    if received == Traffic::default() {
        return;
    }
    shared.in_flight.count(iteration, step, |recorder, place| recorder.read(place, received.bytes));
    add(shared, iteration, meters.received, received.messages);
}

/// A connection is closed by whoever has opened it.
pub(super) fn parted(shared: &Shared, iteration: Iteration, socket: Socket) {
    let lasted_ns = monotonic_ns().saturating_sub(socket.opened_ns);
    add(shared, iteration, shared.meters.ws.duration, lasted_ns);
    socket.part();
}

/// A connection of Socket.IO is closed by whoever has opened it.
pub(super) fn io_parted(shared: &Shared, iteration: Iteration, io: SocketIo) {
    let lasted_ns = monotonic_ns().saturating_sub(io.opened_ns);
    add(shared, iteration, shared.meters.socketio.duration, lasted_ns);
    io.part();
}

/// Adds to a meter of a protocol; what begins in the warm-up adds to none.
pub(super) fn add(shared: &Shared, iteration: Iteration, meter: Option<usize>, value: u64) {
    if let Some(meter) = meter.filter(|_| !shared.in_flight.is_warm_up(iteration)) {
        shared.in_flight.record(|recorder: &mut Recorder| recorder.meter(meter, value));
    }
}
