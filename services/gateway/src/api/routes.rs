//! The routing table, changed by whoever has read what is there.

use axum::extract::State;
use axum::response::Response;
use hyper::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::{Method, StatusCode};
use nuncius_control::routes::{self, Expected, Revised};
use nuncius_schemas::route::{Route, RouteHost};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asked::Asked;
use super::changes::{note, reason_of};
use super::endpoint::{Content, Endpoint};
use super::experiments::no_content;
use super::lists::{self, CURSOR, LIMIT_ROWS, Page};
use super::state::ApiState;
use crate::access::Scope;
use crate::answer;
use crate::problem::Problem;

/// What a change takes.
const CONDITIONS: &[(&str, &str)] = &[
    ("if-match", "The etag of the route that was read: then nothing is done where it was changed meanwhile."),
    ("if-none-match", "`*`: then nothing is done where there is a route already."),
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/routes", "list-routes", "The routing table, by service.", list)
            .parameters(&[LIMIT_ROWS, CURSOR])
            .gives_json::<Page<Entry>>(),
        Endpoint::new(Method::GET, "/routes/{service}", "get-route", "One service.", get).gives_json::<Entry>(),
        Endpoint::new(Method::PUT, "/routes/{service}", "set-route", "Where a service is served.", put)
            .scope(Scope::Admin)
            .headers(CONDITIONS)
            .takes(Content::json::<Hosts>())
            .gives_json::<Entry>(),
        Endpoint::new(Method::DELETE, "/routes/{service}", "remove-route", "Takes a service out of the table.", remove)
            .scope(Scope::Admin)
            .headers(&[("if-match", "As for a change.")])
            .gives(StatusCode::NO_CONTENT, None),
    ]
}

/// A route.
#[derive(Debug, Serialize, JsonSchema)]
struct Entry {
    #[serde(flatten)]
    route: Route,
    /// Changes with every write; the etag is made of it.
    revision: u64,
}

impl From<Revised> for Entry {
    fn from(revised: Revised) -> Self {
        Self { route: revised.route, revision: revised.revision }
    }
}

/// Where a service is served.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Hosts {
    /// Its addresses.
    hosts: Vec<RouteHost>,
}

fn tag(revision: u64) -> String {
    format!("\"r{revision}\"")
}

async fn list(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let all: Vec<Entry> = routes::list(api.bus()).await?.into_iter().map(Entry::from).collect();
    Ok(answer::tagged(&asked.headers, &lists::cut(&asked, all, api.settings().rows_max)?))
}

async fn get(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let entry = Entry::from(routes::get(api.bus(), asked.token("service", "service")?).await?);
    let bytes = serde_json::to_vec(&entry).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(answer::with_tag(&asked.headers, "application/json", bytes.into(), Some(tag(entry.revision))))
}

async fn put(State(api): State<ApiState>, mut asked: Asked) -> Result<Response, Problem> {
    let reason = reason_of(&asked)?;
    let service = asked.token("service", "service")?.to_owned();
    let is_new = asked.headers.get(IF_NONE_MATCH).is_some_and(|value| value == "*");
    let expected = match asked.if_match()? {
        Some(revision) => Expected::Revision(revision),
        None if is_new => Expected::Absent,
        None => Expected::Any,
    };
    let body = answer::body(asked.take_body(), api.settings().body_max_bytes, "a route").await?;
    let Hosts { hosts } = nuncius_schemas::codec::from_tree(&nuncius_schemas::codec::read_tree(&body)?)?;
    let route = Route { service: service.clone(), hosts, owner: None };
    let revision = routes::put(api.bus(), &route, expected).await?;
    note(&api, &asked.who, "set", &format!("route of {service}"), &reason).await;
    let mut answer = answer::fresh(StatusCode::OK, &Entry { route, revision });
    if let Ok(tag) = HeaderValue::from_str(&tag(revision)) {
        answer.headers_mut().insert(ETAG, tag);
    }
    Ok(answer)
}

async fn remove(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let reason = reason_of(&asked)?;
    let service = asked.token("service", "service")?;
    let expected = asked.if_match()?.map_or(Expected::Any, Expected::Revision);
    routes::remove(api.bus(), service, expected).await?;
    note(&api, &asked.who, "remove", &format!("route of {service}"), &reason).await;
    Ok(no_content())
}
