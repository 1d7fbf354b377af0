//! What `scripts/bench` holds the OCO emulator against: a bare axum server that reads an event and answers it, and
//! knows nothing. `bare_oco PORT` listens on 127.0.0.1.

use std::collections::HashMap;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;
use serde_json::Value;

/// The body of an event, as far as an answer needs it.
#[derive(Deserialize)]
struct Event {
    event: String,
    param: Option<HashMap<String, Value>>,
}

async fn answer(body: Bytes) -> Response {
    let heard: Result<Event, _> = serde_json::from_slice(&body);
    match heard {
        Ok(Event { event, param }) if !event.is_empty() && param.as_ref().is_none_or(|param| param.len() < 1_000) => {
            ([(header::CONTENT_TYPE, "application/json")], r#"{"status":"ok","message":null}"#).into_response()
        }
        _ => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port = std::env::args_os().nth(1).and_then(|text| text.into_string().ok()).unwrap_or_else(|| "0".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    eprintln!("bare server listens on {}", listener.local_addr()?);
    let routes = Router::new().route("/accounts/{account}/applications/{app}/servo", post(answer));
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), routes).await
}
