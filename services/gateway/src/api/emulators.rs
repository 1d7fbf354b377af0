//! Pressure on memory, disk and processors of nodes, by the emulators there.

use axum::extract::State;
use axum::response::Response;
use hyper::{Method, StatusCode};
use nuncius_control::ControlError;
use nuncius_control::resources::{Answer, ask_all};
use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::node::resources::{not_offered, offers, resource_nodes};
use nuncius_schemas::resource::{ResourceKind, ResourceRequest, ResourceState};
use nuncius_schemas::spec::NodeSelection;
use schemars::JsonSchema;
use serde::Serialize;

use super::asked::Asked;
use super::changes::{note, reason_of};
use super::endpoint::{Content, Endpoint};
use super::lists::Page;
use super::state::ApiState;
use crate::answer;
use crate::problem::Problem;

/// Most nodes that are asked at a time.
const MOST: u32 = 100;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::GET,
            "/emulators/resources",
            "list-resources",
            "How the emulated resources of all nodes stand.",
            list,
        )
        .gives_json::<Page<Resource>>(),
        Endpoint::new(
            Method::PUT,
            "/emulators/resources/{node}/{kind}",
            "set-resource",
            "Has memory, disk or cpu of a node consumed; an amount of 0 releases it.",
            set,
        )
        .takes(Content::json::<ResourceRequest>())
        .gives_json::<Resource>(),
    ]
}

/// A resource of a node.
#[derive(Debug, Serialize, JsonSchema)]
struct Resource {
    node: String,
    kind: ResourceKind,
    /// How it stands; absent where the node did not say.
    state: Option<ResourceState>,
    /// Why not.
    error: Option<String>,
}

impl From<Answer> for Resource {
    fn from(answer: Answer) -> Self {
        let (state, error) = match answer.state {
            Ok(state) => (Some(state), None),
            Err(error) => (None, Some(error)),
        };
        Self { node: answer.node, kind: answer.kind, state, error }
    }
}

/// The emulators of resources that are meant.
fn emulators(api: &ApiState, selection: &NodeSelection) -> Result<Vec<NodeInfo>, Problem> {
    let known: Vec<NodeInfo> = api.known().nodes().iter().map(|node| NodeInfo::clone(node)).collect();
    let meant = resource_nodes(&known, selection).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(meant.into_iter().cloned().collect())
}

async fn list(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let nodes = emulators(&api, &NodeSelection { count: Some(MOST), ..NodeSelection::default() })?;
    let questions = ResourceKind::ALL.map(|kind| (kind, ResourceRequest::default()));
    let answers = ask_all(api.bus(), &nodes, &questions, None).await;
    let offered = answers.into_iter().filter(|answer| answer.is_offered).map(Resource::from).collect();
    Ok(answer::tagged(&asked.headers, &Page::new(offered)))
}

async fn set(State(api): State<ApiState>, mut asked: Asked) -> Result<Response, Problem> {
    let reason = reason_of(&asked)?;
    let name = asked.token("node", "node")?.to_owned();
    let kind = ResourceKind::ALL.into_iter().find(|kind| kind.name() == asked.word("kind"));
    let kind = kind.ok_or_else(|| Problem::not_found("there are memory, disk and cpu").field("kind"))?;
    let request: ResourceRequest = asked.document(api.settings().body_max_bytes).await?;
    let nodes = emulators(&api, &NodeSelection { names: Some(name.clone()), ..NodeSelection::default() })?;
    let node = nodes.first();
    let node = node.ok_or_else(|| Problem::not_found(format!("there is no emulator of resources {name}")))?;
    if !offers(node, kind) {
        return Err(ControlError::Resource(not_offered(kind, &name)).into());
    }
    let mut answers = ask_all(api.bus(), &nodes, &[(kind, request)], None).await;
    let told = answers.pop().ok_or_else(|| Problem::internal("the node was not asked"))?;
    if let Err(refused) = &told.state {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", refused.clone()));
    }
    note(&api, &asked.who, "set", &format!("{} of node {name}", kind.name()), &reason).await;
    Ok(answer::fresh(StatusCode::OK, &Resource::from(told)))
}
