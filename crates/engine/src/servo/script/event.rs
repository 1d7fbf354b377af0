//! The events of a servo, and what all servos of a group have in common.

use nuncius_schemas::servo::ServoOptions;

/// An event; its number is that of its step in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Event {
    Hello = 0,
    WhatsNext = 1,
    Description = 2,
    MeasurementProgress = 3,
    Measurement = 4,
    AdjustmentProgress = 5,
    Adjustment = 6,
    Goodbye = 7,
}

impl Event {
    pub(in super::super) fn step(self) -> u16 {
        self as u16
    }

    pub(in super::super) fn is_progress(self) -> bool {
        matches!(self, Self::MeasurementProgress | Self::AdjustmentProgress)
    }
}

/// The next event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Planned {
    pub(in super::super) event: Event,
    pub(in super::super) planned_ns: u64,
    /// What it tells is that of this instant: where it is sent again, of when it was planned first.
    pub(in super::super) told_ns: u64,
    /// The connection is closed once it is written.
    pub(in super::super) drops: bool,
}

/// What the servos of a group share.
#[derive(Debug, Clone)]
pub(in super::super) struct Rules {
    pub(in super::super) seed: u64,
    pub(in super::super) group: u32,
    pub(in super::super) options: ServoOptions,
}
