//! Lines that have been read.

use crate::Value;

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The name that gets the value.
    pub target: Option<String>,
    /// What is worked out.
    pub expression: Expression,
}

/// Part of a line.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// What stands there.
    Value(Value),
    /// What has that name.
    Name(String),
    /// `[…]`.
    List(Vec<Expression>),
    /// `(…, …)`.
    Tuple(Vec<Expression>),
    /// `{…: …}`.
    Dict(Vec<(Expression, Expression)>),
    /// `….name`.
    Attribute(Box<Expression>, String),
    /// `…(…, name=…)`.
    Call {
        /// What is called.
        callee: Box<Expression>,
        /// By position.
        positional: Vec<Expression>,
        /// By name.
        keyword: Vec<(String, Expression)>,
    },
}

impl Expression {
    /// A text.
    pub(crate) fn text(text: &str) -> Self {
        Self::Value(Value::Text(text.to_owned()))
    }

    /// A function without an object, called.
    pub(crate) fn function(name: &str, positional: Vec<Self>) -> Self {
        Self::Call { callee: Box::new(Self::Name(name.to_owned())), positional, keyword: Vec::new() }
    }

    /// A method of what has a name, called.
    pub(crate) fn method(object: &str, method: &str, positional: Vec<Self>) -> Self {
        let callee = Self::Attribute(Box::new(Self::Name(object.to_owned())), method.to_owned());
        Self::Call { callee: Box::new(callee), positional, keyword: Vec::new() }
    }

    /// With one more argument by name, if it is a call.
    pub(crate) fn with(self, name: &str, argument: Self) -> Self {
        match self {
            Self::Call { callee, positional, mut keyword } => {
                keyword.push((name.to_owned(), argument));
                Self::Call { callee, positional, keyword }
            }
            Self::Value(_) | Self::Name(_) | Self::List(_) | Self::Tuple(_) | Self::Dict(_) | Self::Attribute(_, _) => {
                self
            }
        }
    }
}
