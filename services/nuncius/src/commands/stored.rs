//! What is stored: `nuncius ps`, `export`, `rm`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use nuncius_bus::Bus;
use nuncius_control::archive::Found;
use nuncius_control::removal::{self, Removal};
use nuncius_schemas::archive::ArchiveFormat;
use nuncius_schemas::head::shown_tags;
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_store::{Place, Store, StoreError, StoredExperiment, export as write};
use serde::Serialize;

use super::{archive, arrivals, experiment_id, profiles};
use crate::args::{ExportArgs, Global, PsArgs, RmArgs};
use crate::connect;
use crate::exit::Usage;
use crate::output::{StandardOutput, note, print_json, print_table, say};

/// Experiments of the store that `ps --all` shows at most.
const LISTED_MAX: u32 = 200;
/// Characters of a name in a table.
const NAME_CHARACTERS: usize = 60;

async fn open(global: &Global) -> Result<Store> {
    Ok(Store::open(connect::database(global)?).await?)
}

/// The database of this machine, which need not be there.
struct Here {
    store: Option<Store>,
    place: Place,
}

async fn open_existing(global: &Global) -> Result<Here> {
    let place = connect::database(global)?;
    let store = if place.may_exist() { Some(Store::open(&place).await?) } else { None };
    Ok(Here { store, place })
}

