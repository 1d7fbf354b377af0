//! Applications: what experiments need, and which of them need it now.

use nuncius_bus::Bus;
use nuncius_bus::apps::{self, Removed};
use nuncius_schemas::bundle::AppRecord;
use nuncius_schemas::run::RunRecord;

use crate::ControlError;

/// All applications, by name; entries that cannot be read are logged.
///
/// # Errors
/// The bus.
pub async fn list(bus: &Bus) -> Result<Vec<AppRecord>, ControlError> {
    let mut found: Vec<AppRecord> = apps::list(bus).await?.into_values();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// An application.
///
/// # Errors
/// [`ControlError::NoApp`], and the bus.
pub async fn get(bus: &Bus, name: &str) -> Result<AppRecord, ControlError> {
    apps::find(bus, name).await?.ok_or_else(|| ControlError::NoApp { app: name.to_owned() })
}

/// The experiments that have not ended and need an application, or one of its old versions.
///
/// # Errors
/// The bus.
pub async fn needed_by(bus: &Bus, name: &str, only_old: bool) -> Result<Vec<String>, ControlError> {
    let record = match only_old {
        true => apps::find(bus, name).await?,
        false => None,
    };
    let kept = record.as_ref().and_then(AppRecord::current).map(|version| version.digest.as_str());
    let mut found = Vec::new();
    let runs = bus.kv(&bus.namespace().bucket_run()).await?;
    runs.visit_decoded(">", |run: RunRecord| {
        let needs =
            run.spec.bundle.as_ref().is_some_and(|bundle| bundle.name == name && kept != Some(bundle.digest.as_str()));
        if needs && !run.status.is_terminal() {
            found.push(run.id);
        }
    })
    .await?;
    Ok(found)
}

/// Removes an application with all of its bundles; with `only_old`, all versions but the current one.
///
/// # Errors
/// [`ControlError::NoApp`], and the bus.
pub async fn remove(bus: &Bus, name: &str, only_old: bool) -> Result<Removed, ControlError> {
    apps::remove(bus, name, only_old).await?.ok_or_else(|| ControlError::NoApp { app: name.to_owned() })
}
