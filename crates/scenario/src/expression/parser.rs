//! Reads an expression: precedence climbing, bounded in depth and in size.

use serde_json::Value;

use super::lexer::{Token, Word, Wrong, word};
use super::syntax::{Comparison, Node, Operator};
use crate::error::{EXPRESSION_DEPTH_MAX, EXPRESSION_NODES_MAX, TemplateError, shown};
use crate::functions::Function;
use crate::names::Names;
use crate::value::number::{Arithmetic, Numeric, bounded};

/// Reads the expression of `text` that begins at byte `at`, up to and with its `}}`; gives the byte after them.
///
/// # Errors
/// What is not written as the language wants it, with its column; too deep or too large; too many variables.
pub(crate) fn parse(text: &str, at: usize, names: &mut Names) -> Result<(Node, usize), TemplateError> {
    let next = word(text, at).map_err(|wrong| syntax(text, wrong))?;
    let mut parser = Parser { text, next, names, nodes: 0, nesting: 0 };
    let built = parser.choice()?;
    if parser.next.token != Token::End {
        return Err(parser.unexpected("an operator or }}"));
    }
    Ok((built.node, parser.next.to))
}

fn syntax(text: &str, (at, reason): Wrong) -> TemplateError {
    let column = text.get(..at).map_or(0, |before| before.chars().count()) + 1;
    TemplateError::Syntax { column, reason }
}

/// A node and how deep it is: what evaluating and dropping it take of the stack.
struct Built {
    node: Node,
    depth: usize,
}

struct Parser<'t, 'n> {
    text: &'t str,
    next: Word<'t>,
    names: &'n mut Names,
    nodes: usize,
    nesting: usize,
}

impl Parser<'_, '_> {
    fn wrong(&self, reason: String) -> TemplateError {
        syntax(self.text, (self.next.from, reason))
    }

    fn unexpected(&self, wanted: &str) -> TemplateError {
        let found = match &self.next.token {
            Token::End => "}}".to_owned(),
            Token::Name(_) | Token::Constant(_) | Token::Sign(_) => {
                shown(self.text.get(self.next.from..self.next.to).unwrap_or_default())
            }
        };
        self.wrong(format!("`{found}` where {wanted} belongs"))
    }

    fn advance(&mut self) -> Result<(), TemplateError> {
        self.next = word(self.text, self.next.to).map_err(|wrong| syntax(self.text, wrong))?;
        Ok(())
    }

    /// Goes past a sign, where it is the next word.
    fn take(&mut self, sign: &str) -> Result<bool, TemplateError> {
        let is_there = matches!(self.next.token, Token::Sign(next) if next == sign);
        if is_there {
            self.advance()?;
        }
        Ok(is_there)
    }

