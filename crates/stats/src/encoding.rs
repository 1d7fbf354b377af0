//! How a histogram travels and is stored.
//!
//! Nothing recorded is no bytes. Otherwise: a version byte; then as varints (LEB128) the count, the count beyond the
//! range, the sum, the smallest and the largest value in nanoseconds, and the number of non-empty buckets; then for
//! each of those, rising, how many empty buckets precede it and its count. Bytes are accepted only when all of this
//! agrees with itself.

use crate::buckets::{BUCKETS, Summary, bucket_of};

/// Version of the form.
pub const VERSION: u8 = 1;

/// Why bytes are no histogram.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a program of another version.
    #[error("histogram of version {0}, this program reads version {VERSION}: use nodes of the same version")]
    Version(u8),
    /// Too short.
    #[error("histogram ends too early, in its {0}")]
    Truncated(&'static str),
    /// A number is longer than its type.
    #[error("number too large in the histogram's {0}")]
    TooLarge(&'static str),
    /// More than announced.
    #[error("{0} bytes after the end of the histogram")]
    Trailing(usize),
    /// The parts contradict each other.
    #[error("histogram contradicts itself: {0}")]
    Inconsistent(&'static str),
    /// More observations than fit.
    #[error("more than 2^64 observations in one histogram")]
    TooMany,
}

/// A histogram's bytes; none for an empty one.
pub(crate) fn encode(summary: &Summary, buckets: impl Iterator<Item = (u32, u64)>) -> Vec<u8> {
    if summary.count == 0 {
        return Vec::new();
    }
    let mut pairs = Vec::new();
    let (mut occupied, mut next) = (0u64, 0u32);
    for (bucket, count) in buckets {
        write_varint(&mut pairs, u128::from(bucket - next));
        write_varint(&mut pairs, u128::from(count));
        next = bucket + 1;
        occupied += 1;
    }
    let mut bytes = Vec::with_capacity(48 + pairs.len());
    bytes.push(VERSION);
    for number in [
        u128::from(summary.count),
        u128::from(summary.overflow),
        summary.sum_ns,
        u128::from(summary.min_ns),
        u128::from(summary.max_ns),
        u128::from(occupied),
    ] {
        write_varint(&mut bytes, number);
    }
    bytes.extend_from_slice(&pairs);
    bytes
}

fn write_varint(bytes: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a varint off the front.
#[inline]
fn read_varint(bytes: &mut &[u8], what: &'static str) -> Result<u64, DecodeError> {
    if let [first, rest @ ..] = *bytes
        && *first < 0x80
    {
        *bytes = rest;
        return Ok(u64::from(*first));
    }
    u64::try_from(read_long_varint(bytes, what)?).map_err(|_| DecodeError::TooLarge(what))
}

fn read_long_varint(bytes: &mut &[u8], what: &'static str) -> Result<u128, DecodeError> {
    let mut number = 0u128;
    let mut shift = 0;
    loop {
        let [byte, rest @ ..] = *bytes else { return Err(DecodeError::Truncated(what)) };
        *bytes = rest;
        let part = u128::from(byte & 0x7f);
        if shift >= u128::BITS || part << shift >> shift != part {
            return Err(DecodeError::TooLarge(what));
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
        shift += 7;
    }
}

/// Bytes that were checked in full.
#[derive(Debug)]
pub(crate) struct Encoded<'a> {
    summary: Summary,
    pairs: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// Checks all of `bytes`; `None` when they stand for an empty histogram.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Option<Self>, DecodeError> {
        let [version, rest @ ..] = bytes else { return Ok(None) };
        if *version != VERSION {
            return Err(DecodeError::Version(*version));
        }
        let mut rest = rest;
        let summary = Summary {
            count: read_varint(&mut rest, "count")?,
            overflow: read_varint(&mut rest, "overflow")?,
            sum_ns: read_long_varint(&mut rest, "sum")?,
            min_ns: read_varint(&mut rest, "minimum")?,
            max_ns: read_varint(&mut rest, "maximum")?,
        };
        let occupied = read_varint(&mut rest, "number of buckets")?;
        let encoded = Self { summary, pairs: rest };
        let mut seen = 0u64;
        let (mut first, mut last, mut next) = (None, None, 0u64);
        for _ in 0..occupied {
            let bucket = next.saturating_add(read_varint(&mut rest, "bucket")?);
            let count = read_varint(&mut rest, "bucket count")?;
            if bucket >= u64::from(BUCKETS) {
                return Err(DecodeError::Inconsistent("a bucket past the last one"));
            }
            if count == 0 {
                return Err(DecodeError::Inconsistent("an empty bucket"));
            }
            seen = seen.checked_add(count).ok_or(DecodeError::TooMany)?;
            next = bucket + 1;
            last = Some(bucket as u32);
            first = first.or(last);
        }
        if !rest.is_empty() {
            return Err(DecodeError::Trailing(rest.len()));
        }
        encoded.check(seen, first, last)?;
        Ok(Some(encoded))
    }

    fn check(&self, seen: u64, first: Option<u32>, last: Option<u32>) -> Result<(), DecodeError> {
        let Summary { count, overflow, sum_ns, min_ns, max_ns } = self.summary;
        if count == 0 || seen.checked_add(overflow) != Some(count) {
            return Err(DecodeError::Inconsistent("the buckets do not add up to the count"));
        }
        let lowest = if first.is_some() { bucket_of(min_ns) == first } else { bucket_of(min_ns).is_none() };
        let highest = if overflow == 0 { bucket_of(max_ns) == last } else { bucket_of(max_ns).is_none() };
        if min_ns > max_ns || !lowest || !highest {
            return Err(DecodeError::Inconsistent("minimum or maximum is in another bucket than the values"));
        }
        let (least, most) = (u128::from(count) * u128::from(min_ns), u128::from(count) * u128::from(max_ns));
        if !(least..=most).contains(&sum_ns) {
            return Err(DecodeError::Inconsistent(
                "the sum is not between count times minimum and count times maximum",
            ));
        }
        Ok(())
    }

    pub(crate) const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Buckets and counts, rising. The bytes were checked, so that nothing is cut off.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (u32, u64)> + use<'a> {
        let mut pairs = self.pairs;
        let mut next = 0u32;
        std::iter::from_fn(move || {
            let bucket = next + u32::try_from(read_varint(&mut pairs, "bucket").ok()?).ok()?;
            next = bucket + 1;
            Some((bucket, read_varint(&mut pairs, "bucket count").ok()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Histogram, Totals};

    fn sample() -> Vec<u8> {
        let mut histogram = Histogram::new();
        for value_ns in [3_000, 3_500, 900_000, 12_345_678, 12_345_678, 4_000_000_000_000] {
            histogram.record_ns(value_ns);
        }
        histogram.encode_delta()
    }

    /// The example of the document that says how others read this.
    #[test]
    fn the_documented_example_is_what_is_written_and_read() {
        let document = include_str!("../../../docs/histograms.md");
        let (_, example) = document.split_once("```text\n").unwrap();
        let (hexadecimal, _) = example.split_once("```").unwrap();
        let bytes: Vec<u8> = hexadecimal.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let mut histogram = Histogram::new();
        for value_ns in [3_000, 3_500, 900_000, 12_345_678, 12_345_678, 4_000_000_000_000] {
            histogram.record_ns(value_ns);
        }
        assert_eq!(bytes, histogram.encode_delta());
        let totals = Totals::decode(&bytes).unwrap();
        assert_eq!(totals.buckets().collect::<Vec<_>>(), [(3, 2), (900, 1), (4_615, 2)]);
        let bounds = |bucket| (crate::buckets::lowest_ns(bucket), crate::buckets::highest_ns(bucket));
        assert_eq!(bounds(4_615), (12_344_000, 12_351_999));
    }

    #[test]
    fn every_truncation_and_every_addition_is_refused_and_changes_nothing() {
        let bytes = sample();
        let mut totals = Totals::decode(&bytes).unwrap();
        let before = totals.clone();
        for length in 1..bytes.len() {
            assert!(totals.merge_delta(&bytes[..length]).is_err(), "{length}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(totals.merge_delta(&longer), Err(DecodeError::Trailing(1)));
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(totals.merge_delta(&newer), Err(DecodeError::Version(2)));
        assert_eq!(totals, before);
    }

    #[test]
    fn nothing_is_no_bytes() {
        assert!(Histogram::new().encode_delta().is_empty());
        assert!(Totals::decode(&[]).unwrap().is_empty());
    }

    #[test]
    fn the_form_stays_readable() {
        let mut histogram = Histogram::new();
        histogram.record_ns(3_000);
        histogram.record_ns_many(5_500, 300);
        let bytes = [1, 0xad, 2, 0, 0x88, 0xf2, 0x64, 0xb8, 0x17, 0xfc, 0x2a, 2, 3, 1, 1, 0xac, 2];
        assert_eq!(histogram.encode_delta(), bytes);
        assert_eq!(Totals::decode(&bytes).unwrap(), Totals::from(&histogram));
    }

    #[test]
    fn contradictions_are_refused() {
        for (bytes, part) in [
            (vec![1, 0, 0, 0, 0, 0, 0], "add up"),
            (vec![1, 2, 0, 0, 0, 0, 1, 0, 1], "add up"),
            (vec![1, 1, 0, 0, 0, 0, 1, 1, 1], "another bucket"),
            (vec![1, 1, 0, 1, 0, 0, 1, 0, 1], "the sum"),
            (vec![1, 1, 0, 0, 0, 0, 1, 0, 0], "empty bucket"),
            (vec![1, 1, 0, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 1], "past the last"),
        ] {
            let error = Totals::decode(&bytes).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Totals::decode(&bytes);
        }

        #[test]
        fn damaged_bytes_never_panic_and_what_loads_is_consistent(
            at in any::<prop::sample::Index>(),
            value in any::<u8>(),
        ) {
            let mut bytes = sample();
            let at = at.index(bytes.len());
            bytes[at] = value;
            if let Ok(totals) = Totals::decode(&bytes) {
                let inside: u64 = totals.buckets().map(|(_, count)| count).sum();
                prop_assert_eq!(inside + totals.summary().overflow, totals.count());
                prop_assert_eq!(Totals::decode(&totals.encode()).unwrap(), totals);
            }
        }
    }
}
