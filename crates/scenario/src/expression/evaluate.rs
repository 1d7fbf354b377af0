//! Evaluates an expression. It borrows what is there already, so that reading a member of a large value copies nothing.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::syntax::{Comparison, Node, Operator};
use crate::draw::Draws;
use crate::error::{TemplateError, shown};
use crate::functions::Function;
use crate::scope::Scope;
use crate::value::number::{Arithmetic, Numeric};
use crate::value::{compare, is_equal, is_true, kind, numeric, size_bytes, text};

const NULL: &Value = &Value::Null;
/// How much more than its text a value may measure.
const ROUGHLY_BYTES: usize = 16;

/// The value of an expression. Each node is visited at most once.
///
/// # Errors
/// What is not there, what an operator or a function does not take, and what would be too large.
pub(crate) fn evaluate<'a>(
    node: &'a Node,
    scope: &Scope<'a>,
    draws: &mut Draws,
) -> Result<Cow<'a, Value>, TemplateError> {
    match node {
        Node::Constant(value) => Ok(Cow::Borrowed(value)),
        Node::Variable(slot) => scope.variable(*slot).map(Cow::Borrowed).ok_or_else(|| missing(scope, *slot)),
        Node::Member(of, name) => member(evaluate(of, scope, draws)?, name),
        Node::Index(of, index) => {
            let of = evaluate(of, scope, draws)?;
            let index = evaluate(index, scope, draws)?;
            match index.as_ref() {
                Value::String(name) => member(of, name),
                other => item(of, other),
            }
        }
        Node::Not(operand) => Ok(truth(!is_true(evaluate(operand, scope, draws)?.as_ref()))),
        Node::Negative(operand) => {
            let operand = evaluate(operand, scope, draws)?;
            let operand = numeric(&operand).ok_or_else(|| refused("-", kind(&operand)))?;
            compute(Arithmetic::Subtract, Numeric::Whole(0), operand)
        }
        Node::Binary(operator, left, right) => {
            let left = evaluate(left, scope, draws)?;
            match operator {
                Operator::Or if is_true(&left) => Ok(left),
                Operator::And if !is_true(&left) => Ok(left),
                Operator::Or | Operator::And => evaluate(right, scope, draws),
                Operator::Compare(comparison) => compared(*comparison, &left, evaluate(right, scope, draws)?.as_ref()),
                Operator::Compute(arithmetic) => {
                    let right = evaluate(right, scope, draws)?;
                    computed(*arithmetic, &left, &right, scope.made_max_bytes)
                }
            }
        }
        Node::Choice { condition, then, otherwise } => {
            let is_then = is_true(evaluate(condition, scope, draws)?.as_ref());
            evaluate(if is_then { then } else { otherwise }, scope, draws)
        }
        Node::Call(function, arguments) => call(*function, arguments, scope, draws),
    }
}

/// What a variable that is not there gives.
pub(crate) fn missing(scope: &Scope<'_>, slot: u16) -> TemplateError {
    TemplateError::Missing { what: format!("variable `{}`", scope.names.name(slot)) }
}

fn call<'a>(
    function: Function,
    arguments: &'a [Node],
    scope: &Scope<'a>,
    draws: &mut Draws,
) -> Result<Cow<'a, Value>, TemplateError> {
    let argument = |at: usize, draws: &mut Draws| {
        arguments.get(at).map_or(Ok(Cow::Borrowed(NULL)), |node| evaluate(node, scope, draws))
    };
    let first = match argument(0, draws) {
        // What is not there is what `default` is for; anything else that is wrong stays wrong.
        Err(error) if function == Function::Default && error.is_missing() => Cow::Borrowed(NULL),
        other => other?,
    };
    if function == Function::Default {
        return if first.is_null() { argument(1, draws) } else { Ok(first) };
    }
    let second = argument(1, draws)?;
    let result = function.call(&first, &second, scope, draws)?;
    // Only texts grow in functions.
    match &result {
        Value::String(made) if made.len() > scope.made_max_bytes => {
            Err(TemplateError::MadeTooLong { limit: scope.made_max_bytes })
        }
        _ => Ok(Cow::Owned(result)),
    }
}

