//! How far the seconds of a run have come, as bytes: for whoever goes on where they stood.

use nuncius_schemas::codec::{self, CodecError};
use nuncius_schemas::second::GroupSums;
use serde::Deserialize;

use super::Seconds;
use super::meters::MetersSoFar;
use crate::series::Series;

/// What cannot be made from the specification again.
#[derive(Deserialize)]
struct State {
    so_far: Vec<GroupSums>,
    next_second: u32,
    late_pieces: u32,
    last_offered_second: Option<u32>,
    series: Series,
    /// Absent in what an earlier version has written.
    #[serde(default)]
    meters: Vec<MetersSoFar>,
}

impl Seconds {
    /// How far they have come. Seconds that were told are not in it: more of them is told as a piece of its own.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub fn state(&self) -> Result<Vec<u8>, CodecError> {
        let so_far: Vec<&GroupSums> = self.groups.iter().map(|group| &group.so_far).collect();
        let meters: Vec<&MetersSoFar> = self.groups.iter().map(|group| &group.meters).collect();
        codec::encode(&(so_far, self.next_second, self.late_pieces, self.last_offered_second, &self.series, meters))
    }

    /// Goes on from where others of the same specification had come to.
    ///
    /// # Errors
    /// The bytes are not those of [`Self::state`].
    pub fn restore(&mut self, state: &[u8]) -> Result<(), CodecError> {
        let state: State = codec::decode_own(state)?;
        for (group, so_far) in self.groups.iter_mut().zip(state.so_far) {
            group.so_far = so_far;
            if let (Some(schedule), Some(last)) = (&mut group.schedule, state.next_second.checked_sub(1)) {
                // What was told of these seconds is not told again.
                let _ = schedule.count(last);
            }
        }
        for (group, meters) in self.groups.iter_mut().zip(state.meters) {
            group.meters = meters;
        }
        self.next_second = state.next_second;
        self.late_pieces = state.late_pieces;
        self.last_offered_second = state.last_offered_second;
        self.series = state.series;
        Ok(())
    }
}
