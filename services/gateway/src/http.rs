//! The gateway's HTTP faces: paths by axum, connections by `nuncius-serve`, whose limits hold for all of them, and on
//! every answer the headers that keep a browser from what nobody meant.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use hyper::body::Incoming;
use hyper::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use hyper::{Request, Response, StatusCode};
use nuncius_bus::Bus;
use nuncius_serve::{HttpLimits, head_bytes};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::api::ApiState;
use crate::metrics::{self, MetricsState};
use crate::{access, api, pages};

/// What a page may load: its own origin's, and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
);
const NO_SNIFFING: HeaderValue = HeaderValue::from_static("nosniff");
// Without one, a browser would not say of a form where it comes from.
const OWN_REFERRER: HeaderValue = HeaderValue::from_static("same-origin");
const NO_FRAMES: HeaderValue = HeaderValue::from_static("DENY");
const OWN_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// Serves until `shutdown`. `refused` is called for connections that no path sees.
pub(crate) async fn serve(
    listener: TcpListener,
    limits: HttpLimits,
    shutdown: CancellationToken,
    router: Router,
    refused: impl Fn() + Clone + Send + 'static,
) {
    let header_max_bytes = limits.header_max_bytes;
    let handler = move |request: Request<Incoming>, peer: SocketAddr| {
        let router = router.clone();
        async move {
            let (mut head, body) = request.into_parts();
            if head_bytes(&head) > header_max_bytes {
                let text = format!("ERROR: the head is longer than header_max_bytes, {header_max_bytes}\n");
                return secured(plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text));
            }
            head.extensions.insert(peer);
            let answered: Result<Response<Body>, Infallible> = router.oneshot(Request::from_parts(head, body)).await;
            secured(answered.unwrap_or_else(|never| match never {}))
        }
    };
    nuncius_serve::serve(listener, limits, shutdown, handler, refused).await;
}

/// What stands on every answer that does not say otherwise.
fn secured(mut answer: Response<Body>) -> Response<Body> {
    let headers = answer.headers_mut();
    let mut put = |name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    put(CONTENT_SECURITY_POLICY, POLICY);
    put(X_CONTENT_TYPE_OPTIONS, NO_SNIFFING);
    put(REFERRER_POLICY, OWN_REFERRER);
    put(X_FRAME_OPTIONS, NO_FRAMES);
    put(HeaderName::from_static("cross-origin-resource-policy"), OWN_ORIGIN);
    put(HeaderName::from_static("cross-origin-opener-policy"), OWN_ORIGIN);
    answer
}

/// All paths. Metrics and probes are at the root whatever the prefix; without an interface there is nothing else.
pub(crate) fn router(metrics: MetricsState, api: Option<ApiState>) -> Router {
    let bus = metrics.bus.clone();
    let probes = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(Probes { bus, api: api.clone() });
    let open = metrics::router(metrics).merge(probes);
    let Some(api) = api else { return open.fallback(nothing_else) };
    let base_path = api.settings().base_path.clone();
    let behind = api::router(api.clone(), &base_path).merge(access::session_router(api.access().clone(), &base_path));
    let all = if base_path.is_empty() { open.merge(behind) } else { open.nest(&base_path, behind) };
    all.merge(pages::router(api)).fallback(async move |headers: HeaderMap| pages::not_found(&headers, &base_path))
}

async fn nothing_else() -> Response<Body> {
    let text = "ERROR: there is no such page; there are /metrics, /healthz and /readyz\n";
    plain(StatusCode::NOT_FOUND, text.to_owned())
}

#[derive(Debug, Clone)]
struct Probes {
    bus: Bus,
    api: Option<ApiState>,
}

/// Whether there is a connection to the bus, for probes that restart.
async fn healthz(State(probes): State<Probes>) -> Response<Body> {
    if probes.bus.connected_for().is_zero() {
        let text = "ERROR: no connection to NATS at present\n".to_owned();
        return plain(StatusCode::SERVICE_UNAVAILABLE, text);
    }
    plain(StatusCode::OK, "ok\n".to_owned())
}

/// Whether everything that is asked for can be answered, for probes that send nobody here meanwhile.
async fn readyz(State(probes): State<Probes>) -> Response<Body> {
    let problem = if probes.bus.connected_for().is_zero() {
        "no connection to NATS at present"
    } else if probes.api.is_some_and(|api| !api.known().is_complete()) {
        "runs, nodes and queues have not been read yet"
    } else {
        return plain(StatusCode::OK, "ready\n".to_owned());
    };
    plain(StatusCode::SERVICE_UNAVAILABLE, format!("ERROR: {problem}\n"))
}

pub(crate) fn plain(status: StatusCode, text: String) -> Response<Body> {
    nuncius_serve::answer(status, "text/plain; charset=utf-8", text).map(Body::new)
}
