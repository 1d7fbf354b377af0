//! What was submitted, deleted, and changed beside experiments.

use axum::extract::State;
use axum::response::Response;
use hyper::Method;
use nuncius_control::audit;
use nuncius_schemas::change::ChangeRecord;
use schemars::JsonSchema;
use serde::Serialize;

use super::asked::Asked;
use super::endpoint::Endpoint;
use super::lists::{self, CURSOR, LIMIT_ROWS, Page};
use super::state::ApiState;
use crate::answer;
use crate::problem::Problem;

/// Changes that are looked at: as many as the bus keeps.
const LOOKED_AT: u32 = 10_000;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let about = "What was submitted, deleted, and changed beside experiments, by whom and why, the latest first. \
                 Changes of experiments are events of theirs.";
    vec![
        Endpoint::new(Method::GET, "/audit", "list-changes", about, list)
            .parameters(&[LIMIT_ROWS, CURSOR])
            .gives_json::<Page<Change>>(),
    ]
}

/// A change.
#[derive(Debug, Serialize, JsonSchema)]
struct Change {
    /// Its sequence in the stream of changes.
    sequence: u64,
    #[serde(flatten)]
    change: ChangeRecord,
}

async fn list(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let found = audit::latest(api.bus(), LOOKED_AT).await?;
    let all = found.into_iter().map(|noted| Change { sequence: noted.sequence, change: noted.change }).collect();
    Ok(answer::tagged(&asked.headers, &lists::cut(&asked, all, api.settings().rows_max)?))
}
