//! Expressions: read once, then evaluated without reading anything again.
//!
//! From weak to strong: `? :`, `||`, `&&`, `== !=`, `< <= > >=`, `+ -`, `* / %`, `! -`, `.name [index] (…)`. `&&`, `||`
//! and `? :` evaluate no more than they need, and the first two give one of their operands, as in JavaScript. Beside a
//! text `+` joins texts; elsewhere a text that is a number counts as that number. Whole numbers are exact: what has no
//! room in 64 bits is an error, never a number with other digits.

pub(crate) mod evaluate;
mod lexer;
pub(crate) mod parser;
pub(crate) mod syntax;

#[cfg(test)]
mod tests;
