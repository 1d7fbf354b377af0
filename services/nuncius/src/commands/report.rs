//! `nuncius report`.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use nuncius_bus::Bus;
use nuncius_report::traces::TraceView;
use nuncius_schemas::codec;
use nuncius_schemas::report::Report;
use nuncius_store::{Store, StoreError};

use super::{archive, experiment_id};
use crate::args::{Global, ReportArgs};
use crate::connect;
use crate::output::{is_standard_output, note, print, text_options, write_file};

/// The report as published on the bus, else as stored on this machine, else as the daemon that has it stored it.
pub(crate) async fn fetch(global: &Global, bus: Option<&Bus>, id: &str) -> Result<Report> {
    nuncius_schemas::names::check_token("experiment", id)?;
    let published = match bus {
        Some(bus) => published(bus, id).await,
        None => Ok(None),
    };
    if let Ok(Some(bytes)) = &published {
        return codec::decode(bytes).context("the report cannot be read");
    }
    // The server of a private run goes with it: the store of this machine has the report, too.
    let path = connect::data_directory(global)?.join("nuncius.db");
    if path.is_file() {
        let store = Store::open(&path).await?;
        let report = match store.report(id).await {
            Err(StoreError::NotFound { .. }) => None,
            other => other?,
        };
        store.close().await;
        if let Some(report) = report {
            return Ok(report);
        }
    }
    published?;
    let there = match bus {
        Some(bus) => archive::report(bus, id).await?,
        None => None,
    };
    there.ok_or_else(|| {
        anyhow!(
            "there is no report of {id}: not on the bus, not in {}, and no daemon that runs has one",
            path.display()
        )
    })
}

/// The report as the daemon published it on the bus.
async fn published(bus: &Bus, id: &str) -> Result<Option<Vec<u8>>> {
    let namespace = bus.namespace();
    let objects = bus.objects(&namespace.bucket_artifact()).await?;
    Ok(objects.get(&namespace.artifact_report(id)).await?.map(|bytes| bytes.to_vec()))
}

/// Writes the HTML report, and says where it is unless it was printed.
pub(crate) fn write_html(report: &Report, path: &Path, view: Option<&TraceView>) -> Result<()> {
    write_file(path, &nuncius_report::html::page(report, view))?;
    if !is_standard_output(path) {
        note(&format!("HTML report: {}", path.display()));
    }
    Ok(())
}

/// `nuncius report`.
pub(super) async fn report(global: &Global, args: ReportArgs) -> Result<u8> {
    let bus = connect::possible(global, "nuncius-report").await?;
    let id = experiment_id::meant(global, bus.as_ref(), &args.id).await?;
    let report = fetch(global, bus.as_ref(), &id).await?;
    let view = args.traces.jaeger_url.as_ref();
    if global.json {
        print(&nuncius_report::json::pretty(&report, view)?);
    } else if !args.html.as_deref().is_some_and(is_standard_output) {
        print(&nuncius_report::text::summary(&report, text_options(), view));
    }
    if let Some(path) = &args.html {
        write_html(&report, path, view)?;
    }
    Ok(0)
}
