//! The page: made at most once a second for each form, however many ask, and handed to each of them as it is.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use hyper::{Response, StatusCode};
use nuncius_metrics::expose::{Format, render};
use tokio::sync::Mutex;

use super::MetricsState;

/// What was made last. It is handed out whole: a scraper that reads slowly holds its connection, and nothing else.
#[derive(Debug)]
pub(crate) struct Page {
    made: BTreeMap<Format, Mutex<Option<Made>>>,
}

#[derive(Debug)]
struct Made {
    at: Instant,
    bytes: axum::body::Bytes,
}

impl Default for Page {
    fn default() -> Self {
        Self { made: Format::ALL.into_iter().map(|format| (format, Mutex::default())).collect() }
    }
}

pub(crate) fn router(state: MetricsState) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state(state)
}

async fn scrape(State(state): State<MetricsState>, headers: HeaderMap) -> Response<Body> {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::negotiate(&accepted.collect::<Vec<_>>().join(","));
    let Some(bytes) = page(&state, format).await else {
        let mut answer = Response::new(Body::from("ERROR: the page could not be made\n"));
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return answer;
    };
    state.shown.own.scraped(format);
    let mut answer = Response::new(Body::from(bytes));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    answer
}

async fn page(state: &MetricsState, format: Format) -> Option<axum::body::Bytes> {
    let shown = &state.shown;
    // Whoever comes while it is being made waits for that one.
    let mut made = shown.page.made.get(&format)?.lock().await;
    if let Some(page) = made.as_ref().filter(|page| page.at.elapsed() < shown.settings.page_age) {
        return Some(page.bytes.clone());
    }
    let asked = state.clone();
    let at = Instant::now();
    // With very many series it takes a tenth of a second: the bus is listened to meanwhile.
    let bytes = tokio::task::spawn_blocking(move || {
        let families = asked.families();
        let bytes = axum::body::Bytes::from(render(&families, format));
        asked.shown.own.rendered(format, families.len(), bytes.len(), at.elapsed());
        bytes
    });
    let bytes = bytes.await.ok()?;
    *made = Some(Made { at, bytes: bytes.clone() });
    Some(bytes)
}
