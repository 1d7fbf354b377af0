//! The words of an expression.

use std::fmt;

use crate::artillery::view::shown;

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Number(f64),
    Text(String),
    Symbol(String),
    Sign(&'static str),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "the number {number}"),
            Self::Text(text) => write!(f, "the text \"{}\"", shown(text)),
            Self::Symbol(name) => write!(f, "`{}`", shown(name)),
            Self::Sign(sign) => write!(f, "`{sign}`"),
        }
    }
}

/// A word, and where it begins, in characters from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word {
    pub(super) token: Token,
    pub(super) column: usize,
}

/// Longer ones first.
const SIGNS: [&str; 18] =
    ["==", "!=", "~=", ">=", "<=", "<", ">", "*", "/", "-", "+", "^", "%", "(", ")", ",", "?", ":"];

const WORDS: [&str; 5] = ["and", "or", "not", "in", "of"];

/// All words of a text. `symbols` go before everything else, the longest first.
///
/// # Errors
/// What is no word.
pub(super) fn words(text: &str, symbols: &[&str]) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(words);
        }
        let column = text.get(..text.len() - rest.len()).map_or(0, |before| before.chars().count()) + 1;
        let (token, length) = word(rest, symbols).map_err(|problem| format!("column {column}: {problem}"))?;
        words.push(Word { token, column });
        rest = rest.get(length..).unwrap_or_default();
    }
}

fn word(text: &str, symbols: &[&str]) -> Result<(Token, usize), String> {
    let given = symbols.iter().filter(|symbol| !symbol.is_empty() && text.starts_with(**symbol));
    if let Some(symbol) = given.max_by_key(|symbol| symbol.len()) {
        return Ok((Token::Symbol((*symbol).to_owned()), symbol.len()));
    }
    if let Some(sign) = SIGNS.iter().find(|sign| text.starts_with(**sign)) {
        return Ok((Token::Sign(sign), sign.len()));
    }
    let Some(first) = text.chars().next() else { return Err("nothing".to_owned()) };
    if first.is_ascii_digit() {
        return number(text);
    }
    if first == '"' || first == '\'' {
        let (content, length) = quoted(text, first)?;
        return Ok((if first == '"' { Token::Text(content) } else { Token::Symbol(content) }, length));
    }
    if first.is_ascii_alphabetic() || first == '_' || first == '$' {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_$.".contains(c);
        let end = text.find(|c| !plain(c)).unwrap_or(text.len());
        let name = text.get(..end).unwrap_or_default();
        return Ok(match WORDS.iter().find(|word| **word == name) {
            Some(word) => (Token::Sign(word), end),
            None => (Token::Symbol(name.to_owned()), end),
        });
    }
    Err(match first {
        '=' => "`=` is no operator: to compare write `==`".to_owned(),
        '&' => "`&` is no operator: write `and`".to_owned(),
        '|' => "`|` is no operator: write `or`".to_owned(),
        '!' => "`!` is no operator: write `not`".to_owned(),
        other => format!("`{other}` has no place here"),
    })
}

fn number(text: &str) -> Result<(Token, usize), String> {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())
    };
    let mut end = digits(0);
    let fraction = if text.get(end..).is_some_and(|rest| rest.starts_with('.')) { digits(end + 1) } else { 0 };
    if fraction > 0 {
        end += 1 + fraction;
    }
    let goes_on = |c: char| c.is_alphanumeric() || c == '_';
    match text.get(..end).and_then(|number| number.parse().ok()) {
        Some(number) if !text.get(end..).is_some_and(|rest| rest.starts_with(goes_on)) => {
            Ok((Token::Number(number), end))
        }
        _ => Err("no number".to_owned()),
    }
}

fn quoted(text: &str, quote: char) -> Result<(String, usize), String> {
    let mut content = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Ok((content, at + 1));
        }
        match c {
            '\\' => match chars.next() {
                Some((_, escaped)) if escaped == quote || escaped == '\\' => content.push(escaped),
                _ => return Err(format!("a backslash stands before `\\` or `{quote}` only")),
            },
            plain => content.push(plain),
        }
    }
    Err(format!("a text without its end: write another {quote}"))
}
