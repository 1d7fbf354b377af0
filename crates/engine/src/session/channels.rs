//! What a user has open under names, connections and subscriptions: read whenever the session is polled, whatever it
//! waits for.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::{Context, Poll};

use nuncius_bus::target::TargetSubscription;
use nuncius_schemas::track::TRACK_HEADER;

use crate::inbox::{Inbox, Traffic};
use crate::socket::Socket;
use crate::socketio::SocketIo;

/// What a user has open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Ws,
    SocketIo,
    Nats,
}

/// A subscription, and what has come of it.
pub(super) struct Subscription {
    subscription: TargetSubscription,
    pub(super) inbox: Inbox,
    /// What its messages are counted under.
    track: Option<Arc<str>>,
    /// It was not read to the end of what is there: nothing tells when there is more.
    is_unread: bool,
    pub(super) has_ended: bool,
}

impl Subscription {
    pub(super) fn new(subscription: TargetSubscription, track: Option<Arc<str>>) -> Self {
        Self { subscription, inbox: Inbox::default(), track, is_unread: true, has_ended: false }
    }

    /// Reads what is there, for somebody who waits for it. Whoever else does is woken.
    pub(super) fn pump(&mut self, context: &mut Context<'_>, numbered: &mut dyn FnMut(&Arc<str>, &str)) {
        self.read(context, numbered);
        if self.has_ended || !self.inbox.is_empty() {
            self.inbox.wake(context);
        }
    }

    /// Reads what is there, where nobody who was polled has done so.
    fn pump_unread(&mut self, context: &mut Context<'_>, numbered: &mut dyn FnMut(&Arc<str>, &str)) {
        if !self.is_unread {
            return;
        }
        self.read(context, numbered);
        if self.has_ended || !self.inbox.is_empty() {
            self.inbox.wake_again();
        }
    }

