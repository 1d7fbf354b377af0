//! What is stored: `nuncius ps`, `export`, `rm`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use nuncius_schemas::codec;
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_store::{Store, StoredExperiment, export as write};
use serde::Serialize;

use crate::args::{ExportArgs, Global, PsArgs, RmArgs};
use crate::connect;

/// Experiments of the store that `ps --all` shows at most.
const LISTED_MAX: u32 = 200;

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
    if let Some(url) = connect::find(global).await? {
        let bus = connect::connect_to(global, &url, "nuncius-ps", false).await?;
        nuncius_bus::streams::ensure_streams(&bus).await?;
        for entry in bus.kv(&bus.namespace().bucket_run()).await?.entries(">").await? {
            let RunRecord { id, spec, status, verdict, reason, submitted_unix_ms, .. } = codec::decode(&entry.value)?;
            let name = spec.name.unwrap_or_else(|| id.clone());
            lines.insert(id.clone(), Line { id, name, status, verdict, reason, submitted_unix_ms });
        }
    }
    let mut lines: Vec<Line> = lines.into_values().filter(|line| args.all || !line.status.is_terminal()).collect();
    lines.sort_by_key(|line| line.submitted_unix_ms);
    if args.json {
        super::print(&serde_json::to_string_pretty(&lines)?);
        return Ok(0);
    }
    super::print(&format!("{:<28} {:<11} {:<13} {:<24} NAME", "ID", "STATUS", "VERDICT", "SUBMITTED"));
    for line in lines {
        super::print(&format!(
            "{:<28} {:<11} {:<13} {:<24} {}",
            line.id,
            line.status.name(),
            line.verdict.map_or("-", Verdict::name),
            nuncius_report::text::utc(line.submitted_unix_ms),
            nuncius_report::text::plain(&line.name, 60),
        ));
    }
    Ok(0)
}

/// `nuncius export`.
pub(super) async fn export(global: &Global, args: ExportArgs) -> Result<u8> {
    let store = open(global).await?;
    if args.csv {
        let directory = args.out.unwrap_or_else(|| format!("{}-csv", args.id).into());
        std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        write::csv(&store, &args.id, &directory).await?;
        eprintln!("written to {}", directory.display());
    } else if let Some(path) = args.out {
        let file = std::fs::File::create(&path).with_context(|| path.display().to_string())?;
        write::json(&store, &args.id, std::io::BufWriter::new(file)).await?;
        eprintln!("written to {}", path.display());
    } else {
        write::json(&store, &args.id, std::io::BufWriter::new(std::io::stdout())).await?;
    }
    store.close().await;
    Ok(0)
}

/// `nuncius rm`: from the store of this machine, and from the bus when there is one.
pub(super) async fn rm(global: &Global, args: RmArgs) -> Result<u8> {
    let store = open(global).await?;
    let bus = match connect::find(global).await? {
        Some(url) => Some(connect::connect_to(global, &url, "nuncius-rm", false).await?),
        None => None,
    };
    let mut missing = Vec::new();
    for id in &args.ids {
        nuncius_schemas::names::check_token("experiment", id)?;
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
        if !found {
            missing.push(id.as_str());
        }
    }
    store.close().await;
    if missing.is_empty() { Ok(0) } else { bail!("there is no experiment {}", missing.join(", ")) }
}
