//! Engine.IO over HTTP long-polling: one GET after the other that waits for the server, one POST at a time beside it,
//! each on a connection of its own.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use nuncius_clock::monotonic_ns;
use nuncius_schemas::metric::FailureKind;
use nuncius_socketio::engine_io::{Wire, session_query};
use nuncius_socketio::{Client as Core, Happened, Transport};
use tokio::time::timeout;

use super::read::{Read, failure_of};
use crate::failure::Failure;
use crate::http::client::{self, Client, Ending};
use crate::http::outgoing::{Body, Outgoing};
use crate::http::received::{Received, Wanted};
use crate::program::target::TargetPlan;

/// Where the session is, and how requests for it are made.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) target: Arc<TargetPlan>,
    /// Index of the host.
    pub(crate) host: usize,
    /// With its query, in which what is the session's own is still missing.
    pub(crate) path: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body_max_bytes: usize,
    /// Longest wait for the answer to a POST, and for a connection.
    pub(crate) timeout: std::time::Duration,
}

/// A request under way: the connection it was on, if that may be used again, and the answer.
type Asking = Pin<Box<dyn Future<Output = (Option<Client>, Result<Answer, Failure>)>>>;

struct Answer {
    is_text: bool,
    body: Bytes,
}

/// Long-polling of one session.
pub(crate) struct Polling {
    route: Rc<Route>,
    getting: Option<Asking>,
    posting: Option<Asking>,
    /// The POST under way has been written, though it may not have been answered.
    is_written: Rc<Cell<bool>>,
    /// Connections at rest.
    idle_get: Option<Client>,
    idle_post: Option<Client>,
}

impl Polling {
    pub(crate) fn new(route: Route) -> Self {
        Self {
            route: Rc::new(route),
            getting: None,
            posting: None,
            is_written: Rc::default(),
            idle_get: None,
            idle_post: None,
        }
    }

    /// Whether a POST is still being written.
    pub(crate) fn is_posting(&self) -> bool {
        self.posting.is_some() && !self.is_written.get()
    }

    /// Asks, and gives the core what was answered.
    pub(crate) fn pump(&mut self, context: &mut Context<'_>, core: &mut Core, happened: &mut Vec<Happened>) -> Read {
        let mut read = Read::default();
        loop {
            if self.getting.is_none() && core.may_poll() {
                let path = self.path(core);
                let asking = ask(Rc::clone(&self.route), self.idle_get.take(), (path, None), Rc::default());
                self.getting = Some(Box::pin(asking));
            }
            if self.posting.is_none() && core.handshake().is_some() {
                match core.next_payload() {
                    Ok(Some(wire)) => {
                        let path = self.path(core);
                        self.is_written.set(false);
                        let written = Rc::clone(&self.is_written);
                        let asking = ask(Rc::clone(&self.route), self.idle_post.take(), (path, Some(wire)), written);
                        self.posting = Some(Box::pin(asking));
                    }
                    Ok(None) => {}
                    Err(error) => read.failure = Some(failure_of(&error)),
                }
            }
            let mut has_moved = false;
            if let Some(posting) = &mut self.posting
                && let Poll::Ready((client, answer)) = posting.as_mut().poll(context)
            {
                (self.posting, self.idle_post, has_moved) = (None, client, true);
                read.failure = answer.err();
            }
            if let Some(getting) = &mut self.getting
                && let Poll::Ready((client, answer)) = getting.as_mut().poll(context)
            {
                (self.getting, self.idle_get, has_moved) = (None, client, true);
                match answer {
                    Err(failure) => read.failure = Some(failure),
                    Ok(Answer { is_text, body }) => {
                        read.bytes += body.len() as u64;
                        let now_ns = monotonic_ns();
                        let taken = match (is_text, std::str::from_utf8(&body)) {
                            (true, Ok(text)) => core.on_text_payload(now_ns, text, happened),
                            (true, Err(_)) | (false, _) => core.on_binary_payload(now_ns, &body, happened),
                        };
                        read.failure = read.failure.or(taken.err().map(|error| failure_of(&error)));
                    }
                }
            }
            // What has come is looked at before more is asked for.
            if !has_moved || read.failure.is_some() || !happened.is_empty() {
                return read;
            }
        }
    }

