//! What is stored: `nuncius ps`, `export`, `rm`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use nuncius_schemas::codec;
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_store::{Store, StoredExperiment, export as write};
use serde::Serialize;

use super::experiment_id;
use crate::args::{ExportArgs, Global, PsArgs, RmArgs};
use crate::output::{note, print_json, print_table, say};
use crate::{Usage, connect};

/// Experiments of the store that `ps --all` shows at most.
const LISTED_MAX: u32 = 200;
/// Characters of a name in a table.
const NAME_CHARACTERS: usize = 60;

async fn open(global: &Global) -> Result<Store> {
    Ok(Store::open(&connect::data_directory(global)?.join("nuncius.db")).await?)
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
    if let Some(bus) = connect::possible(global, "nuncius-ps").await? {
        nuncius_bus::streams::ensure_streams(&bus).await?;
        for entry in bus.kv(&bus.namespace().bucket_run()).await?.entries(">").await? {
            let RunRecord { id, spec, status, verdict, reason, submitted_unix_ms, .. } = codec::decode(&entry.value)?;
            let name = spec.name.unwrap_or_else(|| id.clone());
            lines.insert(id.clone(), Line { id, name, status, verdict, reason, submitted_unix_ms });
        }
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

/// `nuncius export`.
pub(super) async fn export(global: &Global, mut args: ExportArgs) -> Result<u8> {
    if !args.csv && !global.json {
        let text = "export: say which format: --json (one document, to standard output or --out FILE) or --csv (tables, in a \
                    directory)";
        return Err(Usage(text.to_owned()).into());
    }
    let bus = connect::possible(global, "nuncius-export").await?;
    args.id = experiment_id::meant(global, bus.as_ref(), &args.id).await?;
    let store = open(global).await?;
    if args.csv {
        let directory = args.out.unwrap_or_else(|| format!("{}-csv", args.id).into());
        std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        write::csv(&store, &args.id, &directory).await?;
        note(&format!("written to {}", directory.display()));
    } else if let Some(path) = args.out {
        let file = std::fs::File::create(&path).with_context(|| path.display().to_string())?;
        write::json(&store, &args.id, std::io::BufWriter::new(file)).await?;
        note(&format!("written to {}", path.display()));
    } else {
        write::json(&store, &args.id, std::io::BufWriter::new(std::io::stdout())).await?;
    }
    store.close().await;
    Ok(0)
}

/// `nuncius rm`: from the store of this machine, and from the bus when there is one.
pub(super) async fn rm(global: &Global, mut args: RmArgs) -> Result<u8> {
    let bus = connect::possible(global, "nuncius-rm").await?;
    // All of them before the first is gone: `last` means one, however often it is said.
    for id in &mut args.ids {
        *id = experiment_id::meant(global, bus.as_ref(), id).await?;
    }
    let store = open(global).await?;
    let (mut removed, mut missing) = (Vec::new(), Vec::new());
    for id in &args.ids {
        let mut found = false;
        if let Some(bus) = &bus {
            let namespace = bus.namespace().clone();
            let runs = bus.kv(&namespace.bucket_run()).await?;
            if let Some(entry) = runs.get(id).await? {
                let record: RunRecord = codec::decode(&entry.value)?;
                if !record.status.is_terminal() {
                    bail!("experiment {id} is {}: cancel it first", record.status.name());
                }
                runs.delete_revision(id, entry.revision).await?;
                found = true;
            }
            bus.objects(&namespace.bucket_artifact()).await?.delete(&namespace.artifact_report(id)).await?;
            for (stream, subject) in [
                (namespace.stream_event(), namespace.experiment_event(id)),
                (namespace.stream_metric(), namespace.metric_all(id)),
                (namespace.stream_trace(), namespace.trace_all(id)),
            ] {
                bus.purge_subject(&stream, &subject).await?;
            }
        }
        found |= store.remove(id).await?;
        if found {
            removed.push(id.as_str());
        } else {
            missing.push(id.as_str());
        }
    }
    store.close().await;
    if !removed.is_empty() {
        say(global.json, &serde_json::json!({ "removed": removed }), &format!("removed {}", removed.join(", ")))?;
    }
    if missing.is_empty() { Ok(0) } else { bail!("there is no experiment {}", missing.join(", ")) }
}
