//! What a line of the shell means. Two ways to write the same: Galileo's calls (`c = g.spawn('shop', 3)`), which look
//! like Python and are a small grammar of expressions, and plain words (`spawn shop 3`), which are turned into such
//! calls.
//!
//! It must never do anything: no I/O, no clock; who does what a line means is the runner's business. No line makes it
//! panic, and all it makes of one is bounded by [`LINE_MAX_BYTES`] and [`DEPTH_MAX`].
//!
//! Layout: [`parse`] makes a [`Statement`] of a line; [`Value`] is what expressions are worth, [`Arguments`] what a
//! call is given; [`tables`] and [`help`] are what the shell prints.

mod arguments;
mod error;
mod expression;
mod grammar;
pub mod help;
mod lexer;
mod limits;
pub mod tables;
mod value;
mod words;

pub use arguments::{Arguments, Bound};
pub use error::ShellError;
pub use expression::{Expression, Statement};
pub use limits::{DEPTH_MAX, LINE_MAX_BYTES};
pub use value::{Object, Value};

/// What a line means; `None` of an empty one and of one that is a comment (`#`).
///
/// # Errors
/// What is no line of the shell, with the column where it goes wrong.
pub fn parse(line: &str) -> Result<Option<Statement>, ShellError> {
    if line.len() > LINE_MAX_BYTES {
        return Err(ShellError::Long { bytes: line.len() });
    }
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    match words::statement(line) {
        Some(statement) => statement.map(Some),
        None => grammar::statement(&lexer::tokens(line)?),
    }
}

#[cfg(test)]
mod tests;
