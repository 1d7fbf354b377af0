//! `nuncius route`.

use anyhow::{Result, bail};
use nuncius_schemas::codec;
use nuncius_schemas::names::check_token;
use nuncius_schemas::route::{Route, RouteHost};

use crate::Usage;
use crate::args::{Global, RouteCommand};
use crate::connect;
use crate::output::{print_json, print_table, say};

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
                say(global.json, &route, &described(&route))?;
            }
        }
        RouteCommand::Rm { service } => {
            check_token("service", &service).map_err(|error| Usage(error.to_string()))?;
            if routes.get(&service).await?.is_none() {
                bail!("there is no service {service} in the routing table");
            }
            routes.delete(&service).await?;
            let removed = serde_json::json!({ "service": service, "removed": true });
            say(global.json, &removed, &format!("service {service} is no longer in the routing table"))?;
        }
        RouteCommand::Ls => {
            let mut table: Vec<Route> = routes.decoded(">").await?.into_values();
            table.sort_by(|a, b| a.service.cmp(&b.service));
            if global.json {
                print_json(&table)?;
                return Ok(0);
            }
            let row = |route: &Route, host: &RouteHost| {
                let owner = route.owner.clone().unwrap_or_else(|| "-".to_owned());
                vec![route.service.clone(), host.address.clone(), host.weight.to_string(), owner]
            };
            let rows: Vec<Vec<String>> =
                table.iter().flat_map(|route| route.hosts.iter().map(|host| row(route, host))).collect();
            let nothing = "the routing table is empty; fill it with `nuncius route set SERVICE HOST:PORT`";
            print_table(&["service", "host", "weight", "owner"], &rows, &[1, 3], nothing);
        }
    }
    Ok(0)
}

fn described(route: &Route) -> String {
    let hosts: Vec<String> =
        route.hosts.iter().map(|host| format!("{} (weight {})", host.address, host.weight)).collect();
    format!("service {} is at {}", route.service, hosts.join(", "))
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
