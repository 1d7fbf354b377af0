//! Rows out of files of Parquet that may be anything: columns are checked by name and kind, rows come in batches, and
//! memory is bounded whatever a file says of itself.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Type as Physical;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescPtr;

use crate::columns::{Column, Holds};
use crate::tables::FileTable;
use crate::value::Value;

mod bounded;

use bounded::Bounded;

/// Rows that are read together.
const BATCH_ROWS: usize = 1_000;
/// Largest footer, in bytes: it is read whole.
const FOOTER_BYTES_MAX: u64 = 64 << 20;
/// Most bytes of the columns of one group of rows, uncompressed: that much may be in memory.
const GROUP_BYTES_MAX: u64 = 1 << 30;
/// Length and magic at the end of a file.
const TAIL_BYTES: u64 = 8;

/// Why a file, or a row of it, is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileError {
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("it is no whole file of Parquet: {0}")]
    NotParquet(String),
    #[error("it has no column `{0}`")]
    NoColumn(&'static str),
    #[error("column `{name}` holds {found}, not {wanted}")]
    Column { name: &'static str, found: String, wanted: &'static str },
    #[error("it has {rows} rows, `--max-rows` is {limit}")]
    TooManyRows { rows: u64, limit: u64 },
    #[error("rows from {row} on take {bytes} bytes, the limit is {limit}")]
    TooLarge { row: u64, bytes: u64, limit: u64 },
    #[error("row {row}: {problem}")]
    Row { row: u64, problem: String },
}

