//! Tokens that can be checked without being remembered. They keep nobody out who wants to get in: the checksum is no
//! secret, it only tells what the stub gave from what somebody made up.

use super::service_time::mix;

/// What every token begins with: it is found again wherever it does not belong.
const PREFIX: &str = "stub";

/// A token for `number`, good until `until_ns` of the stub's own time.
pub(crate) fn make(seed: u64, number: u64, until_ns: u64) -> String {
    format!("{PREFIX}.{number:x}.{until_ns:x}.{:016x}", checksum(seed, number, until_ns))
}

/// Whether the stub gave this, and it still holds at `now_ns`.
pub(crate) fn is_good(seed: u64, token: &str, now_ns: u64) -> bool {
    let mut parts = token.split('.');
    let (Some(PREFIX), Some(number), Some(until), Some(check), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
    let (Some(number), Some(until_ns), Some(check)) = (hexadecimal(number), hexadecimal(until), hexadecimal(check))
    else {
        return false;
    };
    check == checksum(seed, number, until_ns) && now_ns < until_ns
}

fn checksum(seed: u64, number: u64, until_ns: u64) -> u64 {
    mix(mix(mix(seed).wrapping_add(number)).wrapping_add(until_ns))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_holds_until_its_time_for_whoever_gave_it(seed: u64, number: u64, until_ns in 1u64.., other: u64) {
            let token = make(seed, number, until_ns);
            prop_assert!(is_good(seed, &token, 0) && is_good(seed, &token, until_ns - 1));
            prop_assert!(!is_good(seed, &token, until_ns));
            prop_assert!(seed == other || !is_good(other, &token, 0));
            prop_assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'));
        }

        #[test]
        fn nothing_else_is_a_token(text in ".{0,60}") {
            prop_assert!(!is_good(7, &text, 0));
            let longer = format!("stub.{text}");
            prop_assert!(!is_good(7, &longer, 0));
        }
    }
}
