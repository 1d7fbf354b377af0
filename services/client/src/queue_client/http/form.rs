//! `name=value&…` of queries and form bodies.

/// Names and values in their order. What is not UTF-8 becomes the replacement character.
pub(super) fn parse(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// The first value of a name.
pub(super) fn first<'a>(pairs: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => break,
            [b'+', tail @ ..] => {
                out.push(b' ');
                tail
            }
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(nibble(*high) << 4 | nibble(*low));
                tail
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The value of a hexadecimal digit.
const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_read_and_what_is_no_escape_stays() {
        let pairs = parse("value=%3Cb%3e+1&type&&a=b=c&%zz=%4&value=2");
        assert_eq!(first(&pairs, "value"), Some("<b> 1"));
        assert_eq!(first(&pairs, "type"), Some(""));
        assert_eq!(first(&pairs, "a"), Some("b=c"));
        assert_eq!(first(&pairs, "%zz"), Some("%4"));
        assert_eq!(first(&pairs, "b"), None);
        assert_eq!(first(&parse("x=%ff"), "x"), Some("\u{fffd}"));
    }

    proptest! {
        #[test]
        fn what_was_escaped_comes_back(text in ".{0,40}") {
            let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(decode(&escaped), text);
        }
    }
}
