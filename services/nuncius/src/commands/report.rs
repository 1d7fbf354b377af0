//! `nuncius report`.

use std::path::Path;

use anyhow::{Result, anyhow};
use nuncius_bus::Bus;
use nuncius_control::{ControlError, archive, reports};
use nuncius_report::traces::TraceView;
use nuncius_schemas::report::Report;
use nuncius_store::{Store, StoreError};

use super::experiment_id;
use super::profiles::{self, Places};
use crate::args::{Global, ReportArgs};
use crate::connect;
use crate::output::{is_standard_output, note, print, text_options, write_file};

/// The report as published on the bus, else as stored on this machine, else as the daemon that has it stored it.
pub(crate) async fn fetch(global: &Global, bus: Option<&Bus>, id: &str) -> Result<Report> {
    nuncius_schemas::names::check_token("experiment", id)?;
    let published = match bus {
        Some(bus) => reports::published(bus, id).await,
        None => Ok(None),
    };
    let published = match published {
        Ok(Some(report)) => return Ok(report),
        Err(error @ ControlError::Document { .. }) => return Err(error.into()),
        other => other,
    };
    // The server of a private run goes with it: the store of this machine has the report, too.
    let place = connect::database(global)?;
    if place.may_exist() {
        let store = Store::open(&place).await?;
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
        anyhow!("there is no report of {id}: not on the bus, not in {place}, and no daemon that runs has one")
    })
}

/// Writes the HTML report, and says where it is unless it was printed.
pub(super) async fn write_html(
    report: &Report,
    path: &Path,
    view: Option<&TraceView>,
    places: Places<'_>,
) -> Result<()> {
    let pictures = profiles::pictures(places, report).await;
    write_file(path, &nuncius_report::html::page_with(report, view, &pictures))?;
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
        let data = connect::data_place(global);
        write_html(&report, path, view, Places { bus: bus.as_ref(), data: data.as_deref() }).await?;
    }
    Ok(0)
}
