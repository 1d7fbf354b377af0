//! The services one by one: `nuncius client`, `experimentd`, `emulator stub`.

use std::time::Duration;

use anyhow::Result;
use nuncius_bus::Bus;
use nuncius_emulator::stub::{Freeze, StubConfig};
use nuncius_experimentd::{DaemonConfig, Timing};
use nuncius_schemas::names::check_token;
use nuncius_schemas::units::HumanDuration;
use nuncius_store::StoreLimits;
use tokio_util::sync::CancellationToken;

use super::telemetry;
use crate::args::{ClientArgs, ExperimentdArgs, Global, StubArgs};
use crate::connect;
use crate::exit::Usage;
use crate::host::{host_name, host_token};
use crate::local::client_config;
use crate::signals::stop_on_signal;

/// `nuncius client`.
pub(super) async fn client(global: &Global, args: ClientArgs) -> Result<u8> {
    let name = args.name.clone().unwrap_or_else(host_token);
    check_token("node", &name).map_err(|error| Usage(format!("--name: {error}")))?;
    let data = connect::data_place(global);
    let config = client_config(&args.node, &name, data.as_deref())?;
    let sampler = telemetry::sampler(&args.sampler, "client")?;
    let shutdown = stop_on_signal()?;
    let run = async |bus: Bus, ready| {
        let running = nuncius_client::run(config.clone(), bus.clone(), shutdown.clone(), Some(ready));
        telemetry::beside(sampler.clone(), &bus, &shutdown, async { Ok(running.await?) }).await
    };
    connect::serve(global, &format!("client {name}"), &shutdown, |_: String| {}, run).await?;
    Ok(0)
}

/// `nuncius experimentd`.
pub(super) async fn experimentd(global: &Global, args: ExperimentdArgs) -> Result<u8> {
    check_token("node", &args.name).map_err(|error| Usage(format!("--name: {error}")))?;
    let database = connect::database(global)?;
    let shutdown = stop_on_signal()?;
    let timing = Timing {
        horizon: args.horizon.to_std(),
        start_lead: args.start_lead.to_std(),
        command: args.command_timeout.to_std(),
        once: args.once_limit.to_std(),
        silence: args.node_silence.to_std(),
        checkpoint_period: args.checkpoint_period.to_std(),
        lease: args.lease.to_std(),
        clock_period: args.clock_period.to_std(),
        last_delta_patience: args.last_delta_patience.to_std(),
        store_patience: args.store_patience.to_std(),
        stream_retention: args.stream_retention.to_std(),
        reconcile_period: args.reconcile_period.to_std(),
        telemetry_rows: args.telemetry_rows,
        ..Timing::default()
    };
    let store = StoreLimits { write: args.store_write_limit.to_std(), ..args.records.limits() };
    let config = DaemonConfig { name: args.name, host: host_name(), database, store, timing };
    let run =
        async |bus, ready| Ok(nuncius_experimentd::run(config.clone(), bus, shutdown.clone(), Some(ready)).await?);
    connect::serve(global, "experimentd", &shutdown, |_: String| {}, run).await?;
    Ok(0)
}

/// `nuncius emulator stub`.
pub(super) async fn stub(global: &Global, args: StubArgs) -> Result<u8> {
    let mut config = StubConfig {
        listen: args.listen,
        service_time: args.service_time.parse().map_err(|error| Usage(format!("--service-time: {error}")))?,
        seed: args.seed,
        concurrency: args.concurrency,
        queue: args.queue,
        error_rate: args.error_rate,
        body_bytes: args.body_bytes,
        allowed_hosts: args.hosts.allow_hosts.clone(),
        ..StubConfig::default()
    };
    for text in &args.freeze {
        config.freeze.push(parse_freeze(text)?);
    }
    if let Some(service) = &args.register {
        check_token("service", service).map_err(|error| Usage(format!("--register: {error}")))?;
    }
    let shutdown = stop_on_signal()?;
    let handle = nuncius_emulator::stub::start(config, shutdown.clone())?;
    let address = handle.local_addr();
    super::print(&format!("stub listens on http://{address}/"));
    let registered = async {
        match &args.register {
            Some(service) => register(global, service, &address.to_string(), &shutdown).await,
            None if global.nats.is_some() => {
                tell(global, &shutdown).await;
                Ok(())
            }
            None => Ok(()),
        }
    };
    // Its name is taken out of the table before it leaves.
    tokio::try_join!(async { Ok(handle.wait().await?) }, registered)?;
    Ok(0)
}

/// Keeps a connection by which telemetry leaves; a stub needs none for anything else.
async fn tell(global: &Global, stop: &CancellationToken) {
    let stay = async |_, ready: tokio::sync::oneshot::Sender<()>| {
        let _ = ready.send(());
        stop.cancelled().await;
        Ok(())
    };
    if let Err(error) = connect::serve(global, "emulator stub", stop, |()| {}, stay).await {
        tracing::warn!("telemetry does not leave by the bus: {error:#}");
    }
}

/// Points a service name at an address as soon as there is a server, until it is told to stop.
async fn register(global: &Global, service: &str, address: &str, stop: &CancellationToken) -> Result<()> {
    let announce = |()| tracing::info!(service, address, "registered");
    connect::serve(global, "emulator stub", stop, announce, async |bus, ready| {
        let registration = crate::registration::register(&bus, service, address).await?;
        let _ = ready.send(());
        stop.cancelled().await;
        registration.remove().await;
        Ok(())
    })
    .await
}

fn parse_freeze(text: &str) -> Result<Freeze> {
    let parse = |part: &str| -> Result<Duration> {
        Ok(part.parse::<HumanDuration>().map_err(|error| Usage(format!("--freeze {text}: {error}")))?.to_std())
    };
    let (after, duration) = match text.split_once('+') {
        Some((after, duration)) => (after, Some(parse(duration)?)),
        None => (text, None),
    };
    Ok(Freeze { after: parse(after)?, duration })
}
