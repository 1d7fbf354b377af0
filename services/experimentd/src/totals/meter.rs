//! What a meter of a group has added up, over all nodes.

use nuncius_schemas::meter::{Meter, MeterDelta};
use nuncius_stats::Totals;
use serde::{Deserialize, Serialize};

/// A meter and what it says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MeterTotals {
    /// What it is.
    pub meter: Meter,
    /// Of a counter: the sum.
    pub sum: u64,
    /// Of a histogram: the values, as [`Meter::scaled`].
    pub values: Totals,
}

impl MeterTotals {
    /// Nothing yet, of the meter that a delta tells of.
    pub fn new(delta: &MeterDelta) -> Self {
        let meter = Meter { name: delta.name.clone(), kind: delta.kind, unit: delta.unit };
        Self { meter, sum: 0, values: Totals::default() }
    }

    /// Adds what a delta says.
    ///
    /// # Errors
    /// What was wrong; nothing was added then.
    pub fn add(&mut self, delta: &MeterDelta) -> Result<(), String> {
        if (delta.kind, delta.unit) != (self.meter.kind, self.meter.unit) {
            return Err("its kind or its unit is another one than other nodes have told".to_owned());
        }
        self.values.merge_delta(&delta.histogram).map_err(|error| error.to_string())?;
        self.sum = self.sum.saturating_add(delta.sum);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::meter::{MeterKind, MeterUnit};
    use nuncius_stats::Histogram;

    use super::*;

    #[test]
    fn meters_of_all_nodes_are_added_and_one_that_is_another_is_refused() {
        let mut histogram = Histogram::new();
        histogram.record_ns_many(5_000, 3);
        let delta = MeterDelta {
            group: 0,
            name: "sizes".to_owned(),
            kind: MeterKind::Histogram,
            unit: MeterUnit::Bytes,
            sum: 0,
            histogram: histogram.encode_delta(),
        };
        let mut totals = MeterTotals::new(&delta);
        assert_eq!((totals.add(&delta), totals.add(&delta)), (Ok(()), Ok(())));
        assert_eq!((totals.values.count(), totals.values.max_ns()), (6, Some(5_000)));
        assert!(totals.add(&MeterDelta { unit: MeterUnit::Number, ..delta.clone() }).is_err());
        assert!(totals.add(&MeterDelta { histogram: vec![255; 3], ..delta }).is_err());
        assert_eq!(totals.values.count(), 6);
    }
}
