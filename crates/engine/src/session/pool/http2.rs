//! HTTP/2: exchanges share connections. One is filled as far as its server allows before another is opened.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::rc::Rc;

use tokio::sync::Notify;

use super::Key;
use crate::failure::Failure;
use crate::http::http2::Http2;

/// A connection, and how many exchanges are on it.
struct Shared {
    http2: Http2,
    streams: Cell<usize>,
    /// The server takes no more on it.
    is_leaving: Cell<bool>,
}

impl Shared {
    fn has_room(&self) -> bool {
        !self.is_leaving.get() && self.streams.get() < self.http2.streams_max() && self.http2.is_open()
    }

    fn is_over(&self) -> bool {
        self.streams.get() == 0 && (self.is_leaving.get() || !self.http2.is_open())
    }
}

/// One who opens a connection, and those who wait for it.
#[derive(Default)]
struct Opening {
    failure: OnceCell<Failure>,
}

/// What there is under one key.
#[derive(Default)]
struct Place {
    connections: RefCell<Vec<Rc<Shared>>>,
    opening: RefCell<Option<Rc<Opening>>>,
    /// A stream was given back, or a connection was opened or could not be.
    changed: Notify,
}

/// The connections of a thread.
pub(crate) struct Http2Pool {
    open_max: usize,
    open: Cell<usize>,
    places: RefCell<HashMap<Key, Rc<Place>>>,
}

/// Room for one exchange on a connection.
pub(crate) struct Stream<'p> {
    pool: &'p Http2Pool,
    place: Rc<Place>,
    shared: Rc<Shared>,
    /// Others have been on the connection before.
    pub(crate) is_reused: bool,
}

/// Ends an opening, whichever way its future ends.
struct Opener<'p> {
    pool: &'p Http2Pool,
    place: Rc<Place>,
    is_open: bool,
}

impl Drop for Opener<'_> {
    fn drop(&mut self) {
        *self.place.opening.borrow_mut() = None;
        if !self.is_open {
            self.pool.open.set(self.pool.open.get().saturating_sub(1));
            self.pool.wake_all();
        }
        self.place.changed.notify_waiters();
    }
}

impl Http2Pool {
    /// At most `open_max` connections at a time.
    pub(crate) fn new(open_max: usize) -> Self {
        Self { open_max: open_max.max(1), open: Cell::new(0), places: RefCell::new(HashMap::new()) }
    }

    /// Room for an exchange: on a connection that has some, else on one that `open` opens, else when there is any.
    /// Those who need a connection that is being opened already wait for it, and share its failure.
    ///
    /// # Errors
    /// That of `open`.
    pub(crate) async fn stream<F>(&self, key: Key, open: impl Fn() -> F) -> Result<Stream<'_>, Failure>
    where
        F: Future<Output = Result<Http2, Failure>>,
    {
        let place = Rc::clone(self.places.borrow_mut().entry(key).or_default());
        loop {
            if let Some(shared) = self.room(&place) {
                return Ok(self.take(place, shared, true));
            }
            let waited = place.opening.borrow().clone();
            if waited.is_none() && self.may_open() {
                return self.open(place, open()).await;
            }
            place.changed.notified().await;
            if let Some(failure) = waited.as_ref().and_then(|opening| opening.failure.get()) {
                return Err(failure.clone());
            }
        }
    }

    fn room(&self, place: &Place) -> Option<Rc<Shared>> {
        let mut connections = place.connections.borrow_mut();
        let before = connections.len();
        connections.retain(|shared| !shared.is_over());
        self.open.set(self.open.get().saturating_sub(before - connections.len()));
        connections.iter().find(|shared| shared.has_room()).cloned()
    }

    fn take(&self, place: Rc<Place>, shared: Rc<Shared>, is_reused: bool) -> Stream<'_> {
        shared.streams.set(shared.streams.get() + 1);
        Stream { pool: self, place, shared, is_reused }
    }

    /// Whether another connection may be opened; one elsewhere that nobody is on makes room for it.
    fn may_open(&self) -> bool {
        if self.open.get() < self.open_max {
            return true;
        }
        for place in self.places.borrow().values() {
            let mut connections = place.connections.borrow_mut();
            if let Some(index) = connections.iter().position(|shared| shared.streams.get() == 0) {
                connections.swap_remove(index);
                self.open.set(self.open.get().saturating_sub(1));
                return true;
            }
        }
        false
    }

    async fn open(
        &self,
        place: Rc<Place>,
        opened: impl Future<Output = Result<Http2, Failure>>,
    ) -> Result<Stream<'_>, Failure> {
        let opening = Rc::new(Opening::default());
        *place.opening.borrow_mut() = Some(Rc::clone(&opening));
        self.open.set(self.open.get() + 1);
        let mut opener = Opener { pool: self, place: Rc::clone(&place), is_open: false };
        match opened.await {
            Ok(http2) => {
                opener.is_open = true;
                let shared = Rc::new(Shared { http2, streams: Cell::new(0), is_leaving: Cell::new(false) });
                place.connections.borrow_mut().push(Rc::clone(&shared));
                Ok(self.take(place, shared, false))
            }
            Err(failure) => {
                // Nobody else has told one: the opening is this one's own.
                let _ = opening.failure.set(failure.clone());
                Err(failure)
            }
        }
    }

    /// There may be room for another connection.
    fn wake_all(&self) {
        for place in self.places.borrow().values() {
            place.changed.notify_one();
        }
    }

    /// Connections under these keys take no more exchanges, and are closed where nobody is on them.
    pub(crate) fn leave(&self, is_out: impl Fn(&Key) -> bool) {
        for (_, place) in self.places.borrow().iter().filter(|(key, _)| is_out(key)) {
            place.connections.borrow().iter().for_each(|shared| shared.is_leaving.set(true));
            self.room(place);
        }
    }

    /// Sessions are over: the connections under their keys are closed.
    pub(crate) fn forget(&self, keys: impl Iterator<Item = Key>) {
        let mut places = self.places.borrow_mut();
        for key in keys {
            let closed = places.remove(&key).map_or(0, |place| place.connections.borrow().len());
            self.open.set(self.open.get().saturating_sub(closed));
        }
    }
}

impl Stream<'_> {
    pub(crate) fn http2(&self) -> &Http2 {
        &self.shared.http2
    }

    /// The connection takes no more exchanges: its server has said so, or nobody may use it again.
    pub(crate) fn leave(&self) {
        self.shared.is_leaving.set(true);
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.shared.streams.set(self.shared.streams.get().saturating_sub(1));
        if self.shared.is_over() {
            let mut connections = self.place.connections.borrow_mut();
            let before = connections.len();
            connections.retain(|shared| !Rc::ptr_eq(shared, &self.shared));
            let closed = before - connections.len();
            drop(connections);
            if closed > 0 {
                self.pool.open.set(self.pool.open.get().saturating_sub(closed));
                self.pool.wake_all();
            }
        }
        self.place.changed.notify_one();
    }
}
