//! An expression as a condition of Nuncius, where that can say it.
//!
//! What is not there is `undefined` to Artillery, and compares with nothing; here it would end the user. So a variable
//! that may not be there is asked for first: `default(a, null) != null && a > 5`.

use super::{Expression, Operator};
use crate::artillery::human;
use crate::artillery::names::quoted;

/// Longest condition that is made, in bytes; larger ones are left to JavaScript.
const CONDITION_MAX_BYTES: usize = 4 * 1024;
/// Deepest one.
const DEPTH_MAX: usize = 24;

/// The expression for a name, and whether its value is there for certain; `None` where there is none.
pub(crate) type Symbol<'s> = dyn FnMut(&str) -> Option<(String, bool)> + 's;

/// A condition, without its braces; `None` where only JavaScript can say it.
pub(crate) fn condition(expression: &Expression, symbol: &mut Symbol<'_>) -> Option<String> {
    let made = Writer { symbol, depth: 0 }.truth(expression)?;
    (made.len() <= CONDITION_MAX_BYTES).then_some(made)
}

struct Writer<'s, 'f> {
    symbol: &'s mut Symbol<'f>,
    depth: usize,
}

/// A value, and which variables have to be there for it.
struct Written {
    text: String,
    unsure: Vec<String>,
}

impl Writer<'_, '_> {
    fn deeper<T>(&mut self, write: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        let written = if self.depth > DEPTH_MAX { None } else { write(self) };
        self.depth -= 1;
        written
    }

    /// Where only the truth of an expression counts.
    fn truth(&mut self, expression: &Expression) -> Option<String> {
        self.deeper(|writer| match expression {
            Expression::Not(operand) => Some(format!("!({})", writer.truth(operand)?)),
            Expression::Binary(Operator::And, left, right) => {
                Some(format!("({} && {})", writer.truth(left)?, writer.truth(right)?))
            }
            Expression::Binary(Operator::Or, left, right) => {
                Some(format!("({} || {})", writer.truth(left)?, writer.truth(right)?))
            }
            Expression::Binary(operator @ (Operator::Equal | Operator::NotEqual), left, right) => {
                let (left, right) = (writer.value(left)?, writer.value(right)?);
                let sign = if *operator == Operator::Equal { "==" } else { "!=" };
                Some(format!("({} {sign} {})", writer.or_null(left)?, writer.or_null(right)?))
            }
            Expression::Binary(
                operator @ (Operator::Less | Operator::AtMost | Operator::Greater | Operator::AtLeast),
                left,
                right,
            ) => {
                let (left, right) = (writer.value(left)?, writer.value(right)?);
                let sign = match operator {
                    Operator::Less => "<",
                    Operator::AtMost => "<=",
                    Operator::Greater => ">",
                    _ => ">=",
                };
                let mut made = String::new();
                let mut guarded: Vec<&String> = Vec::new();
                for name in left.unsure.iter().chain(&right.unsure) {
                    if !guarded.contains(&name) {
                        guarded.push(name);
                        made.push_str(&format!("default({name}, null) != null && "));
                    }
                }
                Some(format!("({made}{} {sign} {})", left.text, right.text))
            }
            Expression::In { item, list, is_negated } => {
                let Expression::List(items) = &**list else { return None };
                let equal = |item: &Expression, other: &Expression| {
                    Expression::Binary(Operator::Equal, Box::new(item.clone()), Box::new(other.clone()))
                };
                let each: Option<Vec<String>> = items.iter().map(|other| writer.truth(&equal(item, other))).collect();
                let any = format!("({})", each?.join(" || "));
                Some(if *is_negated { format!("!{any}") } else { any })
            }
            Expression::Choice { condition, then, otherwise } => {
                let (condition, then) = (writer.truth(condition)?, writer.truth(then)?);
                Some(format!("({condition} ? {then} : {})", writer.truth(otherwise)?))
            }
            Expression::Number(_)
            | Expression::Text(_)
            | Expression::Symbol(_)
            | Expression::Negative(_)
            | Expression::Binary(_, _, _)
            | Expression::List(_)
            | Expression::Call(_, _)
            | Expression::Of(_, _) => {
                let value = writer.value(expression)?;
                writer.or_null(value)
            }
        })
    }

    /// A value that is null where it is a variable that is not there.
    fn or_null(&self, value: Written) -> Option<String> {
        match value.unsure.as_slice() {
            [] => Some(value.text),
            [name] if *name == value.text => Some(format!("default({name}, null)")),
            // `undefined` in arithmetic is no number, which there is not here.
            _ => None,
        }
    }

    fn value(&mut self, expression: &Expression) -> Option<Written> {
        self.deeper(|writer| {
            let plain = |text: String| Some(Written { text, unsure: Vec::new() });
            match expression {
                // A whole number has at most 64 bits there.
                Expression::Number(number) if number.abs() >= 9e18 => plain(format!("{number:e}")),
                Expression::Number(number) => plain(human::number_text(*number)),
                Expression::Text(text) => plain(quoted(text).replace("{{", "{' + '{").replace('$', "$$")),
                Expression::Symbol(name) => {
                    let Some((text, is_sure)) = (writer.symbol)(name) else { return plain("null".to_owned()) };
                    let unsure = if is_sure { Vec::new() } else { vec![text.clone()] };
                    Some(Written { text, unsure })
                }
                Expression::Negative(operand) => {
                    let operand = writer.value(operand)?;
                    Some(Written { text: format!("-({})", operand.text), unsure: operand.unsure })
                }
                Expression::Binary(
                    operator @ (Operator::Add | Operator::Subtract | Operator::Multiply | Operator::Remainder),
                    left,
                    right,
                ) => {
                    let is_zero = |side: &Expression| *side == Expression::Number(0.0);
                    let is_number = |side: &Expression| matches!(side, Expression::Number(_));
                    if *operator == Operator::Remainder && (is_zero(right) || !is_number(right)) {
                        return None;
                    }
                    let sign = match operator {
                        Operator::Add => "+",
                        Operator::Subtract => "-",
                        Operator::Multiply => "*",
                        _ => "%",
                    };
                    let (left, right) = (writer.value(left)?, writer.value(right)?);
                    let unsure = left.unsure.into_iter().chain(right.unsure).collect();
                    Some(Written { text: format!("({} {sign} {})", left.text, right.text), unsure })
                }
                Expression::Choice { condition, then, otherwise } => {
                    let condition = writer.truth(condition)?;
                    let (then, otherwise) = (writer.value(then)?, writer.value(otherwise)?);
                    let is_sure = then.unsure.is_empty() && otherwise.unsure.is_empty();
                    let text = format!("({condition} ? {} : {})", then.text, otherwise.text);
                    if is_sure { plain(text) } else { None }
                }
                Expression::Not(_)
                | Expression::In { .. }
                | Expression::Binary(
                    Operator::Equal
                    | Operator::NotEqual
                    | Operator::Less
                    | Operator::AtMost
                    | Operator::Greater
                    | Operator::AtLeast,
                    _,
                    _,
                ) => plain(format!("({} ? 1 : 0)", writer.truth(expression)?)),
                // `and` and `or` give one of their sides, as a number.
                Expression::Binary(
                    Operator::Or | Operator::And | Operator::Matches | Operator::Divide | Operator::Power,
                    _,
                    _,
                )
                | Expression::List(_)
                | Expression::Call(_, _)
                | Expression::Of(_, _) => None,
            }
        })
    }
}
