//! `nuncius run` and `nuncius watch`.

use anyhow::{Result, bail};
use nuncius_bus::Bus;
use nuncius_bus::server::ChildServer;
use nuncius_control::ControlError;
use nuncius_control::submit::submit;
use nuncius_import::artillery::Imported;
use nuncius_report::traces::TraceView;
use nuncius_schemas::node::Role;
use nuncius_schemas::report::Report;
use nuncius_schemas::run::{RunStatus, exit_code};
use nuncius_schemas::submission::Submission;

use super::artillery;
use super::bundle::{Prepared, deploy};
use super::experiment_id;
use super::face;
use super::import;
use super::nodes::present;
use super::profiles::{self, Places};
use super::report::{fetch, write_html};
use super::scaling;
use super::submission::{apply, prepare};
use super::telemetry;
use crate::args::{Global, RunArgs, WatchArgs};
use crate::connect;
use crate::live::follow;
use crate::local::{Local, client_config};
use crate::output::{is_standard_output, note, print, text_options, write_file};

/// The service that the examples use as their target.
pub(crate) const STUB_SERVICE: &str = "stub";

/// `nuncius run`: 0 pass, 1 fail, 3 undetermined, 4 invalid, 5 failed, 6 cancelled.
pub(super) async fn run(global: &Global, mut args: RunArgs) -> Result<u8> {
    if import::is_artillery(&args.submission.file) {
        let (mut prepared, imported) = import::prepare(&args.submission.file, &args.artillery, &args.node.bundle)?;
        apply(&args.submission, &mut prepared.submission)?;
        // Whoever runs the file here means its nodes to see what it names.
        args.node.expose_env.extend(imported.environment.iter().cloned());
        return run_all(global, args, prepared, Some(imported)).await;
    }
    let prepared = prepare(global, &args.submission, &args.node.bundle).await?;
    run_prepared(global, args, prepared).await
}

/// The same with a specification that has been read.
pub(super) async fn run_prepared(global: &Global, args: RunArgs, prepared: Prepared) -> Result<u8> {
    run_all(global, args, prepared, None).await
}

async fn run_all(global: &Global, args: RunArgs, mut prepared: Prepared, imported: Option<Imported>) -> Result<u8> {
    let scaling = scaling::read(&prepared.submission, &args.submission.file)?;
    let data = connect::data_directory(global)?;
    let (url, server, store_directory) = match connect::find(global).await {
        Some(url) => (url, None, None),
        None => {
            let directory = connect::PrivateDirectory::new()?;
            let server = connect::child(directory.path(), "127.0.0.1:0".parse()?).await?;
            (server.url().to_owned(), Some(server), Some(directory))
        }
    };
    // Else nobody could look on from a second shell.
    let named = server.as_ref().map(|_| connect::NamedServer::leave(&data, &url)).transpose()?;
    let bus = match &server {
        Some(_) => connect::connect_to_own(global, &url, "nuncius-run").await?,
        None => connect::connect_to(global, &url, "nuncius-run").await?,
    };
    let local = Local::new(bus.clone());
    let outcome = match scaling {
        Some(wanted) => {
            let scene = scaling::Scene { global, args: &args, bus: &bus, url: &url, data: &data };
            match bring_missing(global, &args, &mut prepared, &bus, &local, &data).await {
                Ok(()) => scaling::run(&scene, &local, wanted).await,
                Err(error) => Err(error),
            }
        }
        None => run_with(global, &args, (&mut prepared, imported.as_ref()), &bus, &local, &data).await,
    };
    drop(named);
    local.stop().await;
    let _ = connect::leave(&bus).await;
    if let Some(server) = server {
        stop_server(server).await;
    }
    drop(store_directory);
    outcome
}

async fn run_with(
    global: &Global,
    args: &RunArgs,
    (prepared, imported): (&mut Prepared, Option<&Imported>),
    bus: &Bus,
    local: &Local,
    data: &std::path::Path,
) -> Result<u8> {
    bring_missing(global, args, prepared, bus, local, data).await?;
    let id = match submit(bus, &prepared.submission).await {
        Ok(id) => id,
        // It has a record and a report of its own: show them like any other end.
        Err(refused @ ControlError::Refused { .. }) => {
            note(&refused.to_string());
            let ControlError::Refused { id, .. } = refused else { return Err(refused.into()) };
            id
        }
        Err(error) => return Err(error.into()),
    };
    if args.open || !args.quiet {
        face::tell(bus, &id, args.open).await;
    }
    let view = args.traces.jaeger_url.as_ref();
    let is_taken = args.artillery_output.output.as_deref().is_some_and(is_standard_output);
    let code = conclude(
        global,
        bus,
        &id,
        data,
        args.quiet,
        true,
        args.html.clone(),
        args.report_json.as_deref(),
        view,
        is_taken,
    )
    .await?;
    let Some(imported) = imported else { return Ok(code) };
    let report: Report = fetch(global, Some(bus), &id).await?;
    let own = artillery::conclude(bus, &id, imported, &report, &args.artillery_output).await?;
    Ok(if code == 0 { own } else { code })
}

