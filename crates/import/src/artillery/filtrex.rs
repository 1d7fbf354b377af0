//! Expressions of `filtrex` 2, which Artillery uses in `ifTrue` and `ensure`: read here, worked out in
//! [`evaluate`], and written as a condition of Nuncius ([`condition`]) or as JavaScript ([`javascript`]).
//!
//! From weak to strong: `? :`, `or`, `and`, `in`, `== != ~=`, `< <= > >=`, `+ -`, `* / %`, `^`, `not`, `-`, `of`; all
//! from the left. Points belong to names; names may stand in single quotes, texts in double ones.

pub(crate) mod condition;
pub(crate) mod evaluate;
pub(crate) mod javascript;
mod lexer;

use lexer::{Token, Word, words};

/// Longest expression, in bytes.
const EXPRESSION_MAX_BYTES: usize = 8 * 1024;
/// Deepest nesting; each operator of a chain is one level of it.
const DEPTH_MAX: usize = 200;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    Number(f64),
    Text(String),
    Symbol(String),
    Negative(Box<Expression>),
    Not(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
    In { item: Box<Expression>, list: Box<Expression>, is_negated: bool },
    Choice { condition: Box<Expression>, then: Box<Expression>, otherwise: Box<Expression> },
    List(Vec<Expression>),
    Call(String, Vec<Expression>),
    Of(String, Box<Expression>),
}

/// An operator between two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Matches,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}

/// Of each operator: its sign, and how strongly it binds.
const OPERATORS: [(&str, Operator, u8); 15] = [
    ("or", Operator::Or, 2),
    ("and", Operator::And, 3),
    ("==", Operator::Equal, 5),
    ("!=", Operator::NotEqual, 5),
    ("~=", Operator::Matches, 5),
    ("<", Operator::Less, 6),
    ("<=", Operator::AtMost, 6),
    (">", Operator::Greater, 6),
    (">=", Operator::AtLeast, 6),
    ("+", Operator::Add, 7),
    ("-", Operator::Subtract, 7),
    ("*", Operator::Multiply, 8),
    ("/", Operator::Divide, 8),
    ("%", Operator::Remainder, 8),
    ("^", Operator::Power, 9),
];

/// How strongly `in` and `not in` bind.
const IN: u8 = 4;

/// Reads an expression. `symbols` are names that are taken as they are, whatever characters they have.
///
/// # Errors
/// What is no such expression.
pub(crate) fn parse(text: &str, symbols: &[&str]) -> Result<Expression, String> {
    if text.len() > EXPRESSION_MAX_BYTES {
        return Err(format!("longer than {EXPRESSION_MAX_BYTES} bytes"));
    }
    let words = words(text, symbols)?;
    let mut parser = Parser { words: &words, next: 0, depth: 0 };
    let expression = parser.choice()?;
    match parser.peek() {
        None => Ok(expression),
        Some(_) => Err(parser.unexpected("an operator")),
    }
}

struct Parser<'w> {
    words: &'w [Word],
    next: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.words.get(self.next).map(|word| &word.token)
    }

    fn unexpected(&self, wanted: &str) -> String {
        match self.words.get(self.next) {
            Some(word) => format!("column {}: {} where {wanted} belongs", word.column, word.token),
            None => format!("it ends where {wanted} belongs"),
        }
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(next)) if *next == sign)
    }

    fn take(&mut self, sign: &str) -> bool {
        let is_there = self.is_sign(sign);
        self.next += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.depth += 1;
        let read = if self.depth > DEPTH_MAX { Err(format!("deeper than {DEPTH_MAX}")) } else { read(self) };
        self.depth -= 1;
        read
    }

    fn choice(&mut self) -> Result<Expression, String> {
        self.deeper(|parser| {
            let mut left = parser.binary(1)?;
            let mut levels = 0;
            while parser.take("?") {
                let then = parser.binary(1)?;
                parser.expect(":")?;
                let otherwise = parser.binary(1)?;
                levels += 1;
                if levels > DEPTH_MAX {
                    return Err(format!("deeper than {DEPTH_MAX}"));
                }
                left = Expression::Choice {
                    condition: Box::new(left),
                    then: Box::new(then),
                    otherwise: Box::new(otherwise),
                };
            }
            Ok(left)
        })
    }

    /// Operators that are at least as strong as `weakest`.
    fn binary(&mut self, weakest: u8) -> Result<Expression, String> {
        self.deeper(|parser| {
            let mut left = parser.unary()?;
            let mut levels = 0;
            loop {
                levels += 1;
                if levels > DEPTH_MAX {
                    return Err(format!("more than {DEPTH_MAX} operators in a row"));
                }
                let is_in = parser.is_sign("in");
                let is_not_in = parser.is_sign("not")
                    && matches!(parser.words.get(parser.next + 1).map(|w| &w.token), Some(Token::Sign("in")));
                if (is_in || is_not_in) && IN >= weakest {
                    parser.next += if is_in { 1 } else { 2 };
                    let list = parser.binary(IN + 1)?;
                    left = Expression::In { item: Box::new(left), list: Box::new(list), is_negated: is_not_in };
                    continue;
                }
                let Some(Token::Sign(sign)) = parser.peek() else { return Ok(left) };
                let operator = OPERATORS.iter().find(|(known, _, strength)| known == sign && *strength >= weakest);
                let Some((_, operator, strength)) = operator else { return Ok(left) };
                parser.next += 1;
                let right = parser.binary(strength + 1)?;
                left = Expression::Binary(*operator, Box::new(left), Box::new(right));
            }
        })
    }

    fn unary(&mut self) -> Result<Expression, String> {
        self.deeper(|parser| {
            if parser.take("not") {
                return Ok(Expression::Not(Box::new(parser.unary()?)));
            }
            if parser.take("-") {
                return Ok(Expression::Negative(Box::new(parser.unary()?)));
            }
            parser.primary()
        })
    }

    fn primary(&mut self) -> Result<Expression, String> {
        let Some(token) = self.peek().cloned() else { return Err(self.unexpected("a value")) };
        match token {
            Token::Number(number) => {
                self.next += 1;
                Ok(Expression::Number(number))
            }
            Token::Text(text) => {
                self.next += 1;
                Ok(Expression::Text(text))
            }
            Token::Symbol(name) => {
                self.next += 1;
                if self.take("of") {
                    return self.deeper(|parser| Ok(Expression::Of(name, Box::new(parser.primary()?))));
                }
                if self.take("(") {
                    let arguments = if self.is_sign(")") { Vec::new() } else { self.list()? };
                    self.expect(")")?;
                    return Ok(Expression::Call(name, arguments));
                }
                Ok(Expression::Symbol(name))
            }
            Token::Sign("(") => {
                self.next += 1;
                let mut items = self.list()?;
                self.expect(")")?;
                match items.len() {
                    1 => Ok(items.remove(0)),
                    _ => Ok(Expression::List(items)),
                }
            }
            Token::Sign(_) => Err(self.unexpected("a value")),
        }
    }

    /// One value or more, with commas between them.
    fn list(&mut self) -> Result<Vec<Expression>, String> {
        let mut items = vec![self.choice()?];
        while self.take(",") {
            items.push(self.choice()?);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests;
