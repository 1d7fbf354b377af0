//! What the forms of pages do. Each change says who asks for it and why.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use hyper::Response;
use nuncius_control::cancel::cancel as cancel_experiment;
use nuncius_control::routes::{self as table, Expected};
use nuncius_schemas::route::{Route, RouteHost, WeightError};

use super::door::{Visitor, peer_of};
use super::sent::see_other;
use crate::access::{Scope, Who};
use crate::answer;
use crate::api::{ApiState, cleaned_reason, delete_experiment, note_change, note_in_log};
use crate::problem::Problem;

/// Longest form, in bytes; that of a new experiment may be longer.
const FORM_MAX_BYTES: usize = 64 << 10;

/// What a form says.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// All values of a field.
    pub(super) fn fields(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A field without the space around it.
    pub(super) fn field(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
    }
}

/// Who sends a form, and what it says; `needed` is what the sender must be let in for.
///
/// # Errors
/// Not from the own origin, by nobody who may, or too long.
pub(super) async fn taken(
    api: &ApiState,
    request: Request,
    most_bytes: usize,
    needed: impl FnOnce(&Form) -> Scope,
) -> Result<(Who, Form), Problem> {
    let (parts, body) = request.into_parts();
    let bytes = answer::body(body, most_bytes, "a form").await?;
    let fields = form_urlencoded::parse(&bytes).map(|(name, value)| (name.into_owned(), value.into_owned()));
    let form = Form(fields.collect());
    let who = api.access().admit(&parts.headers, peer_of(&parts), needed(&form)).await?;
    Ok((who, form))
}

/// The same of what changes something, for a reason.
pub(super) async fn taken_to_change(
    api: &ApiState,
    request: Request,
    needed: impl FnOnce(&Form) -> Scope,
) -> Result<(Who, Form), Problem> {
    let (who, mut form) = taken(api, request, FORM_MAX_BYTES, needed).await?;
    let reason = cleaned_reason(form.field("reason"), "reason")?;
    if reason.is_empty() {
        return Err(Problem::parameter("reason", "say why: it is written down"));
    }
    form.0.retain(|(name, _)| name != "reason");
    form.0.push(("reason".to_owned(), reason));
    Ok((who, form))
}

/// Ends an experiment.
pub(super) async fn cancel(
    State(api): State<ApiState>,
    Path(id): Path<String>,
    visitor: Visitor,
    request: Request,
) -> Response<Body> {
    let done = async {
        let (who, form) = taken_to_change(&api, request, |_| Scope::Control).await?;
        let reason = form.field("reason");
        cancel_experiment(api.bus(), &id, reason, who.name.as_deref()).await?;
        note_in_log(&who, "cancel", &id, reason);
        Ok::<(), Problem>(())
    };
    after(&visitor, done.await, &format!("{}/runs/{id}", api.settings().base_path))
}

/// Deletes everything of an experiment that has ended, once its id confirms that.
pub(super) async fn remove(
    State(api): State<ApiState>,
    Path(id): Path<String>,
    visitor: Visitor,
    request: Request,
) -> Response<Body> {
    let done = async {
        let (who, form) = taken_to_change(&api, request, |_| Scope::Admin).await?;
        if form.field("confirm") != id {
            return Err(Problem::parameter("confirm", "write the id of the experiment: nothing was deleted"));
        }
        delete_experiment(&api, &id, false).await?;
        note_change(&api, &who, "remove", &format!("experiment {id}"), form.field("reason")).await;
        Ok::<(), Problem>(())
    };
    after(&visitor, done.await, &format!("{}/runs", api.settings().base_path))
}

pub(super) fn after(visitor: &Visitor, done: Result<(), Problem>, to: &str) -> Response<Body> {
    match done {
        Ok(()) => see_other(to),
        Err(refused) => visitor.refused(&refused),
    }
}

/// Sets a route.
pub(super) async fn set_route(State(api): State<ApiState>, visitor: Visitor, request: Request) -> Response<Body> {
    let done = async {
        let (who, form) = taken_to_change(&api, request, |_| Scope::Admin).await?;
        let hosts = form.field("hosts").split_whitespace().map(host).collect::<Result<Vec<RouteHost>, Problem>>()?;
        let route = Route { service: form.field("service").to_owned(), hosts, owner: None };
        table::put(api.bus(), &route, Expected::Any).await?;
        note_change(&api, &who, "set", &format!("route of {}", route.service), form.field("reason")).await;
        Ok::<(), Problem>(())
    };
    after(&visitor, done.await, &format!("{}/routes", api.settings().base_path))
}

/// `host:port`, or `host:port=weight`.
fn host(text: &str) -> Result<RouteHost, Problem> {
    let (address, weight) = text.split_once('=').unwrap_or((text, "1"));
    let weight = weight.parse().map_err(|error: WeightError| {
        Problem::parameter("hosts", format!("`{text}`: write HOST:PORT or HOST:PORT=WEIGHT; {error}"))
    })?;
    Ok(RouteHost { address: address.to_owned(), weight })
}

/// Takes a route out of the table.
pub(super) async fn remove_route(
    State(api): State<ApiState>,
    Path(service): Path<String>,
    visitor: Visitor,
    request: Request,
) -> Response<Body> {
    let done = async {
        let (who, form) = taken_to_change(&api, request, |_| Scope::Admin).await?;
        table::remove(api.bus(), &service, Expected::Any).await?;
        note_change(&api, &who, "remove", &format!("route of {service}"), form.field("reason")).await;
        Ok::<(), Problem>(())
    };
    after(&visitor, done.await, &format!("{}/routes", api.settings().base_path))
}
