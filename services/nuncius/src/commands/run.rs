//! `nuncius run` and `nuncius watch`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use nuncius_bus::Bus;
use nuncius_bus::server::ChildServer;
use nuncius_schemas::codec;
use nuncius_schemas::node::{NodeInfo, Role};
use nuncius_schemas::report::Report;
use nuncius_schemas::run::{RunStatus, exit_code};
use serde_json::Value;

use super::experiment_id;
use super::report::{fetch, write_html};
use super::scaling;
use super::submission::{Prepared, Refused, add_service, prepare, publish};
use crate::args::{Global, RunArgs, WatchArgs};
use crate::connect;
use crate::live::follow;
use crate::local::{Local, client_config};
use crate::output::{is_standard_output, note, print, text_options, write_file};

/// The service that the examples use as their target.
pub(crate) const STUB_SERVICE: &str = "stub";

/// `nuncius run`: 0 pass, 1 fail, 3 undetermined, 4 invalid, 5 failed, 6 cancelled.
pub(super) async fn run(global: &Global, args: RunArgs) -> Result<u8> {
    let prepared = prepare(&args.submission)?;
    run_prepared(global, args, prepared).await
}

/// The same with a specification that has been read.
pub(super) async fn run_prepared(global: &Global, args: RunArgs, mut prepared: Prepared) -> Result<u8> {
    let scaling = scaling::read(&prepared, &args.submission.file)?;
    let data = connect::data_directory(global)?;
    let (url, server, store_directory) = match connect::find(global).await {
        Some(url) => (url, None, None),
        None => {
            let directory = PrivateDirectory::new()?;
            let server = connect::child(directory.path(), "127.0.0.1:0".parse()?).await?;
            (server.url().to_owned(), Some(server), Some(directory))
        }
    };
    let bus = connect::connect_to(global, &url, "nuncius-run").await?;
    let local = Local::new(bus.clone());
    let outcome = match scaling {
        Some(wanted) => {
            let scene = scaling::Scene { global, args: &args, bus: &bus, url: &url, data: &data };
            match bring_missing(&args, &mut prepared, &bus, &local, &data).await {
                Ok(()) => scaling::run(&scene, &local, wanted).await,
                Err(error) => Err(error),
            }
        }
        None => run_with(global, &args, &mut prepared, &bus, &local, &data).await,
    };
    local.stop().await;
    let _ = bus.drain_and_close().await;
    if let Some(server) = server {
        stop_server(server).await;
    }
    drop(store_directory);
    outcome
}

async fn run_with(
    global: &Global,
    args: &RunArgs,
    prepared: &mut Prepared,
    bus: &Bus,
    local: &Local,
    data: &std::path::Path,
) -> Result<u8> {
    bring_missing(args, prepared, bus, local, data).await?;
    let id = match publish(bus, prepared).await {
        Ok(id) => id,
        Err(error) => match error.downcast_ref::<Refused>() {
            // It has a record and a report of its own: show them like any other end.
            Some(refused) => {
                note(&refused.to_string());
                refused.id.clone()
            }
            None => return Err(error),
        },
    };
    conclude(global, bus, &id, data, args.quiet, true, args.html.clone(), args.report_json.as_deref()).await
}

/// `nuncius watch`.
pub(super) async fn watch(global: &Global, args: WatchArgs) -> Result<u8> {
    let data = connect::data_directory(global)?;
    let bus = connect::existing(global, "nuncius-watch").await?;
    let id = experiment_id::meant(global, Some(&bus), &args.id).await?;
    let runs = bus.kv(&bus.namespace().bucket_run()).await?;
    if runs.get(&id).await?.is_none() {
        bail!("there is no experiment {id} there; `nuncius ps --all` lists all");
    }
    conclude(global, &bus, &id, &data, false, false, args.html, None).await
}

