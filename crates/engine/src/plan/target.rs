//! The target's URL, and the addresses behind it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nuncius_schemas::route::{Route, Weight};
use nuncius_schemas::target as url;

use super::lookup::{self, Address};
use crate::error::PlanError;
use crate::host::Host;
use crate::policy::TargetPolicy;

/// Most addresses taken of one target.
const ADDRESSES_MAX: usize = 1_024;

/// The parts of a target's URL.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) secure: bool,
    pub(crate) credentials: Option<String>,
    /// Host and port as written: the `Host` of requests.
    pub(crate) authority: String,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) default_port: u16,
    /// Without the query; empty when there is none.
    pub(crate) path: String,
    /// With its question mark; empty when there is none.
    pub(crate) query: String,
}

/// Reads a target.
pub(crate) fn parse(field: &str, text: &str) -> Result<Target, PlanError> {
    let refuse = |problem: &str| PlanError::Field { field: field.to_owned(), problem: problem.to_owned() };
    if text.chars().any(|c| c.is_control() || c == ' ') {
        return Err(refuse("holds spaces or control characters"));
    }
    let parts = url::Target::parse(text).ok_or_else(|| refuse("no scheme such as http://"))?;
    let default_port = match parts.scheme {
        "http" | "https" | "amqp" | "amqps" | "nats" | "tls" => parts.default_port(),
        _ => None,
    };
    let default_port = default_port.ok_or_else(|| refuse("a scheme is http, https, amqp, amqps, nats or tls"))?;
    if parts.userinfo.is_some() && parts.scheme.starts_with("http") {
        return Err(refuse("holds credentials: give a header `authorization` with ${NAME} instead"));
    }
    let host = parts.host().map_err(|error| refuse(&format!("its host or port cannot be read: {error}")))?;
    Ok(Target {
        secure: parts.is_secure(),
        credentials: parts.userinfo.map(str::to_owned),
        authority: parts.authority.to_owned(),
        host: host.name.to_owned(),
        port: host.port,
        default_port,
        path: parts.path.to_owned(),
        query: parts.query.to_owned(),
    })
}

/// The addresses of a target: those of the service its host names, else of the host itself. Each is checked.
pub(crate) fn resolve(
    field: &str,
    target: &Target,
    services: &BTreeMap<String, Vec<String>>,
    routes: &[Route],
    policy: &TargetPolicy,
) -> Result<Vec<Host>, PlanError> {
    if let Some(route) = route_of(target, services, routes) {
        return hosts_of_route(field, route, policy);
    }
    let mut named = Vec::new();
    if let Some(addresses) = service_of(target).and_then(|name| services.get(name)) {
        for address in addresses {
            named.push((Weight::default(), route_addresses(field, address, policy)?));
        }
    } else {
        let is_address = target.host.parse::<IpAddr>().is_ok();
        if !is_address && target.port.is_none() && !target.host.contains('.') && target.host != "localhost" {
            return Err(PlanError::UnknownService { field: field.to_owned(), service: target.host.clone() });
        }
        let port = target.port.unwrap_or(target.default_port);
        named.push((Weight::default(), host_addresses(field, &target.host, port, policy)?));
    }
    shared(field, &target.host, named)
}

/// The service that a target may be.
fn service_of(target: &Target) -> Option<&str> {
    target.port.is_none().then_some(target.host.as_str())
}

/// The route that a target goes by: none where the experiment itself says where it is, or its host is none of the
/// table's services.
pub(super) fn route_of<'r>(
    target: &Target,
    services: &BTreeMap<String, Vec<String>>,
    routes: &'r [Route],
) -> Option<&'r Route> {
    let service = service_of(target).filter(|name| !services.contains_key(*name))?;
    routes.iter().find(|route| route.service == service)
}

/// The addresses of a route, each checked. `field` is that of the target. May block on DNS.
pub(super) fn hosts_of_route(field: &str, route: &Route, policy: &TargetPolicy) -> Result<Vec<Host>, PlanError> {
    let mut named = Vec::new();
    for host in route.hosts.iter().filter(|host| host.weight > Weight::ZERO) {
        named.push((host.weight, route_addresses(field, &host.address, policy)?));
    }
    shared(field, &route.service, named)
}

/// What stands behind a service or a host of this name.
fn shared(field: &str, name: &str, named: Vec<(Weight, Vec<Address>)>) -> Result<Vec<Host>, PlanError> {
    if named.is_empty() {
        let problem = format!("service `{name}` has no address with a weight over 0");
        return Err(PlanError::Field { field: field.to_owned(), problem });
    }
    share(named).map_err(|problem| PlanError::Field { field: field.to_owned(), problem })
}

fn route_addresses(field: &str, address: &str, policy: &TargetPolicy) -> Result<Vec<Address>, PlanError> {
    let host = url::Host::read(address).ok();
    let Some((host, port)) = host.and_then(|host| Some((host.name, host.port?))) else {
        let problem = format!("address `{address}` of the service is not host:port");
        return Err(PlanError::Field { field: field.to_owned(), problem });
    };
    host_addresses(field, host, port, policy)
}

/// All addresses of one name. Every one of them must be allowed.
fn host_addresses(field: &str, host: &str, port: u16, policy: &TargetPolicy) -> Result<Vec<Address>, PlanError> {
    let found = lookup::addresses(host, port).map_err(|reason| PlanError::Resolve {
        field: field.to_owned(),
        host: host.to_owned(),
        reason,
    })?;
    for address in &found {
        policy
            .check(host, *address)
            .map_err(|error| PlanError::Field { field: field.to_owned(), problem: error.to_string() })?;
    }
    Ok(lookup::by_family(&found))
}

/// Names with their weights become hosts: the addresses of a name share its weight evenly, and equal addresses are one
/// host, whichever names they come from.
fn share(named: Vec<(Weight, Vec<Address>)>) -> Result<Vec<Host>, String> {
    let too_large = || "its weights cannot be shared over that many addresses: use smaller weights".to_owned();
    // A millionth of a weight is this many parts: divisible by the number of addresses of every name.
    let parts = named.iter().try_fold(1u64, |parts, (_, addresses)| {
        let count = addresses.len().max(1) as u64;
        (parts / greatest_common_divisor(parts, count)).checked_mul(count)
    });
    let parts = parts.ok_or_else(too_large)?;
    let mut hosts: Vec<Host> = Vec::new();
    for (weight, addresses) in named {
        let each = weight.millionths().checked_mul(parts / addresses.len().max(1) as u64).ok_or_else(too_large)?;
        for Address { first: address, alternates } in addresses {
            match hosts.iter_mut().find(|host| host.address == address) {
                Some(host) => host.weight = host.weight.checked_add(each).ok_or_else(too_large)?,
                None => hosts.push(Host::new(address, alternates, each)),
            }
        }
    }
    if hosts.len() > ADDRESSES_MAX {
        return Err(format!("{} addresses stand behind it, at most {ADDRESSES_MAX} are taken", hosts.len()));
    }
    let divisor = hosts.iter().fold(0, |divisor, host| greatest_common_divisor(divisor, host.weight)).max(1);
    hosts.iter_mut().for_each(|host| host.weight /= divisor);
    Ok(hosts)
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
