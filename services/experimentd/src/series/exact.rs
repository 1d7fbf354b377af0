//! Quantiles of rows of several seconds, of the histograms of all of them: merged bucket by bucket, never averaged.
//!
//! A row may be made to stand for twice as many seconds at any time, when the histograms of long ago are gone. So rows
//! of 2, 4, 8, … seconds are all made while the run goes on, each from two of the row before it: of each length only
//! the row that is not whole yet has histograms, the others have their quantiles alone.

use std::collections::BTreeMap;

use nuncius_schemas::second::{Distribution, StepSecond};
use nuncius_stats::second::add_distribution;
use serde::{Deserialize, Serialize};

use super::Quantiles;

/// Seconds whose histograms are kept because something may still come of them.
const RECENT_SECONDS: usize = crate::totals::OPEN_SECONDS as usize + 1;

/// Response, service, blocked and lag of a row.
pub(super) type RowQuantiles = [Quantiles; 4];

/// The distributions of some seconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Sums([Distribution; 4]);

impl Sums {
    fn of(step: &StepSecond) -> Self {
        Self([step.response.clone(), step.service.clone(), step.blocked.clone(), step.lag.clone()])
    }

    fn add(&mut self, other: &Self) {
        for (sum, other) in self.0.iter_mut().zip(&other.0) {
            // Bytes that are no histogram were refused before.
            let _ = add_distribution(sum, other);
        }
    }

    fn quantiles(&self) -> RowQuantiles {
        self.0.each_ref().map(Quantiles::of)
    }
}

/// Rows of one length.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Level {
    /// Those that are whole, by number.
    rows: BTreeMap<u32, RowQuantiles>,
    /// The one that is not.
    open: Option<(u32, Sums)>,
}

/// Rows of 2, 4, 8, … seconds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Pyramid {
    recent: BTreeMap<u32, Sums>,
    /// Those of 2 seconds come first.
    levels: Vec<Level>,
    /// All seconds before this one are in the levels.
    through: u32,
}

impl Pyramid {
    /// Adds what a step did in a second, or a part of that.
    pub(super) fn add(&mut self, second: u32, step: &StepSecond) {
        let sums = Sums::of(step);
        if second < self.through {
            return self.add_late(second, &sums);
        }
        self.recent.entry(second).or_default().add(&sums);
        while self.recent.len() > RECENT_SECONDS
            && let Some((second, sums)) = self.recent.pop_first()
        {
            self.through = second + 1;
            self.push(second, sums);
        }
    }

    /// Hands a whole second up, as far as it makes rows whole.
    fn push(&mut self, second: u32, sums: Sums) {
        let (mut sums, mut second) = (sums, second);
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Level::default());
            }
            let Some(found) = self.levels.get_mut(level) else { return };
            let row = row(second, level);
            match &mut found.open {
                Some((open, sum)) if *open == row => return sum.add(&sums),
                None => {
                    found.open = Some((row, sums));
                    return;
                }
                Some(open) => {
                    let (whole, sum) = std::mem::replace(open, (row, sums));
                    found.rows.insert(whole, sum.quantiles());
                    (second, sums) = (whole << (level + 1), sum);
                }
            }
        }
    }

    /// What comes after its row is whole has no histogram to be added to: the larger of both is told.
    fn add_late(&mut self, second: u32, sums: &Sums) {
        let mut is_added = false;
        for (level, found) in self.levels.iter_mut().enumerate() {
            let row = row(second, level);
            match &mut found.open {
                // It goes up with that row.
                Some((open, sum)) if *open == row && !is_added => {
                    sum.add(sums);
                    is_added = true;
                }
                _ => {
                    if let Some(known) = found.rows.get_mut(&row) {
                        known.iter_mut().zip(sums.quantiles()).for_each(|(known, late)| known.largest(late));
                    }
                }
            }
        }
    }

    /// Forgets rows that are shorter than this.
    pub(super) fn forget_below(&mut self, row_seconds: u32) {
        for (level, found) in self.levels.iter_mut().enumerate() {
            if 2u32.checked_shl(level as u32).is_some_and(|seconds| seconds < row_seconds) {
                found.rows.clear();
            }
        }
    }

    /// The quantiles of the row of `row_seconds` (a power of 2, at least 2) that begins with `second`.
    pub(super) fn quantiles(&self, second: u32, row_seconds: u32) -> RowQuantiles {
        let level = row_seconds.trailing_zeros().saturating_sub(1) as usize;
        let wanted = row(second, level);
        if let Some(whole) = self.levels.get(level).and_then(|level| level.rows.get(&wanted)) {
            return *whole;
        }
        let mut sums = Sums::default();
        for (below, found) in self.levels.iter().enumerate().take(level + 1) {
            if let Some((open, sum)) = &found.open
                && row(open << (below + 1), level) == wanted
            {
                sums.add(sum);
            }
        }
        self.recent.iter().filter(|(second, _)| row(**second, level) == wanted).for_each(|(_, sum)| sums.add(sum));
        sums.quantiles()
    }
}

/// The number of a second's row on a level.
fn row(second: u32, level: usize) -> u32 {
    second.checked_shr(level as u32 + 1).unwrap_or(0)
}
