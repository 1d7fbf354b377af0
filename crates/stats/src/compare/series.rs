//! One part of a run over time, as it is compared: a row for each second, or for several in a long run.

use nuncius_schemas::comparison::{ComparablePart, ComparableRow, PartName};
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::metric::Series;
use nuncius_schemas::second::{Distribution, StepSecond};

use crate::Totals;
use crate::censored::Observed;
use crate::encoding::DecodeError;

/// Most rows that are kept of a part; where there are more seconds, a row stands for twice as many, and so on.
pub const ROWS_MAX: usize = 512;

/// What happened in one second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComparedSecond {
    /// The latencies.
    pub latency: Observed,
    /// Requests that ended as expected.
    pub succeeded: u64,
    /// Requests that ended otherwise.
    pub failed: u64,
    /// How long load was offered, in nanoseconds.
    pub offered_ns: u64,
    /// There were latencies, and their histogram was left out.
    pub without_histogram: bool,
}

impl ComparedSecond {
    /// Whether nothing happened in it, and nothing was to.
    pub fn is_empty(&self) -> bool {
        let Self { latency, succeeded, failed, offered_ns, without_histogram } = self;
        latency.is_empty() && succeeded + failed + offered_ns == 0 && !without_histogram
    }

    /// Adds what came late of it.
    ///
    /// # Errors
    /// More observations than the counters hold.
    pub fn add(&mut self, late: &Self) -> Result<(), DecodeError> {
        self.latency.merge(&late.latency)?;
        self.succeeded = self.succeeded.saturating_add(late.succeeded);
        self.failed = self.failed.saturating_add(late.failed);
        self.offered_ns = self.offered_ns.saturating_add(late.offered_ns);
        self.without_histogram |= late.without_histogram;
        Ok(())
    }

    /// What a merged second says of a step, or of whole iterations, whose latencies are those of `quantity`.
    ///
    /// # Errors
    /// When a histogram's bytes are not what they should be.
    pub fn of(step: &StepSecond, quantity: Quantity, offered_ns: u64) -> Result<Self, DecodeError> {
        let (completed, censored) = match quantity {
            Quantity::Response => (Series::Response, Some(Series::CensoredResponse)),
            Quantity::Service => (Series::Service, Some(Series::CensoredService)),
            Quantity::Blocked => (Series::Blocked, None),
            Quantity::Lag => (Series::Lag, None),
        };
        let is_left_out = |told: &Distribution| told.count > 0 && told.histogram.is_empty();
        let told = [Some(completed), censored].map(|series| series.map(|series| step.series(series)));
        let [completed, censored] = told.map(|told| Totals::decode(told.map_or(&[], |told| &told.histogram)));
        Ok(Self {
            latency: Observed { completed: completed?, censored: censored? },
            succeeded: step.succeeded,
            failed: step.failed,
            offered_ns,
            without_histogram: told.into_iter().flatten().any(is_left_out),
        })
    }
}

/// A group's iterations or one of its steps over a run, without its warm-up, which is left out by whoever fills it.
///
/// Memory: [`ROWS_MAX`] encoded histograms at most, however long the run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartSeries {
    part: ComparablePart,
}

fn row_of(second: &ComparedSecond) -> ComparableRow {
    ComparableRow {
        completed: second.latency.completed.encode(),
        censored: second.latency.censored.encode(),
        succeeded: second.succeeded,
        failed: second.failed,
        offered_ns: second.offered_ns,
    }
}

fn add_row(sum: &mut ComparableRow, other: &ComparableRow) -> Result<(), DecodeError> {
    for (sum, other) in [(&mut sum.completed, &other.completed), (&mut sum.censored, &other.censored)] {
        let mut totals = Totals::decode(sum)?;
        totals.merge_delta(other)?;
        *sum = totals.encode();
    }
    sum.succeeded = sum.succeeded.saturating_add(other.succeeded);
    sum.failed = sum.failed.saturating_add(other.failed);
    sum.offered_ns = sum.offered_ns.saturating_add(other.offered_ns);
    Ok(())
}

/// One row, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadRow {
    pub(super) latency: Observed,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) offered_ns: u64,
}

impl PartSeries {
    /// Nothing yet.
    pub const fn new(name: PartName, quantity: Quantity) -> Self {
        let part = ComparablePart {
            name,
            quantity,
            row_seconds: 1,
            last_row_seconds: 1,
            seconds_without_histogram: 0,
            rows: Vec::new(),
        };
        Self { part }
    }

    /// Which part.
    pub const fn name(&self) -> &PartName {
        &self.part.name
    }

    /// What its latencies are.
    pub const fn quantity(&self) -> Quantity {
        self.part.quantity
    }

    /// As it travels.
    pub fn into_part(self) -> ComparablePart {
        self.part
    }

