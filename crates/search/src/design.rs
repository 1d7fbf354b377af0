//! The design of a sweep: every combination of the factors' values, as often as there are repeats, in an order.
//!
//! A full factorial design with repeats (Montgomery, "Design and Analysis of Experiments", 5.3). At random, what
//! changes while the runs are made (a cache that fills, a neighbour that comes and goes) does not look like what a
//! factor does. With blocks each repeat of all combinations is a block, random within (4.1): what differs between
//! blocks is the same for all combinations.
//!
//! The order follows from the seed alone, through the counter-based generator of the schedules.

use nuncius_load::philox::philox4x32;
use nuncius_schemas::sweep::{SweepError, SweepOrder, SweepSpec, run_id};
use serde::{Deserialize, Serialize};

/// Sets the draws of this module apart from all others of the same seed.
const PURPOSE: u32 = u32::from_be_bytes(*b"swee");

/// One run that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepRow {
    /// Place in the order, from 1.
    pub number: u32,
    /// Number of the combination, from 1: [`SweepSpec::levels`] has its values.
    pub combination: u64,
    /// Which repeat, from 1.
    pub repeat: u32,
    /// Identifier of the run.
    pub run: String,
}

/// The runs of the sweep `id`, in order. `seed` is that of the experiment, where the sweep has none of its own.
///
/// # Errors
/// A field of the sweep that is outside its limits, the number of runs among them.
pub fn design(sweep: &SweepSpec, id: &str, seed: u64) -> Result<Vec<SweepRow>, SweepError> {
    sweep.check()?;
    let seed = sweep.seed.unwrap_or(seed);
    let combinations = 1..=sweep.combinations();
    // By repeats with blocks, else by combinations.
    let mut runs: Vec<(u64, u32)> = if sweep.blocks {
        let blocks = (1..=sweep.repeats).map(|repeat| {
            let mut block: Vec<(u64, u32)> = combinations.clone().map(|combination| (combination, repeat)).collect();
            order(&mut block, sweep.order, seed, repeat);
            block
        });
        blocks.flatten().collect()
    } else {
        combinations.flat_map(|combination| (1..=sweep.repeats).map(move |repeat| (combination, repeat))).collect()
    };
    if !sweep.blocks {
        order(&mut runs, sweep.order, seed, 0);
    }
    let numbered = (1u32..).zip(runs).map(|(number, (combination, repeat))| SweepRow {
        number,
        combination,
        repeat,
        run: run_id(id, combination, repeat),
    });
    Ok(numbered.collect())
}

/// Puts the runs of a block in order: at random by the shuffle of Fisher and Yates, from its end.
fn order(runs: &mut [(u64, u32)], order: SweepOrder, seed: u64, block: u32) {
    match order {
        SweepOrder::Written => {}
        SweepOrder::Random => {
            for last in (1..runs.len()).rev() {
                runs.swap(last, below(last as u64 + 1, seed, block, last as u32));
            }
        }
    }
}

/// A number below `bound`; the bias of 64 bits is of no account for bounds of runs.
fn below(bound: u64, seed: u64, block: u32, draw: u32) -> usize {
    let [high, low, ..] = philox4x32([seed as u32, (seed >> 32) as u32], [draw, block, 0, PURPOSE]);
    let bits = u64::from(high) << 32 | u64::from(low);
    ((u128::from(bits) * u128::from(bound)) >> 64) as usize
}

#[cfg(test)]
mod tests;
