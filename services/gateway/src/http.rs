//! The gateway's HTTP face: paths by axum, connections by `nuncius-serve`, whose limits hold for all of them.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use nuncius_bus::Bus;
use nuncius_serve::{HttpLimits, head_bytes};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::metrics::{self, MetricsState};

/// Serves until `shutdown`.
pub(crate) async fn serve(
    listener: TcpListener,
    limits: HttpLimits,
    shutdown: CancellationToken,
    metrics: MetricsState,
) {
    let turned_away = metrics.clone();
    let router = router(metrics);
    let header_max_bytes = limits.header_max_bytes;
    let handler = move |request: Request<Incoming>, _| {
        let router = router.clone();
        async move {
            let (head, body) = request.into_parts();
            if head_bytes(&head) > header_max_bytes {
                let text = format!("ERROR: the head is longer than header_max_bytes, {header_max_bytes}\n");
                return plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text);
            }
            let answered: Result<Response<Body>, Infallible> = router.oneshot(Request::from_parts(head, body)).await;
            answered.unwrap_or_else(|never| match never {})
        }
    };
    nuncius_serve::serve(listener, limits, shutdown, handler, move || turned_away.refused()).await;
}

fn router(metrics: MetricsState) -> Router {
    let bus = metrics.bus.clone();
    let health = Router::new().route("/healthz", get(healthz)).with_state(bus);
    metrics::router(metrics).merge(health).fallback(async || {
        plain(StatusCode::NOT_FOUND, "ERROR: there is no such page; there are /metrics and /healthz\n".to_owned())
    })
}

/// Whether there is a connection to the bus, for probes.
async fn healthz(State(bus): State<Bus>) -> Response<Body> {
    if bus.connected_for().is_zero() {
        let text = "ERROR: no connection to NATS at present\n".to_owned();
        return plain(StatusCode::SERVICE_UNAVAILABLE, text);
    }
    plain(StatusCode::OK, "ok\n".to_owned())
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    nuncius_serve::answer(status, "text/plain; charset=utf-8", text).map(Body::new)
}
