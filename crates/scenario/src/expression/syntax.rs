//! What an expression is once it is read.

use serde_json::Value;

use crate::functions::Function;
use crate::value::number::Arithmetic;

/// Operators that compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}

/// Operators with two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    Compare(Comparison),
    Compute(Arithmetic),
}

impl Operator {
    /// How strongly it binds; the operators of one strength are read from the left.
    pub(crate) const fn strength(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Compare(Comparison::Equal | Comparison::NotEqual) => 3,
            Self::Compare(Comparison::Less | Comparison::AtMost | Comparison::Greater | Comparison::AtLeast) => 4,
            Self::Compute(Arithmetic::Add | Arithmetic::Subtract) => 5,
            Self::Compute(Arithmetic::Multiply | Arithmetic::Divide | Arithmetic::Remainder) => 6,
        }
    }
}

/// A piece of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Constant(Value),
    Variable(u16),
    Member(Box<Node>, Box<str>),
    Index(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Negative(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    Choice { condition: Box<Node>, then: Box<Node>, otherwise: Box<Node> },
    Call(Function, Vec<Node>),
}
