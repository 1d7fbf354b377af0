//! The REST interface of Galileo, for programs that speak it: a thin layer over the same functions.
//!
//! Answers are as the original gives them, with its defects mended: a configuration that is wrong is refused with the
//! field before anything is stored, an experiment that runs is cancelled before it is deleted, services are those of
//! the routing table. There are no credentials in it: it is served on loopback, or to whoever has a token.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, HeaderName, HeaderValue, ORIGIN, REFERER,
};
use hyper::{Method, StatusCode};
use nuncius_control::{cancel, experiments, routes};
use nuncius_schemas::galileo::GalileoInput;
use nuncius_schemas::head::{ExperimentFilter, ExperimentHead};
use nuncius_schemas::names::check_token;
use nuncius_schemas::node::Role;
use nuncius_schemas::run::RunStatus;
use nuncius_schemas::submission::Submission;
use serde_json::{Value, json};

use crate::access::{Scope, Who};
use crate::answer;
use crate::api::{ApiState, delete_experiment, note_change, read_submission, stored_head, submit_read};
use crate::problem::Problem;

/// Every resource by its path, as `GET /api` lists them.
const RESOURCES: [(&str, &str); 8] = [
    ("/api", "ApiResource"),
    ("/api/apps", "RepositoryResource"),
    ("/api/apps/{app_name}", "RepositoryResource"),
    ("/api/apps/{app_name}/download", "RepositoryResource"),
    ("/api/experiments", "ExperimentsResource"),
    ("/api/experiments/{exp_id}", "ExperimentResource"),
    ("/api/services", "ServicesResource"),
    ("/api/worker", "WorkerResource"),
];
/// Experiments that are listed: the original lists all of them.
const LISTED_MAX: usize = 10_000;
/// Daemons are asked for so many at a time.
const ASKED_AT_ONCE: usize = 100;
/// How long a run that was cancelled may take to end before it is deleted.
const END_PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long a browser may keep what it was told of the methods, in seconds.
const MAX_AGE: &str = "86400";

/// The eight routes.
pub(crate) fn router(api: ApiState) -> Router {
    Router::new()
        .route("/api", get(index))
        .route("/api/worker", get(workers))
        .route("/api/services", get(services))
        .route("/api/experiments", get(list).post(submit))
        .route("/api/experiments/{exp_id}", get(one).delete(remove))
        .merge(apps::router())
        .fallback(async || Problem::not_found("there is no such path; GET /api lists those there are"))
        .layer(from_fn_with_state(api.clone(), admit))
        .layer(from_fn(open_to_origins))
        .with_state(api)
}

mod apps;

/// Lets in whoever may: the original lets everybody. Pages of every origin may ask, as they may there.
async fn admit(State(api): State<ApiState>, mut request: Request, next: Next) -> Response {
    let needed = match *request.method() {
        Method::GET | Method::HEAD | Method::OPTIONS => Scope::Read,
        Method::DELETE => Scope::Admin,
        _ => Scope::Control,
    };
    let peer = crate::api::peer_of(&request).ip();
    let mut headers = request.headers().clone();
    // No cookie is heeded here, so that no browser can be made to do what its user may.
    for name in [ORIGIN, REFERER, HeaderName::from_static("sec-fetch-site"), hyper::header::COOKIE] {
        headers.remove(name);
    }
    match api.access().admit(&headers, peer, needed).await {
        Ok(who) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// The methods of a path, as the original lists them.
fn methods(path: &str) -> &'static str {
    let mut words = path.split('/').skip(2);
    match (words.next(), words.next(), words.next()) {
        (Some("apps" | "experiments"), None, None) => "GET, POST",
        (Some("apps" | "experiments"), Some(_), None) => "DELETE, GET",
        _ => "GET",
    }
}

async fn open_to_origins(request: Request, next: Next) -> Response {
    let asked_headers = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let is_question = request.method() == Method::OPTIONS;
    let mut answer = if is_question {
        let allowed = HeaderValue::from_static(methods(request.uri().path()));
        let mut answer = StatusCode::OK.into_response();
        let headers = answer.headers_mut();
        headers.insert(ALLOW, allowed.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, allowed);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked_headers.unwrap_or(HeaderValue::from_static("*")));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        answer
    } else {
        next.run(request).await
    };
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
    answer
}

fn told(value: &Value) -> Response {
    answer::fresh(StatusCode::OK, value)
}

async fn index() -> Response {
    told(&RESOURCES.iter().map(|(uri, kind)| json!({ "uri": uri, "type": kind })).collect())
}

