//! Unsigned numbers in SQLite's signed columns.

/// A count or a time: at most 2⁶³ − 1, which none of them reaches.
pub(crate) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count or a time, if there is one.
pub(crate) fn optional_count(number: Option<u64>) -> Option<i64> {
    number.map(count)
}

/// Back from [`count`].
pub(crate) fn uncount(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A number that uses all 64 bits (an epoch, a trace id): the signed number of the same bits.
pub(crate) const fn bits(number: u64) -> i64 {
    number.cast_signed()
}

/// Back from [`bits`].
pub(crate) const fn unbits(number: i64) -> u64 {
    number.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn all_64_bits_come_back(number: u64) {
            assert_eq!(unbits(bits(number)), number);
        }

        #[test]
        fn counts_come_back_up_to_their_limit(number: u64) {
            assert_eq!(uncount(count(number)), number.min(i64::MAX as u64));
        }
    }
}
