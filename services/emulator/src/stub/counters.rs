//! What the stub counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nuncius_metrics::Families;
use nuncius_metrics::names::emulator as names;
use serde::{Deserialize, Serialize};

/// Counts since the start, what is going on now, and the most there ever was of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StubStats {
    /// Requests that were read whole, those to `/.stub/` left out.
    pub requests: u64,
    /// Of these, answered with anything but 503 and the seeded 500.
    pub answered: u64,
    /// Answered 503 because the waiting room was full.
    pub refused: u64,
    /// Answered 500 by the seeded error rate.
    pub errors: u64,
    /// Requests refused while being read: body too long or too slow, a control path misused.
    pub rejected: u64,
    /// Holding a slot now.
    pub in_service: u64,
    /// The most that ever held a slot.
    pub in_service_most: u64,
    /// Waiting for a slot now.
    pub waiting: u64,
    /// The most that ever waited.
    pub waiting_most: u64,
    /// Arrived while frozen and untouched so far.
    pub held: u64,
    /// Open connections.
    pub connections: u64,
    /// The most that were ever open.
    pub connections_most: u64,
    /// Connections accepted.
    pub connections_accepted: u64,
    /// Connections closed at once because there were `max_connections`.
    pub connections_refused: u64,
    /// True while it stands still.
    pub frozen: bool,
    /// Requests by what they were for, where that was something: see [`StubStats::path`].
    #[serde(default)]
    pub paths: BTreeMap<String, u64>,
    /// Requests answered 401 for want of a token or a cookie that holds, or for a wrong password.
    #[serde(default)]
    pub unauthorized: u64,
    /// Requests whose answer was compressed.
    #[serde(default)]
    pub compressed: u64,
    /// Requests that came over HTTP/2.
    #[serde(default)]
    pub http2: u64,
}

impl StubStats {
    /// Requests for one kind of path: `login`, `logout`, `account`, `private`, `session`, `items`, `item`, `cart`,
    /// `cart_added`, `orders`, `order_made`, `order`, `token`, `redirect`, `page`, `form`, `status`, `delay`.
    pub fn path(&self, kind: &str) -> u64 {
        self.paths.get(kind).copied().unwrap_or(0)
    }
}

/// What the stub of this name says of itself, as metrics.
pub(crate) fn add_metrics(families: &mut Families, node: &str, stats: &StubStats) {
    for (metric, count) in [
        (&names::STUB_REQUESTS, stats.requests),
        (&names::STUB_ANSWERED_REQUESTS, stats.answered),
        (&names::STUB_REFUSED_REQUESTS, stats.refused),
        (&names::STUB_ERRORS, stats.errors),
        (&names::STUB_REJECTED_REQUESTS, stats.rejected),
        (&names::STUB_IN_SERVICE_REQUESTS, stats.in_service),
        (&names::STUB_WAITING_REQUESTS, stats.waiting),
        (&names::STUB_CONNECTIONS, stats.connections),
        (&names::STUB_ACCEPTED_CONNECTIONS, stats.connections_accepted),
        (&names::STUB_REFUSED_CONNECTIONS, stats.connections_refused),
        (&names::STUB_FROZEN, u64::from(stats.frozen)),
    ] {
        families.count(metric, &[node], count);
    }
}

/// A level and its high-water mark.
#[derive(Debug, Default)]
pub(crate) struct Level {
    now: AtomicU64,
    most: AtomicU64,
}

impl Level {
    pub(crate) fn up(&self) {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        // A plain load first: the mark seldom moves, and a locked write would cost every request.
        if now > self.most.load(Relaxed) {
            self.most.fetch_max(now, Relaxed);
        }
    }

    pub(crate) fn down(&self) {
        self.now.fetch_sub(1, Relaxed);
    }

    pub(crate) fn read(&self) -> (u64, u64) {
        (self.now.load(Relaxed), self.most.load(Relaxed))
    }
}

/// Holds one up on a [`Level`].
pub(crate) struct Up<'a>(&'a Level);

impl<'a> Up<'a> {
    pub(crate) fn on(level: &'a Level) -> Self {
        level.up();
        Self(level)
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.down();
    }
}

/// What a request may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Login,
    Logout,
    Account,
    Private,
    Session,
    Items,
    Item,
    Cart,
    CartAdded,
    Orders,
    OrderMade,
    Order,
    Token,
    Redirect,
    Page,
    Form,
    Status,
    Delay,
}

impl Kind {
    /// All of them, in the order of their numbers.
    const ALL: [Self; 18] = [
        Self::Login,
        Self::Logout,
        Self::Account,
        Self::Private,
        Self::Session,
        Self::Items,
        Self::Item,
        Self::Cart,
        Self::CartAdded,
        Self::Orders,
        Self::OrderMade,
        Self::Order,
        Self::Token,
        Self::Redirect,
        Self::Page,
        Self::Form,
        Self::Status,
        Self::Delay,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Logout => "logout",
            Self::Account => "account",
            Self::Private => "private",
            Self::Session => "session",
            Self::Items => "items",
            Self::Item => "item",
            Self::Cart => "cart",
            Self::CartAdded => "cart_added",
            Self::Orders => "orders",
            Self::OrderMade => "order_made",
            Self::Order => "order",
            Self::Token => "token",
            Self::Redirect => "redirect",
            Self::Page => "page",
            Self::Form => "form",
            Self::Status => "status",
            Self::Delay => "delay",
        }
    }
}

impl Counters {
    /// A request for something in particular.
    pub(crate) fn count(&self, kind: Kind) {
        if let Some(counter) = self.paths.get(kind as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Those that there were any of.
    pub(crate) fn paths(&self) -> BTreeMap<String, u64> {
        let counts = Kind::ALL.iter().zip(&self.paths).map(|(kind, counter)| (kind.name(), counter.load(Relaxed)));
        counts.filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)).collect()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) answered: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) connections: Level,
    pub(crate) connections_accepted: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) unauthorized: AtomicU64,
    pub(crate) compressed: AtomicU64,
    pub(crate) http2: AtomicU64,
    /// By [`Kind`].
    paths: [AtomicU64; Kind::ALL.len()],
    /// Used where there is no limit of concurrency; otherwise the line knows.
    pub(crate) unlimited_in_service: Level,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_counted_under_its_own_name() {
        let counters = Counters::default();
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number, "{}", kind.name());
            (0..=number).for_each(|_| counters.count(kind));
        }
        let stats = StubStats { paths: counters.paths(), ..StubStats::default() };
        for (number, kind) in (1..).zip(Kind::ALL) {
            assert_eq!(stats.path(kind.name()), number);
        }
        assert_eq!((stats.paths.len(), stats.path("nothing")), (Kind::ALL.len(), 0));
    }
}
