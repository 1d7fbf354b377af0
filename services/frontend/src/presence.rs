//! Who is there: workers from the registry and from what they say, clients from their leases.

use std::sync::Arc;
use std::time::Instant;

use nuncius_bus::expiry::ExpiryWatch;
use nuncius_bus::kv::{KvEvent, Operation};
use nuncius_bus::registry::{NodeEvent, NodeWatch};
use nuncius_bus::{BusError, Subscription};
use nuncius_schemas::codec;
use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::worker::NodeSample;
use tokio::sync::watch;

use crate::view::Shared;

/// Prefix of the keys of clients' leases.
const CLIENT_PREFIX: &str = "client.";

/// Follows workers; `changed` is told when there are others.
pub(crate) async fn follow_workers(mut nodes: NodeWatch, view: Arc<Shared>, changed: watch::Sender<()>) {
    loop {
        match nodes.next().await {
            Ok(NodeEvent::Joined { name, value, .. } | NodeEvent::Updated { name, value, .. }) => {
                let Some(worker) = codec::decode::<NodeInfo>(&value).ok().and_then(|info| info.worker) else {
                    continue;
                };
                let mut view = view.lock();
                let now = (worker.queue, worker.slots);
                match view.workers.insert(name, now.clone()) {
                    None => view.workers_seen += 1,
                    Some(before) if before == now => continue,
                    Some(_) => {}
                }
                changed.send_replace(());
            }
            Ok(NodeEvent::Left { name, .. }) => {
                let mut view = view.lock();
                view.samples.remove(&name);
                if view.workers.remove(&name).is_some() {
                    changed.send_replace(());
                }
            }
            Ok(NodeEvent::Current) => {}
            Err(BusError::Closed) => return,
            Err(error) => tracing::debug!(%error, "workers are not followed at present"),
        }
    }
}

/// Follows clients of queues. Expiry is told only when it is to be believed.
pub(crate) async fn follow_clients(mut leases: ExpiryWatch, view: Arc<Shared>) {
    loop {
        match leases.next().await {
            Ok(KvEvent::Entry(entry)) => {
                let Some(client) = entry.key.strip_prefix(CLIENT_PREFIX) else { continue };
                let mut view = view.lock();
                if entry.operation == Operation::Put {
                    if view.clients.insert(client.to_owned()) {
                        view.clients_seen += 1;
                    }
                } else {
                    view.clients.remove(client);
                }
            }
            Ok(KvEvent::Current) => {}
            Err(BusError::Closed) => return,
            Err(error) => tracing::debug!(%error, "clients are not followed at present"),
        }
    }
}

/// Hears what workers say of themselves.
pub(crate) async fn hear_samples(mut samples: Subscription, view: Arc<Shared>) {
    while let Some(message) = samples.next().await {
        let Ok(sample) = message.decode::<NodeSample>() else { continue };
        let mut view = view.lock();
        // Of strangers nothing is kept: what the registry knows bounds this.
        if view.workers.contains_key(&sample.node) {
            view.samples.insert(sample.node.clone(), (sample, Some(Instant::now())));
        }
    }
}
