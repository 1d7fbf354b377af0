//! `nuncius bridge`.

use std::path::Path;

use anyhow::Result;
use nuncius_bridge::broker::{Broker, filled};
use nuncius_bridge::config::{self, Options};
use nuncius_bridge::{BridgeConfig, Destination, Mapping};
use nuncius_schemas::names::check_token;

use crate::args::{BridgeArgs, Global};
use crate::connect;
use crate::environment;
use crate::exit::Usage;
use crate::host::host_name;
use crate::signals::stop_on_signal;

pub(super) async fn bridge(global: &Global, args: BridgeArgs) -> Result<u8> {
    check_token("node", &args.name).map_err(|error| Usage(format!("--name: {error}")))?;
    let mappings = mappings(&args)?;
    let config = BridgeConfig { name: args.name, host: host_name(), mappings };
    let shutdown = stop_on_signal()?;
    let count = config.mappings.len();
    let announce = |name: String| super::print(&format!("bridge {name} hands on the messages of {count} queues"));
    let run = async |bus, ready| Ok(nuncius_bridge::run(config.clone(), bus, shutdown.clone(), Some(ready)).await?);
    connect::serve(global, "bridge", &shutdown, announce, run).await?;
    Ok(0)
}

/// What flags and file want together.
fn mappings(args: &BridgeArgs) -> Result<Vec<Mapping>, Usage> {
    let (from, to) = (args.from.len(), args.to.len());
    if from != to {
        return Err(Usage(format!("{from} times --from and {to} times --to: give a --to for each --from")));
    }
    let ca = args.amqp_ca.as_deref();
    let mut all = Vec::new();
    let queues = args.from.iter().zip(&args.to).map(|(url, to)| ("--from", url, Destination::Queue(to.clone())));
    let experiments = args.experiments.iter().map(|url| ("--experiments", url, Destination::Experiments));
    for (flag, url, to) in queues.chain(experiments) {
        let source = source(url, ca).map_err(|error| Usage(format!("{flag}: {error}")))?;
        let options = Options {
            results: args.results.clone(),
            prefetch: args.prefetch,
            without_id: args.without_id,
            ..Options::default()
        };
        all.push(Mapping::new(flag, source, to, options).map_err(|error| Usage(error.to_string()))?);
    }
    if let Some(path) = &args.config {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Usage(format!("--config {}: {}", path.display(), crate::output::plain(&error))))?;
        let read = config::read(&text, ca, &environment::variable);
        all.extend(read.map_err(|error| Usage(format!("--config {}: {error}", path.display())))?);
    }
    if all.is_empty() {
        return Err(Usage("nothing to hand on: give --from with --to, --experiments, or --config".to_owned()));
    }
    config::checked(all).map_err(|error| Usage(error.to_string()))
}

fn source(url: &str, ca: Option<&Path>) -> Result<(Broker, String), nuncius_bridge::broker::AddressError> {
    Broker::parse_with_queue(&filled(url, &environment::variable)?, ca)
}