    fn path(&self, core: &Core) -> String {
        let session = core.handshake().map(|handshake| handshake.session_id.as_str());
        let query = session_query(core.version(), Transport::Polling, session);
        let sign = if self.route.path.contains('?') { '&' } else { '?' };
        format!("{}{sign}{query}", self.route.path)
    }
}

/// One request and its answer. A GET waits for as long as the server lets it.
async fn ask(
    route: Rc<Route>,
    client: Option<Client>,
    (path, body): (String, Option<Wire>),
    is_written: Rc<Cell<bool>>,
) -> (Option<Client>, Result<Answer, Failure>) {
    let mut outgoing = Outgoing::default();
    outgoing.set_method(if body.is_some() { "POST" } else { "GET" });
    outgoing.set_path(&path);
    for (name, value) in &route.fields {
        outgoing.add(name, value);
    }
    let patience = body.as_ref().map(|_| route.timeout);
    if let Some(wire) = body {
        outgoing.add("Content-Type", wire.content_type());
        outgoing.own_body.extend_from_slice(wire.as_bytes());
        outgoing.body = Body::Own;
    }
    if let Err(error) = outgoing.check() {
        return (None, Err(Failure::new(FailureKind::Template, error.to_string())));
    }
    let now_ns = monotonic_ns();
    let mut client = client;
    let is_good = client.as_mut().is_some_and(|client| client.is_open(now_ns));
    let opened = match client.filter(|_| is_good) {
        Some(client) => Ok(client),
        None => open(&route).await,
    };
    let mut client = match opened {
        Ok(client) => client,
        Err(failure) => return (None, Err(failure)),
    };
    let wanted = Wanted { fields: true, body: true, body_max_bytes: route.body_max_bytes };
    let mut received = Received::default();
    let request = outgoing.http1(&route.target.authority, false, None);
    let exchanging = client.exchange_parts(request, false, || is_written.set(true), |part| received.take(part, wanted));
    let ended = match patience {
        None => exchanging.await,
        Some(patience) => match timeout(patience, exchanging).await {
            Ok(ended) => ended,
            Err(_) => {
                return (None, Err(Failure::new(FailureKind::Timeout, "a POST was not answered within the timeout")));
            }
        },
    };
    match ended {
        Ok(answer) => {
            if !(200..300).contains(&answer.status) {
                let text = format!("status {} of long-polling", answer.status);
                return (None, Err(Failure::new(FailureKind::Status, text)));
            }
            let kind = received.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
            let is_text = !kind.starts_with("application/octet-stream");
            let body = Bytes::copy_from_slice(received.body());
            client.rest(monotonic_ns());
            (Some(client).filter(|_| answer.keeps), Ok(Answer { is_text, body }))
        }
        Err(Ending::Unseen(failure) | Ending::Cut(failure) | Ending::Unanswered(failure) | Ending::Failed(failure)) => {
            (None, Err(failure))
        }
    }
}

async fn open(route: &Route) -> Result<Client, Failure> {
    // A session over polling stays with its host, whatever becomes of the route.
    let Some(host) = route.target.upstream.now().get(route.host).cloned() else {
        return Err(Failure::new(FailureKind::Resolve, "no address"));
    };
    match timeout(route.timeout, client::connect(&host, route.host, route.target.tls.as_ref())).await {
        Ok(opened) => opened,
        Err(_) => {
            let text = format!("connect {}: no answer within the timeout", host.address);
            Err(Failure::new(FailureKind::Timeout, text))
        }
    }
}