impl From<std::io::Error> for FileError {
    fn from(error: std::io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// A row: a value for each column that was asked for.
pub(crate) type FileRow = Vec<Value<'static>>;

/// A file that is being read.
pub(crate) struct ColumnRows {
    path: PathBuf,
    file: Arc<File>,
    length: u64,
    metadata: ParquetMetaData,
    /// What is asked for, and where each column stands in the file; absent where the file is older than the column.
    columns: Vec<(Column, Option<usize>)>,
    group: usize,
    /// Of the group before the present one on.
    reading: Vec<Reading>,
    left_in_group: u64,
    /// Rows that were given.
    given: u64,
}

/// A column of the present group.
struct Reading {
    column: Column,
    values: Values,
    /// For each row of the batch 1 where there is a value; empty where there always is one.
    levels: Vec<i16>,
}

/// The reader of a column, with what it read last.
enum Values {
    Integers(Box<ColumnReaderImpl<Int64Type>>, Vec<i64>),
    Reals(Box<ColumnReaderImpl<DoubleType>>, Vec<f64>),
    Flags(Box<ColumnReaderImpl<BoolType>>, Vec<bool>),
    Texts(Box<ColumnReaderImpl<ByteArrayType>>, Vec<ByteArray>),
    /// The file has no such column: no row has a value.
    Missing,
}

impl ColumnRows {
    /// Opens a file and looks whether it has these columns, and no more rows than may be.
    pub(crate) fn open(path: &Path, table: &FileTable, rows_max: u64) -> Result<Self, FileError> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let metadata = guarded(|| footer(&file, length))?;
        let columns = table.columns.iter().map(|column| Ok((*column, place(&metadata, column)?)));
        let columns = columns.collect::<Result<Vec<_>, FileError>>()?;
        let (path, file) = (path.to_path_buf(), Arc::new(file));
        let (group, reading, left_in_group, given) = (0, Vec::new(), 0, 0);
        let rows = Self { path, file, length, metadata, columns, group, reading, left_in_group, given };
        if rows.rows() > rows_max {
            return Err(FileError::TooManyRows { rows: rows.rows(), limit: rows_max });
        }
        Ok(rows)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many rows it says that it has.
    pub(crate) fn rows(&self) -> u64 {
        let of = |group: &RowGroupMetaData| u64::try_from(group.num_rows()).unwrap_or(u64::MAX);
        self.metadata.row_groups().iter().map(of).fold(0, u64::saturating_add)
    }

    /// What it says of its experiment.
    pub(crate) fn about(&self) -> Option<&str> {
        let pairs = self.metadata.file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == "nuncius")?.value.as_deref()
    }

    /// The next rows, and the number of the first, from 1 on; none at the end.
    pub(crate) fn next_rows(&mut self) -> Result<Option<(u64, Vec<FileRow>)>, FileError> {
        while self.left_in_group == 0 {
            let Some(group) = self.metadata.row_groups().get(self.group) else { return Ok(None) };
            let first = self.given + 1;
            self.left_in_group = u64::try_from(group.num_rows())
                .map_err(|_| FileError::NotParquet("a group has a negative number of rows".to_owned()))?;
            self.reading = guarded(|| begin(&self.file, self.length, group, &self.columns, first))?;
            self.group += 1;
        }
        let wanted = usize::try_from(self.left_in_group).unwrap_or(usize::MAX).min(BATCH_ROWS);
        let first = self.given + 1;
        let reading = &mut self.reading;
        guarded(|| reading.iter_mut().try_for_each(|column| column.read(wanted, first)))?;
        let mut rows: Vec<FileRow> = (0..wanted).map(|_| Vec::with_capacity(self.columns.len())).collect();
        for column in &mut self.reading {
            column.give(&mut rows, first)?;
        }
        self.left_in_group -= wanted as u64;
        self.given += wanted as u64;
        Ok(Some((first, rows)))
    }
}

/// Has the library read: it may take a file that is made to mislead it for an error of its own, and panic.
fn guarded<T>(read: impl FnOnce() -> Result<T, FileError>) -> Result<T, FileError> {
    let damaged = |_| FileError::NotParquet("what it says of itself contradicts itself".to_owned());
    catch_unwind(AssertUnwindSafe(read)).map_err(damaged)?
}

fn not_parquet(error: &ParquetError) -> FileError {
    FileError::NotParquet(error.to_string())
}

fn footer(file: &File, length: u64) -> Result<ParquetMetaData, FileError> {
    let short = || FileError::NotParquet(format!("it has {length} bytes and no end"));
    let start = length.checked_sub(TAIL_BYTES).ok_or_else(short)?;
    let mut tail = [0; TAIL_BYTES as usize];
    let mut reader = file;
    reader.seek(SeekFrom::Start(start))?;
    reader.read_exact(&mut tail)?;
    let [a, b, c, d, magic @ ..] = tail;
    let bytes = u64::from(u32::from_le_bytes([a, b, c, d]));
    if &magic != b"PAR1" || bytes > start {
        return Err(short());
    }
    if bytes > FOOTER_BYTES_MAX {
        return Err(FileError::NotParquet(format!("its footer has {bytes} bytes, the limit is {FOOTER_BYTES_MAX}")));
    }
    ParquetMetaDataReader::new().parse_and_finish(file).map_err(|error| not_parquet(&error))
}

/// Which column of a file is meant, and whether it holds what it should; none where it may be missing, and is.
fn place(metadata: &ParquetMetaData, column: &Column) -> Result<Option<usize>, FileError> {
    let (physical, wanted) = match column.holds {
        Holds::Integer => (Physical::INT64, "integers of 64 bits (INT64)"),
        Holds::Real => (Physical::DOUBLE, "numbers of 64 bits (DOUBLE)"),
        Holds::Flag => (Physical::BOOLEAN, "truth values (BOOLEAN)"),
        Holds::Text => (Physical::BYTE_ARRAY, "texts (BYTE_ARRAY)"),
        Holds::Bytes => (Physical::BYTE_ARRAY, "bytes (BYTE_ARRAY)"),
    };
    let all = metadata.file_metadata().schema_descr().columns();
    let is_meant = |found: &ColumnDescPtr| matches!(found.path().parts(), [name] if name == column.name);
    let Some((at, found)) = all.iter().enumerate().find(|(_, found)| is_meant(found)) else {
        return if column.may_be_missing { Ok(None) } else { Err(FileError::NoColumn(column.name)) };
    };
    let wrong = |found: String| FileError::Column { name: column.name, found, wanted };
    if found.physical_type() != physical {
        return Err(wrong(found.physical_type().to_string()));
    }
    if found.max_rep_level() != 0 || found.max_def_level() > 1 {
        return Err(wrong("lists".to_owned()));
    }
    if found.max_def_level() == 1 && !column.is_optional {
        return Err(wrong("values that may be absent".to_owned()));
    }
    Ok(Some(at))
}

/// Begins with a group of rows.
fn begin(
    file: &Arc<File>,
    length: u64,
    group: &RowGroupMetaData,
    columns: &[(Column, Option<usize>)],
    row: u64,
) -> Result<Vec<Reading>, FileError> {
    let negative = || FileError::NotParquet("a size in it is negative".to_owned());
    let size = |chunk: &ColumnChunkMetaData| -> Result<u64, FileError> {
        let starts = chunk.data_page_offset().min(chunk.dictionary_page_offset().unwrap_or(0));
        if starts < 0 || chunk.compressed_size() < 0 {
            return Err(negative());
        }
        u64::try_from(chunk.uncompressed_size()).map_err(|_| negative())
    };
    let rows = usize::try_from(group.num_rows()).map_err(|_| negative())?;
    let mut bytes = 0u64;
    let mut reading = Vec::with_capacity(columns.len());
    for (column, at) in columns {
        let Some(at) = at else {
            reading.push(Reading { column: *column, values: Values::Missing, levels: Vec::new() });
            continue;
        };
        let chunk = group.columns().get(*at).ok_or(FileError::NoColumn(column.name))?;
        let size = size(chunk)?;
        bytes = bytes.saturating_add(size);
        if bytes > GROUP_BYTES_MAX {
            return Err(FileError::TooLarge { row, bytes, limit: GROUP_BYTES_MAX });
        }
        let bounded = Arc::new(Bounded::new(Arc::clone(file), length, size));
        let pages = SerializedPageReader::new(bounded, chunk, rows, None).map_err(|error| not_parquet(&error))?;
        let (of, pages) = (chunk.column_descr_ptr(), Box::new(pages));
        let values = match column.holds {
            Holds::Integer => Values::Integers(Box::new(ColumnReaderImpl::new(of, pages)), Vec::new()),
            Holds::Real => Values::Reals(Box::new(ColumnReaderImpl::new(of, pages)), Vec::new()),
            Holds::Flag => Values::Flags(Box::new(ColumnReaderImpl::new(of, pages)), Vec::new()),
            Holds::Text | Holds::Bytes => Values::Texts(Box::new(ColumnReaderImpl::new(of, pages)), Vec::new()),
        };
        reading.push(Reading { column: *column, values, levels: Vec::new() });
    }
    Ok(reading)
}

/// Reads so many rows of a column, which must have them.
fn read<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    values: &mut Vec<T::T>,
    levels: &mut Vec<i16>,
    wanted: usize,
) -> Result<usize, FileError> {
    values.clear();
    levels.clear();
    let (records, ..) = reader.read_records(wanted, Some(levels), None, values).map_err(|error| not_parquet(&error))?;
    Ok(records)
}