/// Follows to the end, then shows the report.
#[expect(clippy::too_many_arguments, reason = "the choices of two commands, used once each")]
async fn conclude(
    global: &Global,
    bus: &Bus,
    id: &str,
    data: &std::path::Path,
    quiet: bool,
    owner: bool,
    html: Option<std::path::PathBuf>,
    json: Option<&std::path::Path>,
) -> Result<u8> {
    let Some(ended) = follow(bus, id, quiet, owner).await? else {
        if owner {
            note(&format!("stopped at once: {id} is left to end by itself"));
        }
        return Ok(exit_code(RunStatus::Cancelled, None));
    };
    let report: Report = fetch(global, Some(bus), id).await?;
    let json_text = nuncius_report::json::pretty(&report)?;
    // One thing at a time: what was sent to standard output is alone there.
    let taken = json.is_some_and(is_standard_output) || html.as_deref().is_some_and(is_standard_output);
    if global.json {
        print(&json_text);
    } else if !taken {
        print(&nuncius_report::text::summary(&report, text_options()));
    }
    if let Some(path) = json {
        write_file(path, &json_text)?;
    }
    if owner || html.is_some() {
        let path = html.unwrap_or_else(|| data.join("reports").join(format!("{id}.html")));
        write_html(&report, &path)?;
    }
    Ok(exit_code(ended.status, ended.verdict))
}

/// Starts in this process whatever nobody does yet: a daemon, client nodes, the stub.
async fn bring_missing(
    args: &RunArgs,
    prepared: &mut Prepared,
    bus: &Bus,
    local: &Local,
    data: &std::path::Path,
) -> Result<()> {
    nuncius_bus::streams::ensure_streams(bus).await?;
    let present = present(bus).await?;
    if !present.contains(&Role::Client) {
        for number in 1..=args.clients.max(1) {
            local.client(client_config(&args.node, &format!("client-{number}"))?).await?;
        }
        // A stub of ours is reached by nodes of ours only.
        if uses_stub(&prepared.value)
            && bus.kv(&bus.namespace().bucket_route()).await?.get(STUB_SERVICE).await?.is_none()
        {
            let stub = local.stub("127.0.0.1:0".parse()?)?;
            let address = stub.local_addr().to_string();
            if is_galileo(&prepared.value) {
                local.register(STUB_SERVICE, &address).await?;
            } else {
                add_service(&mut prepared.value, STUB_SERVICE, std::iter::once(address.as_str()));
            }
        }
    }
    if !present.contains(&Role::Experimentd) {
        local.daemon(&data.join("nuncius.db")).await?;
    }
    Ok(())
}

/// The roles that somebody has.
pub(super) async fn present(bus: &Bus) -> Result<BTreeSet<Role>> {
    let entries = bus.kv(&bus.namespace().bucket_node()).await?.entries(">").await?;
    Ok(entries.iter().filter_map(|entry| codec::decode::<NodeInfo>(&entry.value).ok()).map(|info| info.role).collect())
}

fn is_galileo(value: &Value) -> bool {
    value.get("instructions").is_some() || value.get("configuration").is_some()
}

/// Whether a submission sends to the service `stub` without saying where that is.
fn uses_stub(value: &Value) -> bool {
    if value.get("services").and_then(|services| services.get(STUB_SERVICE)).is_some() {
        return false;
    }
    let instructions = value.get("instructions").and_then(Value::as_str).unwrap_or_default();
    let named = instructions.lines().any(|line| line.split_whitespace().nth(2) == Some(STUB_SERVICE));
    let workloads = value.get("configuration").and_then(|c| c.get("workloads")).and_then(Value::as_array);
    let workload =
        workloads.into_iter().flatten().any(|w| w.get("service").and_then(Value::as_str) == Some(STUB_SERVICE));
    let groups = value.get("groups").and_then(Value::as_array);
    let group = groups.into_iter().flatten().any(|group| {
        let target = group.get("target").and_then(Value::as_str).unwrap_or_default();
        let host = target.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
        host == STUB_SERVICE
    });
    named || workload || group
}

/// Ends a child server.
pub(crate) async fn stop_server(server: ChildServer) {
    server.stop().await;
}

/// A directory for a private server's store, gone when dropped.
struct PrivateDirectory(std::path::PathBuf);

impl PrivateDirectory {
    fn new() -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("nuncius-{}-{:08x}", std::process::id(), fastrand::u32(..)));
        std::fs::DirBuilder::new().mode(0o700).create(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_is_brought_only_for_who_asks_for_it() {
        let uses = |text: &str| uses_stub(&codec::read_submission(text.as_bytes()).unwrap());
        assert!(uses("groups: [{target: 'http://stub/'}]"));
        assert!(uses("groups: [{target: 'http://stub'}]"));
        assert!(!uses("groups: [{target: 'http://stub.example/'}]"));
        assert!(!uses("services: {stub: ['h:1']}\ngroups: [{target: 'http://stub/'}]"));
        assert!(uses(r#"{"instructions": "spawn .* stub 1"}"#));
        assert!(uses(r#"{"configuration": {"workloads": [{"service": "stub"}]}}"#));
    }
}
