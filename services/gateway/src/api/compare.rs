//! Whether two experiments differ.

use axum::extract::State;
use axum::response::Response;
use hyper::Method;
use nuncius_control::comparing::{self, Comparing, Schedule};
use nuncius_schemas::comparison::Comparison;
use nuncius_schemas::names::check_token;
use nuncius_schemas::run::{RunStatus, Verdict};
use schemars::JsonSchema;
use serde::Serialize;

use super::asked::Asked;
use super::endpoint::Endpoint;
use super::parameter::{Kind, Parameter};
use super::state::ApiState;
use crate::answer;
use crate::problem::Problem;

/// Confidence where nobody says.
const CONFIDENCE: f64 = 0.95;

const PARAMETERS: &[Parameter] = &[
    Parameter::new("baseline", Kind::Text, "The experiment that is compared with.").required(),
    Parameter::new("candidate", Kind::Text, "The experiment that is compared.").required(),
    Parameter::new("confidence", Kind::Number, "Confidence of all verdicts together, as a share; 0.95 without it."),
    Parameter::new("ignore", Kind::Number, "Relative differences up to this share are none; 0 without it."),
    Parameter::new(
        "schedule",
        Kind::Choice(&["auto", "same", "apart"]),
        "Whether both followed the same schedule, second by second; auto looks at their specifications.",
    ),
    Parameter::new(
        "figures",
        Kind::Choices(&["p50", "p95", "p99", "mean", "failures", "rate"]),
        "What is compared; everything without it.",
    ),
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    let about = "Whether two experiments differ, step by step, with bounds.";
    vec![
        Endpoint::new(Method::GET, "/compare", "compare-experiments", about, compare)
            .parameters(PARAMETERS)
            .gives_json::<Compared>(),
    ]
}

/// One of two experiments.
#[derive(Debug, Serialize, JsonSchema)]
struct Side {
    id: String,
    name: String,
    status: RunStatus,
    verdict: Option<Verdict>,
}

/// Two experiments, and how they differ.
#[derive(Debug, Serialize, JsonSchema)]
struct Compared {
    baseline: Side,
    candidate: Side,
    /// What in their specifications differs, as paths with both values.
    spec_differences: Vec<String>,
    comparison: Comparison,
}

/// The experiment that a parameter names.
fn named(asked: &Asked, name: &str) -> Result<String, Problem> {
    let id = asked.text(name).ok_or_else(|| Problem::parameter(name, "name an experiment"))?;
    check_token("experiment", id).map_err(|error| Problem::parameter(name, error.to_string()))?;
    Ok(id.to_owned())
}

async fn compare(State(api): State<ApiState>, asked: Asked) -> Result<Response, Problem> {
    let (baseline, candidate) = (named(&asked, "baseline")?, named(&asked, "candidate")?);
    let baseline = comparing::side(api.bus(), &baseline).await?;
    let candidate = comparing::side(api.bus(), &candidate).await?;
    let comparing = Comparing {
        figures: asked.choices("figures"),
        confidence: asked.number("confidence").unwrap_or(CONFIDENCE),
        least_relative: asked.number("ignore").unwrap_or(0.0),
        schedule: match asked.text("schedule") {
            Some("same") => Schedule::Same,
            Some("apart") => Schedule::Apart,
            Some(_) | None => Schedule::Auto,
        },
    };
    let compared = tokio::task::spawn_blocking(move || comparing::compare(baseline, candidate, &comparing)).await;
    let compared = compared.map_err(|error| Problem::internal(format!("not compared: {error}")))??;
    let side = |side: nuncius_report::comparison::ComparedSide| Side {
        id: side.id,
        name: side.name,
        status: side.status,
        verdict: side.verdict,
    };
    let told = Compared {
        baseline: side(compared.baseline),
        candidate: side(compared.candidate),
        spec_differences: compared.spec_differences,
        comparison: compared.comparison,
    };
    Ok(answer::tagged(&asked.headers, &told))
}
