//! What is known of the run as a whole: its row in the table of experiments.

use std::path::Path;

use nuncius_schemas::codec::CodecError;
use nuncius_schemas::head::shown_tags;
use nuncius_schemas::redact::redact_spec;
use nuncius_schemas::report::Report;
use nuncius_schemas::spec::ExperimentSpec;

use crate::backend::Table;
use crate::contents::CONTENTS;
use crate::import::error::ImportError;
use crate::import::files::{Exported, shown};
use crate::numbers::{count, optional_count};
use crate::tables::REPORT;
use crate::value::Value;

pub(super) const EXPERIMENT: Table = Table {
    name: "experiment",
    columns: &[
        "id",
        "stream_sequence",
        "name",
        "creator",
        "status",
        "verdict",
        "reason",
        "spec",
        "report",
        "submitted_unix_ms",
        "started_unix_ms",
        "ended_unix_ms",
        "trace_id",
        "target",
        "tags",
        "scheduled",
        "offered",
    ],
};

/// A report, and the text that is kept of it.
struct Kept {
    report: Report,
    text: String,
}

/// The row of a run under the id that it gets. Documents stay as they are, byte for byte, where nothing has to be taken
/// out of them or put into them.
pub(super) fn head<'a>(directory: &Path, exported: &'a Exported, id: &'a str) -> Result<Vec<Value<'a>>, ImportError> {
    let about = &exported.about;
    let (name, at) = (&about.name, directory.join(CONTENTS));
    let document = |problem: String| ImportError::Document { path: at.clone(), problem };
    if about.trace_id.as_ref().is_some_and(|id| id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        return Err(document("`trace_id` has not 32 hexadecimal digits".to_owned()));
    }
    let spec = about.spec.as_ref().map(|spec| read_spec(spec.get())).transpose();
    let spec = spec.map_err(|error| document(format!("spec: {error}")))?;
    let report = exported.report.as_deref().map(|text| read_report(directory, text, &about.id, id)).transpose()?;
    let totals = report.as_ref().map(|kept| (count(kept.report.scheduled), count(kept.report.offered)));
    let target = spec.as_ref().and_then(|(spec, _)| spec.groups.first()).map(|group| group.target.clone());
    let tags = spec.as_ref().map(|(spec, _)| serde_json::to_string(&shown_tags(&spec.metadata))).transpose();
    let tags = tags.map_err(|error| document(format!("spec: {error}")))?;
    Ok(vec![
        id.into(),
        count(about.stream_sequence).into(),
        name.into(),
        (&about.creator).into(),
        about.status.name().into(),
        about.verdict.map(|verdict| verdict.name()).into(),
        (&about.reason).into(),
        owned(spec.map(|(_, text)| text)),
        owned(report.map(|kept| kept.text)),
        count(about.submitted_unix_ms).into(),
        optional_count(about.started_unix_ms).into(),
        optional_count(about.ended_unix_ms).into(),
        (&about.trace_id).into(),
        owned(target),
        owned(tags),
        totals.map(|(scheduled, _)| scheduled).into(),
        totals.map(|(_, offered)| offered).into(),
    ])
}

fn owned(text: Option<String>) -> Value<'static> {
    text.map_or(Value::Text(None), Value::from)
}

/// A specification without secrets, and its text.
fn read_spec(text: &str) -> Result<(ExperimentSpec, String), CodecError> {
    let spec: ExperimentSpec = nuncius_schemas::codec::decode(text.as_bytes())?;
    let redacted = redact_spec(&spec);
    if redacted == spec {
        return Ok((spec, text.to_owned()));
    }
    let text = serde_json::to_string(&redacted).map_err(|error| CodecError::Encode(error.to_string()))?;
    Ok((redacted, text))
}

fn read_report(directory: &Path, text: &str, exported_as: &str, id: &str) -> Result<Kept, ImportError> {
    let path = directory.join(REPORT);
    let document = |problem: String| ImportError::Document { path: path.clone(), problem };
    let mut report: Report =
        nuncius_schemas::codec::decode(text.as_bytes()).map_err(|error| document(error.to_string()))?;
    if report.id != exported_as {
        return Err(ImportError::OfAnother { path, found: shown(&report.id), wanted: shown(exported_as) });
    }
    let redacted = report.spec.as_ref().map(redact_spec);
    if redacted == report.spec && id == exported_as {
        return Ok(Kept { report, text: text.to_owned() });
    }
    report.spec = redacted;
    id.clone_into(&mut report.id);
    for event in &mut report.events {
        id.clone_into(&mut event.experiment);
    }
    let text = serde_json::to_string(&report).map_err(|error| document(error.to_string()))?;
    Ok(Kept { report, text })
}
