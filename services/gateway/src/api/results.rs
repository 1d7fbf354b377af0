//! What came of an experiment: its report, as data and as a page, its series, its events.

use axum::extract::State;
use axum::response::Response;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{Method, StatusCode};
use nuncius_control::{ControlError, events, experiments, reports};
use nuncius_schemas::event::ExperimentEvent;
use nuncius_schemas::report::{GateReport, Report};
use schemars::JsonSchema;
use serde::Serialize;

use super::asked::Asked;
use super::endpoint::{Content, Endpoint};
use super::experiments as heads;
use super::lists::{self, CURSOR, LIMIT_ROWS, Page, USUAL};
use super::parameter::{Kind, Parameter};
use super::series::{self, NodesOverTime, Series};
use super::state::ApiState;
use crate::answer;
use crate::problem::Problem;

/// What the page of a report may do: it is whole, and asks for nothing.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts allow-popups",
);

const POINTS: Parameter = Parameter::new(
    "points",
    Kind::Most(10_000),
    "Most points of each series; with fewer than rows each point is of several.",
);

const SERIES: &[Parameter] = &[
    Parameter::new("from", Kind::Number, "First second of run time."),
    Parameter::new("to", Kind::Number, "Second of run time before which it ends."),
    POINTS,
    Parameter::new("group", Kind::Text, "Of this group alone."),
    Parameter::new("step", Kind::Text, "Of this step alone; `iteration` for whole iterations."),
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/experiments/{id}/report", "get-report", "The report, as data.", report)
            .gives_json::<Report>(),
        Endpoint::new(
            Method::GET,
            "/experiments/{id}/report.html",
            "get-report-page",
            "The report as one page that needs nothing else.",
            page,
        )
        .gives(StatusCode::OK, Some(Content::of(&["text/html"]))),
        Endpoint::new(
            Method::GET,
            "/experiments/{id}/series",
            "get-series",
            "The figures over time, in columns: while it runs from its seconds, afterwards from its report.",
            over_time,
        )
        .parameters(SERIES)
        .gives_json::<Series>(),
        Endpoint::new(
            Method::GET,
            "/experiments/{id}/nodes",
            "get-nodes-over-time",
            "How nodes fared over time: lag, and whether they had the processors that they needed. From its seconds, \
             which the bus keeps for some days.",
            nodes_over_time,
        )
        .parameters(&[POINTS])
        .gives_json::<NodesOverTime>(),
        Endpoint::new(
            Method::GET,
            "/experiments/{id}/gates",
            "get-gates",
            "The gates: while it runs how they stand by what is known, afterwards as they were judged.",
            gates,
        )
        .gives_json::<Gates>(),
        Endpoint::new(Method::GET, "/experiments/{id}/events", "list-events", "What happened, in order.", happened)
            .parameters(&[LIMIT_ROWS, CURSOR])
            .gives_json::<Page<Event>>(),
    ]
}

async fn report(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let report = reports::report(api.bus(), asked.id()?).await?;
    Ok(answer::tagged(&asked.headers, &report))
}

async fn page(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let report = reports::report(api.bus(), asked.id()?).await?;
    let made = tokio::task::spawn_blocking(move || nuncius_report::html::page(&report, None)).await;
    let page = made.map_err(|error| Problem::internal(format!("the page cannot be made: {error}")))?;
    let mut answer = answer::with_tag(&asked.headers, "text/html; charset=utf-8", page.into(), None);
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, PAGE_POLICY);
    Ok(answer)
}

async fn over_time(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let id = asked.id()?;
    let wanted = series::Wanted::of(&asked, api.settings().rows_max)?;
    let on_bus = experiments::record(api.bus(), id).await?;
    let record = match on_bus {
        Some((record, _)) if !record.status.is_terminal() => record,
        on_bus => match (reports::report(api.bus(), id).await, on_bus) {
            (Ok(report), _) => return Ok(answer::tagged(&asked.headers, &wanted.of_report(&report))),
            // It never ran, or its report is being written.
            (Err(ControlError::NoReport { .. }), Some((record, _))) => record,
            (Err(error), _) => return Err(error.into()),
        },
    };
    let told = series::of_seconds(&api, &record, &wanted).await?;
    Ok(answer::tagged(&asked.headers, &told))
}

async fn nodes_over_time(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let id = asked.id()?;
    let points = series::points_of(&asked, api.settings().rows_max)?;
    let on_bus = experiments::record(api.bus(), id).await?;
    if on_bus.is_none() {
        heads::stored_head(&api, id).await?;
    }
    let told = series::of_nodes(&api, id, on_bus.as_ref().map(|(record, _)| record), points).await?;
    Ok(answer::tagged(&asked.headers, &told))
}

/// Gates of an experiment.
#[derive(Debug, Serialize, JsonSchema)]
struct Gates {
    /// Whether they were judged: else they stand as told, and nothing is decided.
    judged: bool,
    /// In the order of the specification.
    items: Vec<GateReport>,
}

async fn gates(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let id = asked.id()?;
    let on_bus = experiments::record(api.bus(), id).await?;
    let told = match on_bus {
        Some((record, _)) if !record.status.is_terminal() => {
            Gates { judged: false, items: series::gates_so_far(&api, &record).await? }
        }
        _ => Gates { judged: true, items: reports::report(api.bus(), id).await?.gates },
    };
    Ok(answer::tagged(&asked.headers, &told))
}

/// Something that happened.
#[derive(Debug, Serialize, JsonSchema)]
struct Event {
    /// Its sequence in the stream of events; absent where the report alone has it.
    sequence: Option<u64>,
    #[serde(flatten)]
    event: ExperimentEvent,
}

async fn happened(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let id = asked.id()?;
    let limit = asked.limit(USUAL, api.settings().rows_max)?;
    let after: u64 = lists::place_of(&asked)?.unwrap_or(0);
    let mut found = events::list(api.bus(), id, after, limit.saturating_add(1)).await?;
    if found.is_empty() && after == 0 {
        // The bus forgets them; the report does not.
        let told = match reports::report(api.bus(), id).await {
            Ok(report) => report.events,
            Err(ControlError::NoReport { .. }) => {
                if api.known().run(id).is_none() {
                    heads::stored_head(&api, id).await?;
                }
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        let items = told.into_iter().take(limit).map(|event| Event { sequence: None, event }).collect();
        return Ok(answer::tagged(&asked.headers, &Page::new(items)));
    }
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).and_then(|last| lists::cursor_of(&last.sequence));
    let items = found.into_iter().map(|one| Event { sequence: Some(one.sequence), event: one.event }).collect();
    Ok(answer::tagged(&asked.headers, &Page { items, next, missing: None }))
}