    fn expect(&mut self, sign: &str) -> Result<(), TemplateError> {
        if self.take(sign)? { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn build(&mut self, node: Node, below: usize) -> Result<Built, TemplateError> {
        self.nodes += 1;
        if self.nodes > EXPRESSION_NODES_MAX {
            return Err(self.wrong(format!("an expression has at most {EXPRESSION_NODES_MAX} values and operators")));
        }
        let depth = below + 1;
        if depth > EXPRESSION_DEPTH_MAX { Err(self.too_deep()) } else { Ok(Built { node, depth }) }
    }

    fn too_deep(&self) -> TemplateError {
        self.wrong(format!("an expression is at most {EXPRESSION_DEPTH_MAX} deep"))
    }

    /// Does what recurses, as long as the nesting allows it.
    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<Built, TemplateError>) -> Result<Built, TemplateError> {
        if self.nesting >= EXPRESSION_DEPTH_MAX {
            return Err(self.too_deep());
        }
        self.nesting += 1;
        let built = read(self);
        self.nesting -= 1;
        built
    }

    fn choice(&mut self) -> Result<Built, TemplateError> {
        self.nested(|parser| {
            let condition = parser.binary(1)?;
            if !parser.take("?")? {
                return Ok(condition);
            }
            let then = parser.choice()?;
            parser.expect(":")?;
            let otherwise = parser.choice()?;
            let below = condition.depth.max(then.depth).max(otherwise.depth);
            let node = Node::Choice {
                condition: condition.node.into(),
                then: then.node.into(),
                otherwise: otherwise.node.into(),
            };
            parser.build(node, below)
        })
    }

    fn operator(&self) -> Option<Operator> {
        let Token::Sign(sign) = self.next.token else { return None };
        Some(match sign {
            "||" => Operator::Or,
            "&&" => Operator::And,
            "==" => Operator::Compare(Comparison::Equal),
            "!=" => Operator::Compare(Comparison::NotEqual),
            "<" => Operator::Compare(Comparison::Less),
            "<=" => Operator::Compare(Comparison::AtMost),
            ">" => Operator::Compare(Comparison::Greater),
            ">=" => Operator::Compare(Comparison::AtLeast),
            "+" => Operator::Compute(Arithmetic::Add),
            "-" => Operator::Compute(Arithmetic::Subtract),
            "*" => Operator::Compute(Arithmetic::Multiply),
            "/" => Operator::Compute(Arithmetic::Divide),
            "%" => Operator::Compute(Arithmetic::Remainder),
            _ => return None,
        })
    }

    /// Operators that are at least as strong as `weakest`.
    fn binary(&mut self, weakest: u8) -> Result<Built, TemplateError> {
        let mut left = self.unary()?;
        while let Some(operator) = self.operator().filter(|operator| operator.strength() >= weakest) {
            self.advance()?;
            let right = self.binary(operator.strength() + 1)?;
            let below = left.depth.max(right.depth);
            left = self.build(Node::Binary(operator, left.node.into(), right.node.into()), below)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Built, TemplateError> {
        if self.take("!")? {
            let operand = self.nested(Self::unary)?;
            return self.build(Node::Not(operand.node.into()), operand.depth);
        }
        if self.take("-")? {
            let operand = self.nested(Self::unary)?;
            // A negative number is a constant, and the least one has no positive twin of 63 bits.
            if let Node::Constant(Value::Number(number)) = &operand.node
                && let Some(negated) = negated(Numeric::of(number))
            {
                return Ok(Built { node: Node::Constant(negated.into_value()), depth: operand.depth });
            }
            return self.build(Node::Negative(operand.node.into()), operand.depth);
        }
        self.postfix()
    }

    fn postfix(&mut self) -> Result<Built, TemplateError> {
        let mut built = self.primary()?;
        loop {
            if self.take(".")? {
                let Token::Name(name) = self.next.token else {
                    return Err(self.unexpected("the name of a member (or write ['name'])"));
                };
                self.advance()?;
                built = self.build(Node::Member(built.node.into(), name.into()), built.depth)?;
            } else if self.take("[")? {
                let index = self.choice()?;
                self.expect("]")?;
                let below = built.depth.max(index.depth);
                built = self.build(Node::Index(built.node.into(), index.node.into()), below)?;
            } else {
                return Ok(built);
            }
        }
    }

    fn primary(&mut self) -> Result<Built, TemplateError> {
        match self.next.token.clone() {
            Token::Constant(value) => {
                self.advance()?;
                self.build(Node::Constant(value), 0)
            }
            Token::Name(name) => {
                let at = self.next.clone();
                self.advance()?;
                if self.next.token == Token::Sign("(") {
                    return self.call(name, at.from);
                }
                let slot = self.names.slot(name)?;
                self.build(Node::Variable(slot), 0)
            }
            Token::Sign("(") => {
                self.advance()?;
                let built = self.choice()?;
                self.expect(")")?;
                Ok(built)
            }
            Token::Sign(_) | Token::End => Err(self.unexpected("a value")),
        }
    }

    fn call(&mut self, name: &str, from: usize) -> Result<Built, TemplateError> {
        let function = Function::named(name).map_err(|reason| syntax(self.text, (from, reason)))?;
        self.expect("(")?;
        let mut arguments = Vec::new();
        let mut below = 0;
        if !self.take(")")? {
            loop {
                let argument = self.choice()?;
                below = below.max(argument.depth);
                arguments.push(argument.node);
                if self.take(")")? {
                    break;
                }
                if !self.take(",")? {
                    return Err(self.unexpected("`,` or `)`"));
                }
            }
        }
        let arity = function.arity();
        if !arity.contains(&arguments.len()) {
            let wanted = match (*arity.start(), *arity.end()) {
                (0, 0) => "no arguments".to_owned(),
                (1, 1) => "one argument".to_owned(),
                (least, most) if least == most => format!("{most} arguments"),
                (least, most) => format!("{least} to {most} arguments"),
            };
            let reason = format!("{name}() takes {wanted}, not {}", arguments.len());
            return Err(syntax(self.text, (from, reason)));
        }
        self.build(Node::Call(function, arguments), below)
    }
}

fn negated(number: Numeric) -> Option<Numeric> {
    match number {
        Numeric::Whole(whole) => whole.checked_neg().and_then(bounded),
        Numeric::Real(real) => Some(Numeric::Real(-real)),
    }
}
