//! The tokens of a line.

use std::iter::Peekable;
use std::str::Chars;

use crate::{ShellError, Value};

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// `name`.
    Name(String),
    /// A number or a text.
    Value(Value),
    /// One of `( ) [ ] { } , . : = -`.
    Sign(char),
}

/// A token, and the column where it begins, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Placed {
    pub(crate) column: usize,
    pub(crate) token: Token,
}

struct Reader<'a> {
    characters: Peekable<Chars<'a>>,
    column: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        self.column += 1;
        self.characters.next()
    }

    fn next_if(&mut self, is_wanted: impl Fn(char) -> bool) -> Option<char> {
        let next = self.characters.next_if(|c| is_wanted(*c))?;
        self.column += 1;
        Some(next)
    }

    fn all(&mut self, is_wanted: impl Fn(char) -> bool + Copy) -> String {
        std::iter::from_fn(|| self.next_if(is_wanted)).collect()
    }
}

/// The tokens of a line, a comment at its end left out.
pub(crate) fn tokens(line: &str) -> Result<Vec<Placed>, ShellError> {
    let mut reader = Reader { characters: line.chars().peekable(), column: 1 };
    let mut tokens = Vec::new();
    loop {
        reader.all(char::is_whitespace);
        let column = reader.column;
        let refuse = |problem: String| Err(ShellError::Syntax { column, problem });
        let Some(first) = reader.next() else { return Ok(tokens) };
        let token = match first {
            '#' => return Ok(tokens),
            '(' | ')' | '[' | ']' | '{' | '}' | ',' | ':' | '=' | '-' => Token::Sign(first),
            '.' if !reader.characters.peek().is_some_and(char::is_ascii_digit) => Token::Sign('.'),
            '\'' | '"' => Token::Value(Value::Text(text(&mut reader, first, column)?)),
            '0'..='9' | '.' => Token::Value(number(&mut reader, first, column)?),
            first if first.is_alphabetic() || first == '_' => {
                let rest = reader.all(|c| c.is_alphanumeric() || c == '_');
                Token::Name(format!("{first}{rest}"))
            }
            '+' => {
                return refuse("`+` means nothing here: groups are not merged, each has calls of its own".to_owned());
            }
            other => return refuse(format!("`{}` means nothing here", other.escape_debug())),
        };
        tokens.push(Placed { column, token });
    }
}

/// A text up to its quote.
fn text(reader: &mut Reader<'_>, quote: char, column: usize) -> Result<String, ShellError> {
    let mut text = String::new();
    while let Some(next) = reader.next() {
        match next {
            _ if next == quote => return Ok(text),
            '\\' => match reader.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some(other @ ('\\' | '\'' | '"')) => text.push(other),
                Some(other) => {
                    let problem = format!("there is no \\{}: \\n \\t \\r \\\\ \\' and \\\"", other.escape_debug());
                    return Err(ShellError::Syntax { column: reader.column.saturating_sub(2), problem });
                }
                None => break,
            },
            other => text.push(other),
        }
    }
    Err(ShellError::Syntax { column, problem: format!("the text has no end: {quote} is missing") })
}

/// A number: `2`, `0.5`, `.5`, `1e3`.
fn number(reader: &mut Reader<'_>, first: char, column: usize) -> Result<Value, ShellError> {
    let mut digits = String::from(first);
    let is_part = |c: char| c.is_alphanumeric() || c == '.' || c == '_';
    loop {
        digits += &reader.all(is_part);
        let has_exponent = digits.ends_with(['e', 'E']);
        match reader.next_if(|c| has_exponent && (c == '-' || c == '+')) {
            Some(sign) => digits.push(sign),
            None => break,
        }
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(whole) = digits.parse()
    {
        return Ok(Value::Integer(whole));
    }
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Value::Float(number)),
        _ => {
            let shown: String = digits.chars().take(40).collect();
            Err(ShellError::Syntax { column, problem: format!("`{shown}` is no number") })
        }
    }
}
