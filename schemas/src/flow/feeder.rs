//! Rows of data that virtual users take.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rule::{self, SpecError, refuse};
use super::value::{has_template, visit_value};
use crate::spec::text::{TextKind, Visit, maybe, one};

/// Most inline rows of a feeder; more belong into a file.
pub const ROWS_MAX: usize = 10_000;
/// Most columns of an inline row.
pub const COLUMNS_MAX: usize = 256;

/// A row of data for each iteration: with the name `users` its column `email` is `{{ users.email }}`. Which row is a
/// pure function of the seed and the iteration, whatever the number of nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feeder {
    /// Name of the variable that holds the row.
    pub name: String,
    /// A file of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The rows themselves, instead of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Vec<BTreeMap<String, Value>>>,
    /// Form of the file; by its ending when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<FeederFormat>,
    /// Which row an iteration has.
    #[serde(default, skip_serializing_if = "FeederOrder::is_default")]
    pub order: FeederOrder,
    /// Of `unique`: what happens when no row is left; `stop` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_end: Option<FeederEnd>,
    /// Of CSV: what stands between columns; a comma when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
}

/// Form of a file of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeederFormat {
    /// Comma-separated values (RFC 4180) whose first line names the columns.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

/// Which row an iteration has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeederOrder {
    /// Row by row, from the first again after the last: iteration modulo rows.
    #[default]
    Sequential,
    /// Any, drawn from the seed and the iteration.
    Random,
    /// Row by row, no row twice in the fleet.
    Unique,
}

impl FeederOrder {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What happens when there are no rows left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeederEnd {
    /// The group ends there.
    #[default]
    Stop,
    /// Each further iteration fails, with the kind `data`.
    Fail,
    /// From the first row again.
    Again,
}

impl Feeder {
    /// Form of the file: as it is said, else by its ending; `None` where neither tells.
    pub fn format(&self) -> Option<FeederFormat> {
        self.format.or_else(|| {
            let (_, ending) = self.file.as_ref()?.rsplit_once('.')?;
            match ending.to_ascii_lowercase().as_str() {
                "csv" => Some(FeederFormat::Csv),
                "json" | "jsonl" | "ndjson" => Some(FeederFormat::JsonLines),
                _ => None,
            }
        })
    }

    /// What happens when there are no rows left.
    pub fn at_end(&self) -> FeederEnd {
        match self.order {
            FeederOrder::Sequential | FeederOrder::Random => FeederEnd::Again,
            FeederOrder::Unique => self.at_end.unwrap_or_default(),
        }
    }

    /// What stands between the columns of CSV, an ASCII character.
    pub fn delimiter(&self) -> u8 {
        self.delimiter.as_ref().and_then(|text| text.bytes().next()).unwrap_or(b',')
    }

    pub(crate) fn check(&self, path: &str) -> Result<(), SpecError> {
        rule::check_variable_name(&format!("{path}.name"), &self.name)?;
        match (&self.file, &self.rows) {
            (Some(_), Some(_)) => refuse(format!("{path}.rows"), "give either file or rows"),
            (None, None) => refuse(format!("{path}.file"), "missing: name a file of the bundle, or write `rows`"),
            (Some(file), None) => self.check_file(path, file),
            (None, Some(rows)) => self.check_rows(path, rows),
        }?;
        if self.at_end.is_some() && self.order != FeederOrder::Unique {
            return refuse(format!("{path}.at_end"), "belongs to `order: unique`: the others have no end");
        }
        Ok(())
    }

    fn check_file(&self, path: &str, file: &str) -> Result<(), SpecError> {
        rule::check_file_name(&format!("{path}.file"), file)?;
        let Some(format) = self.format() else {
            return refuse(
                format!("{path}.format"),
                "missing: the ending of the file does not tell; give csv or json_lines",
            );
        };
        let Some(delimiter) = &self.delimiter else { return Ok(()) };
        if format != FeederFormat::Csv {
            return refuse(format!("{path}.delimiter"), "belongs to `format: csv`");
        }
        match delimiter.as_bytes() {
            [byte] if byte.is_ascii() && !b"\"\r\n\0".contains(byte) => Ok(()),
            _ => refuse(format!("{path}.delimiter"), "one ASCII character, and none of quotes and line ends"),
        }
    }

    fn check_rows(&self, path: &str, rows: &[BTreeMap<String, Value>]) -> Result<(), SpecError> {
        for (name, is_there) in [("format", self.format.is_some()), ("delimiter", self.delimiter.is_some())] {
            if is_there {
                return refuse(format!("{path}.{name}"), "belongs to `file`");
            }
        }
        if rows.is_empty() {
            return refuse(format!("{path}.rows"), "empty: no iteration could have one");
        }
        rule::at_most(&format!("{path}.rows"), rows.len(), ROWS_MAX)?;
        for (index, row) in rows.iter().enumerate() {
            let path = format!("{path}.rows[{index}]");
            rule::at_most(&path, row.len(), COLUMNS_MAX)?;
            if let Some(name) = row.keys().find(|name| name.trim().is_empty() || name.chars().any(char::is_control)) {
                return refuse(path, format!("the column `{}` has no name that can be written", name.escape_debug()));
            }
            if let Some((name, _)) = row.iter().find(|(_, value)| has_template(value)) {
                return refuse(format!("{path}.{name}"), "templates are not filled in here: a row is data");
            }
        }
        Ok(())
    }

    pub(crate) fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self { name, file, rows, format: _, order: _, at_end: _, delimiter } = self;
        one(format!("{path}.name"), TextKind::Name, name, visit)?;
        maybe(format!("{path}.file"), TextKind::File, file, visit)?;
        for (index, row) in rows.iter_mut().flatten().enumerate() {
            for (name, value) in row {
                visit_value(&format!("{path}.rows[{index}].{name}"), name, value, visit)?;
            }
        }
        maybe(format!("{path}.delimiter"), TextKind::Name, delimiter, visit)
    }
}