fn worker_names(api: &ApiState) -> Vec<String> {
    let nodes = api.known().nodes();
    nodes.iter().filter(|node| node.role == Role::Client).map(|node| node.name.clone()).collect()
}

async fn workers(State(api): State<ApiState>) -> Response {
    told(&json!(worker_names(&api)))
}

async fn services(State(api): State<ApiState>) -> Result<Response, Problem> {
    let table = routes::list(api.bus()).await?;
    Ok(told(&table.iter().map(|revised| json!({ "name": revised.route.service })).collect()))
}

/// An experiment as the original has it; times are seconds.
fn shown(head: &ExperimentHead) -> Value {
    let seconds = |unix_ms: Option<u64>| unix_ms.map(|ms| ms as f64 / 1e3);
    let status = match head.status {
        RunStatus::Submitted => "QUEUED",
        RunStatus::Planned | RunStatus::Preparing | RunStatus::Running | RunStatus::Draining => "IN_PROGRESS",
        RunStatus::Finished => "FINISHED",
        RunStatus::Failed => "FAILED",
        RunStatus::Cancelled => "CANCELLED",
    };
    json!({
        "id": head.id,
        "name": head.name,
        "creator": head.creator,
        "start": seconds(head.started_unix_ms),
        "end": seconds(head.ended_unix_ms),
        "created": seconds(Some(head.submitted_unix_ms)),
        "status": status,
    })
}

async fn list(State(api): State<ApiState>) -> Result<Response, Problem> {
    let filter = ExperimentFilter::default();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let known = api.known().runs().into_iter();
        let page = experiments::page(api.bus(), known, &filter, after.as_ref(), ASKED_AT_ONCE).await?;
        all.extend(page.experiments.iter().map(shown));
        after = page.next;
        if after.is_none() || all.len() >= LISTED_MAX {
            return Ok(told(&Value::Array(all)));
        }
    }
}

async fn submit(State(api): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let who = request.extensions().get::<Who>().cloned();
    let who = who.ok_or_else(|| Problem::internal("nobody let this request in"))?;
    if worker_names(&api).is_empty() {
        let text = "no available hosts to execute the experiment";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no-workers", text));
    }
    let body = answer::body(request.into_body(), api.settings().body_max_bytes, "an experiment").await?;
    let submission = read_submission(&body).map_err(as_bad_request)?;
    if !matches!(submission, Submission::Galileo(GalileoInput::Ticks(_) | GalileoInput::Instructions(_))) {
        let text = "write {\"experiment\": {…}, \"configuration\": {…}}";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-field", text).field("configuration"));
    }
    let id = submission.id().map_or_else(crate::api::fresh_id, str::to_owned);
    let once =
        submit_read(&api, submission, Some(&id), &who, "by Galileo's interface").await.map_err(as_bad_request)?;
    Ok(told(&json!(once.id)))
}

/// What is wrong with a configuration is told with 400 there.
fn as_bad_request(problem: Problem) -> Problem {
    match problem.status() {
        StatusCode::UNPROCESSABLE_ENTITY => problem.with_status(StatusCode::BAD_REQUEST),
        _ => problem,
    }
}

/// What is known of an experiment.
async fn find(api: &ApiState, id: &str) -> Result<ExperimentHead, Problem> {
    check_token("experiment", id).map_err(|error| Problem::not_found(error.to_string()))?;
    match experiments::record(api.bus(), id).await? {
        Some((record, _)) => Ok(ExperimentHead::of(&record)),
        None => stored_head(api, id).await,
    }
}

async fn one(State(api): State<ApiState>, Path(id): Path<String>) -> Result<Response, Problem> {
    Ok(told(&shown(&find(&api, &id).await?)))
}

async fn remove(State(api): State<ApiState>, Path(id): Path<String>, request: Request) -> Result<Response, Problem> {
    let who = request.extensions().get::<Who>().cloned();
    let who = who.ok_or_else(|| Problem::internal("nobody let this request in"))?;
    let head = find(&api, &id).await?;
    if !head.status.is_terminal() {
        cancel::cancel(api.bus(), &id, "deleted by Galileo's interface", who.name.as_deref()).await?;
        let deadline = tokio::time::Instant::now() + END_PATIENCE;
        while experiments::record(api.bus(), &id).await?.is_some_and(|(record, _)| !record.is_told()) {
            if tokio::time::Instant::now() >= deadline {
                let text = format!("{id} was cancelled, and has not ended within {END_PATIENCE:?}: delete it again");
                return Err(Problem::busy("not-ended", text));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    delete_experiment(&api, &id, false).await?;
    note_change(&api, &who, "remove", &format!("experiment {id}"), "deleted by Galileo's interface").await;
    Ok(told(&json!(id)))
}
