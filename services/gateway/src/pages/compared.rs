//! The page that compares experiments.

use axum::body::Body;
use axum::extract::State;
use hyper::Response;
use nuncius_control::comparing::{self, Comparing, Schedule};
use nuncius_pages::compare as page;
use nuncius_report::comparison::ComparedRuns;
use nuncius_schemas::comparison::ComparedFigure;

use super::door::Visitor;
use crate::api::ApiState;
use crate::problem::Problem;

pub(super) async fn compare(State(api): State<ApiState>, visitor: Visitor) -> Response<Body> {
    visitor.answer(compared(&api, &visitor).await)
}

async fn compared(api: &ApiState, visitor: &Visitor) -> Result<String, Problem> {
    let mut ids: Vec<String> = Vec::new();
    for (_, id) in visitor.query.iter().filter(|(name, _)| name == "id") {
        if !ids.contains(id) {
            ids.push(id.clone());
        }
    }
    if !(2..=page::COMPARED_MAX).contains(&ids.len()) {
        return Ok(page::choose(&visitor.frame, ids.len()));
    }
    // The list has the latest first: where nobody says, the earliest is what the others are compared with.
    let wanted = visitor.parameter("baseline").filter(|wanted| ids.iter().any(|id| id == wanted));
    let baseline = wanted.or(ids.last().map(String::as_str)).unwrap_or_default().to_owned();
    let mut compared = Vec::new();
    for id in ids.iter().filter(|id| **id != baseline) {
        compared.push(one(api, &baseline, id).await?);
    }
    Ok(page::page(&visitor.frame, &compared, &ids))
}

async fn one(api: &ApiState, baseline: &str, candidate: &str) -> Result<ComparedRuns, Problem> {
    let baseline = comparing::side(api.bus(), baseline).await?;
    let candidate = comparing::side(api.bus(), candidate).await?;
    let comparing = Comparing {
        figures: ComparedFigure::ALL.to_vec(),
        confidence: nuncius_stats::CONFIDENCE,
        least_relative: 0.0,
        schedule: Schedule::Auto,
    };
    let made = tokio::task::spawn_blocking(move || comparing::compare(baseline, candidate, &comparing)).await;
    Ok(made.map_err(|error| Problem::internal(format!("not compared: {error}")))??)
}
