//! A start: one iteration as it is given out, before anybody knows what it does.

/// One iteration that begins. All instants are on CLOCK_MONOTONIC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// See [`crate::sink::Row::index`].
    pub(crate) index: u64,
    /// Planned instant; in the closed model when it was begun.
    pub(crate) planned_ns: u64,
    /// Planned plus lag: what is later than this waited for room.
    pub(crate) taken_ns: u64,
    /// When it was handed to the engine.
    pub(crate) launched_ns: u64,
    /// When the engine turned to it; 0 before.
    pub(crate) begun_ns: u64,
    /// Slot of the user on this thread; 0 in the open model.
    pub(crate) user: u32,
    /// It follows a schedule: lag and response mean something.
    pub(crate) has_plan: bool,
    pub(crate) is_sampled: bool,
    /// It begins before anything counts: see [`crate::record::Recorder::place`].
    pub(crate) is_warm_up: bool,
}
