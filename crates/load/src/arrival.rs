//! One arrival, and what comes next of a schedule.

/// One arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arrival {
    /// 0, 1, 2 … over the whole run; says which shard it belongs to.
    pub index: u64,
    /// When it is to happen, in nanoseconds of run time.
    pub planned_ns: u64,
}

/// What comes next of a schedule that may still be amended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// An arrival; it is taken.
    Arrival(Arrival),
    /// Nothing before the limit that was asked for. As things stand the next arrival, or the end, is at this instant of
    /// run time, in nanoseconds.
    NotBefore(u64),
    /// Nothing any more.
    End,
}