    fn read(&mut self, context: &mut Context<'_>, numbered: &mut dyn FnMut(&Arc<str>, &str)) {
        while !self.has_ended && self.inbox.has_room() {
            match self.subscription.poll_next(context) {
                Poll::Pending => {
                    self.is_unread = false;
                    break;
                }
                Poll::Ready(None) => self.has_ended = true,
                Poll::Ready(Some(message)) => {
                    if let (Some(track), Some(header)) = (&self.track, message.headers.get(TRACK_HEADER)) {
                        numbered(track, header);
                    }
                    self.inbox.push(message.payload, false, message.headers);
                }
            }
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

/// What was kept under a name, and is no longer: what came on it and was not counted yet counts at its step.
pub(super) struct Gone<T> {
    pub(super) step: u16,
    pub(super) open: T,
}

/// All that was open.
pub(super) struct AllGone {
    pub(super) sockets: Vec<Gone<Socket>>,
    pub(super) socketio: Vec<Gone<SocketIo>>,
    pub(super) subscriptions: Vec<Gone<Subscription>>,
}

fn take<T>(all: &mut Vec<Named<T>>, name: u16) -> Option<Gone<T>> {
    let at = all.iter().position(|named| named.name == name)?;
    Some(all.swap_remove(at).into())
}

impl<T> From<Named<T>> for Gone<T> {
    fn from(Named { step, open, .. }: Named<T>) -> Self {
        Self { step, open }
    }
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
    pub(super) fn put_socket(&self, name: u16, step: u16, socket: Socket) -> Option<Gone<Socket>> {
        let before = self.take_socket(name);
        self.sockets.borrow_mut().push(Named { name, step, open: socket });
        before
    }

    /// The connection of a name, open no longer.
    pub(super) fn take_socket(&self, name: u16) -> Option<Gone<Socket>> {
        take(&mut self.sockets.borrow_mut(), name)
    }

    /// Something with the connection of a name; `None` where there is none.
    pub(super) fn with_socket<T>(&self, name: u16, with: impl FnOnce(&mut Socket) -> T) -> Option<T> {
        find(&mut self.sockets.borrow_mut(), name).map(with)
    }

    /// Keeps a connection of Socket.IO under a name; the one that had it before is given back.
    pub(super) fn put_socketio(&self, name: u16, step: u16, io: SocketIo) -> Option<Gone<SocketIo>> {
        let before = self.take_socketio(name);
        self.socketio.borrow_mut().push(Named { name, step, open: io });
        before
    }

    /// The connection of Socket.IO of a name, open no longer.
    pub(super) fn take_socketio(&self, name: u16) -> Option<Gone<SocketIo>> {
        take(&mut self.socketio.borrow_mut(), name)
    }

    /// Something with the connection of Socket.IO of a name; `None` where there is none.
    pub(super) fn with_socketio<T>(&self, name: u16, with: impl FnOnce(&mut SocketIo) -> T) -> Option<T> {
        find(&mut self.socketio.borrow_mut(), name).map(with)
    }

    /// Keeps a subscription under a name; the one that had it before is given back.
    pub(super) fn put_subscription(
        &self,
        name: u16,
        step: u16,
        subscription: Subscription,
    ) -> Option<Gone<Subscription>> {
        let mut all = self.subscriptions.borrow_mut();
        let before = take(&mut all, name);
        all.push(Named { name, step, open: subscription });
        before
    }

    /// Something with the subscription of a name; `None` where there is none.
    pub(super) fn with_subscription<T>(&self, name: u16, with: impl FnOnce(&mut Subscription) -> T) -> Option<T> {
        find(&mut self.subscriptions.borrow_mut(), name).map(with)
    }

    /// Their session is about to be polled: what is there is read by whoever waits for it, or else by
    /// [`Channels::pump`] after it. Connections of Socket.IO are read now: they have more to do than to be read.
    pub(super) fn stir(&self, context: &mut Context<'_>, body_max_bytes: usize) {
        self.sockets.borrow_mut().iter_mut().for_each(|named| named.open.stir());
        self.socketio.borrow_mut().iter_mut().for_each(|named| named.open.pump(context, body_max_bytes));
        self.subscriptions.borrow_mut().iter_mut().for_each(|named| named.open.is_unread = true);
    }

    /// Reads what is there and was not read yet, of all of them: what came is told with its protocol and its step, and
    /// the headers of those that are numbered with their track.
    pub(super) fn pump(
        &self,
        context: &mut Context<'_>,
        body_max_bytes: usize,
        came: &mut dyn FnMut(Protocol, u16, Traffic),
        numbered: &mut dyn FnMut(&Arc<str>, &str),
    ) {
        for Named { step, open: socket, .. } in self.sockets.borrow_mut().iter_mut() {
            socket.pump_unread(context, body_max_bytes);
            came(Protocol::Ws, *step, socket.inbox.take_received());
        }
        for Named { step, open: io, .. } in self.socketio.borrow_mut().iter_mut() {
            came(Protocol::SocketIo, *step, io.take_received());
        }
        for Named { step, open: subscription, .. } in self.subscriptions.borrow_mut().iter_mut() {
            subscription.pump_unread(context, numbered);
            came(Protocol::Nats, *step, subscription.inbox.take_received());
        }
    }

    /// What is open still, open no longer.
    pub(super) fn take_all(&self) -> AllGone {
        fn gone<T>(all: &RefCell<Vec<Named<T>>>) -> Vec<Gone<T>> {
            all.take().into_iter().map(Gone::from).collect()
        }
        AllGone {
            sockets: gone(&self.sockets),
            socketio: gone(&self.socketio),
            subscriptions: gone(&self.subscriptions),
        }
    }
}

/// Somebody takes messages one by one, until this is dropped: none is passed over meanwhile.
pub(super) struct Taking<F: Fn(bool) -> Option<()>>(F);

impl<F: Fn(bool) -> Option<()>> Taking<F> {
    pub(super) fn begin(expect: F) -> Self {
        expect(true);
        Self(expect)
    }
}

impl<F: Fn(bool) -> Option<()>> Drop for Taking<F> {
    fn drop(&mut self) {
        (self.0)(false);
    }
}
