//! Splits bytes into rows, in whatever pieces they come: CSV by crate `csv-core`, JSON by lines. It reads nothing
//! itself.

use std::mem;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::error::{COLUMNS_MAX, FeederError, Place, ROW_MAX_BYTES};

/// How data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180, with any ends of lines and this delimiter; the first line has the names of the columns. Lines with
    /// nothing in them are passed over.
    Csv {
        /// Between two values.
        delimiter: u8,
    },
    /// A JSON map in each line. Lines with nothing in them are passed over.
    JsonLines,
}

impl Format {
    /// CSV with a delimiter.
    ///
    /// # Errors
    /// It is not ASCII, a quote, or an end of a line.
    pub const fn csv(delimiter: char) -> Result<Self, FeederError> {
        if delimiter.is_ascii() && !matches!(delimiter, '"' | '\n' | '\r') {
            Ok(Self::Csv { delimiter: delimiter as u8 })
        } else {
            Err(FeederError::Delimiter)
        }
    }
}

/// What a piece of input came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is used up; more is wanted.
    More,
    /// A row is complete.
    Row,
    /// There is no further row.
    End,
}

/// The row under way.
#[derive(Debug)]
pub(super) struct Splitter {
    format: Format,
    kind: Kind,
    content: Vec<u8>,
    length: usize,
    /// Where it is, as errors tell it.
    place: Place,
    lines: u64,
}

#[derive(Debug)]
enum Kind {
    Csv { reader: Box<Reader>, ends: Vec<usize>, count: usize },
    JsonLines,
}

impl Splitter {
    /// From the beginning of a file.
    pub(super) fn new(format: Format) -> Self {
        let kind = match format {
            Format::Csv { delimiter } => {
                let reader = Box::new(ReaderBuilder::new().delimiter(delimiter).build());
                Kind::Csv { reader, ends: vec![0; 32], count: 0 }
            }
            Format::JsonLines => Kind::JsonLines,
        };
        let mut splitter = Self { format, kind, content: vec![0; 1024], length: 0, place: Place::Line(1), lines: 0 };
        splitter.restart(Place::Line(1));
        splitter
    }

    /// From the beginning of a row again.
    pub(super) fn restart(&mut self, place: Place) {
        self.clear();
        self.place = place;
        self.lines = 0;
        if let Kind::Csv { reader, .. } = &mut self.kind {
            reader.reset();
            // The library drops a byte order mark at the first bytes that it sees, wherever they are from: now these
            // are the first, and an empty line is nothing.
            _ = reader.read_record(b"\n", &mut [0], &mut [0]);
            reader.set_line(1);
        }
    }

    /// What it splits.
    pub(super) const fn format(&self) -> Format {
        self.format
    }

    /// Forgets the row that is complete.
    pub(super) fn clear(&mut self) {
        self.length = 0;
        if let Kind::Csv { count, .. } = &mut self.kind {
            *count = 0;
        }
    }

    /// Goes on with a piece of input; an empty one is the end of the file. Gives how much of it was used: all, unless
    /// a row is complete.
    pub(super) fn advance(&mut self, input: &[u8]) -> Result<(usize, Step), FeederError> {
        match &mut self.kind {
            Kind::Csv { .. } => self.advance_csv(input),
            Kind::JsonLines => self.advance_lines(input),
        }
    }

