//! Files of arrivals: how they are read, and written.
//!
//! CSV of which one column counts, or a number a line; what is read are seconds, exactly to the nanosecond, so that
//! what was written comes back the same. It reads what the caller opened, and nothing else.

use std::io::{self, Read};

use csv_core::{ReadFieldResult, Reader};
use nuncius_schemas::amendment::Multiplier;
use nuncius_schemas::spec::recorded::{RECORDED_MAX, RecordedValues};
use nuncius_schemas::spec::{Instants, RecordedArrivals};
use nuncius_schemas::units::SECOND_NS;

/// The name of the column in files that are written.
pub const COLUMN: &str = "seconds";

/// Longest value, in bytes.
const VALUE_MAX_BYTES: usize = 1_024;
/// Most columns.
const COLUMNS_MAX: usize = 1_000;
/// Read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Columns that an error names.
const NAMES_SHOWN: usize = 16;
/// Digits of a second that count.
const DIGITS: usize = 9;

/// What is wrong with a file of arrivals. Rows are counted from 1, the first line included.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// Reading failed.
    #[error("reading it failed: {0}")]
    Io(#[from] io::Error),
    /// Nothing in it.
    #[error("it has no arrivals: a number a line, or CSV")]
    Empty,
    /// No such column.
    #[error("its first line names no column `{column}`, but {names}")]
    NoColumn {
        /// What was asked for.
        column: String,
        /// What is there.
        names: String,
    },
    /// Too many columns.
    #[error("it has more than {COLUMNS_MAX} columns")]
    TooManyColumns,
    /// A row that is too short.
    #[error("row {row}: it ends before the column that is read")]
    NoValue {
        /// Which.
        row: u64,
    },
    /// No number.
    #[error("row {row}: `{text}` is no number of seconds")]
    NoNumber {
        /// Which.
        row: u64,
        /// What is there, as far as it can be shown.
        text: String,
    },
    /// Below 0.
    #[error("row {row}: `{text}` is below 0")]
    Negative {
        /// Which.
        row: u64,
        /// What is there.
        text: String,
    },
    /// Earlier than the one before.
    #[error(
        "row {row}: {} is before {}, the instant above it: sort the file, or say `values: gaps`",
        seconds(*.at_ns),
        seconds(*.before_ns)
    )]
    Unsorted {
        /// Which.
        row: u64,
        /// When it is.
        at_ns: u64,
        /// When the one above it is.
        before_ns: u64,
    },
    /// Beyond what nanoseconds can say.
    #[error("row {row}: later than 2^64 nanoseconds (584 years) from the start")]
    TooLate {
        /// Which.
        row: u64,
    },
    /// Too many.
    #[error("it has more than {RECORDED_MAX} arrivals: split it over several groups")]
    TooMany,
    /// All of them come too late.
    #[error(
        "its first arrival, {} s after the start, does not come within the duration: instants count from the start of \
         the load, in seconds",
        seconds(*.first_ns)
    )]
    NothingInTime {
        /// When the first is.
        first_ns: u64,
    },
}

/// A number of nanoseconds as a file of arrivals has it: seconds with all of their digits.
pub fn seconds(at_ns: u64) -> String {
    format!("{}.{:09}", at_ns / SECOND_NS, at_ns % SECOND_NS)
}

/// Reads the arrivals of a file for a load of this duration.
///
/// # Errors
/// The first row that cannot be, and why; no arrival within the duration.
pub fn read(source: &mut impl Read, how: &RecordedArrivals, duration_ns: u64) -> Result<Instants, RecordedError> {
    let mut rows = Rows::new(how);
    let mut reader = Reader::new();
    let (mut chunk, mut value) = (Vec::with_capacity(CHUNK_BYTES), vec![0; VALUE_MAX_BYTES]);
    let mut length = 0;
    loop {
        chunk.clear();
        let filled = source.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
        let mut rest = chunk.as_slice();
        loop {
            let free = value.get_mut(length..).unwrap_or_default();
            let (result, used, written) = reader.read_field(rest, free);
            rest = rest.get(used..).unwrap_or_default();
            length += written;
            match result {
                ReadFieldResult::InputEmpty => break,
                // Longer than any number: its beginning tells what it is.
                ReadFieldResult::OutputFull => length = length.min(VALUE_MAX_BYTES / 2),
                ReadFieldResult::Field { record_end } => {
                    rows.field(value.get(..length).unwrap_or_default(), record_end)?;
                    length = 0;
                }
                ReadFieldResult::End => return rows.finish(duration_ns),
            }
            // An empty piece is the end of the file, and this is not.
            if rest.is_empty() && filled > 0 {
                break;
            }
        }
    }
}

/// The rows so far.
struct Rows<'a> {
    how: &'a RecordedArrivals,
    /// Which column has the values, once that is known.
    wanted: Option<usize>,
    names: Vec<String>,
    row: u64,
    column: usize,
    value: Option<Result<u64, RecordedError>>,
    /// In the file's own time, before it is played faster.
    last_ns: u64,
    instants: Vec<u64>,
}

