//! Changes of the load of an experiment while it runs.

use axum::extract::State;
use axum::response::Response;
use hyper::{Method, StatusCode};
use nuncius_control::amend::{Amend, amend};
use nuncius_schemas::amendment::Change;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asked::Asked;
use super::changes::{Why, note_in_log};
use super::endpoint::{Content, Endpoint};
use super::state::ApiState;
use crate::answer;
use crate::problem::Problem;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::POST,
            "/experiments/{id}/amendments",
            "amend-experiment",
            "Changes the load of an experiment that runs: pause, resume, rate, scale, users, weights or end. All nodes \
             change at the instant that is answered. Who and why become an event.",
            amend_one,
        )
        .takes(Content::json::<Wanted>())
        .gives(StatusCode::ACCEPTED, Some(Content::json::<Amended>())),
    ]
}

/// What shall be changed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The group; every group when absent.
    #[serde(default)]
    group: Option<String>,
    /// What of its load.
    change: Change,
    /// Why, for the audit.
    #[serde(default)]
    reason: String,
}

/// What was changed.
#[derive(Debug, Serialize, JsonSchema)]
struct Amended {
    /// The experiment.
    id: String,
    /// From when on it holds, in nanoseconds of run time.
    at_ns: u64,
}

async fn amend_one(State(api): State<ApiState>, mut asked: Asked) -> Result<Response, Problem> {
    let id = asked.id()?.to_owned();
    let wanted: Option<Wanted> = asked.document(api.settings().body_max_bytes).await?;
    let missing =
        || Problem::parameter("change", "missing: pause, resume, end, {rate: 200/s}, {scale: 2} or {users: 20}");
    let Wanted { group, change, reason } = wanted.ok_or_else(missing)?;
    let reason = Why { reason }.given(&asked)?;
    let wanted = Amend { group, change, reason, who: asked.who.name.clone() };
    let at_ns = amend(api.bus(), &id, &wanted).await?;
    note_in_log(&asked.who, &wanted.change.told(), &id, &wanted.reason);
    Ok(answer::fresh(StatusCode::ACCEPTED, &Amended { id, at_ns }))
}