    fn advance_csv(&mut self, input: &[u8]) -> Result<(usize, Step), FeederError> {
        let Self { kind: Kind::Csv { reader, ends, count }, content, length, place, .. } = self else {
            return Ok((input.len(), Step::End));
        };
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            // What is passed over before a row is none of it.
            if *length == 0
                && *count == 0
                && let Place::Line(line) = place
            {
                let empty = rest.iter().take_while(|byte| **byte == b'\n' || **byte == b'\r');
                *line = reader.line() + empty.filter(|byte| **byte == b'\n').count() as u64;
            }
            let (result, read, written, ended) = reader.read_record(
                rest,
                content.get_mut(*length..).unwrap_or_default(),
                ends.get_mut(*count..).unwrap_or_default(),
            );
            used += read;
            *length += written;
            *count += ended;
            if *length > ROW_MAX_BYTES {
                return Err(FeederError::RowTooLong { place: *place });
            }
            if *count > COLUMNS_MAX {
                return Err(FeederError::TooManyColumns { place: *place });
            }
            match result {
                ReadRecordResult::InputEmpty if input.is_empty() => {}
                ReadRecordResult::InputEmpty => return Ok((used, Step::More)),
                ReadRecordResult::OutputFull => content.resize((content.len() * 2).min(ROW_MAX_BYTES + 1), 0),
                ReadRecordResult::OutputEndsFull => ends.resize((ends.len() * 2).min(COLUMNS_MAX + 1), 0),
                ReadRecordResult::Record => return Ok((used, Step::Row)),
                ReadRecordResult::End => return Ok((used, Step::End)),
            }
        }
    }

    fn advance_lines(&mut self, input: &[u8]) -> Result<(usize, Step), FeederError> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let end = rest.iter().position(|byte| *byte == b'\n');
            if self.length == 0
                && let Place::Line(line) = &mut self.place
            {
                *line = self.lines + 1;
            }
            let (piece, is_complete) = match end {
                Some(end) => (rest.get(..end).unwrap_or_default(), true),
                None => (rest, input.is_empty()),
            };
            if self.length + piece.len() > ROW_MAX_BYTES {
                return Err(FeederError::RowTooLong { place: self.place });
            }
            self.content.truncate(self.length);
            self.content.extend_from_slice(piece);
            self.length += piece.len();
            used += piece.len() + usize::from(end.is_some());
            self.lines += u64::from(end.is_some());
            if !is_complete {
                return Ok((used, Step::More));
            }
            let is_empty = self.bytes().iter().all(u8::is_ascii_whitespace);
            if !is_empty {
                return Ok((used, Step::Row));
            }
            self.length = 0;
            if end.is_none() {
                return Ok((used, Step::End));
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        self.content.get(..self.length).unwrap_or_default()
    }

    /// The values of the row of CSV that is complete.
    fn values(&self) -> impl Iterator<Item = Result<&str, FeederError>> {
        let ends = match &self.kind {
            Kind::Csv { ends, count, .. } => ends.get(..*count).unwrap_or_default(),
            Kind::JsonLines => &[],
        };
        let mut from = 0;
        ends.iter().map(move |end| {
            let value = self.bytes().get(mem::replace(&mut from, *end)..*end).unwrap_or_default();
            std::str::from_utf8(value).map_err(|_| FeederError::Encoding { place: self.place })
        })
    }

    /// The names of the columns, where the row that is complete is the first of CSV. Spaces around them are none of
    /// them.
    pub(super) fn columns(&self) -> Result<Vec<Box<str>>, FeederError> {
        let mut columns: Vec<Box<str>> = Vec::new();
        for name in self.values() {
            let name = name?.trim();
            let number = columns.len() + 1;
            if name.is_empty() {
                return Err(FeederError::Column { number, reason: "it has no name in the first line" });
            }
            if columns.iter().any(|column| column.as_ref() == name) {
                return Err(FeederError::Column { number, reason: "another column has its name" });
            }
            columns.push(name.into());
        }
        Ok(columns)
    }

    /// Whether the row that is complete is as it should be.
    pub(super) fn check(&self, columns: &[Box<str>]) -> Result<(), FeederError> {
        match &self.kind {
            Kind::Csv { count, .. } => {
                self.check_count(*count, columns.len())?;
                self.values().try_for_each(|value| value.map(drop))
            }
            Kind::JsonLines => self.json().map(drop),
        }
    }

    const fn check_count(&self, found: usize, expected: usize) -> Result<(), FeederError> {
        if found == expected { Ok(()) } else { Err(FeederError::Ragged { place: self.place, expected, found }) }
    }

    /// The row that is complete, as a map.
    pub(super) fn row(&self, columns: &[Box<str>]) -> Result<Value, FeederError> {
        match &self.kind {
            Kind::Csv { count, .. } => {
                self.check_count(*count, columns.len())?;
                let mut row = Map::new();
                for (name, value) in columns.iter().zip(self.values()) {
                    row.insert(name.to_string(), value?.into());
                }
                Ok(Value::Object(row))
            }
            Kind::JsonLines => self.json().map(Value::Object),
        }
    }

    fn json(&self) -> Result<Map<String, Value>, FeederError> {
        let place = self.place;
        let text = std::str::from_utf8(self.bytes()).map_err(|_| FeederError::Encoding { place })?;
        let row: Map<String, Value> = serde_json::from_str(text).map_err(|_| FeederError::Json { place })?;
        if row.len() > COLUMNS_MAX { Err(FeederError::TooManyColumns { place }) } else { Ok(row) }
    }
}
