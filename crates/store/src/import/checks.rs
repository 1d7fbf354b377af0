//! Rows of files as the tables have them. What a reader would stumble over later is refused.

use std::collections::BTreeMap;

use nuncius_schemas::event::EventKind;
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::record::RecordOutcome;
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_stats::Totals;
use serde::de::DeserializeOwned;

use crate::column_rows::FileRow;
use crate::digest::digest;
use crate::numbers::from_hexadecimal;
use crate::rows::named;
use crate::tables::{EVENTS, FileTable, NODES, PHASES, QUANTITIES, REQUESTS, SAMPLES, SECOND_HISTOGRAMS, SECONDS};
use crate::value::Value;

/// The value of a column.
pub(super) fn value<'r>(table: &FileTable, row: &'r FileRow, name: &str) -> Option<&'r Value<'static>> {
    row.get(table.columns.iter().position(|column| column.name == name)?)
}

/// The text of a column; empty where there is none.
pub(super) fn text<'r>(table: &FileTable, row: &'r FileRow, name: &str) -> &'r str {
    value(table, row, name).and_then(Value::as_text).unwrap_or_default()
}

/// The integer of a column.
pub(super) fn integer(table: &FileTable, row: &FileRow, name: &str) -> Option<i64> {
    value(table, row, name).and_then(Value::as_integer)
}

fn set(table: &FileTable, row: &mut FileRow, name: &str, value: Value<'static>) {
    let at = table.columns.iter().position(|column| column.name == name);
    if let Some(place) = at.and_then(|at| row.get_mut(at)) {
        *place = value;
    }
}

/// Refuses a name that the column of this type does not have.
fn is_named<T: DeserializeOwned>(table: &FileTable, row: &FileRow, name: &str) -> Result<(), String> {
    match value(table, row, name).and_then(Value::as_text) {
        Some(text) => named::<T>(text).map(drop).map_err(|error| format!("column `{name}`: {error}")),
        None => Ok(()),
    }
}

/// Refuses what is not JSON of this type.
fn is_json<T: DeserializeOwned>(table: &FileTable, row: &FileRow, name: &str) -> Result<(), String> {
    let found: Result<T, serde_json::Error> = serde_json::from_str(text(table, row, name));
    found.map(drop).map_err(|error| format!("column `{name}`: {error}"))
}

/// Refuses bytes that are no histogram.
fn is_histogram(table: &FileTable, row: &FileRow, name: &str) -> Result<(), String> {
    let bytes = value(table, row, name).and_then(Value::as_bytes).unwrap_or_default();
    Totals::decode(bytes).map(drop).map_err(|error| format!("column `{name}`: {error}"))
}

/// The id of a record's span, of a record that is one.
pub(super) fn span_of(row: &FileRow) -> Result<Option<i64>, String> {
    is_named::<RecordOutcome>(&REQUESTS, row, "outcome")?;
    match value(&REQUESTS, row, "span_id").and_then(Value::as_text) {
        Some(text) => hexadecimal("span_id", text).map(Some),
        None => Ok(None),
    }
}

pub(super) fn request(row: &mut FileRow) -> Result<(), String> {
    let span_id = span_of(row)?;
    set(&REQUESTS, row, "span_id", span_id.into());
    Ok(())
}

fn hexadecimal(name: &str, text: &str) -> Result<i64, String> {
    from_hexadecimal(text).ok_or_else(|| format!("column `{name}`: `{text}` has not 16 hexadecimal digits"))
}

pub(super) fn second(row: &mut FileRow) -> Result<(), String> {
    is_json::<Vec<serde_json::Value>>(&SECONDS, row, "statuses")?;
    is_json::<Vec<serde_json::Value>>(&SECONDS, row, "failures")
}

pub(super) fn second_histograms(row: &mut FileRow) -> Result<(), String> {
    ["response", "censored_response", "service", "censored_service"]
        .into_iter()
        .try_for_each(|name| is_histogram(&SECOND_HISTOGRAMS, row, name))
}

/// The columns that are kept of a quantity: the others are in its histogram.
pub(super) fn quantity(row: &mut FileRow, has_digests: bool) -> Result<(), String> {
    is_named::<Quantity>(&QUANTITIES, row, "quantity")?;
    is_histogram(&QUANTITIES, row, "histogram")?;
    let names = ["group", "step", "quantity"];
    let kept = names.into_iter().chain(["histogram"]);
    let mut values: FileRow = kept.filter_map(|name| value(&QUANTITIES, row, name).cloned()).collect();
    if has_digests {
        values.push(digest(&names.map(|name| text(&QUANTITIES, row, name))).into());
    }
    *row = values;
    Ok(())
}

pub(super) fn event(row: &mut FileRow, has_digests: bool) -> Result<(), String> {
    is_named::<EventKind>(&EVENTS, row, "kind")?;
    is_named::<RunStatus>(&EVENTS, row, "status")?;
    is_named::<Verdict>(&EVENTS, row, "verdict")?;
    is_json::<BTreeMap<String, String>>(&EVENTS, row, "data")?;
    if has_digests {
        row.push(digest(&[text(&EVENTS, row, "message")]).into());
    }
    Ok(())
}

pub(super) fn phase(row: &mut FileRow) -> Result<(), String> {
    is_named::<RunStatus>(&PHASES, row, "status")
}

pub(super) fn node(row: &mut FileRow) -> Result<(), String> {
    is_json::<BTreeMap<String, String>>(&NODES, row, "labels")?;
    is_number(&NODES, row, "run_delay_share")
}

/// Refuses what is no number, or no finite one: not every database has those.
pub(super) fn is_number(table: &FileTable, row: &FileRow, name: &str) -> Result<(), String> {
    match value(table, row, name).and_then(Value::as_real).filter(|number| number.is_finite()) {
        Some(_) => Ok(()),
        None => Err(format!("column `{name}`: it is no finite number")),
    }
}

/// A sample without its number, which is its place.
pub(super) fn sample(row: &mut FileRow, number: u64) -> Result<(), String> {
    let found = integer(&SAMPLES, row, "sample");
    if found.and_then(|found| u64::try_from(found).ok()) != Some(number) {
        return Err(format!("column `sample`: it should be {number}, the samples are numbered from 0 on"));
    }
    let epoch = hexadecimal("epoch", text(&SAMPLES, row, "epoch"))?;
    set(&SAMPLES, row, "epoch", epoch.into());
    row.remove(0);
    Ok(())
}
