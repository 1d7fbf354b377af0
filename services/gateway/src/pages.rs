//! The pages: what is asked of the bus for each, and who may see it. What they look like is `nuncius-pages`.
//!
//! Layout: `shown` are the pages that show, `changed` and `steered` what their forms do, `draft` the page of a new
//! experiment, `compared` those that compare, `happened` what happened, `figures` what lists know of reports, `assets`
//! the files, `door` who gets in, `sent` pages as answers, `parts` what is told of the system.

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use hyper::header::{ACCEPT, HeaderMap};
use hyper::{Response, StatusCode};
use nuncius_pages::{Frame, frame};

use crate::api::ApiState;
use crate::problem::Problem;

mod assets;
mod changed;
mod compared;
mod door;
mod draft;
mod figures;
mod happened;
mod letters;
mod parts;
mod sent;
mod shown;
mod steered;

use sent::with_status;

/// The paths of pages, whole ones, each with the prefix of the settings.
pub(crate) fn router(api: ApiState) -> Router {
    let base_path = api.settings().base_path.clone();
    let at = |path: &str| format!("{base_path}{path}");
    let pages = match base_path.as_str() {
        "" => Router::new(),
        prefix => Router::new().route(prefix, get(shown::now)),
    };
    pages
        .route(&at("/"), get(shown::now))
        .route(&at("/runs"), get(shown::runs))
        .route(&at("/runs/{id}"), get(shown::run))
        .route(&at("/runs/{id}/events"), get(happened::events))
        .route(&at("/runs/{id}/amend"), post(steered::amend))
        .route(&at("/runs/{id}/cancel"), post(changed::cancel))
        .route(&at("/runs/{id}/remove"), post(changed::remove))
        .route(&at("/compare"), get(compared::compare))
        .route(&at("/experiments/{name}"), get(shown::trend))
        .route(&at("/new"), get(draft::show).post(draft::take))
        .route(&at("/new/import"), post(draft::import))
        .route(&at("/nodes"), get(shown::nodes))
        .route(&at("/queues"), get(shown::queues))
        .route(&at("/queues/state"), post(letters::set_state))
        .route(&at("/queues/dead"), post(letters::settle))
        .route(&at("/events"), get(happened::all))
        .route(&at("/api"), get(shown::interface))
        .route(&at("/routes"), get(shown::routes).post(changed::set_route))
        .route(&at("/routes/{service}/remove"), post(changed::remove_route))
        .route(&at("/apps"), get(shown::apps))
        .route(&at("/system"), get(shown::system))
        .route(&at("/sign-in"), get(door::sign_in).post(door::begin))
        .route(&at("/sign-out"), post(door::sign_out))
        .with_state(api)
        .merge(assets::router(&at("/assets/{name}")))
}

/// For a path that leads nowhere: a page for people, a problem for programs. The path is not repeated.
pub(crate) fn not_found(asked: &HeaderMap, base_path: &str) -> Response<Body> {
    let accepted = asked.get(ACCEPT).and_then(|value| value.to_str().ok());
    if !accepted.is_some_and(|text| text.contains("text/html")) {
        return axum::response::IntoResponse::into_response(Problem::not_found("there is no such page"));
    }
    let within = Frame { base_path: base_path.to_owned(), ..Frame::default() };
    let body = "<section><h1>There is no such page</h1></section>\n";
    with_status(StatusCode::NOT_FOUND, frame(&within, "Not found", "", body))
}
