//! Expressions, as they are written in Python:
//!
//! ```text
//! statement  = [name "="] expression
//! expression = atom { "." name | "(" arguments ")" }
//! atom       = name | text | ["-"] number | "None" | "True" | "False" | "[" … "]" | "(" … ")" | "{" … ":" … "}"
//! arguments  = { expression "," } { name "=" expression "," }
//! ```

use crate::lexer::{Placed, Token};
use crate::{DEPTH_MAX, Expression, ShellError, Statement, Value, help};

/// Words of Python that somebody may expect to work.
const PYTHON: &[&str] =
    &["import", "from", "for", "while", "if", "def", "class", "with", "lambda", "print", "del", "try"];

struct Parser<'a> {
    tokens: &'a [Placed],
    next: usize,
}

/// A whole line.
pub(crate) fn statement(tokens: &[Placed]) -> Result<Option<Statement>, ShellError> {
    let mut parser = Parser { tokens, next: 0 };
    let target = match tokens {
        [] => return Ok(None),
        [Placed { token: Token::Name(word), column }, ..] if PYTHON.contains(&word.as_str()) => {
            let problem = format!("`{word}` is Python's: the shell knows calls and assignments only, see `usage`");
            return Err(ShellError::Syntax { column: *column, problem });
        }
        [Placed { token: Token::Name(name), column }, Placed { token: Token::Sign('='), .. }, ..] => {
            if help::is_taken(name) {
                let problem = format!("`{name}` is a word of the shell: take another name");
                return Err(ShellError::Syntax { column: *column, problem });
            }
            parser.next = 2;
            Some(name.clone())
        }
        _ => None,
    };
    let expression = parser.expression(0)?;
    match parser.tokens.get(parser.next) {
        None => Ok(Some(Statement { target, expression })),
        Some(_) => Err(parser.unexpected("the end of the line")),
    }
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|placed| &placed.token)
    }

    /// Takes a sign, if it is the next.
    fn took(&mut self, sign: char) -> bool {
        let is_next = self.peek() == Some(&Token::Sign(sign));
        self.next += usize::from(is_next);
        is_next
    }

    fn column(&self) -> usize {
        let end = || self.tokens.last().map_or(1, |last| last.column + 1);
        self.tokens.get(self.next).map_or_else(end, |placed| placed.column)
    }

    fn unexpected(&self, wanted: &str) -> ShellError {
        let found = match self.peek() {
            None => "the line ends here".to_owned(),
            Some(Token::Name(name)) => format!("`{}` is there", name.chars().take(40).collect::<String>()),
            Some(Token::Value(Value::Text(_))) => "a text is there".to_owned(),
            Some(Token::Value(value)) => format!("`{value}` is there"),
            Some(Token::Sign(sign)) => format!("`{sign}` is there"),
        };
        ShellError::Syntax { column: self.column(), problem: format!("{wanted} is missing: {found}") }
    }

    fn expression(&mut self, depth: usize) -> Result<Expression, ShellError> {
        if depth > DEPTH_MAX {
            return Err(ShellError::Deep { column: self.column() });
        }
        let mut made = self.atom(depth)?;
        // Each makes it deeper by one, whoever walks through it.
        for _ in 0..=DEPTH_MAX {
            if self.took('.') {
                let Some(Token::Name(name)) = self.peek().cloned() else { return Err(self.unexpected("a name")) };
                self.next += 1;
                made = Expression::Attribute(Box::new(made), name);
            } else if self.took('(') {
                made = self.call(made, depth)?;
            } else {
                return Ok(made);
            }
        }
        Err(ShellError::Deep { column: self.column() })
    }

    fn atom(&mut self, depth: usize) -> Result<Expression, ShellError> {
        let Some(token) = self.peek().cloned() else { return Err(self.unexpected("a value")) };
        match token {
            Token::Name(name) => {
                self.next += 1;
                Ok(match name.as_str() {
                    "None" => Expression::Value(Value::None),
                    "True" => Expression::Value(Value::Bool(true)),
                    "False" => Expression::Value(Value::Bool(false)),
                    _ => Expression::Name(name),
                })
            }
            Token::Value(value) => {
                self.next += 1;
                Ok(Expression::Value(value))
            }
            Token::Sign('-') => {
                self.next += 1;
                let negated = match self.peek() {
                    Some(Token::Value(Value::Integer(number))) => number.checked_neg().map(Value::Integer),
                    Some(Token::Value(Value::Float(number))) => Some(Value::Float(-number)),
                    Some(_) | None => None,
                };
                let negated = negated.ok_or_else(|| self.unexpected("a number"))?;
                self.next += 1;
                Ok(Expression::Value(negated))
            }
            Token::Sign('[') => {
                self.next += 1;
                Ok(Expression::List(self.entries(']', depth)?.0))
            }
            Token::Sign('(') => {
                self.next += 1;
                let (mut entries, has_comma) = self.entries(')', depth)?;
                match entries.pop() {
                    Some(alone) if entries.is_empty() && !has_comma => Ok(alone),
                    last => {
                        entries.extend(last);
                        Ok(Expression::Tuple(entries))
                    }
                }
            }
            Token::Sign('{') => {
                self.next += 1;
                self.dict(depth)
            }
            Token::Sign(_) => Err(self.unexpected("a value")),
        }
    }

    /// Entries up to a bracket, and whether a comma was among them.
    fn entries(&mut self, close: char, depth: usize) -> Result<(Vec<Expression>, bool), ShellError> {
        let (mut entries, mut has_comma) = (Vec::new(), false);
        while !self.took(close) {
            entries.push(self.expression(depth + 1)?);
            has_comma |= self.comma(close)?;
        }
        Ok((entries, has_comma))
    }

    /// A comma, or the bracket that stands there instead.
    fn comma(&mut self, close: char) -> Result<bool, ShellError> {
        if self.took(',') {
            return Ok(true);
        }
        match self.peek() == Some(&Token::Sign(close)) {
            true => Ok(false),
            false => Err(self.unexpected(&format!("`,` or `{close}`"))),
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Expression, ShellError> {
        let mut entries = Vec::new();
        while !self.took('}') {
            let key = self.expression(depth + 1)?;
            if !self.took(':') {
                return Err(self.unexpected("`:`"));
            }
            entries.push((key, self.expression(depth + 1)?));
            self.comma('}')?;
        }
        Ok(Expression::Dict(entries))
    }

    fn call(&mut self, callee: Expression, depth: usize) -> Result<Expression, ShellError> {
        let (mut positional, mut keyword) = (Vec::new(), Vec::<(String, Expression)>::new());
        while !self.took(')') {
            let name = match self.tokens.get(self.next..) {
                Some([Placed { token: Token::Name(name), .. }, Placed { token: Token::Sign('='), .. }, ..]) => {
                    Some(name.clone())
                }
                _ => None,
            };
            let column = self.column();
            let refuse = |problem: &str| Err(ShellError::Syntax { column, problem: problem.to_owned() });
            match name {
                Some(name) if keyword.iter().any(|(known, _)| *known == name) => {
                    return refuse("an argument of that name was given already");
                }
                Some(name) => {
                    self.next += 2;
                    keyword.push((name, self.expression(depth + 1)?));
                }
                None if !keyword.is_empty() => return refuse("arguments without a name stand before those with one"),
                None => positional.push(self.expression(depth + 1)?),
            }
            self.comma(')')?;
        }
        Ok(Expression::Call { callee: Box::new(callee), positional, keyword })
    }
}
