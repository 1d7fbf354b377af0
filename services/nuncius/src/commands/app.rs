//! `nuncius app`: what is deployed for experiments.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use nuncius_bundle::Manifest;
use nuncius_bus::Bus;
use nuncius_bus::apps;
use nuncius_schemas::bundle::{AppRecord, AppVersion, check_app_name, short_digest};
use nuncius_schemas::run::RunRecord;
use serde::Serialize;

use super::bundle::{deploy, read_directory};
use crate::args::{AppCommand, BundleArgs, Global};
use crate::connect;
use crate::exit::Usage;
use crate::output::{print_json, print_table, say};

/// Experiments that need an application, of which one line tells.
const NEEDED_BY_SHOWN: usize = 5;

/// What was deployed.
#[derive(Debug, Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    manifest: &'a Manifest,
    /// Whether the bundle was stored now; else it was there.
    stored: bool,
    /// Whether the application was another one before, or none.
    changed: bool,
}

/// Deploys what experiments need, shows it, removes it.
pub(super) async fn app(global: &Global, command: AppCommand) -> Result<u8> {
    match command {
        AppCommand::Ls => list(global).await?,
        AppCommand::Deploy { directory, name, bundle } => {
            deploy_directory(global, directory, name.as_deref(), &bundle).await?;
        }
        AppCommand::Rm { name, old, force } => remove(global, &name, old, force).await?,
    }
    Ok(0)
}

async fn connected(global: &Global) -> Result<Bus> {
    let bus = connect::existing(global, "nuncius-app").await?;
    nuncius_bus::streams::ensure_streams(&bus).await?;
    Ok(bus)
}

async fn list(global: &Global) -> Result<()> {
    let bus = connected(global).await?;
    let mut found: Vec<AppRecord> = apps::list(&bus).await?.into_values();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    if global.json {
        return print_json(&found);
    }
    let row = |app: &AppRecord, version: &AppVersion| {
        vec![
            app.name.clone(),
            short_digest(&version.digest).to_owned(),
            version.spec.clone(),
            nuncius_report::text::utc(version.deployed_unix_ms),
            version.files.to_string(),
            nuncius_report::text::bytes(version.unpacked_bytes),
            nuncius_report::text::bytes(version.bytes),
            app.versions.len().to_string(),
        ]
    };
    let rows: Vec<Vec<String>> =
        found.iter().filter_map(|app| app.current().map(|version| row(app, version))).collect();
    let heading = ["app", "digest", "experiment", "deployed", "files", "size", "packed", "versions"];
    print_table(&heading, &rows, &[0, 1, 2, 3], "no app is deployed; `nuncius app deploy DIRECTORY` deploys one");
    Ok(())
}

async fn deploy_directory(global: &Global, directory: PathBuf, name: Option<&str>, args: &BundleArgs) -> Result<()> {
    if !directory.is_dir() {
        return Err(Usage(format!("{} is no directory", directory.display())).into());
    }
    let packed = read_directory(&directory, name, args)?.bundle.ok_or_else(|| anyhow!("nothing was packed"))?;
    let bus = connected(global).await?;
    let deployed = deploy(&bus, &packed).await?;
    let manifest = &packed.manifest;
    let words = format!(
        "app {} {} {} ({} files, {}, packed {})",
        manifest.name,
        if deployed.is_changed { "is now" } else { "is already" },
        short_digest(&manifest.digest),
        manifest.files.len(),
        nuncius_report::text::bytes(manifest.unpacked_bytes()),
        nuncius_report::text::bytes(manifest.bytes),
    );
    say(global.json, &Told { manifest, stored: deployed.is_stored, changed: deployed.is_changed }, &words)
}

async fn remove(global: &Global, name: &str, only_old: bool, force: bool) -> Result<()> {
    check_app_name(name).map_err(|error| Usage(error.to_string()))?;
    let bus = connected(global).await?;
    if !force {
        let needed_by = needed_by(&bus, name, only_old).await?;
        if let Some(first) = needed_by.first() {
            let shown: Vec<&str> = needed_by.iter().take(NEEDED_BY_SHOWN).map(String::as_str).collect();
            bail!(
                "{} {} not ended and need{} app {name}: wait, cancel them (`nuncius cancel {first}`), or use --force",
                shown.join(", "),
                if needed_by.len() == 1 { "has" } else { "have" },
                if needed_by.len() == 1 { "s" } else { "" },
            );
        }
    }
    let removed = apps::remove(&bus, name, only_old).await?;
    let removed = removed.ok_or_else(|| anyhow!("there is no app {name}; `nuncius app ls` lists those there are"))?;
    let bundles = match removed.bundles {
        1 => "1 version".to_owned(),
        count => format!("{count} versions"),
    };
    let told = serde_json::json!({ "app": name, "removed": removed.is_gone, "versions": removed.bundles });
    let words = match only_old {
        true => format!("{bundles} of app {name} removed, the current one is left"),
        false => format!("app {name} removed with {bundles}"),
    };
    say(global.json, &told, &words)
}

/// The experiments that have not ended and need an application, or one of its old versions.
async fn needed_by(bus: &Bus, name: &str, only_old: bool) -> Result<Vec<String>> {
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
