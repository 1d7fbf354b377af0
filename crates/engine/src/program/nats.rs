//! Steps over NATS, compiled: servers with their addresses, messages in templates.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use nuncius_scenario::TemplateError;
use nuncius_scenario::draw::Draws;
use nuncius_scenario::json_template::JsonTemplate;
use nuncius_scenario::scope::Scope;
use rustls::ClientConfig;

use super::taking::{CheckPlan, Taking};
use super::text::Text;

/// A step over NATS.
#[derive(Debug)]
pub(crate) struct NatsPlan {
    /// Number of the step in the table.
    pub(crate) step: u16,
    /// Number of the server in the program; of a step that waits, nobody's.
    pub(crate) server: u16,
    pub(crate) timeout_ns: u64,
    pub(crate) does: NatsDoes,
    pub(crate) taking: Taking,
}

/// What a step over NATS does.
#[derive(Debug)]
pub(crate) enum NatsDoes {
    Publish { message: NatsMessage, is_acknowledged: bool, track: Option<Arc<str>> },
    Request(NatsMessage),
    Subscribe { channel: u16, subject: Text, queue: Option<Text>, track: Option<Arc<str>> },
    Wait { channel: u16, wait: Box<[CheckPlan]>, messages: u32 },
    Consume { stream: Arc<str>, consumer: Arc<str>, messages: u32, track: Option<Arc<str>> },
}

/// A message to publish.
#[derive(Debug)]
pub(crate) struct NatsMessage {
    pub(crate) subject: Text,
    pub(crate) headers: Box<[(Box<str>, Text)]>,
    pub(crate) payload: PayloadPlan,
}

/// The payload of a message.
#[derive(Debug)]
pub(crate) enum PayloadPlan {
    Constant(Bytes),
    Text(Text),
    Json(JsonTemplate),
}

/// A server and who we are to it.
pub(crate) struct NatsServer {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) login: Option<(String, String)>,
    pub(crate) token: Option<String>,
    pub(crate) tls: Option<(String, Arc<ClientConfig>)>,
}

impl std::fmt::Debug for NatsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The rest proves who somebody is.
        f.debug_struct("NatsServer").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// The servers that a program names, each once.
#[derive(Debug, Default)]
pub(crate) struct NatsServers {
    pub(super) urls: Vec<String>,
    pub(super) servers: Vec<NatsServer>,
}

impl NatsServers {
    pub(super) fn finish(self) -> Box<[NatsServer]> {
        self.servers.into()
    }
}

impl PayloadPlan {
    /// The payload.
    ///
    /// # Errors
    /// A template cannot be filled in.
    pub(crate) fn bytes(&self, scope: &Scope<'_>, draws: &mut Draws) -> Result<Bytes, TemplateError> {
        match self {
            Self::Constant(bytes) => Ok(bytes.clone()),
            Self::Text(text) => text.text(scope, draws).map(Bytes::from),
            Self::Json(json) => {
                let mut bytes = Vec::new();
                json.write_json(scope, draws, &mut bytes)?;
                Ok(Bytes::from(bytes))
            }
        }
    }
}
