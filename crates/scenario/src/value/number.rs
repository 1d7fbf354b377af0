//! Numbers of expressions: whole ones stay whole and exact, or say that they cannot; all others are 64-bit floats.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use crate::error::TemplateError;

/// Below it every whole number is exact as a float: 2^53.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// Beyond every whole number that there can be, and exact.
const BEYOND: f64 = 1e30;

/// A number on its way through an expression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Numeric {
    /// From −2^63 to 2^64 − 1: what JSON numbers hold exactly.
    Whole(i128),
    /// Finite.
    Real(f64),
}

impl Numeric {
    /// The number of a JSON number.
    pub fn of(number: &Number) -> Self {
        number.as_i128().map_or_else(|| Self::Real(number.as_f64().unwrap_or_default()), Self::Whole)
    }

    /// As a float; large whole numbers lose digits.
    pub const fn as_f64(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }

    /// As a value.
    pub fn into_value(self) -> Value {
        match self {
            Self::Whole(whole) => match (i64::try_from(whole), u64::try_from(whole)) {
                (Ok(whole), _) => Value::from(whole),
                (Err(_), Ok(whole)) => Value::from(whole),
                (Err(_), Err(_)) => Value::from(whole as f64),
            },
            Self::Real(real) => Value::from(real),
        }
    }
}

/// A text that is a number as JSON writes it, and nothing else; `None` for all others, and where a whole number has
/// more than 64 bits.
pub fn parse(text: &str) -> Option<Numeric> {
    // Only what begins and ends like a number, so that no text is read as JSON in vain, and none with spaces at all.
    let begins = text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    if !begins || !text.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let number: Number = serde_json::from_str(text).ok()?;
    let is_whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    match Numeric::of(&number) {
        // `-0` is a float to the reader of JSON.
        Numeric::Real(float) if is_whole => (float == 0.0).then_some(Numeric::Whole(0)),
        // The reader of JSON may be off by the last bit.
        Numeric::Real(_) => real(text.parse().ok()?, "").ok(),
        whole @ Numeric::Whole(_) => Some(whole),
    }
}

/// Which of two numbers is larger, exactly.
pub fn compare(left: Numeric, right: Numeric) -> Ordering {
    match (left, right) {
        (Numeric::Whole(left), Numeric::Whole(right)) => left.cmp(&right),
        (Numeric::Real(left), Numeric::Real(right)) => left.partial_cmp(&right).unwrap_or(Ordering::Equal),
        (Numeric::Whole(left), Numeric::Real(right)) => compare_mixed(left, right),
        (Numeric::Real(left), Numeric::Whole(right)) => compare_mixed(right, left).reverse(),
    }
}

fn compare_mixed(whole: i128, real: f64) -> Ordering {
    if real >= BEYOND {
        return Ordering::Less;
    }
    if real <= -BEYOND {
        return Ordering::Greater;
    }
    let truncated = real.trunc();
    let rest = real - truncated;
    whole.cmp(&(truncated as i128)).then(0.0f64.partial_cmp(&rest).unwrap_or(Ordering::Equal))
}

/// Operators of arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`: a whole number where it comes out even, else a fraction.
    Divide,
    /// `%`: has the sign of what is divided.
    Remainder,
}

impl Arithmetic {
    /// As it is written.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }

    /// The result for two numbers.
    ///
    /// # Errors
    /// A division by zero; a whole result beyond 64 bits (a float would lose its last digits without a word), and one
    /// that is not finite.
    pub fn apply(self, left: Numeric, right: Numeric) -> Result<Numeric, TemplateError> {
        let is_zero = compare(right, Numeric::Whole(0)) == Ordering::Equal;
        if is_zero && matches!(self, Self::Divide | Self::Remainder) {
            return Err(TemplateError::DivisionByZero { operator: self.sign() });
        }
        if let (Numeric::Whole(left), Numeric::Whole(right)) = (left, right) {
            let whole = match self {
                Self::Add => left.checked_add(right),
                Self::Subtract => left.checked_sub(right),
                Self::Multiply => left.checked_mul(right),
                Self::Remainder => left.checked_rem(right),
                Self::Divide if left.checked_rem(right) == Some(0) => left.checked_div(right),
                Self::Divide => return Ok(Numeric::Real(left as f64 / right as f64)),
            };
            return whole.and_then(bounded).ok_or(TemplateError::OutOfRange { what: self.sign() });
        }
        let (left, right) = (left.as_f64(), right.as_f64());
        real(
            match self {
                Self::Add => left + right,
                Self::Subtract => left - right,
                Self::Multiply => left * right,
                Self::Divide => left / right,
                Self::Remainder => left % right,
            },
            self.sign(),
        )
    }
}

/// A whole number of at most 64 bits.
pub fn bounded(whole: i128) -> Option<Numeric> {
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&whole).then_some(Numeric::Whole(whole))
}

