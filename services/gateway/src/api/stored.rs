//! What the daemon that ran an experiment has stored: everything as one document, tables as CSV, records of requests.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use nuncius_control::ControlError;
use nuncius_control::archive::{self, Export, Found, Opened};
use nuncius_schemas::archive::{ArchiveFile, ArchiveFormat};
use nuncius_schemas::names::check_token;

use super::asked::Asked;
use super::endpoint::{Content, Endpoint};
use super::state::ApiState;
use crate::problem::Problem;

/// The table of records.
const RECORDS: &str = "requests.csv";

pub(super) fn endpoints() -> Vec<Endpoint> {
    let csv = Content::of(&["text/csv"]);
    vec![
        Endpoint::new(
            Method::GET,
            "/experiments/{id}/records",
            "get-records",
            "The records of its requests, as CSV, as the daemon that ran it has them.",
            records,
        )
        .gives(StatusCode::OK, Some(csv)),
        Endpoint::new(
            Method::GET,
            "/experiments/{id}/export",
            "export-experiment",
            "Everything that is stored of it, as one JSON document.",
            document,
        )
        .gives(StatusCode::OK, Some(Content::of(&["application/json"]))),
        Endpoint::new(
            Method::GET,
            "/experiments/{id}/export/{table}",
            "export-table",
            "One table as CSV: experiment, seconds, requests, events and so on; what there is is told where there is \
             none of the name.",
            table,
        )
        .gives(StatusCode::OK, Some(csv)),
    ]
}

async fn records(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    give(&api, asked.id()?, ArchiveFormat::Csv, Some(RECORDS), "text/csv; charset=utf-8").await
}

async fn document(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    give(&api, asked.id()?, ArchiveFormat::Json, None, "application/json").await
}

async fn table(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let word = asked.word("table");
    let name = word.strip_suffix(".csv").unwrap_or(word);
    check_token("table", name).map_err(|error| Problem::not_found(error.to_string()).field("table"))?;
    let file = format!("{name}.csv");
    give(&api, asked.id()?, ArchiveFormat::Csv, Some(&file), "text/csv; charset=utf-8").await
}

/// Has an export written, and hands on one file of it.
async fn give(
    api: &ApiState,
    id: &str,
    format: ArchiveFormat,
    wanted: Option<&str>,
    content_type: &'static str,
) -> Result<Response, Problem> {
    let export = match archive::open(api.bus(), id, format).await? {
        Opened::Export(export) => export,
        Opened::Nowhere(Found::NobodyAsked) => {
            return Err(Problem::busy("no-daemon", "no daemon runs: what is stored cannot be read"));
        }
        Opened::Nowhere(Found::Yes | Found::No) => {
            return Err(ControlError::NoExperiment { id: id.to_owned() }.into());
        }
    };
    let files = match export.files().await {
        Ok(files) => files,
        Err(error) => {
            export.close().await;
            return Err(error.into());
        }
    };
    let chosen = (0u32..).zip(&files).find(|(_, file)| wanted.is_none_or(|wanted| file.name == wanted));
    let Some((index, file)) = chosen else {
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        let text = format!("there is no such table; there are {}", names.join(", "));
        export.close().await;
        return Err(Problem::not_found(text).field("table"));
    };
    let file = file.clone();
    let (size_bytes, name) = (file.size_bytes, format!("{id}-{}", plain(&file.name)));
    let mut answer = Response::new(Body::from_stream(pieces(export, index, file)));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size_bytes));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    Ok(answer)
}

/// A name without what a header or a file system could take for something else.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || ".-_".contains(*c)).collect()
}

/// Where a reader is in a file.
struct Reading {
    export: Option<Export>,
    index: u32,
    file: Arc<ArchiveFile>,
    offset_bytes: u64,
}

/// The pieces of a file, each asked for when the one before has been taken.
fn pieces(
    export: Export,
    index: u32,
    file: ArchiveFile,
) -> impl futures_util::Stream<Item = Result<Bytes, ControlError>> {
    let reading = Reading { export: Some(export), index, file: Arc::new(file), offset_bytes: 0 };
    stream::try_unfold(reading, async |mut reading: Reading| {
        let Some(export) = reading.export.take() else { return Ok(None) };
        if reading.offset_bytes >= reading.file.size_bytes {
            export.close().await;
            return Ok(None);
        }
        let piece = export.piece(reading.index, &reading.file, reading.offset_bytes).await?;
        reading.offset_bytes += piece.len() as u64;
        reading.export = Some(export);
        Ok(Some((piece, reading)))
    })
}
