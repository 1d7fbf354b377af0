//! The report of an experiment: as the daemon published it, else as the daemon that has it stored it.

use nuncius_bus::Bus;
use nuncius_schemas::codec;
use nuncius_schemas::names::check_token;
use nuncius_schemas::report::Report;

use crate::{ControlError, archive};

/// The report that the daemon published on the bus; `None` where there is none (any more).
///
/// # Errors
/// The bus, and what is no report.
pub async fn published(bus: &Bus, id: &str) -> Result<Option<Report>, ControlError> {
    check_token("experiment", id)?;
    let namespace = bus.namespace();
    let objects = bus.objects(&namespace.bucket_artifact()).await?;
    let Some(bytes) = objects.get(&namespace.artifact_report(id)).await? else { return Ok(None) };
    codec::decode(&bytes).map(Some).map_err(|source| ControlError::Document { what: "the report", source })
}

/// The report from wherever it is.
///
/// # Errors
/// [`ControlError::NoReport`] where nobody has one.
pub async fn report(bus: &Bus, id: &str) -> Result<Report, ControlError> {
    if let Ok(Some(report)) = published(bus, id).await {
        return Ok(report);
    }
    archive::report(bus, id).await?.ok_or_else(|| ControlError::NoReport { id: id.to_owned() })
}
