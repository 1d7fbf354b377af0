//! Rows of data: looked through before the load, and found again while it goes on.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use nuncius_scenario::feeder::{AtEnd, FeederError, Format, Order, Row, RowBuffer, RowIndex, row_of};
use nuncius_schemas::flow::{Feeder, FeederEnd, FeederFormat, FeederOrder};
use serde_json::{Map, Value};

use super::files;

/// A file up to this size is kept as rows; of a larger one each row is read when it is needed.
const KEPT_FILE_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A feeder of a program.
#[derive(Debug)]
pub(crate) struct FeederPlan {
    /// Of the variable that holds the row.
    pub(crate) slot: u16,
    pub(crate) name: Box<str>,
    order: Order,
    rows: Rows,
}

#[derive(Debug)]
enum Rows {
    Kept(Vec<Value>),
    File(PathBuf, Box<RowIndex>),
}

/// What a thread needs to read the rows of one feeder.
#[derive(Debug, Default)]
pub(crate) struct RowReader {
    file: Option<File>,
    buffer: RowBuffer,
}

impl FeederPlan {
    /// Looks through the rows of a feeder.
    ///
    /// # Errors
    /// Which field of it, and what is wrong.
    pub(crate) fn new(feeder: &Feeder, slot: u16, bundle: Option<&Path>) -> Result<Self, (&'static str, String)> {
        let order = match feeder.order {
            FeederOrder::Sequential => Order::Sequential,
            FeederOrder::Random => Order::Random,
            FeederOrder::Unique => Order::Unique(match feeder.at_end() {
                FeederEnd::Stop => AtEnd::Stop,
                FeederEnd::Fail => AtEnd::Fail,
                FeederEnd::Again => AtEnd::Again,
            }),
        };
        let rows = match (&feeder.rows, &feeder.file) {
            (Some(rows), _) => {
                let map = |row: &std::collections::BTreeMap<String, Value>| {
                    Value::Object(row.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
                };
                Rows::Kept(rows.iter().map(map).collect())
            }
            (None, Some(name)) => {
                let path = files::locate(bundle, name).map_err(|problem| ("file", problem))?;
                let format = match feeder.format() {
                    Some(FeederFormat::Csv) => Format::Csv { delimiter: feeder.delimiter() },
                    Some(FeederFormat::JsonLines) => Format::JsonLines,
                    None => return Err(("format", "give csv or json_lines".to_owned())),
                };
                read(path, format).map_err(|problem| ("file", problem))?
            }
            (None, None) => return Err(("file", "name a file, or write `rows`".to_owned())),
        };
        Ok(Self { slot, name: feeder.name.as_str().into(), order, rows })
    }

    pub(crate) fn rows(&self) -> u64 {
        match &self.rows {
            Rows::Kept(rows) => rows.len() as u64,
            Rows::File(_, index) => index.rows(),
        }
    }

    /// Number of the first iteration that there is no row for and that is not to be begun.
    pub(crate) fn stops_at(&self) -> Option<u64> {
        match self.order {
            Order::Unique(AtEnd::Stop) => Some(self.rows()),
            Order::Sequential | Order::Random | Order::Unique(AtEnd::Fail | AtEnd::Again) => None,
        }
    }

    /// Which row an iteration has; `number` is that of the feeder in its group.
    pub(crate) fn row_of(&self, seed: u64, group: u32, number: u32, iteration: u64) -> Row {
        row_of(self.order, self.rows(), seed, group, number, iteration)
    }

    /// Reads a row.
    ///
    /// # Errors
    /// The file is not what it was.
    pub(crate) fn read(&self, reader: &mut RowReader, row: u64) -> Result<Value, FeederError> {
        match &self.rows {
            Rows::Kept(rows) => {
                let found = usize::try_from(row).ok().and_then(|row| rows.get(row)).cloned();
                found.ok_or(FeederError::NoSuchRow { row, rows: self.rows() })
            }
            Rows::File(path, index) => {
                let file = match &mut reader.file {
                    Some(file) => file,
                    None => reader.file.insert(File::open(path)?),
                };
                index.read_row(file, &mut reader.buffer, row)
            }
        }
    }
}

fn read(path: PathBuf, format: Format) -> Result<Rows, String> {
    let mut file = files::open(&path)?;
    let length = file.metadata().map_err(|error| format!("cannot be read: {error}"))?.len();
    let index = RowIndex::build(&mut BufReader::new(&mut file), format).map_err(|error| error.to_string())?;
    if length > KEPT_FILE_MAX_BYTES {
        return Ok(Rows::File(path, Box::new(index)));
    }
    let mut buffer = RowBuffer::new();
    let rows: Result<Vec<Value>, FeederError> =
        (0..index.rows()).map(|row| index.read_row(&mut file, &mut buffer, row)).collect();
    rows.map(Rows::Kept).map_err(|error| error.to_string())
}
