//! The routing table.

use nuncius_bus::{Bus, BusError};
use nuncius_schemas::codec::{self, CodecError};
use nuncius_schemas::names::check_token;
use nuncius_schemas::route::{Route, RouteHost, Weight};
use serde::Serialize;

use crate::ControlError;

/// Most addresses of a service.
pub const HOSTS_MAX: usize = 1_024;
/// How often a change is tried again that somebody else was ahead of.
const CHANGE_ATTEMPTS: usize = 8;

/// A route and the revision of its entry, which changes with every write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revised {
    /// The route.
    #[serde(flatten)]
    pub route: Route,
    /// Of its entry.
    pub revision: u64,
}

/// The table, by service; entries that cannot be read are logged.
///
/// # Errors
/// The bus.
pub async fn list(bus: &Bus) -> Result<Vec<Revised>, ControlError> {
    let decoded = bus.kv(&bus.namespace().bucket_route()).await?.decoded(">").await?;
    decoded.warn();
    let mut table: Vec<Revised> =
        decoded.entries.into_iter().map(|entry| Revised { route: entry.value, revision: entry.revision }).collect();
    table.sort_by(|a, b| a.route.service.cmp(&b.route.service));
    Ok(table)
}

/// One service.
///
/// # Errors
/// [`ControlError::NoRoute`], what cannot be read, and the bus.
pub async fn get(bus: &Bus, service: &str) -> Result<Revised, ControlError> {
    check_token("service", service)?;
    let routes = bus.kv(&bus.namespace().bucket_route()).await?;
    let entry = routes.get(service).await?.ok_or_else(|| ControlError::NoRoute { service: service.to_owned() })?;
    let route = codec::decode(&entry.value).map_err(|error| routes.unreadable(&entry, &error))?;
    Ok(Revised { route, revision: entry.revision })
}

/// Which state of an entry is to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is there.
    Any,
    /// None.
    Absent,
    /// This revision.
    Revision(u64),
}

/// Writes a route; the new revision.
///
/// # Errors
/// What cannot be a route; [`ControlError::Changed`] where another state is there; the bus.
pub async fn put(bus: &Bus, route: &Route, expected: Expected) -> Result<u64, ControlError> {
    check(route)?;
    let routes = bus.kv(&bus.namespace().bucket_route()).await?;
    let unwritable = |source: CodecError| ControlError::Document { what: "the route", source };
    let value = codec::encode(route).map_err(unwritable)?.into();
    let service = &route.service;
    let written = match expected {
        Expected::Any => routes.put(service, value).await.map(Some),
        Expected::Absent => routes.create(service, value).await,
        Expected::Revision(revision) => routes.update(service, value, revision).await.map(Some),
    };
    settled(written, service)
}

/// Adds addresses to a service, which is new where the table lacks it; the route as it is then.
///
/// # Errors
/// What cannot be a route, and the bus.
pub async fn append(bus: &Bus, service: &str, hosts: &[RouteHost]) -> Result<Revised, ControlError> {
    change(bus, service, |found| {
        let mut all = found.map_or_else(Vec::new, |route| route.hosts);
        all.extend(hosts.iter().cloned());
        Ok(all)
    })
    .await
}

/// Gives the addresses of a service other weights, in their order; the route as it is then.
///
/// # Errors
/// [`ControlError::NoRoute`], another number of weights than there are addresses, what cannot be a route, and the bus.
pub async fn reweigh(bus: &Bus, service: &str, weights: &[Weight]) -> Result<Revised, ControlError> {
    change(bus, service, |found| {
        let mut hosts = found.ok_or_else(|| ControlError::NoRoute { service: service.to_owned() })?.hosts;
        if hosts.len() != weights.len() {
            let problem = format!("{} weights for {} addresses", weights.len(), hosts.len());
            return Err(ControlError::Route { field: "hosts".to_owned(), problem });
        }
        hosts.iter_mut().zip(weights).for_each(|(host, weight)| host.weight = *weight);
        Ok(hosts)
    })
    .await
}

/// Changes what is there, and nothing that somebody else has made of it meanwhile. As with [`put`], the route is a
/// person's afterwards.
async fn change(
    bus: &Bus,
    service: &str,
    make: impl Fn(Option<Route>) -> Result<Vec<RouteHost>, ControlError>,
) -> Result<Revised, ControlError> {
    for _ in 0..CHANGE_ATTEMPTS {
        let (found, expected) = match get(bus, service).await {
            Ok(Revised { route, revision }) => (Some(route), Expected::Revision(revision)),
            Err(ControlError::NoRoute { .. }) => (None, Expected::Absent),
            Err(error) => return Err(error),
        };
        let route = Route { service: service.to_owned(), hosts: make(found)?, owner: None };
        match put(bus, &route, expected).await {
            Ok(revision) => return Ok(Revised { route, revision }),
            Err(ControlError::Changed { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(changed(service))
}

/// Takes a service out of the table.
///
/// # Errors
/// [`ControlError::NoRoute`]; [`ControlError::Changed`] where another state is there; the bus.
pub async fn remove(bus: &Bus, service: &str, expected: Expected) -> Result<(), ControlError> {
    check_token("service", service)?;
    let routes = bus.kv(&bus.namespace().bucket_route()).await?;
    if routes.get(service).await?.is_none() {
        return Err(ControlError::NoRoute { service: service.to_owned() });
    }
    let deleted = match expected {
        Expected::Any => routes.delete(service).await,
        Expected::Absent => return Err(changed(service)),
        Expected::Revision(revision) => routes.delete_revision(service, revision).await,
    };
    settled(deleted.map(|()| Some(0)), service).map(drop)
}

fn settled(written: Result<Option<u64>, BusError>, service: &str) -> Result<u64, ControlError> {
    match written {
        Ok(Some(revision)) => Ok(revision),
        Ok(None) | Err(BusError::WrongLastSequence { .. }) => Err(changed(service)),
        Err(error) => Err(error.into()),
    }
}

fn changed(service: &str) -> ControlError {
    ControlError::Changed { what: format!("the route of {service}") }
}

/// Refuses what cannot be a route.
///
/// # Errors
/// The field and what is wrong with it.
pub fn check(route: &Route) -> Result<(), ControlError> {
    let refuse = |field: String, problem: String| Err(ControlError::Route { field, problem });
    if let Err(error) = check_token("service", &route.service) {
        return refuse("service".to_owned(), error.to_string());
    }
    if route.hosts.len() > HOSTS_MAX {
        return refuse("hosts".to_owned(), format!("{} addresses, at most {HOSTS_MAX} are taken", route.hosts.len()));
    }
    for (index, RouteHost { address, weight }) in route.hosts.iter().enumerate() {
        if !is_address(address) {
            return refuse(format!("hosts[{index}].address"), "write it as HOST:PORT".to_owned());
        }
        if *weight > Weight::MAX {
            return refuse(format!("hosts[{index}].weight"), format!("0 to {}", Weight::MAX));
        }
    }
    if route.hosts.iter().all(|host| host.weight == Weight::ZERO) {
        return refuse("hosts".to_owned(), "an address with a weight over 0 is needed".to_owned());
    }
    Ok(())
}

/// Whether it is `HOST:PORT`.
pub fn is_address(text: &str) -> bool {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    let is_plain = text.len() <= 300 && !text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '/');
    is_plain && port.and_then(|port| port.parse::<u16>().ok()).is_some_and(|port| port > 0)
}
