//! What can be wrong with data, and the limits that are named there.

use std::fmt;

/// Longest row, in bytes.
pub const ROW_MAX_BYTES: usize = 1024 * 1024;
/// Most columns, or members of a row.
pub const COLUMNS_MAX: usize = 1_000;
/// Most rows: 2^40.
pub const ROWS_MAX: u64 = 1 << 40;

/// Where in a file something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A line, from 1: known while the file is read from its beginning.
    Line(u64),
    /// A row, from 0: known afterwards.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(formatter, "line {line}"),
            Self::Row(row) => write!(formatter, "row {row} (it was another when the file was read first)"),
        }
    }
}

/// Why data cannot be used. It never holds a value of it.
#[derive(Debug, thiserror::Error)]
pub enum FeederError {
    /// Reading failed.
    #[error("reading the data failed: {0}")]
    Io(#[from] std::io::Error),
    /// There is no row.
    #[error("the data has no rows; CSV has the names of its columns in the first line and a row in each further one")]
    Empty,
    /// A row is too long.
    #[error("{place}: a row of more than {ROW_MAX_BYTES} bytes; in CSV a quote may be open")]
    RowTooLong {
        /// Where.
        place: Place,
    },
    /// Too many columns.
    #[error("{place}: more than {COLUMNS_MAX} columns")]
    TooManyColumns {
        /// Where.
        place: Place,
    },
    /// Too many rows.
    #[error("more than {ROWS_MAX} rows")]
    TooManyRows,
    /// A row has not as many values as there are columns.
    #[error("{place}: {found} values where the first line names {expected} columns")]
    Ragged {
        /// Where.
        place: Place,
        /// Columns.
        expected: usize,
        /// Values.
        found: usize,
    },
    /// Not UTF-8.
    #[error("{place}: not UTF-8; convert the file, or the values would be others than yours")]
    Encoding {
        /// Where.
        place: Place,
    },
    /// A column has no name, or that of another.
    #[error("column {number}: {reason}")]
    Column {
        /// Which, from 1.
        number: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A line is no JSON map.
    #[error("{place}: not a JSON map; each line is one, as in {{\"user\": \"a\"}}")]
    Json {
        /// Where.
        place: Place,
    },
    /// No delimiter.
    #[error("a delimiter is one ASCII character, and no quote and no end of a line")]
    Delimiter,
    /// A row that is not there.
    #[error("row {row} of {rows} is not there")]
    NoSuchRow {
        /// Which, from 0.
        row: u64,
        /// How many there are.
        rows: u64,
    },
}
