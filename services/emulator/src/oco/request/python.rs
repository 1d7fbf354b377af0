//! What Python's parsers take beyond JSON: constants that are no numbers, and integers in text.

use super::Scalar;

/// Zeros of the scripts whose digits Unicode counts as decimal (category Nd, Unicode 14); nine digits follow each.
const ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
    0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
    0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0,
    0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60,
    0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// What `int()` makes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Integer {
    /// It raises: this is no integer.
    None,
    /// This.
    Is(i64),
    /// More than is reckoned with here.
    TooLarge,
}

/// Python's `int()`, as far as JSON can ask it.
pub(super) fn integer(value: &Scalar<'_>) -> Integer {
    match value {
        Scalar::Bool(value) => Integer::Is(i64::from(*value)),
        Scalar::Integer(value) => Integer::Is(*value),
        Scalar::TooLarge => Integer::TooLarge,
        // Truncates. Every float from the first bound on, and below the second, is beyond 64 bits.
        Scalar::Float(value) if value.is_finite() => {
            let is_within = *value < 9_223_372_036_854_775_808.0 && *value >= -9_223_372_036_854_775_808.0;
            if is_within { Integer::Is(*value as i64) } else { Integer::TooLarge }
        }
        Scalar::Float(_) | Scalar::Null | Scalar::Other => Integer::None,
        Scalar::Text(text) => of_text(text),
    }
}

/// Blanks around it, a sign, digits of any script, single underscores between digits.
fn of_text(text: &str) -> Integer {
    let text = text.trim();
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut value: Option<i128> = Some(0);
    let mut follows_digit = false;
    for character in digits.chars() {
        match (character, digit(character)) {
            (_, Some(digit)) => {
                value = value.map(|value| value * 10 + i128::from(digit)).filter(|value| *value <= 1 << 64);
                follows_digit = true;
            }
            ('_', None) if follows_digit => follows_digit = false,
            _ => return Integer::None,
        }
    }
    if !follows_digit {
        return Integer::None;
    }
    let value = value.map(|value| if is_negative { -value } else { value });
    value.and_then(|value| i64::try_from(value).ok()).map_or(Integer::TooLarge, Integer::Is)
}

fn digit(character: char) -> Option<u8> {
    let code = u32::from(character);
    ZEROS
        .iter()
        .find_map(|zero| code.checked_sub(*zero).filter(|digit| *digit < 10))
        .and_then(|digit| digit.try_into().ok())
}

/// The text with `NaN`, `Infinity` and numbers beyond a float replaced by an empty array, which, like them, is no
/// integer, no text and no object; none where there is nothing of that in it.
pub(super) fn without_constants(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let mut mended = String::with_capacity(text.len());
    let (mut rest, mut has_changed) = (text, false);
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let length = text_bytes(rest);
            mended.push_str(rest.get(..length)?);
            rest = rest.get(length..)?;
        } else if first.is_ascii_alphanumeric() || matches!(first, '-' | '+' | '.') {
            let length = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"-+.".contains(byte)).count();
            let word = rest.get(..length)?;
            let is_constant = matches!(word, "NaN" | "Infinity" | "-Infinity");
            let is_beyond = first.is_ascii_digit() || first == '-';
            if is_constant || (is_beyond && word.parse::<f64>().is_ok_and(f64::is_infinite)) {
                mended.push_str("[]");
                has_changed = true;
            } else {
                mended.push_str(word);
            }
            rest = rest.get(length..)?;
        } else {
            mended.push(first);
            rest = rest.get(first.len_utf8()..)?;
        }
    }
    has_changed.then_some(mended)
}

/// The length of the text that begins here, its quotation marks included.
fn text_bytes(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_an_integer_where_python_says_so() {
        for (text, wanted) in [
            ("12", Integer::Is(12)),
            (" -7\u{a0}", Integer::Is(-7)),
            ("+3", Integer::Is(3)),
            ("1_0", Integer::Is(10)),
            ("１２", Integer::Is(12)),
            ("٣", Integer::Is(3)),
            ("007", Integer::Is(7)),
            ("9223372036854775807", Integer::Is(i64::MAX)),
            ("-9223372036854775808", Integer::Is(i64::MIN)),
            ("9223372036854775808", Integer::TooLarge),
            ("99999999999999999999999999999999999999999999999999", Integer::TooLarge),
            ("1__0", Integer::None),
            ("_1", Integer::None),
            ("1_", Integer::None),
            ("- 1", Integer::None),
            ("", Integer::None),
            ("1.0", Integer::None),
            ("²", Integer::None),
            ("0x10", Integer::None),
        ] {
            assert_eq!(of_text(text), wanted, "{text:?}");
        }
        assert_eq!(integer(&Scalar::Float(1e30)), Integer::TooLarge);
        assert_eq!(integer(&Scalar::Float(-1.9)), Integer::Is(-1));
    }

    #[test]
    fn constants_are_replaced_outside_of_texts_alone() {
        for (text, mended) in [
            (r#"{"a": NaN, "b": [-Infinity,Infinity], "c": 1e400}"#, Some(r#"{"a": [], "b": [[],[]], "c": []}"#)),
            (r#"{"a": "NaN \" Infinity", "b": -1e999}"#, Some(r#"{"a": "NaN \" Infinity", "b": []}"#)),
            (r#"{"a": "NaN", "b": 1.5e3, "c": true}"#, None),
            (r#"{"NaN": nan}"#, None),
        ] {
            assert_eq!(without_constants(text.as_bytes()).as_deref(), mended, "{text}");
        }
    }
}
