//! Feeders: rows of data for iterations, found in large files without keeping them.
//!
//! [`RowIndex::build`] reads a file once, checks every row, and keeps where some of them begin. [`RowIndex::read_row`]
//! then finds any row with one seek and a short read. Which row an iteration has is [`row_of`]: no two nodes need to
//! talk about it.

mod error;
mod index;
mod order;
mod splitter;

pub use error::{COLUMNS_MAX, FeederError, Place, ROW_MAX_BYTES, ROWS_MAX};
pub use index::{ROW_OFFSETS_MAX, RowBuffer, RowIndex};
pub use order::{AtEnd, Order, Row, row_of};
pub use splitter::Format;

#[cfg(test)]
mod tests;