async fn is_stored(store: &Store, id: &str) -> Result<bool> {
    match store.experiment(id).await {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// One experiment as `ps` shows it.
#[derive(Serialize)]
struct Line {
    id: String,
    name: String,
    tags: BTreeMap<String, String>,
    status: RunStatus,
    verdict: Option<Verdict>,
    reason: Option<String>,
    submitted_unix_ms: u64,
}

/// `nuncius ps`: what the bus knows, and with `--all` what is stored on this machine.
pub(super) async fn ps(global: &Global, args: PsArgs) -> Result<u8> {
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    let is_tagged = |tags: &BTreeMap<String, String>| args.tags.iter().all(|tag| tag.is_among(tags));
    if args.all {
        let store = open(global).await?;
        // Those of a tag may be far apart.
        let looked_at = if args.tags.is_empty() { LISTED_MAX } else { u32::MAX };
        let stored = store.list_experiments(looked_at).await?.into_iter();
        for stored in stored.filter(|stored| is_tagged(&stored.tags)).take(LISTED_MAX as usize) {
            let StoredExperiment { id, name, tags, status, verdict, reason, submitted_unix_ms, .. } = stored;
            lines.insert(id.clone(), Line { id, name, tags, status, verdict, reason, submitted_unix_ms });
        }
        store.close().await;
    }
    if let Some(bus) = connect::possible_to_look_on(global, "nuncius-ps").await? {
        nuncius_bus::streams::ensure_streams(&bus).await?;
        // One after the other: the specifications of all that ever ran are no small thing.
        let runs = bus.kv(&bus.namespace().bucket_run()).await?;
        let see = |record: RunRecord| {
            let RunRecord { id, spec, status, verdict, reason, submitted_unix_ms, .. } = record;
            let tags = shown_tags(&spec.metadata);
            if (args.all || !status.is_terminal()) && is_tagged(&tags) {
                let name = spec.name.unwrap_or_else(|| id.clone());
                lines.insert(id.clone(), Line { id, name, tags, status, verdict, reason, submitted_unix_ms });
            }
        };
        runs.visit_decoded(">", see).await?;
    }
    let mut lines: Vec<Line> = lines.into_values().filter(|line| args.all || !line.status.is_terminal()).collect();
    lines.sort_by_key(|line| line.submitted_unix_ms);
    if global.json {
        print_json(&lines)?;
        return Ok(0);
    }
    let row = |line: &Line| {
        vec![
            line.id.clone(),
            line.status.name().to_owned(),
            line.verdict.map_or("-", Verdict::name).to_owned(),
            nuncius_report::text::utc(line.submitted_unix_ms),
            nuncius_report::text::plain(&line.name, NAME_CHARACTERS),
        ]
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    let nothing = if !args.tags.is_empty() {
        "no experiment has these tags, which are entries of its `metadata`"
    } else if args.all {
        "there is no experiment yet; run one with `nuncius run FILE`"
    } else {
        "no experiment waits or runs; `nuncius ps --all` lists those that have ended, too"
    };
    print_table(&["id", "status", "verdict", "submitted", "name"], &rows, &[1, 2, 3, 4], nothing);
    Ok(0)
}

/// `nuncius export`: from the database of this machine, else from that of the daemon that has it.
pub(super) async fn export(global: &Global, mut args: ExportArgs) -> Result<u8> {
    if let Some(file) = &args.arrivals {
        return arrivals::export(global, &args, file).await;
    }
    if tables(&args).is_none() && !global.json {
        let text = "export: say which format: --json (one document, to standard output or --out FILE), --csv (tables, \
                    in a directory), --parquet DIRECTORY, --galileo DIRECTORY or --arrivals FILE";
        return Err(Usage(text.to_owned()).into());
    }
    let bus = connect::possible(global, "nuncius-export").await?;
    args.id = experiment_id::meant(global, bus.as_ref(), &args.id).await?;
    let here = open_existing(global).await?;
    let is_here = match &here.store {
        Some(store) => is_stored(store, &args.id).await?,
        None => false,
    };
    match (&here.store, &bus) {
        (Some(store), _) if is_here => export_here(store, &args).await?,
        (_, Some(bus)) => {
            let found = export_there(bus, &args).await?;
            if found != Found::Yes {
                bail!("{}", nowhere(&args.id, found, &here.place));
            }
        }
        (_, None) => bail!("experiment {} is not in {}, and no NATS server was found", args.id, here.place),
    }
    if let Some(store) = here.store {
        store.close().await;
    }
    if let Some(place) = written_to(&args) {
        note(&format!("written to {}", place.display()));
    }
    Ok(0)
}

/// Which tables are wanted, and the directory they go to.
fn tables(args: &ExportArgs) -> Option<(ArchiveFormat, PathBuf)> {
    if let Some(directory) = &args.parquet {
        return Some((ArchiveFormat::Parquet, directory.clone()));
    }
    if let Some(directory) = &args.galileo {
        return Some((ArchiveFormat::Galileo, directory.clone()));
    }
    let directory = || args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}-csv", args.id)));
    args.csv.then(|| (ArchiveFormat::Csv, directory()))
}

/// Where an export goes, unless it goes to standard output.
fn written_to(args: &ExportArgs) -> Option<PathBuf> {
    tables(args).map(|(_, directory)| directory).or_else(|| args.out.clone())
}

/// What one JSON document is written to.
fn document(args: &ExportArgs) -> Result<Box<dyn Write + Send>> {
    Ok(match &args.out {
        Some(path) => {
            Box::new(std::io::BufWriter::new(std::fs::File::create(path).with_context(|| path.display().to_string())?))
        }
        None => Box::new(std::io::BufWriter::new(StandardOutput)),
    })
}

/// From the database of this machine.
async fn export_here(store: &Store, args: &ExportArgs) -> Result<()> {
    let Some((format, directory)) = tables(args) else {
        return Ok(write::json(store, &args.id, document(args)?).await?);
    };
    match format {
        ArchiveFormat::Parquet => drop(write::parquet(store, &args.id, &directory).await?),
        ArchiveFormat::Galileo => drop(write::galileo(store, &args.id, &directory).await?),
        ArchiveFormat::Csv | ArchiveFormat::Json | ArchiveFormat::Report | ArchiveFormat::Comparable => {
            drop(write::csv(store, &args.id, &directory).await?);
        }
    }
    Ok(())
}

/// From the database of the daemon that has it.
async fn export_there(bus: &Bus, args: &ExportArgs) -> Result<Found> {
    match tables(args) {
        Some((format, directory)) => archive::export_tables(bus, &args.id, format, &directory).await,
        None => archive::export_json(bus, &args.id, || document(args)).await,
    }
}

/// Where an experiment was looked for.
fn nowhere(id: &str, found: Found, place: &Place) -> String {
    format!(
        "experiment {id} is in the database of the daemon that ran it, if there is such an experiment: \
         {}, and it is not in {place}",
        found.who(),
    )
}

/// `nuncius rm`: from the database of the daemon that ran it, that of this machine, and the bus.
pub(super) async fn rm(global: &Global, mut args: RmArgs) -> Result<u8> {
    let bus = connect::possible(global, "nuncius-rm").await?;
    // All of them before the first is gone: `last` means one, however often it is said.
    for id in &mut args.ids {
        *id = experiment_id::meant(global, bus.as_ref(), id).await?;
    }
    let here = open_existing(global).await?;
    let (mut removed, mut missing) = (Vec::new(), Vec::new());
    for id in &args.ids {
        if remove(global, bus.as_ref(), &here, id, args.force).await? {
            removed.push(id.as_str());
        } else {
            missing.push(id.as_str());
        }
    }
    if let Some(store) = here.store {
        store.close().await;
    }
    if !removed.is_empty() {
        say(global.json, &serde_json::json!({ "removed": removed }), &format!("removed {}", removed.join(", ")))?;
    }
    if missing.is_empty() { Ok(0) } else { bail!("there is no experiment {}", missing.join(", ")) }
}

/// Deletes everything of an experiment; `false` when nobody knows it.
async fn remove(global: &Global, bus: Option<&Bus>, here: &Here, id: &str, force: bool) -> Result<bool> {
    let from_store = async || match &here.store {
        Some(store) => Ok(store.remove(id).await?),
        None => Ok::<bool, anyhow::Error>(false),
    };
    let place = here.place.to_string();
    let removed = match bus {
        Some(bus) => removal::remove(bus, id, Removal { force, elsewhere: Some(&place) }, from_store).await?,
        None => from_store().await?,
    };
    profiles::remove_kept(connect::data_place(global).as_deref(), id)?;
    Ok(removed)
}