/// `nuncius watch`.
pub(super) async fn watch(global: &Global, args: WatchArgs) -> Result<u8> {
    let data = connect::data_directory(global)?;
    let bus = connect::existing_to_look_on(global, "nuncius-watch").await?;
    let id = experiment_id::meant(global, Some(&bus), &args.id).await?;
    let runs = bus.kv(&bus.namespace().bucket_run()).await?;
    if runs.get(&id).await?.is_none() {
        bail!("there is no experiment {id} there; `nuncius ps --all` lists all");
    }
    face::tell(&bus, &id, args.open).await;
    let view = args.traces.jaeger_url.as_ref();
    conclude(global, &bus, &id, &data, false, false, args.html, None, view, false).await
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
    view: Option<&TraceView>,
    is_taken: bool,
) -> Result<u8> {
    let Some(ended) = follow(bus, id, quiet, owner).await? else {
        if owner {
            note(&format!("stopped at once: {id} is left to end by itself"));
        }
        return Ok(exit_code(RunStatus::Cancelled, None));
    };
    let report: Report = fetch(global, Some(bus), id).await?;
    let json_text = nuncius_report::json::pretty(&report, view)?;
    // One thing at a time: what was sent to standard output is alone there.
    let taken = is_taken || json.is_some_and(is_standard_output) || html.as_deref().is_some_and(is_standard_output);
    if global.json {
        print(&json_text);
    } else if !taken {
        print(&nuncius_report::text::summary(&report, text_options(), view));
    }
    if let Some(path) = json {
        write_file(path, &json_text)?;
    }
    if owner {
        profiles::keep(bus, data, &report).await;
    }
    if owner || html.is_some() {
        let path = html.unwrap_or_else(|| data.join("reports").join(format!("{id}.html")));
        write_html(&report, &path, view, Places { bus: Some(bus), data: Some(data) }).await?;
    }
    Ok(exit_code(ended.status, ended.verdict))
}

/// Starts in this process whatever nobody does yet: a daemon, client nodes, the stub; and stores what is needed.
async fn bring_missing(
    global: &Global,
    args: &RunArgs,
    Prepared { submission, bundle }: &mut Prepared,
    bus: &Bus,
    local: &Local,
    data: &std::path::Path,
) -> Result<()> {
    nuncius_bus::streams::ensure_streams(bus).await?;
    if let Some(packed) = bundle {
        deploy(bus, packed).await?;
    }
    let present = present(bus).await?;
    if !present.contains(&Role::Client) {
        for number in 1..=args.clients.max(1) {
            local.client(client_config(&args.node, &format!("client-{number}"), Some(data))?).await?;
        }
        local.sampler(telemetry::sampler(&args.sampler, "run")?);
        // A stub of ours is reached by nodes of ours only.
        if uses_stub(submission) && bus.kv(&bus.namespace().bucket_route()).await?.get(STUB_SERVICE).await?.is_none() {
            let stub = local.stub("127.0.0.1:0".parse()?)?;
            let address = stub.local_addr().to_string();
            submission.services_mut().insert(STUB_SERVICE.to_owned(), vec![address]);
        }
    }
    if !present.contains(&Role::Experimentd) {
        local.daemon(connect::database(global)?).await?;
    }
    Ok(())
}

/// Whether a submission sends to the service `stub` without saying where that is.
fn uses_stub(submission: &Submission) -> bool {
    !submission.services().contains_key(STUB_SERVICE) && submission.hosts().contains(&STUB_SERVICE)
}

/// Ends a child server.
pub(crate) async fn stop_server(server: ChildServer) {
    server.stop().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_is_brought_only_for_who_asks_for_it() {
        let load = "rate: 1, duration: 1s";
        let uses = |text: &str| {
            let text = text.replace("LOAD", load);
            uses_stub(&nuncius_schemas::submission::from_bytes(text.as_bytes()).unwrap())
        };
        assert!(uses("groups: [{target: 'http://stub/', LOAD}]"));
        assert!(uses("groups: [{target: 'http://stub', LOAD}]"));
        assert!(!uses("groups: [{target: 'http://stub.example/', LOAD}]"));
        assert!(!uses("services: {stub: ['h:1']}\ngroups: [{target: 'http://stub/', LOAD}]"));
        assert!(uses(r#"{"instructions": "spawn .* stub 1"}"#));
        assert!(uses("configuration: {duration: 1, interval: 1, workloads: [{service: stub, ticks: [1]}]}"));
    }
}
