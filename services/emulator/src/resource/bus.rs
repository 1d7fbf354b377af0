//! The face on the bus: joins the registry under its labels, and answers requests on `resource.<node>.<kind>`, one kind
//! not behind the other.

use std::sync::Arc;

use nuncius_bus::registry::{self, Registration};
use nuncius_bus::service::ServiceGuard;
use nuncius_bus::{Bus, BusError, Message, typed};
use nuncius_schemas::codec::{self, CodecError};
use nuncius_schemas::node::{NodeInfo, Role};
use nuncius_schemas::resource::{ResourceReply, ResourceRequest, ResourceState};
use nuncius_schemas::stress::KINDS_LABEL;
use nuncius_schemas::subjects::HEADER_CONTENT_TYPE;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::config::ResourceConfig;
use super::group::{Group, Wish};
use super::http::{Shared, is_same_secret};
use crate::form::Form;
use crate::{joining, spans};

/// A place on the bus, given up by [`Membership::leave`].
pub(crate) struct Membership {
    bus: Bus,
    registration: Registration,
    service: ServiceGuard,
}

/// Joins; requests that come from now on are kept for [`Membership::serve`] once that listens.
///
/// # Errors
/// Of the bus.
pub(crate) async fn join(config: &ResourceConfig, bus: &Bus) -> Result<Membership, BusError> {
    loop {
        match try_to_join(config, bus).await {
            Err(error) => joining::pause_after(error).await?,
            joined => return joined,
        }
    }
}

async fn try_to_join(config: &ResourceConfig, bus: &Bus) -> Result<Membership, BusError> {
    let mut labels = config.labels.clone();
    labels.insert("emulated".to_owned(), "resource".to_owned());
    let kinds: Vec<&str> = config.kinds.iter().map(|kind| kind.name()).collect();
    labels.insert(KINDS_LABEL.to_owned(), kinds.join("-"));
    let info = NodeInfo { labels, ..registry::this_process(&config.name, Role::Emulator, &config.host) };
    let registration = registry::join(bus, info).await?;
    let node = registration.claim().name;
    let service_name = bus.namespace().service("emulator");
    let metadata = [("node", node.as_str()), ("emulated", "resource")];
    let version = env!("CARGO_PKG_VERSION");
    let service = bus.register_service(&service_name, version, "consumes resources on request", &metadata).await?;
    Ok(Membership { bus: bus.clone(), registration, service })
}

impl Membership {
    /// Name in the registry.
    pub(crate) fn node(&self) -> String {
        self.registration.claim().name
    }

    /// Answers requests until `shutdown`; `listening` is called when they are heard.
    ///
    /// # Errors
    /// When the connection is closed.
    pub(crate) async fn serve(
        &self,
        shared: &Arc<Shared>,
        shutdown: &CancellationToken,
        listening: impl FnOnce() + Send,
    ) -> Result<(), BusError> {
        let mut claims = self.registration.changes();
        let mut listening = Some(listening);
        loop {
            let node = claims.borrow_and_update().name.clone();
            // Dropped with the name that they answer to.
            let mut faces = JoinSet::new();
            for group in shared.groups.values() {
                let requests = self.bus.subscribe(&self.bus.namespace().resource(&node, group.kind)).await?;
                faces.spawn(answer_all(self.bus.clone(), node.clone(), Arc::clone(shared), group.clone(), requests));
            }
            self.bus.flush().await?;
            info!(%node, "joined");
            if let Some(listening) = listening.take() {
                listening();
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                Some(_) = faces.join_next() => return Err(BusError::Closed),
                // The key expired while the bus was away, and somebody else has the name now.
                Ok(()) = claims.changed() => {}
            }
        }
    }

    /// Gives the name back.
    pub(crate) async fn leave(self) {
        self.registration.release().await;
        self.service.stop().await;
    }
}

async fn answer_all(
    bus: Bus,
    node: String,
    shared: Arc<Shared>,
    group: Group,
    mut requests: nuncius_bus::Subscription,
) {
    while let Some(message) = requests.next().await {
        let template = || bus.namespace().resource("{node}", group.kind);
        let mut span = spans::of_message(&message, template);
        let (state, error) = match take(&message, &shared, &group).await {
            Ok(state) => (Some(state), None),
            Err(problem) => {
                span.fail("refused", problem.clone());
                (None, Some(problem))
            }
        };
        let Some(subject) = &message.reply else { continue };
        let form = Form::of(&message.payload);
        let reply = ResourceReply { node: node.clone(), state, error };
        let headers = typed::headers("resource-reply.v1").with(HEADER_CONTENT_TYPE, form.content_type());
        let sent = match form.encode(&reply) {
            Ok(payload) => bus.publish(subject, &headers, payload).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = sent {
            warn!(error, "answer not sent");
        }
    }
}

async fn take(message: &Message, shared: &Shared, group: &Group) -> Result<ResourceState, String> {
    let request = read(&message.payload)?;
    if let Some(wanted) = &shared.token {
        let given = request.token.as_deref().unwrap_or_default();
        if !is_same_secret(given.as_bytes(), wanted.as_bytes()) {
            return Err("token: the node wants its token with every request".to_owned());
        }
    }
    if !request.is_query() {
        group.take(Wish { request, ..Wish::default() }).await.map_err(|refusal| refusal.to_string())?;
    }
    Ok(group.state())
}

fn read(payload: &[u8]) -> Result<ResourceRequest, String> {
    if payload.trim_ascii().is_empty() {
        return Ok(ResourceRequest::default());
    }
    codec::decode(payload).map_err(|error: CodecError| {
        format!("not a request for a resource: {error}; send {{\"amount\": \"512MiB\"}} as JSON or MessagePack")
    })
}
