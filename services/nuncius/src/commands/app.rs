//! `nuncius app`: what is deployed for experiments.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use nuncius_bundle::{APP_MANIFEST, BundleError, Manifest, Packed, PackedApp, pack_app, unpack_zip};
use nuncius_bus::Bus;
use nuncius_control::apps;
use nuncius_schemas::bundle::{AppRecord, AppVersion, check_app_name, short_digest};
use serde::Serialize;

use super::bundle::{deploy, read_directory};
use crate::args::{AppCommand, BundleArgs, Global};
use crate::connect::{self, PrivateDirectory};
use crate::exit::Usage;
use crate::output::{note, print_json, print_table, say};

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
            let packed = read(&directory, name.as_deref(), &bundle)?;
            deploy_packed(global, &packed).await?;
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
    let found = apps::list(&bus).await?;
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

/// What is deployed: a directory, or a zip archive of one.
fn read(place: &Path, name: Option<&str>, args: &BundleArgs) -> Result<Packed> {
    if place.is_dir() {
        return of_directory(place, name, args);
    }
    let shown = place.display();
    let is_archive = place.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zip"));
    let found = std::fs::metadata(place).ok().filter(|found| found.is_file() && is_archive);
    let found = found.ok_or_else(|| Usage(format!("{shown} is no directory, and no zip archive of one")))?;
    let limits = args.limits();
    let wrong = |error: BundleError| Usage(format!("{shown}: {error}"));
    if found.len() > limits.unpacked_bytes {
        return Err(wrong(BundleError::TooLarge { limit_bytes: limits.unpacked_bytes }).into());
    }
    let archive = std::fs::read(place).with_context(|| shown.to_string())?;
    let private = PrivateDirectory::new()?;
    // Called as the archive is, for errors and where nothing else names it.
    let unpacked = private.path().join(place.file_stem().unwrap_or_default());
    let paths = unpack_zip(&archive, &unpacked).map_err(wrong)?;
    if paths.iter().any(|path| path == APP_MANIFEST) {
        let PackedApp { packed, .. } = pack_app(&unpacked, &paths, name, &limits).map_err(wrong)?;
        note("an application of Galileo: it is kept as it is, and its Python is not run");
        return Ok(packed);
    }
    of_directory(&unpacked, name, args)
}

fn of_directory(directory: &Path, name: Option<&str>, args: &BundleArgs) -> Result<Packed> {
    read_directory(directory, name, args)?.bundle.ok_or_else(|| anyhow!("nothing was packed"))
}

async fn deploy_packed(global: &Global, packed: &Packed) -> Result<()> {
    let bus = connected(global).await?;
    let deployed = deploy(&bus, packed).await?;
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
        let needed_by = apps::needed_by(&bus, name, only_old).await?;
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
