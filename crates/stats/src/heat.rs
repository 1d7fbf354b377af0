//! The rows of heat maps of latencies: the same everywhere, so that maps of one run can be laid over each other.

use crate::Totals;
use crate::encoding::DecodeError;

/// Upper edges of the rows within a decade, in hundredths: the preferred numbers R10 of ISO 3.
const EDGES: [u64; 10] = [100, 125, 160, 200, 250, 315, 400, 500, 630, 800];
/// Decades from 1 µs on: up to 1000 s.
const DECADES: u32 = 9;

/// The upper edges of all rows, in nanoseconds, rising.
pub fn edges_ns() -> Vec<u64> {
    let decade = |exponent: u32| EDGES.map(|edge| edge * 10u64.pow(exponent + 1));
    (0..DECADES).flat_map(decade).chain([10u64.pow(DECADES + 3)]).collect()
}

/// How many observations of an encoded histogram are in each row that has any, rising. `edges_ns` are those of
/// [`edges_ns`]; what is beyond the last is in the last.
///
/// # Errors
/// Bytes that are no histogram.
pub fn cells(histogram: &[u8], edges_ns: &[u64]) -> Result<Vec<(u16, u64)>, DecodeError> {
    let totals = Totals::decode(histogram)?;
    let mut cells: Vec<(u16, u64)> = Vec::new();
    for (value_ns, count) in totals.values() {
        let row = edges_ns.partition_point(|edge| *edge < value_ns).min(edges_ns.len().saturating_sub(1));
        let row = u16::try_from(row).unwrap_or(u16::MAX);
        match cells.last_mut() {
            Some((last, sum)) if *last == row => *sum = sum.saturating_add(count),
            Some(_) | None => cells.push((row, count)),
        }
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Histogram;

    #[test]
    fn every_observation_is_in_the_row_whose_edges_are_around_it() {
        let edges = edges_ns();
        assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((edges[0], edges[edges.len() - 1]), (1_000, 1_000_000_000_000));
        let mut histogram = Histogram::new();
        for value_ns in [900_000, 900_000, 1_900_000, 3_000_000_000_000] {
            histogram.record_ns(value_ns);
        }
        let found = cells(&Totals::from(&histogram).encode(), &edges).unwrap();
        assert_eq!(found.iter().map(|(_, count)| count).sum::<u64>(), 4);
        let upper = |row: u16| edges[usize::from(row)];
        assert_eq!(
            found.iter().map(|(row, count)| (upper(*row), *count)).collect::<Vec<_>>(),
            [(1_000_000, 2), (2_000_000, 1), (1_000_000_000_000, 1)]
        );
        assert_eq!(cells(&[], &edges).unwrap(), []);
    }
}
