//! `nuncius up`: everything that makes sense on one machine.

use anyhow::Result;
use nuncius_bus::server::{ServerState, URL_FILE};
use nuncius_emulator::oco::OcoConfig;
use nuncius_emulator::resource::ResourceConfig;
use nuncius_gateway::ExportConfig;

use super::run::{STUB_SERVICE, stop_server};
use super::telemetry;
use crate::args::{Global, UpArgs};
use crate::connect::{self, Fallback};
use crate::host::host_name;
use crate::local::{Local, client_config};
use crate::observe::{self, Observing};
use crate::signals::stop_on_signal;

/// Runs until a signal, or until its nats-server cannot be kept alive.
pub(super) async fn up(global: &Global, args: UpArgs) -> Result<u8> {
    for queue in &args.queues {
        nuncius_schemas::queue::check_queue_name(queue).map_err(|error| crate::exit::Usage(error.to_string()))?;
    }
    let mut wanted = Vec::new();
    for emulator in &args.emulators {
        let (kind, address) = emulator.split_once('=').unwrap_or((emulator, "127.0.0.1:8080"));
        if !["oco", "resource"].contains(&kind) {
            return Err(crate::exit::Usage(format!(
                "--emulator {emulator}: write oco or resource, with =ADDR elsewhere"
            ))
            .into());
        }
        wanted.push((kind, address.to_owned()));
    }
    let needed = observe::needed(&args.observe)?;
    let sampler = telemetry::sampler(&args.sampler, "up")?;
    let shutdown = stop_on_signal()?;
    connect::sweep(&std::env::temp_dir());
    let data = connect::data_directory(global)?;
    let mut system = None;
    let (url, bus, server) = match &global.nats {
        // Services wait for their server, and this starts services.
        Some(url) => match connect::join(global, "nuncius-up", Fallback::DefaultAddress, &shutdown).await? {
            Some(bus) => (url.clone(), bus, None),
            None => return Ok(0),
        },
        None => {
            let directory = data.join("nats");
            let server = if needed.is_some() {
                let (server, options) = connect::child_with_system(&directory, args.listen).await?;
                system = Some(options);
                server
            } else {
                connect::child(&directory, args.listen).await?
            };
            let url = server.url().to_owned();
            let bus = connect::connect_to_own(global, &url, "nuncius-up").await?;
            nuncius_bus::streams::ensure_streams(&bus).await?;
            (url, bus, Some(server))
        }
    };
    let local = Local::new(bus.clone());
    let url_file = data.join(URL_FILE);
    let mut observing = None;
    let outcome = async {
        if let Some(needed) = needed {
            // First, so that nothing of the others is missed.
            observing = Some(Observing::start(&local, &args.observe, needed, &data, system).await?);
        }
        local.daemon(connect::database(global)?).await?;
        let gateway = match &observing {
            Some(observing) => Some(observing.gateway()),
            None if args.observe.no_gateway => None,
            None => Some(observe::start_gateway(&local, &args.observe, ExportConfig::default(), None).await?),
        };
        let mut names = Vec::new();
        for number in 1..=args.clients {
            names.push(local.client(client_config(&args.node, &format!("client-{number}"), Some(&data))?).await?);
        }
        local.sampler(sampler);
        let stub = if args.no_stub { None } else { Some(local.stub(args.stub_listen)?) };
        let mut stub_is = format!("service `{STUB_SERVICE}`");
        if let Some(stub) = &stub
            && let Some(other) = local.register(STUB_SERVICE, &stub.local_addr().to_string()).await?
        {
            stub_is = format!("service `{STUB_SERVICE}` is {other}");
        }
        let mut emulators = Vec::new();
        for (kind, address) in &wanted {
            let listens = match *kind {
                "oco" => {
                    let config = OcoConfig { http: address.clone(), host: host_name(), ..OcoConfig::default() };
                    let listens = local.oco(config).await?.to_string();
                    local.register("oco", &listens).await?;
                    listens
                }
                _ => {
                    let config = ResourceConfig {
                        http: address.clone(),
                        data_directory: data.clone(),
                        ..ResourceConfig::new("resource", &host_name())
                    };
                    local.resource(config).await?.to_string()
                }
            };
            emulators.push(format!("{kind:<7} http://{listens}/"));
        }
        let metrics = match args.queues.as_slice() {
            [] => None,
            queues => Some(local.frontend(queues, &args.maddr).await?),
        };
        connect::leave_url(&data, &url)?;
        super::print(&format!("nats    {}", nuncius_schemas::redact::redact_url(&url)));
        super::print(&format!("data    {}", data.display()));
        super::print(&format!("clients {}", if names.is_empty() { "-".to_owned() } else { names.join(", ") }));
        if let Some(stub) = &stub {
            super::print(&format!("stub    http://{}/ ({stub_is})", stub.local_addr()));
        }
        for emulator in &emulators {
            super::print(emulator);
        }
        if let Some(metrics) = metrics {
            super::print(&format!("queues  {} (metrics at http://{metrics}/metrics)", args.queues.join(", ")));
        }
        for line in observing.iter().flat_map(Observing::told) {
            super::print(&line);
        }
        if let Some(gateway) = gateway {
            super::print(&format!("open    http://{gateway}/"));
        }
        super::print("ready");
        let mut state = server.as_ref().map(|server| server.state());
        tokio::select! {
            () = shutdown.cancelled() => Ok(0),
            () = local.shutdown.cancelled() => Ok(0),
            reason = given_up(&mut state) => Err(anyhow::anyhow!("nats-server: {reason}")),
        }
    }
    .await;
    let _ = std::fs::remove_file(&url_file);
    local.stop().await;
    if let Some(observing) = observing {
        observing.stop().await;
    }
    let _ = connect::leave(&bus).await;
    if let Some(server) = server {
        stop_server(server).await;
    }
    outcome
}

/// Waits until the supervisor of the child has given up.
async fn given_up(state: &mut Option<tokio::sync::watch::Receiver<ServerState>>) -> String {
    let Some(state) = state else { return std::future::pending().await };
    loop {
        if let ServerState::Failed { reason } = &*state.borrow_and_update() {
            return reason.clone();
        }
        if state.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
