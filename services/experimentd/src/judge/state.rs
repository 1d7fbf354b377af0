//! What a judge has seen so far, as bytes: for whoever goes on where it stood.

use nuncius_schemas::codec::{self, CodecError};
use nuncius_stats::{GateOutcome, OfferedSpans, Windows};

use super::Judge;
use super::ages::Ages;

/// What a gate has seen: its windows, how often it was looked at, how it failed.
type GateState = (Option<Windows>, u64, Option<GateOutcome>);
/// When a group was offered: its time, and the last second in which something was begun.
type ScheduleState = (OfferedSpans, Option<u32>);

impl Judge {
    /// What it has seen so far.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub fn state(&self) -> Result<Vec<u8>, CodecError> {
        let gates: Vec<(&Option<Windows>, u64, &Option<GateOutcome>)> =
            self.gates.iter().map(|judged| (&judged.windows, judged.looks, &judged.failed)).collect();
        let schedules: Vec<(&OfferedSpans, Option<u32>)> =
            self.schedules.iter().map(|schedule| (&schedule.spans, schedule.last_begun)).collect();
        codec::encode(&(gates, schedules, &self.ages))
    }

    /// Goes on from what another judge of the same specification had seen.
    ///
    /// # Errors
    /// The bytes are not those of [`Self::state`].
    pub fn restore(&mut self, state: &[u8]) -> Result<(), CodecError> {
        let (gates, schedules, ages): (Vec<GateState>, Vec<ScheduleState>, Ages) = codec::decode_own(state)?;
        for (judged, (windows, looks, failed)) in self.gates.iter_mut().zip(gates) {
            (judged.windows, judged.looks, judged.failed) = (windows, looks, failed);
        }
        for (schedule, (spans, last_begun)) in self.schedules.iter_mut().zip(schedules) {
            (schedule.spans, schedule.last_begun) = (spans, last_begun);
        }
        self.ages = ages;
        Ok(())
    }
}
