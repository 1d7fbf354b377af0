//! `nuncius report`.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use nuncius_bus::Bus;
use nuncius_report::text::TextOptions;
use nuncius_schemas::report::Report;
use nuncius_store::{Store, StoreError};

use crate::args::{Global, ReportArgs};
use crate::connect;

/// Colour only for people: not into a file, not with NO_COLOR.
pub(crate) fn text_options() -> TextOptions {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    TextOptions { colour, width: 100 }
}

/// The report as published on the bus, else as stored on this machine.
pub(crate) async fn fetch(global: &Global, bus: Option<&Bus>, id: &str) -> Result<Report> {
    nuncius_schemas::names::check_token("experiment", id)?;
    if let Some(bus) = bus {
        let namespace = bus.namespace();
        let objects = bus.objects(&namespace.bucket_artifact()).await?;
        if let Some(bytes) = objects.get(&namespace.artifact_report(id)).await? {
            return serde_json::from_slice(&bytes).context("the report cannot be read");
        }
    }
    let path = connect::data_directory(global)?.join("nuncius.db");
    let store = Store::open(&path).await?;
    let report = match store.report(id).await {
        Err(StoreError::NotFound { .. }) => None,
        other => other?,
    };
    store.close().await;
    report.ok_or_else(|| anyhow!("there is no report of {id}, neither on the bus nor in {}", path.display()))
}

/// Writes the HTML report.
pub(crate) fn write_html(report: &Report, path: &Path) -> Result<()> {
    write_page(&nuncius_report::html::page(report), path)
}

/// Writes a page, and the directory it belongs into.
pub(crate) fn write_page(page: &str, path: &Path) -> Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    std::fs::write(path, page).with_context(|| path.display().to_string())
}

/// `nuncius report`.
pub(super) async fn report(global: &Global, args: ReportArgs) -> Result<u8> {
    let bus = match connect::find(global).await? {
        Some(url) => Some(connect::connect_to(global, &url, "nuncius-report", false).await?),
        None => None,
    };
    let report = fetch(global, bus.as_ref(), &args.id).await?;
    if args.json {
        super::print(&nuncius_report::json::pretty(&report)?);
    } else {
        super::print(&nuncius_report::text::summary(&report, text_options()));
    }
    if let Some(path) = &args.html {
        write_html(&report, path)?;
        eprintln!("HTML report: {}", path.display());
    }
    Ok(0)
}
