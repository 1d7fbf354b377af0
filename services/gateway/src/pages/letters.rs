//! What the forms of the page of queues do: dead letters that are run again or removed, and whether a queue gives jobs.

use axum::body::Body;
use axum::extract::{Request, State};
use hyper::Response;
use nuncius_jobs::dead;
use nuncius_schemas::names::check_token;
use nuncius_schemas::queue::{QueueState, check_queue_name};
use serde_json::Value;

use super::changed::{after, taken_to_change};
use super::door::Visitor;
use crate::access::Scope;
use crate::api::{ApiState, note_change};
use crate::problem::Problem;

/// What the button says that removes; the other one has them run again.
const REMOVE: &str = "remove";
/// Letters that one form may settle.
const SETTLED_MAX: usize = 200;

/// Has the letters that are marked run again, or removes them.
pub(super) async fn settle(State(api): State<ApiState>, visitor: Visitor, request: Request) -> Response<Body> {
    let done = async {
        let needed = |form: &super::changed::Form| match form.field("do") == REMOVE {
            true => Scope::Admin,
            false => Scope::Control,
        };
        let (who, form) = taken_to_change(&api, request, needed).await?;
        let marked: Vec<&str> = form.fields("job").collect();
        if marked.is_empty() || marked.len() > SETTLED_MAX {
            return Err(Problem::parameter("job", format!("mark 1 to {SETTLED_MAX} jobs")));
        }
        let queues = api.queues().await?;
        for one in marked {
            let (queue, job) = one.split_once('/').ok_or_else(|| Problem::parameter("job", "write QUEUE/JOB"))?;
            check_queue_name(queue).map_err(|error| Problem::parameter("job", error.to_string()))?;
            let (action, what) = match form.field("do") == REMOVE {
                true => {
                    dead::remove(queues, queue, job).await?;
                    ("remove", format!("dead letter {job} of queue {queue}"))
                }
                false => {
                    dead::retry(queues, queue, job).await?;
                    ("retry", format!("job {job} of queue {queue}"))
                }
            };
            note_change(&api, &who, action, &what, form.field("reason")).await;
        }
        Ok::<(), Problem>(())
    };
    after(&visitor, done.await, &format!("{}/queues", api.settings().base_path))
}

/// Opens, pauses or drains a queue.
pub(super) async fn set_state(State(api): State<ApiState>, visitor: Visitor, request: Request) -> Response<Body> {
    let done = async {
        let (who, form) = taken_to_change(&api, request, |_| Scope::Control).await?;
        let queue = form.field("queue");
        check_token("queue", queue).map_err(|error| Problem::parameter("queue", error.to_string()))?;
        let state: QueueState = serde_json::from_value(Value::String(form.field("state").to_owned()))
            .map_err(|_| Problem::parameter("state", "there are open, paused and draining"))?;
        api.queues().await?.set_state(queue, state).await?;
        note_change(&api, &who, state.name(), &format!("queue {queue}"), form.field("reason")).await;
        Ok::<(), Problem>(())
    };
    after(&visitor, done.await, &format!("{}/queues", api.settings().base_path))
}
