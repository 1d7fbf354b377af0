//! Where rows begin, and how one is found.

use std::io::{ErrorKind, Read, Seek, SeekFrom};

use serde_json::Value;

use super::error::{FeederError, Place, ROWS_MAX};
use super::splitter::{Format, Splitter, Step};

/// Most places of rows that are kept: 8 MiB. Of more rows every second, fourth, eighth … is kept.
pub const ROW_OFFSETS_MAX: usize = 1 << 20;

/// Read at once.
const CHUNK_BYTES: usize = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file of rows, looked through once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowIndex {
    format: Format,
    columns: Vec<Box<str>>,
    rows: u64,
    /// Row `number * stride` begins at byte `offsets[number]`.
    offsets: Vec<u64>,
    stride: u64,
}

/// What was read last and where that was, kept between two reads so that neighbours cost nothing.
#[derive(Debug, Default)]
pub struct RowBuffer {
    bytes: Vec<u8>,
    /// Where the bytes begin.
    offset: u64,
    /// The row after the last one that was read, and where it begins.
    next: Option<(u64, u64)>,
    splitter: Option<Splitter>,
}

impl RowBuffer {
    /// An empty one. It belongs to one source: with another, take another.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes from `at` on, read from the source where they are not there; none at the end.
    fn bytes_from(&mut self, source: &mut (impl Read + Seek), at: u64) -> Result<&[u8], FeederError> {
        let end = self.offset.saturating_add(self.bytes.len() as u64);
        if at < self.offset || at >= end {
            // Should reading fail, what is there is of no use.
            self.bytes.resize(CHUNK_BYTES, 0);
            let filled = source.seek(SeekFrom::Start(at)).and_then(|_| fill(source, &mut self.bytes));
            self.bytes.truncate(*filled.as_ref().unwrap_or(&0));
            self.offset = at;
            filled?;
        }
        let skip = usize::try_from(at - self.offset).unwrap_or(usize::MAX);
        Ok(self.bytes.get(skip..).unwrap_or_default())
    }
}

impl RowIndex {
    /// Reads all of a source and checks each row: its values, its length, that it is UTF-8.
    ///
    /// # Errors
    /// The first row that is not as it should be, with its line; no row at all; what reading gives.
    pub fn build(source: &mut impl Read, format: Format) -> Result<Self, FeederError> {
        Self::build_with(source, format, ROW_OFFSETS_MAX, CHUNK_BYTES)
    }

    pub(super) fn build_with(
        source: &mut impl Read,
        format: Format,
        offsets_max: usize,
        chunk_bytes: usize,
    ) -> Result<Self, FeederError> {
        let mut index = Self { format, columns: Vec::new(), rows: 0, offsets: Vec::new(), stride: 1 };
        let mut splitter = Splitter::new(format);
        let mut is_named = format == Format::JsonLines;
        let mut chunk = vec![0; chunk_bytes.max(BYTE_ORDER_MARK.len())];
        let mut begin = 0;
        let mut at = 0;
        loop {
            let filled = fill(source, &mut chunk)?;
            let mut rest = chunk.get(..filled).unwrap_or_default();
            if at == 0
                && let Some(after) = rest.strip_prefix(BYTE_ORDER_MARK)
            {
                at = BYTE_ORDER_MARK.len() as u64;
                begin = at;
                rest = after;
                if rest.is_empty() {
                    continue;
                }
            }
            loop {
                let (used, step) = splitter.advance(rest)?;
                at += used as u64;
                rest = rest.get(used..).unwrap_or_default();
                match step {
                    Step::More => break,
                    Step::End => return if index.rows == 0 { Err(FeederError::Empty) } else { Ok(index) },
                    Step::Row if is_named => {
                        splitter.check(&index.columns)?;
                        index.add(begin, offsets_max)?;
                    }
                    Step::Row => {
                        index.columns = splitter.columns()?;
                        is_named = true;
                    }
                }
                splitter.clear();
                begin = at;
                // An empty piece is the end of the file, and this is not.
                if rest.is_empty() && filled > 0 {
                    break;
                }
            }
        }
    }

    fn add(&mut self, offset: u64, offsets_max: usize) -> Result<(), FeederError> {
        if self.rows >= ROWS_MAX {
            return Err(FeederError::TooManyRows);
        }
        if self.rows.is_multiple_of(self.stride) {
            if self.offsets.len() >= offsets_max.max(2) {
                let mut number = 0;
                self.offsets.retain(|_| {
                    number += 1;
                    number % 2 == 1
                });
                self.stride *= 2;
            }
            if self.rows.is_multiple_of(self.stride) {
                self.offsets.push(offset);
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// How many rows there are; not 0.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// The names of the columns of CSV, in their order; none of JSON lines.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(AsRef::as_ref)
    }

    /// A row, as a map: the values of CSV are texts, those of JSON what they are. `buffer` is this source's own.
    ///
    /// # Errors
    /// There is no such row; reading failed; the source is no longer what it was.
    pub fn read_row(
        &self,
        source: &mut (impl Read + Seek),
        buffer: &mut RowBuffer,
        row: u64,
    ) -> Result<Value, FeederError> {
        let no_such_row = FeederError::NoSuchRow { row, rows: self.rows };
        let Some(kept) = row.checked_div(self.stride).and_then(|number| usize::try_from(number).ok()) else {
            return Err(no_such_row);
        };
        let Some(offset) = self.offsets.get(kept).filter(|_| row < self.rows) else { return Err(no_such_row) };
        let (mut number, mut at) = (row - row % self.stride, *offset);
        // The row after the last one may be nearer.
        if let Some((next, offset)) = buffer.next.take()
            && (number..=row).contains(&next)
        {
            (number, at) = (next, offset);
        }
        let used_before = buffer.splitter.take().filter(|splitter| splitter.format() == self.format);
        let mut splitter = used_before.unwrap_or_else(|| Splitter::new(self.format));
        splitter.restart(Place::Row(row));
        loop {
            let (used, step) = splitter.advance(buffer.bytes_from(source, at)?)?;
            at += used as u64;
            match step {
                Step::More => {}
                Step::End => return Err(no_such_row),
                Step::Row if number == row => {
                    buffer.next = Some((row + 1, at));
                    let found = splitter.row(&self.columns);
                    buffer.splitter = Some(splitter);
                    return found;
                }
                Step::Row => {
                    number += 1;
                    splitter.clear();
                }
            }
        }
    }
}

/// Fills a chunk, unless the source ends before.
fn fill(source: &mut impl Read, chunk: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = chunk.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_kept_places_are_bounded() {
        let rows = ROWS_MAX - 1;
        let mut index =
            RowIndex { format: Format::JsonLines, columns: Vec::new(), rows, offsets: vec![0; 4], stride: 1 << 38 };
        index.add(7, 4).unwrap();
        assert_eq!(index.rows(), ROWS_MAX);
        assert_eq!(index.add(8, 4).unwrap_err().to_string(), "more than 1099511627776 rows");
        let mut index = RowIndex { rows: 0, offsets: Vec::new(), stride: 1, ..index };
        for row in 0..100 {
            index.add(row * 10, 4).unwrap();
        }
        // Every 32nd row: 0, 32, 64, 96.
        assert_eq!((index.stride, &index.offsets[..]), (32, &[0, 320, 640, 960][..]));
    }
}
