//! Files of Parquet: rows in, columns out, compressed by zstd.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Encoding, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type};

use crate::error::StoreError;
use crate::value::Value;

/// Rows that are written together: until then they are in memory, some 300 bytes each.
const ROWS_PER_GROUP: usize = 100_000;
/// Bytes of texts and histograms that are written together at most, but for one row.
const GROUP_BYTES_MAX: usize = 64 << 20;
/// Texts of a column that are kept to be told again without a copy.
const TEXTS_MAX: usize = 1_000;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Integer,
    Real,
    Flag,
    Text,
    Bytes,
}

/// A column of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) holds: Holds,
    pub(crate) is_optional: bool,
    /// Files that were written before there was such a column lack it.
    pub(crate) may_be_missing: bool,
}

pub(crate) const fn always(name: &'static str, holds: Holds) -> Column {
    Column { name, holds, is_optional: false, may_be_missing: false }
}

pub(crate) const fn maybe(name: &'static str, holds: Holds) -> Column {
    Column { name, holds, is_optional: true, may_be_missing: false }
}

pub(crate) const fn added(name: &'static str, holds: Holds) -> Column {
    Column { name, holds, is_optional: true, may_be_missing: true }
}

/// A file that is being written.
pub(crate) struct ColumnFile {
    path: PathBuf,
    writer: SerializedFileWriter<File>,
    columns: Vec<Waiting>,
    rows: usize,
    /// Of the texts and histograms among the rows.
    bytes: usize,
}

/// The values of a column that are not written yet.
struct Waiting {
    is_optional: bool,
    /// For each row 1 where there is a value, else 0.
    levels: Vec<i16>,
    values: Values,
}

enum Values {
    Integers(Vec<i64>),
    Reals(Vec<f64>),
    Flags(Vec<bool>),
    Texts(Vec<ByteArray>, HashMap<String, ByteArray>),
    Bytes(Vec<ByteArray>),
}

impl ColumnFile {
    /// Makes a file with these columns; `about` is what its metadata say under `nuncius`, as JSON.
    pub(crate) fn create(path: &Path, columns: &[Column], about: &str) -> Result<Self, StoreError> {
        let file = File::create(path).map_err(|source| StoreError::Export { path: path.to_path_buf(), source })?;
        Self::over(file, path, columns, about)
    }

    /// The same over a file that is open.
    pub(crate) fn over(file: File, path: &Path, columns: &[Column], about: &str) -> Result<Self, StoreError> {
        let failed = |source: ParquetError| cannot_write(path, source);
        let mut fields = Vec::with_capacity(columns.len());
        let metadata = KeyValue::new("nuncius".to_owned(), about.to_owned());
        let level = ZstdLevel::try_new(3).map_err(failed)?;
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_key_value_metadata(Some(vec![metadata]));
        for column in columns {
            let (physical, converted) = match column.holds {
                Holds::Integer => (Physical::INT64, ConvertedType::NONE),
                Holds::Real => (Physical::DOUBLE, ConvertedType::NONE),
                Holds::Flag => (Physical::BOOLEAN, ConvertedType::NONE),
                Holds::Text => (Physical::BYTE_ARRAY, ConvertedType::UTF8),
                Holds::Bytes => (Physical::BYTE_ARRAY, ConvertedType::NONE),
            };
            let repetition = if column.is_optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
            let field = Type::primitive_type_builder(column.name, physical)
                .with_repetition(repetition)
                .with_converted_type(converted)
                .build()
                .map_err(failed)?;
            fields.push(Arc::new(field));
            let place = ColumnPath::from(column.name);
            properties = match column.holds {
                // Times rise: their differences are small.
                Holds::Integer => properties
                    .set_column_dictionary_enabled(place.clone(), false)
                    .set_column_encoding(place, Encoding::DELTA_BINARY_PACKED),
                // No two histograms are the same, and nobody looks for the smallest.
                Holds::Bytes => properties
                    .set_column_dictionary_enabled(place.clone(), false)
                    .set_column_statistics_enabled(place, EnabledStatistics::None),
                Holds::Real | Holds::Flag | Holds::Text => properties,
            };
        }
        let schema = Type::group_type_builder("nuncius").with_fields(fields).build().map_err(failed)?;
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties.build())).map_err(failed)?;
        let columns = columns.iter().map(Waiting::of).collect();
        Ok(Self { path: path.to_path_buf(), writer, columns, rows: 0, bytes: 0 })
    }

    /// Adds a row: a value for each column, of what it holds.
    pub(crate) fn row<'a>(&mut self, values: impl IntoIterator<Item = Value<'a>>) -> Result<(), StoreError> {
        for (column, value) in self.columns.iter_mut().zip(values) {
            self.bytes += match &value {
                Value::Text(Some(text)) => text.len(),
                Value::Bytes(Some(bytes)) => bytes.len(),
                Value::Text(None) | Value::Bytes(None) | Value::Integer(_) | Value::Real(_) | Value::Flag(_) => 0,
            };
            column.push(value);
        }
        self.rows += 1;
        if self.rows >= ROWS_PER_GROUP || self.bytes >= GROUP_BYTES_MAX { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        if self.rows == 0 {
            return Ok(());
        }
        (self.rows, self.bytes) = (0, 0);
        write_group(&mut self.writer, &mut self.columns).map_err(|source| cannot_write(&self.path, source))
    }

    /// Writes what is left and the end of the file, and has the disk take it.
    pub(crate) fn finish(mut self) -> Result<PathBuf, StoreError> {
        self.flush()?;
        let Self { path, writer, .. } = self;
        let file = writer.into_inner().map_err(|source| cannot_write(&path, source))?;
        file.sync_all().map_err(|source| StoreError::Export { path: path.clone(), source })?;
        Ok(path)
    }
}

