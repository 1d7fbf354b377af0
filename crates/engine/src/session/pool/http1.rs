//! HTTP/1.1: a connection has one exchange at a time, and rests between two.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};

use tokio::sync::Semaphore;

use super::Key;
use crate::http::client::Client;
use crate::http::reuse::Reuse;

/// A connection that has rested for less than this is used without a look at it: who closes it in that time is met
/// on the way, as between two steps without a pause.
const LOOK_AFTER_NS: u64 = 1_000_000;

/// A connection at rest.
struct Resting {
    client: Client,
    since_ns: u64,
    /// Tells it apart from those that rested under the same key before.
    stamp: u64,
}

/// The connections of a thread.
pub(crate) struct Http1Pool {
    /// One for each connection in use.
    permits: Semaphore,
    open_max: usize,
    /// In use, at rest or being opened.
    open: Cell<usize>,
    stamps: Cell<u64>,
    /// Of each key the one that rests longest first.
    resting: RefCell<HashMap<Key, VecDeque<Resting>>>,
    /// All that rest, and some that do no longer: the longest first.
    order: RefCell<VecDeque<(Key, u64)>>,
    /// By target and host.
    reuse: RefCell<HashMap<(u32, u32), Reuse>>,
}

/// The right to have a connection, and the connection once there is one.
pub(crate) struct Lease<'p> {
    pool: &'p Http1Pool,
    key: Key,
    /// Counted as open.
    client: Option<Client>,
    is_counted: bool,
}

impl Http1Pool {
    /// At most `open_max` connections at a time.
    pub(crate) fn new(open_max: usize) -> Self {
        let open_max = open_max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            permits: Semaphore::new(open_max),
            open_max,
            open: Cell::new(0),
            stamps: Cell::new(0),
            resting: RefCell::new(HashMap::new()),
            order: RefCell::new(VecDeque::new()),
            reuse: RefCell::new(HashMap::new()),
        }
    }

    /// Most connections at a time.
    pub(crate) fn open_max(&self) -> usize {
        self.open_max
    }

    /// Waits until there may be another connection in use. Those who wait are let through in their order.
    pub(crate) async fn lease(&self, key: Key) -> Lease<'_> {
        // It is never closed.
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
        Lease { pool: self, key, client: None, is_counted: false }
    }

    /// The connection of this key that was used last, if it is still good.
    fn take(&self, key: Key, now_ns: u64) -> Option<Client> {
        let is_suspect = self.reuse.borrow().get(&(key.target, key.host)).is_some_and(Reuse::is_suspect);
        let mut resting = self.resting.borrow_mut();
        let own = resting.get_mut(&key)?;
        while let Some(mut found) = own.pop_back() {
            let is_fresh = now_ns.saturating_sub(found.since_ns) < LOOK_AFTER_NS && !is_suspect;
            if is_fresh || found.client.is_open(now_ns) {
                return Some(found.client);
            }
            self.open.set(self.open.get().saturating_sub(1));
        }
        None
    }

    /// Closes connections at rest, the ones that rest longest first, until there is room for one more.
    fn make_room(&self) {
        while self.open.get() >= self.open_max {
            let Some((key, stamp)) = self.order.borrow_mut().pop_front() else { return };
            let mut resting = self.resting.borrow_mut();
            let Some(own) = resting.get_mut(&key) else { continue };
            // Whoever was used since then rests further behind, under another stamp.
            if own.front().is_some_and(|oldest| oldest.stamp == stamp) {
                own.pop_front();
                self.open.set(self.open.get().saturating_sub(1));
            }
            if own.is_empty() {
                resting.remove(&key);
            }
        }
    }

    fn put(&self, key: Key, mut client: Client, now_ns: u64) {
        client.rest(now_ns);
        let stamp = self.stamps.get();
        self.stamps.set(stamp + 1);
        let mut resting = self.resting.borrow_mut();
        resting.entry(key).or_default().push_back(Resting { client, since_ns: now_ns, stamp });
        if self.open_max == Semaphore::MAX_PERMITS {
            // Nobody will ever have to make room.
            return;
        }
        let mut order = self.order.borrow_mut();
        order.push_back((key, stamp));
        if order.len() > 64 + 2 * self.open.get() {
            let is_there = |key: &Key, stamp: u64| {
                let own = resting.get(key);
                own.is_some_and(|own| own.binary_search_by_key(&stamp, |resting| resting.stamp).is_ok())
            };
            order.retain(|(key, stamp)| is_there(key, *stamp));
        }
    }

    /// Connections at rest under these keys are closed.
    pub(crate) fn leave(&self, is_out: impl Fn(&Key) -> bool) {
        let mut closed = 0;
        self.resting.borrow_mut().retain(|key, own| {
            let keeps = !is_out(key);
            closed += if keeps { 0 } else { own.len() };
            keeps
        });
        self.open.set(self.open.get().saturating_sub(closed));
    }

    /// The session `owner` is over: its own connections are closed.
    pub(crate) fn forget(&self, keys: impl Iterator<Item = Key>) {
        let mut resting = self.resting.borrow_mut();
        for key in keys {
            let closed = resting.remove(&key).map_or(0, |own| own.len());
            self.open.set(self.open.get().saturating_sub(closed));
        }
    }
}

impl Lease<'_> {
    /// Takes a connection at rest; whether there is a good one.
    pub(crate) fn take(&mut self, now_ns: u64) -> bool {
        self.close();
        self.client = self.pool.take(self.key, now_ns);
        self.is_counted = self.client.is_some();
        self.is_counted
    }

    /// The connection, once there is one.
    pub(crate) fn client(&mut self) -> Option<&mut Client> {
        self.client.as_mut()
    }

    /// A connection is about to be opened: counts it, and makes room for it.
    pub(crate) fn opening(&mut self) {
        self.close();
        self.pool.make_room();
        self.pool.open.set(self.pool.open.get() + 1);
        self.is_counted = true;
    }

    /// The connection that was opened.
    pub(crate) fn opened(&mut self, client: Client) {
        self.client = Some(client);
    }

    /// The connection was opened ahead of need: it rests.
    pub(crate) fn unused(mut self, now_ns: u64) {
        if let Some(client) = self.client.take() {
            self.is_counted = false;
            self.pool.put(self.key, client, now_ns);
        }
    }

    /// The connection has given an answer, after which it may be used again as far as `keeps` says: it rests, or is
    /// closed.
    pub(crate) fn answered(mut self, keeps: bool, now_ns: u64) {
        let Some(client) = self.client.take() else { return };
        let mut all = self.pool.reuse.borrow_mut();
        let reuse = all.entry((self.key.target, self.key.host)).or_default();
        reuse.answered(client.served);
        if keeps && reuse.allows(client.served) {
            self.is_counted = false;
            self.pool.put(self.key, client, now_ns);
        }
    }

    /// The connection was cut under a request, after it had given answers.
    pub(crate) fn cut(&mut self) {
        let Some(client) = &self.client else { return };
        let mut all = self.pool.reuse.borrow_mut();
        all.entry((self.key.target, self.key.host)).or_default().cut(client.served);
    }

    fn close(&mut self) {
        self.client = None;
        if std::mem::take(&mut self.is_counted) {
            self.pool.open.set(self.pool.open.get().saturating_sub(1));
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.close();
        self.pool.permits.add_permits(1);
    }
}