impl Reading {
    fn read(&mut self, wanted: usize, row: u64) -> Result<(), FileError> {
        let levels = &mut self.levels;
        let records = match &mut self.values {
            Values::Integers(reader, values) => read(reader, values, levels, wanted)?,
            Values::Reals(reader, values) => read(reader, values, levels, wanted)?,
            Values::Flags(reader, values) => read(reader, values, levels, wanted)?,
            Values::Texts(reader, values) => read(reader, values, levels, wanted)?,
            Values::Missing => wanted,
        };
        if records == wanted {
            return Ok(());
        }
        let problem = format!("column `{}` ends before the others do", self.column.name);
        Err(FileError::Row { row: row + records as u64, problem })
    }

    /// Gives each row its value.
    fn give(&mut self, rows: &mut [FileRow], first: u64) -> Result<(), FileError> {
        let Self { column, values, levels } = self;
        match values {
            Values::Integers(_, found) => spread(rows, levels, found.drain(..).map(Value::from), Value::Integer(None)),
            Values::Reals(_, found) => spread(rows, levels, found.drain(..).map(Value::from), Value::Integer(None)),
            Values::Flags(_, found) => spread(rows, levels, found.drain(..).map(Value::from), Value::Integer(None)),
            Values::Missing => {
                let absent = match column.holds {
                    Holds::Integer | Holds::Real | Holds::Flag => Value::Integer(None),
                    Holds::Text => Value::Text(None),
                    Holds::Bytes => Value::Bytes(None),
                };
                rows.iter_mut().for_each(|row| row.push(absent.clone()));
            }
            Values::Texts(_, found) if column.holds == Holds::Bytes => {
                let bytes = found.drain(..).map(|bytes| Value::Bytes(Some(bytes.data().to_vec().into())));
                spread(rows, levels, bytes, Value::Bytes(None));
            }
            Values::Texts(_, found) => {
                let mut wrong = None;
                let text = |(at, bytes): (usize, ByteArray)| {
                    let text = std::str::from_utf8(bytes.data()).map(str::to_owned);
                    Value::from(text.unwrap_or_else(|_| {
                        wrong.get_or_insert(at);
                        String::new()
                    }))
                };
                spread(rows, levels, found.drain(..).enumerate().map(text), Value::Text(None));
                if let Some(at) = wrong {
                    let problem = format!("column `{}` is no text (UTF-8)", column.name);
                    return Err(FileError::Row { row: first + row_of(levels, at), problem });
                }
            }
        }
        Ok(())
    }
}

/// Which row of a batch has the value at this place among those that are there.
fn row_of(levels: &[i16], at: usize) -> u64 {
    let place = match levels.is_empty() {
        true => at,
        false => levels.iter().enumerate().filter(|(_, level)| **level > 0).nth(at).map_or(0, |(place, _)| place),
    };
    place as u64
}

/// Gives each row its value, those without one `absent`.
fn spread(
    rows: &mut [FileRow],
    levels: &[i16],
    mut values: impl Iterator<Item = Value<'static>>,
    absent: Value<'static>,
) {
    for (at, row) in rows.iter_mut().enumerate() {
        let is_there = levels.get(at).is_none_or(|level| *level > 0);
        let value = if is_there { values.next() } else { None };
        row.push(value.unwrap_or_else(|| absent.clone()));
    }
}
