//! The face on the bus: a servo's event is a request on its own subject, answered with what HTTP would answer.

use std::sync::Arc;

use nuncius_bus::registry::{self, Registration};
use nuncius_bus::service::ServiceGuard;
use nuncius_bus::{Bus, BusError, Headers, Message, Subscription};
use nuncius_schemas::codec;
use nuncius_schemas::node::{NodeInfo, Role};
use nuncius_schemas::subjects::HEADER_CONTENT_TYPE;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::answer::Answer;
use super::book::Book;
use super::config::{NAME_RULE, OcoConfig, is_name};
use super::request::fnv;
use crate::form::Form;
use crate::{joining, spans};

/// What it is known by among nodes.
const LABEL: (&str, &str) = ("emulated", "oco");
/// Of several emulators of one namespace each request goes to one.
const QUEUE_GROUP: &str = "oco";
/// Headers by which the NATS service API tells errors.
const HEADER_ERROR_CODE: &str = "Nats-Service-Error-Code";
/// See [`HEADER_ERROR_CODE`].
const HEADER_ERROR: &str = "Nats-Service-Error";
/// Requests that are taken side by side where each waits for its entry to be kept. Those of one application never are.
const LANES: usize = 64;
/// Requests that wait in one lane.
const LANE_DEPTH: usize = 256;

/// A place on the bus.
pub(crate) struct Membership {
    registration: Registration,
    service: ServiceGuard,
    requests: Subscription,
}

impl Membership {
    /// Name of the node.
    pub(crate) fn node(&self) -> String {
        self.registration.claim().name
    }
}

/// Joins the registry and subscribes. The bucket of nodes must be there.
pub(crate) async fn join(config: &OcoConfig, bus: &Bus) -> Result<Membership, BusError> {
    loop {
        match try_to_join(config, bus).await {
            Err(error) => joining::pause_after(error).await?,
            joined => return joined,
        }
    }
}

async fn try_to_join(config: &OcoConfig, bus: &Bus) -> Result<Membership, BusError> {
    let requests = bus.queue_subscribe(&bus.namespace().oco_servo_all(), QUEUE_GROUP).await?;
    let info = NodeInfo {
        labels: [(LABEL.0.to_owned(), LABEL.1.to_owned())].into(),
        ..registry::this_process(&config.name, Role::Emulator, &config.host)
    };
    let registration = registry::join(bus, info).await?;
    let node = registration.claim().name;
    warn_of_others(bus, &node).await?;
    let metadata = [("node", node.as_str()), LABEL];
    let (name, version) = (bus.namespace().service("emulator"), env!("CARGO_PKG_VERSION"));
    let service = bus.register_service(&name, version, "stands for optimisation backends", &metadata).await?;
    bus.flush().await?;
    Ok(Membership { registration, service, requests })
}

/// Each request goes to one of the emulators of a namespace, and they share no state.
async fn warn_of_others(bus: &Bus, own: &str) -> Result<(), BusError> {
    let nodes: Vec<NodeInfo> = bus.kv(&bus.namespace().bucket_node()).await?.decoded(">").await?.into_values();
    for other in nodes {
        if other.name != own && other.labels.get(LABEL.0).is_some_and(|value| value == LABEL.1) {
            warn!(
                other = other.name,
                "another OCO emulator is registered: unless it has just died, events on the bus go to either of the two; \
                 give each a --namespace"
            );
        }
    }
    Ok(())
}

/// Takes requests until the subscription ends or this is dropped.
pub(crate) async fn serve(membership: &mut Membership, book: Arc<Book>) -> BusError {
    let lanes = if book.is_immediate() { 1 } else { LANES };
    // Dropped with this future, which ends them.
    let mut tasks = JoinSet::new();
    let senders: Vec<_> = (0..lanes)
        .map(|_| {
            let (sender, mut received) = mpsc::channel::<Message>(LANE_DEPTH);
            let book = Arc::clone(&book);
            tasks.spawn(async move {
                while let Some(message) = received.recv().await {
                    respond(&message, &book).await;
                }
            });
            sender
        })
        .collect();
    while let Some(message) = membership.requests.next().await {
        // Strict mode knows applications whatever their account: the lane must not depend on that.
        let app = message.subject.rsplit('.').nth(1).unwrap_or_default();
        let lane = (fnv(app.as_bytes()) % lanes as u64) as usize;
        if let Some(lane) = senders.get(lane) {
            // The task ends with the sender only.
            let _ = lane.send(message).await;
        }
    }
    BusError::Closed
}

/// Gives up the place.
pub(crate) async fn leave(membership: Membership) {
    membership.registration.release().await;
    membership.service.stop().await;
}

async fn respond(message: &Message, book: &Book) {
    let form = Form::of(&message.payload);
    let mut span = spans::of_message(message, || template(&message.subject));
    let answer = take(message, book, form).await;
    span.set("nuncius.oco.status", i64::from(answer.status));
    if answer.status >= 500 {
        span.fail(answer.status.to_string(), answer.problem.clone());
    }
    let mut headers = Headers::new().with(HEADER_CONTENT_TYPE, form.content_type());
    if answer.status != 200 {
        headers.insert(HEADER_ERROR_CODE, answer.status.to_string());
        headers.insert(HEADER_ERROR, answer.problem.replace(['\r', '\n'], " "));
    }
    let body = match form {
        Form::Json => answer.body,
        Form::MessagePack => match packed(&answer.body) {
            Ok(body) => body.into(),
            Err(problem) => return warn!(problem, "answer not written"),
        },
    };
    if let Err(error) = message.respond(&headers, body).await {
        debug!(%error, "answer not sent");
    }
}

/// The subject with the names of account and application left open.
fn template(subject: &str) -> String {
    let namespace = subject.rsplitn(5, '.').nth(4).unwrap_or_default();
    format!("{namespace}.oco.{{account}}.{{app}}.servo")
}

async fn take(message: &Message, book: &Book, form: Form) -> Answer {
    let mut tokens = message.subject.rsplit('.').skip(1).map(|token| token.replace("%2E", "."));
    let (app, account) = (tokens.next().unwrap_or_default(), tokens.next().unwrap_or_default());
    for (place, name) in [("account", &account), ("app", &app)] {
        if !is_name(name) {
            return Answer::invalid(&["subject", place], format!("not a name; {NAME_RULE}"), "value_error.str.regex");
        }
    }
    book.take(&account, &app, &message.payload, form).await
}

fn packed(json: &[u8]) -> Result<Vec<u8>, String> {
    let value: serde_json::Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    codec::encode(&value).map_err(|error| error.to_string())
}
