//! An expression as JavaScript, for conditions that are beyond what the expressions of Nuncius can say. `v` is a
//! function that gives the value of a variable, `F` what else is needed: both are in the script that goes with it.

use super::{Expression, Operator};

/// The expression as an expression of JavaScript.
pub(crate) fn javascript(expression: &Expression) -> String {
    let one = |expression: &Expression| javascript(expression);
    match expression {
        Expression::Number(number) => format!("({number})"),
        Expression::Text(text) => json(text),
        Expression::Symbol(name) => format!("v({})", json(name)),
        Expression::Negative(operand) => format!("(-{})", one(operand)),
        Expression::Not(operand) => format!("Number(!{})", one(operand)),
        Expression::In { item, list, is_negated } => {
            format!("Number({}F.in({}, {}))", if *is_negated { "!" } else { "" }, one(item), one(list))
        }
        Expression::Choice { condition, then, otherwise } => {
            format!("({} ? {} : {})", one(condition), one(then), one(otherwise))
        }
        Expression::List(items) => format!("[{}]", listed(items)),
        Expression::Call(name, arguments) => format!("F.call({}, [{}])", json(name), listed(arguments)),
        Expression::Of(name, object) => format!("F.of({}, {})", json(name), one(object)),
        Expression::Binary(operator, left, right) => {
            let (left, right) = (one(left), one(right));
            match operator {
                Operator::Or => format!("Number({left} || {right})"),
                Operator::And => format!("Number({left} && {right})"),
                Operator::Equal => format!("Number({left} == {right})"),
                Operator::NotEqual => format!("Number({left} != {right})"),
                Operator::Matches => format!("Number(RegExp({right}).test({left}))"),
                Operator::Less => format!("Number({left} < {right})"),
                Operator::AtMost => format!("Number({left} <= {right})"),
                Operator::Greater => format!("Number({left} > {right})"),
                Operator::AtLeast => format!("Number({left} >= {right})"),
                Operator::Add => format!("({left} + {right})"),
                Operator::Subtract => format!("({left} - {right})"),
                Operator::Multiply => format!("({left} * {right})"),
                Operator::Divide => format!("({left} / {right})"),
                Operator::Remainder => format!("({left} % {right})"),
                Operator::Power => format!("Math.pow({left}, {right})"),
            }
        }
    }
}

fn listed(items: &[Expression]) -> String {
    items.iter().map(javascript).collect::<Vec<_>>().join(", ")
}

/// A text of JSON is one of JavaScript, too.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
