//! Pressure on memory, disk and processors of nodes: asked of the emulators there.

use std::time::Duration;

use futures_util::future::join_all;
use nuncius_bus::Bus;
use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::node::resources::{not_offered, offers};
use nuncius_schemas::resource::{ResourceKind, ResourceReply, ResourceRequest, ResourceState};

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// One question to one node, and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The node.
    pub node: String,
    /// What was asked of.
    pub kind: ResourceKind,
    /// Whether the node consumes that at all.
    pub is_offered: bool,
    /// How it stands, or why that is not known.
    pub state: Result<ResourceState, String>,
}

/// Asks each of the nodes each of the questions, all at once.
pub async fn ask_all(
    bus: &Bus,
    nodes: &[NodeInfo],
    requests: &[(ResourceKind, ResourceRequest)],
    token: Option<&str>,
) -> Vec<Answer> {
    let pairs = nodes.iter().flat_map(|node| requests.iter().map(move |(kind, request)| (node, *kind, request)));
    join_all(pairs.map(async |(node, kind, request)| {
        let (node, is_offered) = (&node.name, offers(node, kind));
        if !is_offered {
            return Answer { node: node.clone(), kind, is_offered, state: Err(not_offered(kind, node)) };
        }
        let subject = bus.namespace().resource(node, kind);
        let request = ResourceRequest { token: token.map(str::to_owned), ..request.clone() };
        let asked = bus.request_message::<_, ResourceReply>(&subject, "resource-request.v1", &request, PATIENCE).await;
        let state = match asked {
            Ok(ResourceReply { error: Some(error), .. }) => Err(error),
            Ok(ResourceReply { state: Some(state), .. }) => Ok(state),
            Ok(_) => Err("the answer says nothing".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        Answer { node: node.clone(), kind, is_offered, state }
    }))
    .await
}
