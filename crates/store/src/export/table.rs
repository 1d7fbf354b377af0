//! Files of CSV (RFC 4180).

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// A file of rows.
pub(super) struct Table {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Table {
    pub(super) fn create(directory: &Path, name: &str, heading: &[&str]) -> Result<Self, StoreError> {
        let path = directory.join(name);
        let file = File::create(&path).map_err(|source| StoreError::Export { path: path.clone(), source })?;
        let mut table = Self { path, file: BufWriter::new(file) };
        table.row(heading)?;
        Ok(table)
    }

    pub(super) fn row<T: AsRef<str>>(&mut self, fields: &[T]) -> Result<(), StoreError> {
        let mut line = String::new();
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                line.push(',');
            }
            push_field(&mut line, field.as_ref());
        }
        line.push_str("\r\n");
        let path = &self.path;
        self.file.write_all(line.as_bytes()).map_err(|source| StoreError::Export { path: path.clone(), source })
    }

    pub(super) fn finish(mut self) -> Result<PathBuf, StoreError> {
        match self.file.flush() {
            Ok(()) => Ok(self.path),
            Err(source) => Err(StoreError::Export { path: self.path, source }),
        }
    }
}

/// A field, in quotation marks when it holds a separator, a line break or a quotation mark.
fn push_field(line: &mut String, field: &str) {
    if field.contains([',', '"', '\r', '\n']) {
        line.push('"');
        line.push_str(&field.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(field);
    }
}

/// A value that may be absent.
pub(super) fn optional<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_when_they_have_to_be() {
        for (field, written) in
            [("plain", "plain"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("a\nb", "\"a\nb\""), ("", "")]
        {
            let mut line = String::new();
            push_field(&mut line, field);
            assert_eq!(line, written);
        }
    }
}
