//! One meter of a group, since the last delta.

use nuncius_engine::sink::MeterValue;
use nuncius_schemas::meter::{Meter, MeterDelta};
use nuncius_stats::Totals;

use crate::totals::{add, merge};

pub(super) struct MeterSum {
    pub(super) meter: Meter,
    sum: u64,
    values: Totals,
}

impl MeterSum {
    pub(super) fn new(meter: &Meter) -> Self {
        Self { meter: meter.clone(), sum: 0, values: Totals::default() }
    }

    /// Adds what one thread says.
    pub(super) fn add(&mut self, value: &MeterValue) {
        match value {
            MeterValue::Counter(sum) => self.sum = self.sum.saturating_add(*sum),
            MeterValue::Histogram(histogram) => add(&mut self.values, histogram),
        }
    }

    /// Adds what came later.
    pub(super) fn fold(&mut self, later: &Self) {
        self.sum = self.sum.saturating_add(later.sum);
        merge(&mut self.values, &later.values);
    }

    /// As it travels; `None` where nothing was added.
    pub(super) fn into_delta(self, group: u16) -> Option<MeterDelta> {
        if self.sum == 0 && self.values.is_empty() {
            return None;
        }
        let Meter { name, kind, unit } = self.meter;
        let histogram = if self.values.is_empty() { Vec::new() } else { self.values.encode() };
        Some(MeterDelta { group, name, kind, unit, sum: self.sum, histogram })
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::meter::{MeterKind, MeterUnit};
    use nuncius_stats::Histogram;

    use super::*;

    #[test]
    fn what_threads_and_seconds_add_up_to_travels_and_what_is_nothing_does_not() {
        let counter = Meter { name: "events".to_owned(), kind: MeterKind::Counter, unit: MeterUnit::Number };
        let mut sum = MeterSum::new(&counter);
        assert!(MeterSum::new(&counter).into_delta(1).is_none());
        let mut later = MeterSum::new(&counter);
        sum.add(&MeterValue::Counter(3));
        later.add(&MeterValue::Counter(4));
        sum.fold(&later);
        let delta = sum.into_delta(1).unwrap();
        assert_eq!((delta.group, delta.name.as_str(), delta.sum, delta.histogram.len()), (1, "events", 7, 0));
        let sizes = Meter { name: "sizes".to_owned(), kind: MeterKind::Histogram, unit: MeterUnit::Bytes };
        let mut histogram = Histogram::new();
        histogram.record_ns(sizes.scaled(512));
        let (mut sum, mut later) = (MeterSum::new(&sizes), MeterSum::new(&sizes));
        sum.add(&MeterValue::Histogram(Box::new(histogram.clone())));
        later.add(&MeterValue::Histogram(Box::new(histogram)));
        sum.fold(&later);
        let totals = Totals::decode(&sum.into_delta(1).unwrap().histogram).unwrap();
        assert_eq!((totals.count(), totals.max_ns()), (2, Some(512_000)));
    }
}
