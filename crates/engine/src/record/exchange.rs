//! One thing that is measured, from its plan to its end.

/// One thing that is measured: the request of a step, or a whole iteration. There may be any number of them at once.
///
/// It ends in exactly one of `succeeded`, `failed`, `ended`, `censored` and `skipped` of
/// [`Recorder`](super::Recorder). All instants are on CLOCK_MONOTONIC.
#[must_use]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange {
    /// The step that it is of, or what comes after the last where it is a whole iteration.
    pub(crate) step: u16,
    /// The recorder that it counts at: see [`Recorder::place`](super::Recorder::place).
    pub(crate) place: u16,
    /// See [`crate::sink::Row::index`].
    pub(crate) index: u64,
    /// Number of the host that it goes to: see [`Recorder::host_number`](super::Recorder::host_number); 0 where hosts
    /// are not told apart.
    pub(crate) host: u16,
    /// Planned instant; where there is none, when it was begun.
    pub(crate) planned_ns: u64,
    /// Planned plus lag: what is later than this was *blocked*.
    pub(crate) taken_ns: u64,
    /// When it was written; 0 before.
    pub(crate) sent_ns: u64,
    /// Its response, done − planned, means something.
    pub(crate) has_plan: bool,
    pub(crate) is_sampled: bool,
    /// Waits for the node's cap on the rate.
    pub(crate) is_held: bool,
}

impl Exchange {
    /// Whether it belongs to an iteration that began before anything counts.
    #[inline]
    pub(crate) const fn is_warm_up(&self) -> bool {
        self.place != self.step
    }
}
