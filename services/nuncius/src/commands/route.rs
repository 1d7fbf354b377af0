//! `nuncius route`.

use anyhow::Result;
use nuncius_control::routes::{self, Expected, Revised};
use nuncius_schemas::names::check_token;
use nuncius_schemas::route::{Route, RouteHost, Weight, WeightError};

use crate::args::{Global, RouteCommand};
use crate::connect;
use crate::exit::Usage;
use crate::output::{print_json, print_table, say};

/// What is asked of the table, in a form that can be.
enum Asked {
    Set(Route),
    Append(Route),
    Weights(String, Vec<Weight>),
    Remove(String),
    List,
}

/// Shows or changes the routing table.
pub(super) async fn route(global: &Global, command: RouteCommand) -> Result<u8> {
    let asked = match command {
        RouteCommand::Set { service, addresses } => {
            let route = parse(service, &addresses)?;
            if route.hosts.iter().all(|host| host.weight == Weight::ZERO) {
                let problem = format!("service {} needs an address with a weight over 0", route.service);
                return Err(Usage(problem).into());
            }
            Asked::Set(route)
        }
        RouteCommand::Append { service, addresses } => Asked::Append(parse(service, &addresses)?),
        RouteCommand::Weights { service, weights } => Asked::Weights(named(service)?, weights),
        RouteCommand::Rm { service } => Asked::Remove(named(service)?),
        RouteCommand::Ls => Asked::List,
    };
    let bus = connect::existing(global, "nuncius-route").await?;
    nuncius_bus::streams::ensure_streams(&bus).await?;
    match asked {
        Asked::Set(route) => {
            let revision = routes::put(&bus, &route, Expected::Any).await?;
            tell(global, &Revised { route, revision })?;
        }
        Asked::Append(Route { service, hosts, .. }) => tell(global, &routes::append(&bus, &service, &hosts).await?)?,
        Asked::Weights(service, weights) => tell(global, &routes::reweigh(&bus, &service, &weights).await?)?,
        Asked::Remove(service) => {
            routes::remove(&bus, &service, Expected::Any).await?;
            let removed = serde_json::json!({ "service": service, "removed": true });
            say(global.json, &removed, &format!("service {service} is no longer in the routing table"))?;
        }
        Asked::List => {
            let table = routes::list(&bus).await?;
            if global.json {
                print_json(&table)?;
                return Ok(0);
            }
            let row = |Revised { route, revision }: &Revised, host: &RouteHost| {
                let owner = route.owner.clone().unwrap_or_else(|| "-".to_owned());
                let (weight, revision) = (host.weight.to_string(), revision.to_string());
                vec![route.service.clone(), host.address.clone(), weight, revision, owner]
            };
            let rows: Vec<Vec<String>> =
                table.iter().flat_map(|found| found.route.hosts.iter().map(|host| row(found, host))).collect();
            let nothing = "the routing table is empty; fill it with `nuncius route set SERVICE HOST:PORT`";
            print_table(&["service", "host", "weight", "revision", "owner"], &rows, &[1, 4], nothing);
        }
    }
    Ok(0)
}

fn tell(global: &Global, written: &Revised) -> Result<()> {
    let Revised { route, revision } = written;
    let hosts: Vec<String> =
        route.hosts.iter().map(|host| format!("{} (weight {})", host.address, host.weight)).collect();
    let text = format!("service {} is at {} (revision {revision})", route.service, hosts.join(", "));
    say(global.json, written, &text)
}

fn named(service: String) -> Result<String> {
    check_token("service", &service).map_err(|error| Usage(error.to_string()))?;
    Ok(service)
}

fn parse(service: String, addresses: &[String]) -> Result<Route> {
    let hosts = addresses.iter().map(|text| host(text)).collect::<Result<Vec<RouteHost>>>()?;
    Ok(Route { service: named(service)?, hosts, owner: None })
}

/// `HOST:PORT`, or `HOST:PORT=WEIGHT`.
fn host(text: &str) -> Result<RouteHost> {
    let (address, weight) = text.split_once('=').unwrap_or((text, "1"));
    if !routes::is_address(address) {
        return Err(Usage(format!("`{text}` is not HOST:PORT or HOST:PORT=WEIGHT")).into());
    }
    let weight = weight.parse().map_err(|error: WeightError| Usage(format!("`{text}`: {error}")))?;
    Ok(RouteHost { address: address.to_owned(), weight })
}
