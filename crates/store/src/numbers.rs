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

/// A number that uses all 64 bits as 16 hexadecimal digits, from the signed number of the same bits.
pub(crate) fn hexadecimal(number: i64) -> String {
    format!("{:016x}", unbits(number))
}

/// Back from [`hexadecimal`]: nothing but its 16 digits.
pub(crate) fn from_hexadecimal(text: &str) -> Option<i64> {
    let is_of_digits = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(text, 16).ok().filter(|_| is_of_digits).map(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_as_hexadecimal_digits_is_read_as_such() {
        for text in ["", "1", "+000000000000001", "00000000000000AB", "00000000000000ab0", "000000000000000g"] {
            assert_eq!(from_hexadecimal(text), None, "{text}");
        }
        assert_eq!(from_hexadecimal("ffffffffffffffff"), Some(-1));
    }

    proptest::proptest! {
        #[test]
        fn all_64_bits_come_back(number: u64) {
            assert_eq!(unbits(bits(number)), number);
            assert_eq!(from_hexadecimal(&hexadecimal(bits(number))), Some(bits(number)));
        }

        #[test]
        fn counts_come_back_up_to_their_limit(number: u64) {
            assert_eq!(uncount(count(number)), number.min(i64::MAX as u64));
        }
    }
}