/// A float as a number: whole where it is exactly one, so that 0.5 + 0.5 is written as 1.
///
/// # Errors
/// It is not finite. `what` made it.
pub fn real(real: f64, what: &'static str) -> Result<Numeric, TemplateError> {
    if !real.is_finite() {
        return Err(TemplateError::OutOfRange { what });
    }
    let is_whole = real.trunc() == real && real.abs() <= EXACT_MAX;
    Ok(if is_whole { Numeric::Whole(real as i128) } else { Numeric::Real(real) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn done(operator: Arithmetic, left: Value, right: Value) -> Result<Value, TemplateError> {
        let of = |value: &Value| Numeric::of(value.as_number().unwrap());
        operator.apply(of(&left), of(&right)).map(Numeric::into_value)
    }

    #[test]
    fn whole_numbers_stay_whole_where_they_can() {
        use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
        for (operator, left, right, expected) in [
            (Add, json!(2), json!(3), json!(5)),
            (Subtract, json!(2), json!(3), json!(-1)),
            (Multiply, json!(-2), json!(3), json!(-6)),
            (Divide, json!(6), json!(3), json!(2)),
            (Divide, json!(7), json!(2), json!(3.5)),
            (Remainder, json!(-7), json!(3), json!(-1)),
            (Add, json!(0.5), json!(0.5), json!(1)),
            (Multiply, json!(0.1), json!(3), json!(0.30000000000000004)),
            (Add, json!(i64::MAX), json!(1), json!(9_223_372_036_854_775_808u64)),
            (Remainder, json!(7.5), json!(2), json!(1.5)),
        ] {
            assert_eq!(done(operator, left, right).unwrap(), expected);
        }
    }

    #[test]
    fn what_has_no_result_says_so_instead_of_losing_digits() {
        use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
        for (operator, left, right) in [
            (Add, json!(u64::MAX), json!(1)),
            (Subtract, json!(i64::MIN), json!(1)),
            (Multiply, json!(u64::MAX), json!(u64::MAX)),
            (Multiply, json!(1e300), json!(1e300)),
        ] {
            assert_eq!(done(operator, left, right), Err(TemplateError::OutOfRange { what: operator.sign() }));
        }
        for (operator, right) in [(Divide, json!(0)), (Divide, json!(0.0)), (Remainder, json!(-0.0))] {
            let error = done(operator, json!(1), right).unwrap_err();
            assert_eq!(error, TemplateError::DivisionByZero { operator: operator.sign() });
        }
    }

    #[test]
    fn a_text_is_a_number_only_as_a_whole() {
        for (text, expected) in [
            ("0", Some(Numeric::Whole(0))),
            ("-0", Some(Numeric::Whole(0))),
            ("-12", Some(Numeric::Whole(-12))),
            ("1.50", Some(Numeric::Real(1.5))),
            ("1e3", Some(Numeric::Whole(1_000))),
            ("18446744073709551615", Some(Numeric::Whole(u64::MAX.into()))),
            ("18446744073709551616", None),
            ("01", None),
            (" 1", None),
            ("1 ", None),
            ("", None),
            ("-", None),
            ("1.", None),
            ("0x10", None),
            ("[1", None),
            ("1e999", None),
            ("NaN", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn whole_numbers_and_floats_are_compared_exactly() {
        let large = i128::from(u64::MAX);
        for (whole, real, expected) in [
            (1, 1.5, Ordering::Less),
            (2, 1.5, Ordering::Greater),
            (-1, -1.5, Ordering::Greater),
            (-2, -1.5, Ordering::Less),
            (3, 3.0, Ordering::Equal),
            (large, 18_446_744_073_709_551_616.0, Ordering::Less),
            (large, 1e300, Ordering::Less),
            (large, -1e300, Ordering::Greater),
            (9_007_199_254_740_993, 9_007_199_254_740_992.0, Ordering::Greater),
        ] {
            assert_eq!(compare(Numeric::Whole(whole), Numeric::Real(real)), expected, "{whole} {real}");
            assert_eq!(compare(Numeric::Real(real), Numeric::Whole(whole)), expected.reverse(), "{real} {whole}");
        }
    }

    proptest! {
        #[test]
        fn a_number_is_read_back_from_its_text(whole in any::<i64>(), real in proptest::num::f64::NORMAL) {
            prop_assert_eq!(parse(&whole.to_string()), Some(Numeric::Whole(whole.into())));
            let text = json!(real).to_string();
            prop_assert_eq!(parse(&text).map(Numeric::as_f64), Some(real), "{}", text);
        }

        #[test]
        fn nothing_panics_and_what_comes_out_is_a_number(
            left in any::<u64>(), right in any::<i64>(), real in any::<f64>(),
        ) {
            use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
            let real = if real.is_finite() { real } else { 0.25 };
            let numbers = [Numeric::Whole(left.into()), Numeric::Whole(right.into()), Numeric::Real(real)];
            for operator in [Add, Subtract, Multiply, Divide, Remainder] {
                for (left, right) in numbers.iter().flat_map(|left| numbers.iter().map(move |right| (*left, *right))) {
                    if let Ok(result) = operator.apply(left, right) {
                        prop_assert!(result.into_value().is_number());
                    }
                }
            }
        }

        #[test]
        fn the_order_of_numbers_is_an_order(a in any::<i64>(), b in proptest::num::f64::NORMAL, c in any::<u64>()) {
            let mut numbers = [Numeric::Whole(a.into()), Numeric::Real(b), Numeric::Whole(c.into())];
            numbers.sort_by(|left, right| compare(*left, *right));
            let [low, middle, high] = numbers;
            prop_assert!(compare(low, high) != Ordering::Greater && compare(low, middle) != Ordering::Greater);
        }
    }
}