impl<'a> Rows<'a> {
    fn new(how: &'a RecordedArrivals) -> Self {
        let wanted = if how.column.is_some() { None } else { Some(0) };
        Self { how, wanted, names: Vec::new(), row: 1, column: 0, value: None, last_ns: 0, instants: Vec::new() }
    }

    fn field(&mut self, bytes: &[u8], is_last: bool) -> Result<(), RecordedError> {
        match self.wanted {
            None if self.names.len() >= COLUMNS_MAX => return Err(RecordedError::TooManyColumns),
            None => self.names.push(String::from_utf8_lossy(bytes).trim().to_owned()),
            Some(wanted) if wanted == self.column => self.value = Some(nanoseconds(bytes, self.row)),
            Some(_) => {}
        }
        self.column += 1;
        if is_last {
            self.end_row()?;
            self.row += 1;
            self.column = 0;
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<(), RecordedError> {
        if self.wanted.is_none() {
            let column = self.how.column.as_deref().unwrap_or_default();
            let found = self.names.iter().position(|name| name == column);
            let names = self.names.iter().take(NAMES_SHOWN).map(|name| shown(name)).collect::<Vec<_>>().join(", ");
            let column = shown(column);
            self.wanted = Some(found.ok_or(RecordedError::NoColumn { column, names })?);
            return Ok(());
        }
        match self.value.take() {
            Some(Ok(value_ns)) => self.add(value_ns),
            // Where no column is named the first line may name them all the same.
            Some(Err(RecordedError::NoNumber { row: 1, .. })) if self.how.column.is_none() => Ok(()),
            Some(Err(error)) => Err(error),
            None => Err(RecordedError::NoValue { row: self.row }),
        }
    }

    fn add(&mut self, value_ns: u64) -> Result<(), RecordedError> {
        let (row, before_ns) = (self.row, self.last_ns);
        let at_ns = match self.how.values {
            RecordedValues::Instants if value_ns < before_ns => {
                return Err(RecordedError::Unsorted { row, at_ns: value_ns, before_ns });
            }
            RecordedValues::Instants => value_ns,
            RecordedValues::Gaps => before_ns.checked_add(value_ns).ok_or(RecordedError::TooLate { row })?,
        };
        if self.instants.len() >= RECORDED_MAX {
            return Err(RecordedError::TooMany);
        }
        self.last_ns = at_ns;
        let played = u128::from(at_ns) * u128::from(Multiplier::ONE) / u128::from(self.how.speed.0.max(1));
        self.instants.push(u64::try_from(played).map_err(|_| RecordedError::TooLate { row })?);
        Ok(())
    }

    fn finish(self, duration_ns: u64) -> Result<Instants, RecordedError> {
        match self.instants.first() {
            None => Err(RecordedError::Empty),
            Some(first_ns) if *first_ns >= duration_ns => Err(RecordedError::NothingInTime { first_ns: *first_ns }),
            Some(_) => Ok(Instants(self.instants.into())),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect::<String>().escape_debug().to_string()
}

/// Seconds as they are written, in nanoseconds; what is beyond those is cut off.
fn nanoseconds(bytes: &[u8], row: u64) -> Result<u64, RecordedError> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    let no_number = || RecordedError::NoNumber { row, text: shown(text) };
    let number = text.strip_prefix('+').unwrap_or(text);
    if let Some(at_ns) = exactly(number) {
        return at_ns.ok_or(RecordedError::TooLate { row });
    }
    let value: f64 = text.parse().map_err(|_| no_number())?;
    if !value.is_finite() {
        return Err(no_number());
    }
    if value < 0.0 {
        return Err(RecordedError::Negative { row, text: shown(text) });
    }
    let at_ns = value * SECOND_NS as f64;
    // A float becomes the nearest integer there is.
    if at_ns < u64::MAX as f64 { Ok(at_ns as u64) } else { Err(RecordedError::TooLate { row }) }
}

/// Of digits with at most one point; the inner option is none beyond 2⁶⁴ nanoseconds.
fn exactly(number: &str) -> Option<Option<u64>> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let parts = fraction.bytes().chain(std::iter::repeat(b'0')).take(DIGITS);
    let parts = parts.fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    // Without a digit it is nothing; what is no number now has too many of them.
    let whole = if whole.is_empty() { Some(0) } else { whole.parse::<u64>().ok() };
    Some(whole.and_then(|whole| whole.checked_mul(SECOND_NS)?.checked_add(parts)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR_NS: u64 = 3_600 * SECOND_NS;

    fn how(text: &str) -> RecordedArrivals {
        serde_json::from_str(text).unwrap()
    }

    fn read_with(how_text: &str, file: &str) -> Result<Vec<u64>, String> {
        let read = read(&mut file.as_bytes(), &how(how_text), HOUR_NS);
        read.map(|instants| instants.0.to_vec()).map_err(|error| error.to_string())
    }

    const PLAIN: &str = r#"{"file": "a"}"#;
    const NAMED: &str = r#"{"file": "a", "column": "at"}"#;
    const GAPS: &str = r#"{"file": "a", "values": "gaps"}"#;

    #[test]
    fn a_number_a_line_and_a_column_of_csv_are_read_exactly_to_the_nanosecond() {
        let one = vec![0, 100_000_000, 100_000_001, 2_000_000_000];
        for (how, file) in [
            (PLAIN, "0\n0.1\n0.100000001\n2\n"),
            (PLAIN, "seconds\n0\n.1\n0.1000000019\n2."),
            (PLAIN, "\u{feff}seconds,who\r\n0,a\r\n\r\n0.1,b\r\n 0.100000001 ,c\r\n+2e0,d\r\n"),
            (NAMED, "who,\"at\"\n\"a\nb\",0\nb,\"0.1\"\nc,0.100000001\nd,2.0000000000000\n"),
            (r#"{"file": "a", "column": "at", "speed": 2}"#, "at\n0\n0.2\n0.200000002\n4\n"),
            (GAPS, "0\n0.1\n0.000000001\n1.899999999\n"),
        ] {
            assert_eq!(read_with(how, file), Ok(one.clone()), "{file:?}");
        }
        assert_eq!(read_with(r#"{"file": "a", "speed": 0.5}"#, "1\n2\n"), Ok(vec![2_000_000_000, 4_000_000_000]));
        assert_eq!(read_with(PLAIN, "-0.0\n1e-9\n"), Ok(vec![0, 1]));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_row() {
        let long = format!("1\n{}\n", "9".repeat(5_000));
        for (how, file, words) in [
            (PLAIN, "", "no arrivals"),
            (PLAIN, "seconds\n", "no arrivals"),
            (PLAIN, "at\n1\nx\n", "row 3: `x` is no number"),
            (PLAIN, "1\n\n2\nat\n", "row 3: `at` is no number"),
            (PLAIN, "1\nNaN\n", "row 2: `NaN` is no number"),
            (PLAIN, "1\ninf\n", "row 2: `inf` is no number"),
            (PLAIN, "-1\n", "row 1: `-1` is below 0"),
            (GAPS, "1\n-0.5\n", "row 2: `-0.5` is below 0"),
            (PLAIN, "1\n3\n2\n", "row 3: 2.000000000 is before 3.000000000"),
            (PLAIN, "1\n99999999999999999999\n", "row 2: later than"),
            (PLAIN, "1\n1e300\n", "row 2: later than"),
            (GAPS, "18000000000\n18000000000\n", "row 2: later than"),
            (PLAIN, long.as_str(), "row 2: later than"),
            (NAMED, "1\n2\n", "names no column `at`, but 1"),
            (NAMED, "a,b\n1,2\n", "names no column `at`, but a, b"),
            (NAMED, "b,at\n1,2\n3\n", "row 3: it ends before"),
            (PLAIN, "3600\n3601\n", "its first arrival, 3600.000000000 s after"),
            (PLAIN, "1700000000.5\n", "in seconds"),
        ] {
            let refused = read_with(how, file).unwrap_err();
            assert!(refused.contains(words), "{file:?}: {refused}");
        }
        let columns = vec!["x"; COLUMNS_MAX + 1].join(",");
        assert!(read_with(NAMED, &columns).unwrap_err().contains("more than 1000 columns"));
    }

    #[test]
    fn a_million_arrivals_are_read_and_more_than_the_limit_are_not() {
        let many =
            |count: usize| -> String { (0..count).map(|at| format!("{}.{:03}\n", at / 1_000, at % 1_000)).collect() };
        assert_eq!(read_with(PLAIN, &many(1_000_000)).unwrap().len(), 1_000_000);
        let zeros = "0\n".repeat(RECORDED_MAX + 1);
        assert!(read_with(PLAIN, &zeros).unwrap_err().contains("more than 5000000"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_the_same(gaps in prop::collection::vec(0u64..10_000_000_000, 1..200)) {
            let mut at_ns = 0;
            let instants: Vec<u64> = gaps.iter().map(|gap| { at_ns += gap; at_ns }).collect();
            let lines: String = instants.iter().map(|at_ns| seconds(*at_ns) + "\n").collect();
            let back = read(&mut format!("{COLUMN}\n{lines}").as_bytes(), &how(PLAIN), u64::MAX).unwrap();
            prop_assert_eq!(back.0.to_vec(), instants);
        }

        #[test]
        fn nothing_that_is_read_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), is_named in any::<bool>()) {
            let _ = read(&mut bytes.as_slice(), &how(if is_named { NAMED } else { PLAIN }), HOUR_NS);
        }

        #[test]
        fn numbers_of_any_form_are_read_or_refused(text in "[0-9.eE+-]{0,30}") {
            let _ = read(&mut text.as_bytes(), &how(GAPS), HOUR_NS);
        }
    }
}
