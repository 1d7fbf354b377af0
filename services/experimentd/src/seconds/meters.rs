//! The meters of a group, second by second.

use std::collections::BTreeMap;

use nuncius_schemas::second::MeterSecond;
use nuncius_stats::second::distribution;
use serde::{Deserialize, Serialize};

use crate::totals::{MeterTotals, SecondTotals};

/// What the meters of a group have added up to now: of a counter its sum, of a histogram the number of its values.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct MetersSoFar(BTreeMap<String, MeterSum>);

/// One of them; what it is, without any values.
#[derive(Debug, Serialize, Deserialize)]
struct MeterSum {
    nothing: MeterTotals,
    sum: u64,
    values: u64,
}

impl MetersSoFar {
    /// What a second says of the meters of a group; every one that has ever told something is there.
    pub(super) fn second(&mut self, group: u16, totals: &SecondTotals) -> Vec<MeterSecond> {
        for ((of, name), meter) in &totals.meters {
            if *of != group {
                continue;
            }
            let nothing = || MeterTotals { sum: 0, values: Default::default(), meter: meter.meter.clone() };
            let known =
                self.0.entry(name.clone()).or_insert_with(|| MeterSum { nothing: nothing(), sum: 0, values: 0 });
            known.sum = known.sum.saturating_add(meter.sum);
            known.values = known.values.saturating_add(meter.values.count());
        }
        let told = |(name, known): (&String, &MeterSum)| {
            let now = totals.meters.get(&(group, name.clone())).unwrap_or(&known.nothing);
            MeterSecond {
                name: name.clone(),
                kind: now.meter.kind,
                unit: now.meter.unit,
                sum: now.sum,
                sum_so_far: known.sum,
                values: distribution(&now.values),
                values_so_far: known.values,
            }
        };
        self.0.iter().map(told).collect()
    }
}

/// About how long the message form of meters is.
pub(super) fn meters_bytes(meters: &[MeterSecond]) -> usize {
    meters.iter().map(|meter| 200 + meter.name.len() + meter.values.histogram.len()).sum()
}
