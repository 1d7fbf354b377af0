//! The words of an expression.

use serde_json::Value;

use crate::error::shown;
use crate::names::{begins_name, continues_name};
use crate::value::number;

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    Name(&'a str),
    Constant(Value),
    /// An operator, a bracket, a comma.
    Sign(&'static str),
    /// `}}`
    End,
}

/// A word and where it begins and ends, in bytes of the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word<'a> {
    pub(super) token: Token<'a>,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// What is wrong at a byte of the text.
pub(super) type Wrong = (usize, String);

/// Longer ones first, so that `<=` is not `<`.
const SIGNS: [&str; 23] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "-", "+", "*", "/", "%", "(", ")", "[", "]", ".", ",", "?", ":",
    "}}",
];

/// The next word of `text` from byte `at`.
pub(super) fn word(text: &str, at: usize) -> Result<Word<'_>, Wrong> {
    let rest = text.get(at..).unwrap_or_default();
    let from = at + (rest.len() - rest.trim_start().len());
    let rest = text.get(from..).unwrap_or_default();
    let Some(first) = rest.chars().next() else {
        return Err((from, "the expression has no end: write }}".to_owned()));
    };
    if begins_name(first) {
        let name = longest(rest, continues_name);
        let token = match name {
            "true" => Token::Constant(Value::Bool(true)),
            "false" => Token::Constant(Value::Bool(false)),
            "null" => Token::Constant(Value::Null),
            _ => Token::Name(name),
        };
        return Ok(Word { token, from, to: from + name.len() });
    }
    if first.is_ascii_digit() {
        return figure(rest, from);
    }
    if first == '\'' || first == '"' {
        return quoted(rest, first, from);
    }
    let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
    let sign = sign.ok_or_else(|| (from, unknown(first)))?;
    let token = if *sign == "}}" { Token::End } else { Token::Sign(sign) };
    Ok(Word { token, from, to: from + sign.len() })
}

fn unknown(first: char) -> String {
    match first {
        '=' => "`=` is no operator: to compare write ==".to_owned(),
        '&' => "`&` is no operator: write &&".to_owned(),
        '|' => "`|` is no operator: write || or a function, as in upper(x)".to_owned(),
        '{' => "`{` has no place in an expression; for a literal {{ write {{{{".to_owned(),
        '}' => "the expression ends with }}, both of them".to_owned(),
        '$' => "`$` has no place in an expression: a variable is its name alone".to_owned(),
        other => format!("`{other}` has no place in an expression"),
    }
}

fn longest(text: &str, continues: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !continues(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// A number: digits, then a fraction, then an exponent.
fn figure(rest: &str, from: usize) -> Result<Word<'_>, Wrong> {
    let digits = |at: usize| longest(rest.get(at..).unwrap_or_default(), |c| c.is_ascii_digit()).len();
    let mut length = digits(0);
    let fraction = rest.get(length..).and_then(|rest| rest.strip_prefix('.'));
    if fraction.is_some_and(|fraction| fraction.starts_with(|c: char| c.is_ascii_digit())) {
        length += 1 + digits(length + 1);
    }
    let exponent = rest.get(length..).and_then(|rest| rest.strip_prefix(['e', 'E']));
    if let Some(exponent) = exponent {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let count = digits(length + 1 + sign);
        if count > 0 {
            length += 1 + sign + count;
        }
    }
    let literal = rest.get(..length).unwrap_or_default();
    if rest.get(length..).is_some_and(|rest| rest.starts_with(continues_name)) {
        return Err((from, format!("`{}…` is not a number", shown(literal))));
    }
    let number = number::parse(literal).ok_or_else(|| {
        (from, format!("`{}` is not a number that JSON can hold: no leading zeros, at most 64 bits", shown(literal)))
    })?;
    Ok(Word { token: Token::Constant(number.into_value()), from, to: from + length })
}

/// A text in quotes, with the escapes `\\ \' \" \n \r \t \u00e4`.
fn quoted(rest: &str, quote: char, from: usize) -> Result<Word<'_>, Wrong> {
    let mut content = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Ok(Word { token: Token::Constant(Value::String(content)), from, to: from + at + 1 });
        }
        let meant = match c {
            '\\' => match chars.next() {
                Some((_, escaped @ ('\\' | '\'' | '"'))) => escaped,
                Some((_, 'n')) => '\n',
                Some((_, 'r')) => '\r',
                Some((_, 't')) => '\t',
                Some((_, 'u')) => {
                    let digits: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                    let is_hex = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                    u32::from_str_radix(&digits, 16).ok().filter(|_| is_hex).and_then(char::from_u32).ok_or_else(
                        || (from + at, "\\u takes four hexadecimal digits of one character, as in \\u00e4".to_owned()),
                    )?
                }
                _ => return Err((from + at, "an escape is one of \\\\ \\' \\\" \\n \\r \\t \\u00e4".to_owned())),
            },
            plain => plain,
        };
        content.push(meant);
    }
    Err((from, format!("the text has no end: write another {quote}")))
}
