//! Services of this machine in the routing table: each with its owner, for as long as it is served.

use anyhow::Result;
use nuncius_bus::Bus;
use nuncius_bus::kept::{Holding, Kept, keep};
use nuncius_bus::streams::StreamLimits;
use nuncius_schemas::codec;
use nuncius_schemas::route::{Route, RouteHost, Weight};

use crate::host::host_token;

/// A service name that points at an address of this process while it lives, unless somebody else has the name.
#[derive(Debug)]
pub(crate) struct Registration {
    kept: Kept,
}

/// Points `service` at `address`. A name that somebody else has is left to them, with a warning, and taken once it is
/// free.
pub(crate) async fn register(bus: &Bus, service: &str, address: &str) -> Result<Registration> {
    let hosts = vec![RouteHost { address: address.to_owned(), weight: Weight::default() }];
    let owner = format!("{}-{}-{:04x}", host_token(), std::process::id(), fastrand::u16(..));
    let route = Route { service: service.to_owned(), hosts, owner: Some(owner) };
    let routes = bus.kv(&bus.namespace().bucket_route()).await?;
    let life = StreamLimits::default().lease_ttl;
    let kept = keep(&routes, service, codec::encode(&route)?.into(), life).await?;
    let mut state = kept.watch();
    let (service, address) = (service.to_owned(), address.to_owned());
    tokio::spawn(async move {
        loop {
            tell(&service, &address, &state.borrow_and_update().clone());
            if state.changed().await.is_err() {
                return;
            }
        }
    });
    Ok(Registration { kept })
}

impl Registration {
    /// Whose the name is, if it is somebody else's: their address, and their name or who has set it.
    pub(crate) fn other(&self) -> Option<String> {
        match self.kept.holding() {
            Holding::Other(value) => Some(whose(&value)),
            Holding::Own | Holding::Unknown => None,
        }
    }

    /// Takes the name out of the table, if it is ours.
    pub(crate) async fn remove(self) {
        self.kept.release().await;
    }
}

fn tell(service: &str, address: &str, holding: &Holding) {
    match holding {
        Holding::Own => tracing::info!(service, address, "registered"),
        Holding::Unknown => {}
        Holding::Other(value) => tracing::warn!(
            "service `{service}` is {}: {address} takes its place in the routing table once that is gone; see `nuncius \
             route ls`",
            whose(value)
        ),
    }
}

fn whose(value: &[u8]) -> String {
    let Ok(route) = codec::decode::<Route>(value) else { return "somebody else's".to_owned() };
    let addresses: Vec<&str> = route.hosts.iter().map(|host| host.address.as_str()).take(4).collect();
    match &route.owner {
        Some(owner) => format!("at {}, kept there by {owner}", addresses.join(", ")),
        None => format!("set to {} by hand", addresses.join(", ")),
    }
}
