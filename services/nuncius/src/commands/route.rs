//! `nuncius route`.

use anyhow::{Result, bail};
use nuncius_schemas::codec;
use nuncius_schemas::names::check_token;
use nuncius_schemas::route::{Route, RouteHost};

use crate::Usage;
use crate::args::{Global, RouteCommand};
use crate::connect;

/// Largest weight of an address.
const WEIGHT_MAX: u32 = 1_000_000;

/// Shows or changes the routing table.
pub(super) async fn route(global: &Global, command: RouteCommand) -> Result<u8> {
    let parsed = match &command {
        RouteCommand::Set { service, addresses } => Some(parse(service, addresses)?),
        _ => None,
    };
    let bus = connect::existing(global, "nuncius-route").await?;
    nuncius_bus::streams::ensure_streams(&bus).await?;
    let routes = bus.kv(&bus.namespace().bucket_route()).await?;
    match command {
        RouteCommand::Set { service, .. } => {
            if let Some(route) = parsed {
                routes.put(&service, codec::encode(&route)?.into()).await?;
            }
        }
        RouteCommand::Rm { service } => {
            check_token("service", &service).map_err(|error| Usage(error.to_string()))?;
            if routes.get(&service).await?.is_none() {
                bail!("there is no service {service} in the routing table");
            }
            routes.delete(&service).await?;
        }
        RouteCommand::Ls { json } => {
            let mut table = Vec::new();
            for entry in routes.entries(">").await? {
                table.push(codec::decode::<Route>(&entry.value)?);
            }
            table.sort_by(|a, b| a.service.cmp(&b.service));
            if json {
                super::print(&serde_json::to_string_pretty(&table)?);
                return Ok(0);
            }
            super::print(&format!("{:<24} {:<32} WEIGHT", "SERVICE", "HOST"));
            for route in table {
                for host in route.hosts {
                    super::print(&format!("{:<24} {:<32} {}", route.service, host.address, host.weight));
                }
            }
        }
    }
    Ok(0)
}

fn parse(service: &str, addresses: &[String]) -> Result<Route> {
    check_token("service", service).map_err(|error| Usage(error.to_string()))?;
    let hosts: Vec<RouteHost> = addresses
        .iter()
        .map(|text| {
            let (address, weight) = text.split_once('=').unwrap_or((text, "1"));
            let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
            let weight = weight.parse().ok().filter(|weight| *weight <= WEIGHT_MAX);
            match (port.and_then(|port| port.parse::<u16>().ok()), weight) {
                (Some(port), Some(weight)) if port > 0 => Ok(RouteHost { address: address.to_owned(), weight }),
                _ => Err(Usage(format!("`{text}` is not HOST:PORT or HOST:PORT=WEIGHT (0 to {WEIGHT_MAX})")).into()),
            }
        })
        .collect::<Result<_>>()?;
    if hosts.iter().all(|host| host.weight == 0) {
        return Err(Usage(format!("service {service} needs an address with a weight over 0")).into());
    }
    Ok(Route { service: service.to_owned(), hosts, owner: None })
}
