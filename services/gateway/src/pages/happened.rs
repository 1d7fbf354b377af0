//! The pages of what happened: in one experiment, in all of them, and what was changed beside them.

use axum::body::Body;
use axum::extract::{Path, State};
use hyper::Response;
use nuncius_control::{audit, events as event_list};
use nuncius_pages::events::{Changed, EventFilter, all as all_page, page};
use nuncius_schemas::change::ChangeRecord;
use nuncius_schemas::event::ExperimentEvent;

use super::door::Visitor;
use crate::api::ApiState;
use crate::problem::Problem;

/// Events of one experiment that are shown.
const EVENTS_MAX: usize = 1_000;
/// Of all experiments: how many of the latest are looked at, and how many are shown.
const LOOKED_AT: u32 = 2_000;
const SHOWN_MAX: usize = 300;
/// Changes of everything else that are shown.
const CHANGES_SHOWN: u32 = 300;

pub(super) async fn events(State(api): State<ApiState>, Path(id): Path<String>, visitor: Visitor) -> Response<Body> {
    let found = event_list::list(api.bus(), &id, 0, EVENTS_MAX).await.map_err(Problem::from);
    let page = found.map(|found| {
        let events: Vec<_> = found.into_iter().map(|one| one.event).collect();
        page(&visitor.frame, &id, &events)
    });
    visitor.answer(page)
}

pub(super) async fn all(State(api): State<ApiState>, visitor: Visitor) -> Response<Body> {
    visitor.answer(all_of(&api, &visitor).await)
}

async fn all_of(api: &ApiState, visitor: &Visitor) -> Result<String, Problem> {
    let chosen = |name: &str| visitor.parameter(name).map(str::to_owned);
    let filter = EventFilter { kind: chosen("kind"), text: chosen("text") };
    let found = event_list::latest(api.bus(), LOOKED_AT).await?;
    let looked_at = found.len();
    let text = filter.text.as_deref().map(str::to_lowercase);
    let is_wanted = |event: &ExperimentEvent| {
        filter.kind.as_deref().is_none_or(|kind| kind == event.kind.name())
            && text.as_deref().is_none_or(|text| {
                event.experiment.to_lowercase().contains(text) || event.message.to_lowercase().contains(text)
            })
    };
    let wanted = found.into_iter().map(|one| one.event).filter(is_wanted);
    let events: Vec<ExperimentEvent> = wanted.take(SHOWN_MAX).collect();
    // A bus that is older has no such stream.
    let changed = audit::latest(api.bus(), CHANGES_SHOWN).await.ok();
    let changed = changed.map(|changed| changed.into_iter().map(|noted| told(noted.change)).collect::<Vec<Changed>>());
    Ok(all_page(&visitor.frame, &events, changed.as_deref(), &filter, looked_at))
}

fn told(change: ChangeRecord) -> Changed {
    let ChangeRecord { at_unix_ms, who, by: _, action, what, reason } = change;
    Changed { at_unix_ms, who, action, what, reason }
}
