//! Who is there.

use axum::extract::State;
use axum::response::Response;
use hyper::Method;
use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::telemetry::NodeTelemetry;

use super::asked::Asked;
use super::endpoint::Endpoint;
use super::lists::{self, CURSOR, LIMIT_ROWS, Page};
use super::parameter::{Kind, Parameter};
use super::state::ApiState;
use crate::answer;
use crate::problem::Problem;

const PARAMETERS: &[Parameter] =
    &[Parameter::new("role", Kind::Text, "With this role: client, worker, experimentd …"), LIMIT_ROWS, CURSOR];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/nodes", "list-nodes", "Everybody in the registry, by name.", list)
            .parameters(PARAMETERS)
            .gives_json::<Page<NodeInfo>>(),
        Endpoint::new(Method::GET, "/nodes/{node}", "get-node", "One of them.", get).gives_json::<NodeInfo>(),
        Endpoint::new(
            Method::GET,
            "/machines",
            "list-machines",
            "What each machine that tells of itself told last: processors, memory, devices.",
            machines,
        )
        .parameters(&[LIMIT_ROWS, CURSOR])
        .gives_json::<Page<NodeTelemetry>>(),
    ]
}

async fn list(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let role = asked.text("role");
    let nodes = api.known().nodes();
    let wanted = nodes.iter().filter(|node| role.is_none_or(|role| node.role.name() == role));
    let all: Vec<NodeInfo> = wanted.map(|node| NodeInfo::clone(node)).collect();
    Ok(answer::tagged(&asked.headers, &lists::cut(&asked, all, api.settings().rows_max)?))
}

async fn get(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let name = asked.token("node", "node")?;
    let nodes = api.known().nodes();
    let node = nodes.iter().find(|node| node.name == name);
    let node = node.ok_or_else(|| Problem::not_found(format!("there is no node {name}")))?;
    Ok(answer::tagged(&asked.headers, &**node))
}

async fn machines(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let all = api.metrics().machines();
    Ok(answer::tagged(&asked.headers, &lists::cut(&asked, all, api.settings().rows_max)?))
}