    /// Adds the next second.
    ///
    /// # Errors
    /// More observations than the counters hold.
    pub fn push(&mut self, second: &ComparedSecond) -> Result<(), DecodeError> {
        self.part.seconds_without_histogram += u64::from(second.without_histogram);
        let row = row_of(second);
        let is_open = self.part.last_row_seconds < self.part.row_seconds;
        if let Some(last) = self.part.rows.last_mut().filter(|_| is_open) {
            add_row(last, &row)?;
            self.part.last_row_seconds += 1;
            return Ok(());
        }
        if self.part.rows.len() >= ROWS_MAX {
            self.join_pairs()?;
        }
        self.part.rows.push(row);
        self.part.last_row_seconds = 1;
        Ok(())
    }

    /// Makes one row of two.
    fn join_pairs(&mut self) -> Result<(), DecodeError> {
        let mut joined: Vec<ComparableRow> = Vec::with_capacity(ROWS_MAX);
        for (at, row) in std::mem::take(&mut self.part.rows).into_iter().enumerate() {
            match joined.last_mut().filter(|_| !at.is_multiple_of(2)) {
                Some(first) => add_row(first, &row)?,
                None => joined.push(row),
            }
        }
        self.part.rows = joined;
        self.part.row_seconds = self.part.row_seconds.saturating_mul(2);
        Ok(())
    }

    /// Seconds that came without their histogram.
    pub(super) const fn seconds_without_histogram(&self) -> u64 {
        self.part.seconds_without_histogram
    }

    /// Whether each row of it is of the same time as that of another run, as it is of runs of one length.
    pub const fn is_aligned_with(&self, other: &Self) -> bool {
        self.row_count() == other.row_count() && self.row_seconds() == other.row_seconds()
    }

    /// How many rows there are.
    pub(super) const fn row_count(&self) -> usize {
        self.part.rows.len()
    }

    /// Seconds that a row stands for.
    pub(super) const fn row_seconds(&self) -> u64 {
        self.part.row_seconds
    }

    /// The rows, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = Result<ReadRow, DecodeError>> + '_ {
        self.part.rows.iter().map(|row| {
            let latency =
                Observed { completed: Totals::decode(&row.completed)?, censored: Totals::decode(&row.censored)? };
            Ok(ReadRow { latency, succeeded: row.succeeded, failed: row.failed, offered_ns: row.offered_ns })
        })
    }
}

impl From<ComparablePart> for PartSeries {
    fn from(part: ComparablePart) -> Self {
        Self { part }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Histogram;

    fn second(value_ns: u64) -> ComparedSecond {
        let mut histogram = Histogram::new();
        histogram.record_ns(value_ns);
        let latency = Observed::complete(Totals::from(&histogram));
        ComparedSecond { latency, succeeded: 1, failed: 2, offered_ns: 1_000_000_000, without_histogram: false }
    }

    fn part() -> PartSeries {
        PartSeries::new(PartName { group: "main".to_owned(), step: None }, Quantity::Response)
    }

    #[test]
    fn a_long_run_is_kept_in_a_bounded_number_of_rows_and_nothing_is_lost() {
        let mut series = part();
        for at in 0..1_300u64 {
            series.push(&second(1_000_000 * (at + 1))).unwrap();
        }
        assert_eq!((series.row_count(), series.row_seconds()), (325, 4));
        let rows: Vec<ReadRow> = series.rows().map(Result::unwrap).collect();
        let sum = |of: fn(&ReadRow) -> u64| rows.iter().map(of).sum::<u64>();
        assert_eq!((sum(|row| row.succeeded), sum(|row| row.failed)), (1_300, 2_600));
        assert_eq!(sum(|row| row.offered_ns), 1_300_000_000_000);
        assert_eq!(sum(|row| row.latency.count()), 1_300);
        // Rows follow each other.
        let first: Vec<u64> = rows.iter().map(|row| row.latency.completed.min_ns().unwrap()).collect();
        assert_eq!(&first[..3], [1_000_000, 5_000_000, 9_000_000]);
        assert!(first.is_sorted());
    }

    #[test]
    fn a_merged_second_gives_its_latencies_and_tells_what_was_left_out() {
        let told = second(5_000_000);
        let distribution = crate::second::distribution(&told.latency.completed);
        let mut step = StepSecond { succeeded: 1, failed: 2, response: distribution, ..StepSecond::default() };
        assert_eq!(ComparedSecond::of(&step, Quantity::Response, 1_000_000_000), Ok(told));
        assert!(ComparedSecond::of(&step, Quantity::Service, 1).unwrap().latency.is_empty());
        step.response.histogram.clear();
        assert!(ComparedSecond::of(&step, Quantity::Response, 1).unwrap().without_histogram);
        step.response.histogram = vec![9];
        assert_eq!(ComparedSecond::of(&step, Quantity::Response, 1), Err(DecodeError::Version(9)));
    }
}
