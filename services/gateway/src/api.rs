//! The REST interface `/api/v1`.
//!
//! Each path is an [`Endpoint`]: what it takes, what it gives and who may ask stands beside its handler, and both the
//! router and the OpenAPI document are made from that, so that neither has what the other lacks.

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;

use crate::problem::Problem;

mod apps;
mod asked;
mod audited;
mod changes;
mod compare;
mod document;
mod emulators;
mod endpoint;
mod experiments;
mod lists;
mod live;
mod nodes;
mod parameter;
mod planned;
mod queues;
mod results;
mod routes;
mod series;
mod settings;
mod state;
mod steering;
mod stored;
mod stream;
mod submission;
mod system;

pub(crate) use apps::{Scratch, open as open_app};
pub(crate) use asked::peer_of;
pub(crate) use changes::{cleaned as cleaned_reason, note as note_change, note_in_log};
pub(crate) use experiments::{delete as delete_experiment, fresh_id, stored_head};
pub(crate) use lists::{cursor_of, place_in};
pub(crate) use planned::{Message, Validated, validate as validate_experiment};
pub(crate) use series::{gates_so_far, last_rates};
pub use settings::ApiSettings;
pub(crate) use state::ApiState;
pub(crate) use submission::{read as read_submission, submit as submit_read};
pub(crate) use system::told as system_told;

use endpoint::{Endpoint, PREFIX};

/// All endpoints.
fn endpoints() -> Vec<Endpoint> {
    let mut all = experiments::endpoints();
    all.extend(steering::endpoints());
    all.extend(results::endpoints());
    all.extend(stored::endpoints());
    all.extend(live::endpoints());
    all.extend(compare::endpoints());
    all.extend(audited::endpoints());
    all.extend(nodes::endpoints());
    all.extend(queues::endpoints());
    all.extend(routes::endpoints());
    all.extend(apps::endpoints());
    all.extend(emulators::endpoints());
    all.extend(system::endpoints());
    all
}

/// What the interface can do, as OpenAPI.
pub(crate) fn described(base_path: &str) -> serde_json::Value {
    document::describe(&endpoints(), base_path)
}

/// The routes below [`PREFIX`].
pub(crate) fn router(state: ApiState, base_path: &str) -> Router {
    let endpoints = endpoints();
    let document = document::Document::new(&endpoints, base_path);
    let mut router = Router::new();
    for endpoint in endpoints.into_iter().chain([document::endpoint(document)]) {
        let path = format!("{PREFIX}{}", endpoint.path);
        router = router.route(&path, endpoint.guarded(&state));
    }
    let nothing = || async { Problem::not_found("there is no such path; /api/v1/openapi.json lists those there are") };
    router
        .route(PREFIX, axum::routing::any(nothing))
        .route(&format!("{PREFIX}/{{*path}}"), axum::routing::any(nothing))
        .method_not_allowed_fallback(wrong_method)
        .with_state(state)
}

async fn wrong_method(request: Request) -> Response {
    let text = format!("{} is not for this path", request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", text).into_response()
}
