//! The form by which the load of a run is changed.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use hyper::Response;
use nuncius_control::amend::{Amend, amend as amend_experiment};
use nuncius_schemas::amendment::{Change, Multiplier};

use super::changed::{Form, after, taken_to_change};
use super::door::Visitor;
use crate::access::Scope;
use crate::api::{ApiState, note_in_log};
use crate::problem::Problem;

/// Changes the load of an experiment.
pub(super) async fn amend(
    State(api): State<ApiState>,
    Path(id): Path<String>,
    visitor: Visitor,
    request: Request,
) -> Response<Body> {
    let done = async {
        let (who, form) = taken_to_change(&api, request, |_| Scope::Control).await?;
        let group = Some(form.field("group")).filter(|group| !group.is_empty()).map(str::to_owned);
        let change = change_of(&form)?;
        let reason = form.field("reason").to_owned();
        let wanted = Amend { group, change, reason, who: who.name.clone() };
        amend_experiment(api.bus(), &id, &wanted).await?;
        note_in_log(&who, &wanted.change.told(), &id, &wanted.reason);
        Ok::<(), Problem>(())
    };
    after(&visitor, done.await, &format!("{}/runs/{id}", api.settings().base_path))
}

fn change_of(form: &Form) -> Result<Change, Problem> {
    let value = form.field("value");
    let wrong = |what: &str| Problem::parameter("value", format!("`{value}` is no {what}"));
    match form.field("change") {
        "pause" => Ok(Change::Pause),
        "resume" => Ok(Change::Resume),
        "end" => Ok(Change::End),
        "rate" => value.parse().map(Change::Rate).map_err(|_| wrong("rate: write 200/s or 30/m")),
        "users" => value.parse().map(Change::Users).map_err(|_| wrong("number of users")),
        "scale" => {
            let by = value.parse().ok().and_then(Multiplier::new);
            by.map(Change::Scale).ok_or_else(|| wrong("number from 0 to 1000000"))
        }
        "weights" => {
            let weight = |text: &str| {
                let (name, weight) = text.split_once('=')?;
                Some((name.to_owned(), weight.parse().ok()?))
            };
            let weights: Option<_> = value.split([' ', ',']).filter(|text| !text.is_empty()).map(weight).collect();
            weights.map(Change::Weights).ok_or_else(|| wrong("list of weights: write browse=3 buy=0.5"))
        }
        _ => Err(Problem::parameter("change", "pause, resume, rate, scale, users, weights or end")),
    }
}