fn write_group(writer: &mut SerializedFileWriter<File>, columns: &mut [Waiting]) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    for column in columns {
        column.write(&mut group)?;
    }
    group.close().map(drop)
}

impl Waiting {
    fn of(column: &Column) -> Self {
        let values = match column.holds {
            Holds::Integer => Values::Integers(Vec::new()),
            Holds::Real => Values::Reals(Vec::new()),
            Holds::Flag => Values::Flags(Vec::new()),
            Holds::Text => Values::Texts(Vec::new(), HashMap::new()),
            Holds::Bytes => Values::Bytes(Vec::new()),
        };
        Self { is_optional: column.is_optional, levels: Vec::new(), values }
    }

    fn push(&mut self, value: Value<'_>) {
        let is_there = match (&mut self.values, value) {
            (Values::Integers(all), Value::Integer(Some(number))) => {
                all.push(number);
                true
            }
            (Values::Reals(all), Value::Real(number)) => {
                all.push(number);
                true
            }
            (Values::Flags(all), Value::Flag(flag)) => {
                all.push(flag);
                true
            }
            (Values::Texts(all, known), Value::Text(Some(text))) => {
                let text = match known.get(text.as_ref()) {
                    Some(known) => known.clone(),
                    None => {
                        let bytes = ByteArray::from(text.as_bytes().to_vec());
                        if known.len() < TEXTS_MAX {
                            known.insert(text.into_owned(), bytes.clone());
                        }
                        bytes
                    }
                };
                all.push(text);
                true
            }
            (Values::Bytes(all), Value::Bytes(Some(bytes))) => {
                all.push(ByteArray::from(bytes.into_owned()));
                true
            }
            (
                Values::Integers(_) | Values::Reals(_) | Values::Flags(_) | Values::Texts(..) | Values::Bytes(_),
                Value::Integer(_) | Value::Real(_) | Value::Flag(_) | Value::Text(_) | Value::Bytes(_),
            ) => false,
        };
        self.levels.push(i16::from(is_there));
    }

    fn write(&mut self, group: &mut SerializedRowGroupWriter<'_, File>) -> Result<(), ParquetError> {
        let levels = std::mem::take(&mut self.levels);
        let levels = self.is_optional.then_some(levels.as_slice());
        let Some(mut column) = group.next_column()? else { return Ok(()) };
        match &mut self.values {
            Values::Integers(all) => put::<Int64Type>(&mut column, all, levels)?,
            Values::Reals(all) => put::<DoubleType>(&mut column, all, levels)?,
            Values::Flags(all) => put::<BoolType>(&mut column, all, levels)?,
            Values::Texts(all, _) | Values::Bytes(all) => put::<ByteArrayType>(&mut column, all, levels)?,
        }
        column.close()
    }
}

fn put<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    values: &mut Vec<T::T>,
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let values = std::mem::take(values);
    column.typed::<T>().write_batch(&values, levels, None).map(drop)
}

fn cannot_write(path: &Path, source: ParquetError) -> StoreError {
    let source = match source {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => *source,
            Err(other) => std::io::Error::other(other),
        },
        other => std::io::Error::other(other),
    };
    StoreError::Export { path: path.to_path_buf(), source }
}