fn member<'a>(of: Cow<'a, Value>, name: &str) -> Result<Cow<'a, Value>, TemplateError> {
    let absent = || TemplateError::Missing { what: format!("member `{}`", shown(name)) };
    match of {
        Cow::Borrowed(Value::Object(members)) => members.get(name).map(Cow::Borrowed).ok_or_else(absent),
        Cow::Owned(Value::Object(mut members)) => members.remove(name).map(Cow::Owned).ok_or_else(absent),
        other if other.is_null() => Err(TemplateError::Missing { what: format!("member `{}` of null", shown(name)) }),
        other => Err(TemplateError::Type { what: format!("{} has no members, so no `{}`", kind(&other), shown(name)) }),
    }
}

fn item<'a>(of: Cow<'a, Value>, index: &Value) -> Result<Cow<'a, Value>, TemplateError> {
    let Some(Numeric::Whole(index)) = numeric(index) else {
        let what = format!("an index is a whole number or a text, not {}", kind(index));
        return Err(TemplateError::Type { what });
    };
    let absent = || TemplateError::Missing { what: format!("index {index}") };
    let at = usize::try_from(index).map_err(|_| absent())?;
    match of {
        Cow::Borrowed(Value::Array(items)) => items.get(at).map(Cow::Borrowed).ok_or_else(absent),
        Cow::Owned(Value::Array(mut items)) if at < items.len() => Ok(Cow::Owned(items.swap_remove(at))),
        Cow::Owned(Value::Array(_)) => Err(absent()),
        other if other.is_null() => Err(TemplateError::Missing { what: format!("index {index} of null") }),
        other => Err(TemplateError::Type { what: format!("{} is no list, so it has no index", kind(&other)) }),
    }
}

const fn truth<'a>(value: bool) -> Cow<'a, Value> {
    Cow::Owned(Value::Bool(value))
}

fn compared<'a>(comparison: Comparison, left: &Value, right: &Value) -> Result<Cow<'a, Value>, TemplateError> {
    let holds = match comparison {
        Comparison::Equal => return Ok(truth(is_equal(left, right))),
        Comparison::NotEqual => return Ok(truth(!is_equal(left, right))),
        Comparison::Less => Ordering::is_lt,
        Comparison::AtMost => Ordering::is_le,
        Comparison::Greater => Ordering::is_gt,
        Comparison::AtLeast => Ordering::is_ge,
    };
    let order = compare(left, right).ok_or_else(|| TemplateError::Type {
        what: format!(
            "`{}` compares two numbers or two texts, not {} and {}",
            comparison.sign(),
            kind(left),
            kind(right)
        ),
    })?;
    Ok(truth(holds(order)))
}

fn computed<'a>(
    arithmetic: Arithmetic,
    left: &Value,
    right: &Value,
    limit: usize,
) -> Result<Cow<'a, Value>, TemplateError> {
    if arithmetic == Arithmetic::Add && (left.is_string() || right.is_string()) {
        return joined(left, right, limit);
    }
    let side = |value: &Value| numeric(value).ok_or_else(|| refused(arithmetic.sign(), kind(value)));
    compute(arithmetic, side(left)?, side(right)?)
}

fn compute<'a>(arithmetic: Arithmetic, left: Numeric, right: Numeric) -> Result<Cow<'a, Value>, TemplateError> {
    Ok(Cow::Owned(arithmetic.apply(left, right)?.into_value()))
}

fn joined<'a>(left: &Value, right: &Value, limit: usize) -> Result<Cow<'a, Value>, TemplateError> {
    let too_long = || TemplateError::MadeTooLong { limit };
    // A value is measured before its text is made.
    let roughly = limit.saturating_add(ROUGHLY_BYTES);
    size_bytes(left, roughly).zip(size_bytes(right, roughly)).ok_or_else(too_long)?;
    let joined = text(left).into_owned() + &text(right);
    if joined.len() > limit { Err(too_long()) } else { Ok(Cow::Owned(Value::String(joined))) }
}

fn refused(sign: &str, found: &str) -> TemplateError {
    TemplateError::Type { what: format!("`{sign}` takes numbers, not {found}") }
}
