//! What is stored: `nuncius ps`, `export`, `rm`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nuncius_bus::Bus;
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_store::{Store, StoreError, StoredExperiment, export as write};
use serde::Serialize;

use super::archive::{self, Found};
use super::experiment_id;
use super::removal::{self, Places};
use crate::args::{ExportArgs, Global, PsArgs, RmArgs};
use crate::output::{StandardOutput, note, print_json, print_table, say};
use crate::{Usage, connect};

/// Experiments of the store that `ps --all` shows at most.
const LISTED_MAX: u32 = 200;
/// Characters of a name in a table.
const NAME_CHARACTERS: usize = 60;

async fn open(global: &Global) -> Result<Store> {
    Ok(Store::open(&connect::data_directory(global)?.join("nuncius.db")).await?)
}

/// The database of this machine, which need not be there.
struct Here {
    store: Option<Store>,
    path: PathBuf,
}

async fn open_existing(global: &Global) -> Result<Here> {
    let path = connect::data_directory(global)?.join("nuncius.db");
    let store = if path.is_file() { Some(Store::open(&path).await?) } else { None };
    Ok(Here { store, path })
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
    status: RunStatus,
    verdict: Option<Verdict>,
    reason: Option<String>,
    submitted_unix_ms: u64,
}

/// `nuncius ps`: what the bus knows, and with `--all` what is stored on this machine.
pub(super) async fn ps(global: &Global, args: PsArgs) -> Result<u8> {
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    if args.all {
        let store = open(global).await?;
        for stored in store.list_experiments(LISTED_MAX).await? {
            let StoredExperiment { id, name, status, verdict, reason, submitted_unix_ms, .. } = stored;
            lines.insert(id.clone(), Line { id, name, status, verdict, reason, submitted_unix_ms });
        }
        store.close().await;
    }
    if let Some(bus) = connect::possible_to_look_on(global, "nuncius-ps").await? {
        nuncius_bus::streams::ensure_streams(&bus).await?;
        // One after the other: the specifications of all that ever ran are no small thing.
        let runs = bus.kv(&bus.namespace().bucket_run()).await?;
        let see = |record: RunRecord| {
            let RunRecord { id, spec, status, verdict, reason, submitted_unix_ms, .. } = record;
            if args.all || !status.is_terminal() {
                let name = spec.name.unwrap_or_else(|| id.clone());
                lines.insert(id.clone(), Line { id, name, status, verdict, reason, submitted_unix_ms });
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
    let nothing = if args.all {
        "there is no experiment yet; run one with `nuncius run FILE`"
    } else {
        "no experiment waits or runs; `nuncius ps --all` lists those that have ended, too"
    };
    print_table(&["id", "status", "verdict", "submitted", "name"], &rows, &[1, 2, 3, 4], nothing);
    Ok(0)
}

/// `nuncius export`: from the database of this machine, else from that of the daemon that has it.
pub(super) async fn export(global: &Global, mut args: ExportArgs) -> Result<u8> {
    if !args.csv && !global.json {
        let text = "export: say which format: --json (one document, to standard output or --out FILE) or --csv (tables, in a \
                    directory)";
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
                bail!("{}", nowhere(&args.id, found, &here.path));
            }
        }
        (_, None) => bail!("experiment {} is not in {}, and no NATS server was found", args.id, here.path.display()),
    }
    if let Some(store) = here.store {
        store.close().await;
    }
    if let Some(place) = written_to(&args) {
        note(&format!("written to {}", place.display()));
    }
    Ok(0)
}

/// Where an export goes, unless it goes to standard output.
fn written_to(args: &ExportArgs) -> Option<PathBuf> {
    let tables = || args.csv.then(|| PathBuf::from(format!("{}-csv", args.id)));
    args.out.clone().or_else(tables)
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
    if args.csv {
        let directory = written_to(args).unwrap_or_default();
        std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        write::csv(store, &args.id, &directory).await?;
    } else {
        write::json(store, &args.id, document(args)?).await?;
    }
    Ok(())
}

/// From the database of the daemon that has it.
async fn export_there(bus: &Bus, args: &ExportArgs) -> Result<Found> {
    if args.csv {
        return archive::export_csv(bus, &args.id, &written_to(args).unwrap_or_default()).await;
    }
    archive::export_json(bus, &args.id, || document(args)).await
}

/// Where an experiment was looked for.
fn nowhere(id: &str, found: Found, path: &Path) -> String {
    let who = match found {
        Found::NobodyAsked => "no daemon runs",
        Found::Yes | Found::No => "no daemon that runs has it",
    };
    format!(
        "experiment {id} is in the database of the daemon that ran it, if there is such an experiment: \
         {who}, and it is not in {}",
        path.display()
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
    let places = Places { bus: bus.as_ref(), store: here.store.as_ref(), path: &here.path, force: args.force };
    let (mut removed, mut missing) = (Vec::new(), Vec::new());
    for id in &args.ids {
        if removal::remove(&places, id).await? {
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
