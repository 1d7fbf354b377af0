//! Works an expression out, with the values of JavaScript as far as expressions can have them.

use std::cmp::Ordering;

use super::{Expression, Operator};
use crate::artillery::human;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Undefined,
    Number(f64),
    Text(String),
    List(Vec<Value>),
}

/// Works an expression out; `symbol` gives the value of a name.
///
/// # Errors
/// A function that there is not, and what cannot be worked out here.
pub(crate) fn evaluate(expression: &Expression, symbol: &dyn Fn(&str) -> Value) -> Result<Value, String> {
    let number_of = |expression: &Expression| evaluate(expression, symbol).map(|value| number(&value));
    Ok(match expression {
        Expression::Number(number) => Value::Number(*number),
        Expression::Text(text) => Value::Text(text.clone()),
        Expression::Symbol(name) => symbol(name),
        Expression::Negative(operand) => Value::Number(-number_of(operand)?),
        Expression::Not(operand) => truth(!is_true(&evaluate(operand, symbol)?)),
        Expression::Binary(operator, left, right) => return binary(*operator, left, right, symbol),
        Expression::In { item, list, is_negated } => {
            let (item, list) = (evaluate(item, symbol)?, evaluate(list, symbol)?);
            let listed = |value| if let Value::List(items) = value { items } else { vec![value] };
            let (items, list) = (listed(item), listed(list));
            truth(items.iter().all(|item| list.contains(item)) != *is_negated)
        }
        Expression::Choice { condition, then, otherwise } => {
            let chosen = if is_true(&evaluate(condition, symbol)?) { then } else { otherwise };
            return evaluate(chosen, symbol);
        }
        Expression::List(items) => {
            Value::List(items.iter().map(|item| evaluate(item, symbol)).collect::<Result<_, _>>()?)
        }
        Expression::Call(name, arguments) => {
            let arguments = arguments.iter().map(number_of).collect::<Result<Vec<f64>, _>>()?;
            Value::Number(call(name, &arguments)?)
        }
        // Metrics have no members.
        Expression::Of(_, _) => Value::Undefined,
    })
}

fn truth(value: bool) -> Value {
    Value::Number(f64::from(u8::from(value)))
}

fn binary(
    operator: Operator,
    left: &Expression,
    right: &Expression,
    symbol: &dyn Fn(&str) -> Value,
) -> Result<Value, String> {
    let left = evaluate(left, symbol)?;
    // What decides is looked at no further, and is a number afterwards.
    match operator {
        Operator::Or if is_true(&left) => return Ok(Value::Number(number(&left))),
        Operator::And if !is_true(&left) => return Ok(Value::Number(number(&left))),
        _ => {}
    }
    let right = evaluate(right, symbol)?;
    let ordered = |holds: fn(Ordering) -> bool| truth(compare(&left, &right).is_some_and(holds));
    Ok(match operator {
        Operator::Or | Operator::And => Value::Number(number(&right)),
        Operator::Equal => truth(is_equal(&left, &right)),
        Operator::NotEqual => truth(!is_equal(&left, &right)),
        Operator::Matches => {
            let regex = regex::Regex::new(&text(&right)).map_err(|error| format!("no regular expression: {error}"))?;
            truth(regex.is_match(&text(&left)))
        }
        Operator::Less => ordered(Ordering::is_lt),
        Operator::AtMost => ordered(Ordering::is_le),
        Operator::Greater => ordered(Ordering::is_gt),
        Operator::AtLeast => ordered(Ordering::is_ge),
        Operator::Add => match (&left, &right) {
            (Value::Text(_) | Value::List(_), _) | (_, Value::Text(_) | Value::List(_)) => {
                Value::Text(text(&left) + &text(&right))
            }
            _ => Value::Number(number(&left) + number(&right)),
        },
        Operator::Subtract => Value::Number(number(&left) - number(&right)),
        Operator::Multiply => Value::Number(number(&left) * number(&right)),
        Operator::Divide => Value::Number(number(&left) / number(&right)),
        Operator::Remainder => Value::Number(number(&left) % number(&right)),
        Operator::Power => Value::Number(number(&left).powf(number(&right))),
    })
}

fn call(name: &str, arguments: &[f64]) -> Result<f64, String> {
    let first = arguments.first().copied().unwrap_or(f64::NAN);
    let fold = |from: f64, pick: fn(f64, f64) -> f64| {
        arguments.iter().fold(from, |best, number| if number.is_nan() { f64::NAN } else { pick(best, *number) })
    };
    Ok(match name {
        "abs" => first.abs(),
        "ceil" => first.ceil(),
        "floor" => first.floor(),
        "log" => first.ln(),
        "max" => fold(f64::NEG_INFINITY, f64::max),
        "min" => fold(f64::INFINITY, f64::min),
        "round" => (first + 0.5).floor(),
        "sqrt" => first.sqrt(),
        "random" => return Err("`random()` decides nothing here".to_owned()),
        other => return Err(format!("`{other}` is no function")),
    })
}

pub(crate) fn is_true(value: &Value) -> bool {
    match value {
        Value::Undefined => false,
        Value::Number(number) => *number != 0.0 && !number.is_nan(),
        Value::Text(text) => !text.is_empty(),
        Value::List(_) => true,
    }
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Undefined => f64::NAN,
        Value::Number(number) => *number,
        Value::Text(text) => human::number(text).unwrap_or(f64::NAN),
        Value::List(_) => human::number(&text(value)).unwrap_or(f64::NAN),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Undefined => "undefined".to_owned(),
        Value::Number(number) => human::number_text(*number),
        Value::Text(text) => text.clone(),
        Value::List(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
    }
}

fn is_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Undefined, Value::Undefined) => true,
        (Value::Undefined, _) | (_, Value::Undefined) => false,
        (Value::Text(left), Value::Text(right)) => left == right,
        // Each list is another one.
        (Value::List(_), Value::List(_)) => false,
        _ => number(left) == number(right),
    }
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        _ => number(left).partial_cmp(&number(right)),
    }
}
