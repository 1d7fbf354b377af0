//! The files of a directory: whether they are those that an export wrote, whole and of one run.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use nuncius_schemas::codec;
use serde::Deserialize;

use crate::column_rows::ColumnRows;
use crate::contents::{About, CONTENTS, Contents, FORMAT, FORMAT_NUMBER, Listed, format_name, listed};
use crate::import::error::ImportError;
use crate::import::place::of_file;
use crate::tables::{ALWAYS, FileTable, REPORT, WITH_TELEMETRY};

/// Largest list of files, in bytes; the specification is in it.
const CONTENTS_BYTES_MAX: u64 = 16 << 20;
/// Largest report, in bytes.
const REPORT_BYTES_MAX: u64 = 256 << 20;
/// Characters of a name that errors show.
const NAME_CHARACTERS: usize = 80;

/// What a directory has.
pub(super) struct Exported {
    pub(super) about: About,
    pub(super) report: Option<String>,
    directory: PathBuf,
    tables: BTreeMap<&'static str, ColumnRows>,
}

impl Exported {
    pub(super) fn has(&self, table: &FileTable) -> bool {
        self.tables.contains_key(table.name)
    }

    /// The rows of a file, once.
    pub(super) fn take(&mut self, table: &FileTable) -> Result<ColumnRows, ImportError> {
        let path = || self.directory.join(table.name);
        self.tables.remove(table.name).ok_or_else(|| ImportError::Missing { path: path() })
    }
}

/// The format alone: what a later version has beside it is not known here.
#[derive(Deserialize)]
struct Format {
    format: String,
}

/// The id alone.
#[derive(Deserialize)]
struct Identity {
    id: String,
}

/// What a directory says that it has.
pub(super) fn contents(directory: &Path) -> Result<Contents, ImportError> {
    let path = directory.join(CONTENTS);
    let text = match text(&path, CONTENTS_BYTES_MAX) {
        Err(ImportError::Missing { .. }) if directory.is_dir() => {
            return Err(ImportError::NoExport { directory: directory.to_path_buf() });
        }
        Err(ImportError::Missing { .. }) if directory.exists() => {
            let problem = "it is no directory".to_owned();
            return Err(ImportError::Document { path: directory.to_path_buf(), problem });
        }
        Err(ImportError::Missing { .. }) => return Err(ImportError::Missing { path: directory.to_path_buf() }),
        other => other?,
    };
    let document = |problem: String| ImportError::Document { path: path.clone(), problem };
    let Format { format } = codec::decode(text.as_bytes()).map_err(|error| document(error.to_string()))?;
    let number = format.strip_prefix(FORMAT).and_then(|number| number.parse::<u32>().ok());
    match number {
        Some(FORMAT_NUMBER) => {}
        Some(number) if number > FORMAT_NUMBER => {
            return Err(ImportError::Newer { path, found: shown(&format), newest: format_name(FORMAT_NUMBER) });
        }
        Some(_) | None => return Err(document(format!("`{}` is no format of an export", shown(&format)))),
    }
    serde_json::from_str(&text).map_err(|error| document(error.to_string()))
}

/// Looks at every file that the directory says it has, and opens it.
pub(super) fn look(directory: &Path, contents: Contents, rows_max: u64) -> Result<Exported, ImportError> {
    let id = &contents.experiment.id;
    let known = ALWAYS.into_iter().chain(WITH_TELEMETRY);
    let known: BTreeMap<&'static str, &FileTable> = known.map(|table| (table.name, table)).collect();
    let document = |problem: String| ImportError::Document { path: directory.join(CONTENTS), problem };
    let (mut tables, mut report) = (BTreeMap::new(), None);
    for file in &contents.files {
        let path = directory.join(&file.name);
        // By its name among those that are known: nothing leads out of the directory.
        match known.get(file.name.as_str()) {
            Some(table) => {
                is_whole(&path, file, id)?;
                let rows = ColumnRows::open(&path, table, rows_max).map_err(|error| of_file(&path, error))?;
                is_of(&path, rows.about(), id)?;
                if tables.insert(table.name, rows).is_some() {
                    return Err(document(format!("it lists {} twice", file.name)));
                }
            }
            None if file.name == REPORT => {
                is_whole(&path, file, id)?;
                report = Some(text(&path, REPORT_BYTES_MAX)?);
            }
            None => return Err(document(format!("it lists `{}`, which no export has", shown(&file.name)))),
        }
    }
    let has_telemetry = WITH_TELEMETRY.iter().any(|table| tables.contains_key(table.name));
    let wanted = ALWAYS.into_iter().chain(WITH_TELEMETRY.into_iter().filter(|_| has_telemetry));
    if let Some(missing) = wanted.map(|table| table.name).find(|name| !tables.contains_key(name)) {
        return Err(document(format!("it does not list {missing}")));
    }
    Ok(Exported { about: contents.experiment, report, directory: directory.to_path_buf(), tables })
}

/// A text file of at most so many bytes.
fn text(path: &Path, bytes_max: u64) -> Result<String, ImportError> {
    let unreadable = |source: std::io::Error| ImportError::Unreadable { path: path.to_path_buf(), source };
    let found = metadata(path)?;
    let document = |problem: String| ImportError::Document { path: path.to_path_buf(), problem };
    if found > bytes_max {
        return Err(document(format!("it has {found} bytes, the limit is {bytes_max}")));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|_| document("it is no text (UTF-8)".to_owned()))
}

/// How long a file is, which must be one.
fn metadata(path: &Path) -> Result<u64, ImportError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(found.len()),
        Ok(_) => Err(ImportError::Document { path: path.to_path_buf(), problem: "it is no file".to_owned() }),
        Err(source) if matches!(source.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Err(ImportError::Missing { path: path.to_path_buf() })
        }
        Err(source) => Err(ImportError::Unreadable { path: path.to_path_buf(), source }),
    }
}

/// Refuses a file that is not, byte for byte, what the export wrote.
fn is_whole(path: &Path, written: &Listed, id: &str) -> Result<(), ImportError> {
    let found = metadata(path)?;
    let found = if found == written.size_bytes {
        listed(path, &written.name).map_err(|source| ImportError::Unreadable { path: path.to_path_buf(), source })?
    } else {
        Listed { size_bytes: found, ..written.clone() }
    };
    if &found == written {
        return Ok(());
    }
    // Somebody else's is told as such.
    let none = FileTable { name: "", columns: &[] };
    if let Ok(rows) = ColumnRows::open(path, &none, u64::MAX)
        && let Err(error @ ImportError::OfAnother { .. }) = is_of(path, rows.about(), id)
    {
        return Err(error);
    }
    let (path, found, written) = (path.to_path_buf(), found.size_bytes, written.size_bytes);
    Err(match found == written {
        true => ImportError::Changed { path },
        false => ImportError::Length { path, found, written },
    })
}

/// Refuses a file of another experiment.
fn is_of(path: &Path, about: Option<&str>, id: &str) -> Result<(), ImportError> {
    let path = path.to_path_buf();
    let Some(Identity { id: found }) = about.and_then(|about| serde_json::from_str(about).ok()) else {
        return Err(ImportError::Document { path, problem: "it does not say of which experiment it is".to_owned() });
    };
    let (found, is_same) = (shown(&found), found == id);
    if is_same { Ok(()) } else { Err(ImportError::OfAnother { path, found, wanted: shown(id) }) }
}

/// A name of which nobody knows how long it is.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(NAME_CHARACTERS).flat_map(char::escape_debug).collect()
}
