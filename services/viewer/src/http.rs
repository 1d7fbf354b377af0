//! The HTTP face.
//!
//! | path | what it does |
//! |---|---|
//! | `POST /v1/traces` | takes spans: OTLP, protobuf, gzip or plain |
//! | `GET /api/…` | what Jaeger's pages ask |
//! | `GET /healthz` | probes |
//! | any other `GET` | the pages |

use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use nuncius_serve::{Answer, HttpLimits, answer, head_bytes, sites};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use percent_encoding::percent_decode_str;
use prost::Message;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::jaeger::{self, enveloped};
use crate::kept::Kept;
use crate::pages::Pages;
use crate::query::{Query, trace_id};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const PROTOBUF: &str = "application/x-protobuf";
/// The pages have scripts and styles in them, and draw from `data:`; from elsewhere nothing is loaded.
const POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; frame-ancestors 'none'";

/// What every connection shares.
pub(crate) struct Shared {
    pub(crate) kept: Mutex<Kept>,
    pub(crate) pages: Pages,
    pub(crate) limits: HttpLimits,
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until `shutdown`.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, shutdown: CancellationToken) {
    let limits = shared.limits.clone();
    let handler = move |request, _| {
        let shared = Arc::clone(&shared);
        async move { respond(request, &shared).await }
    };
    nuncius_serve::serve(listener, limits, shutdown, handler, || {}).await;
}

type Refused = (StatusCode, String);

async fn respond(request: Request<Incoming>, shared: &Shared) -> Answer {
    let (head, body) = request.into_parts();
    match route(&head, body, shared).await {
        Ok(answer) => answer,
        Err((status, problem)) => {
            let told = json!({ "data": null, "errors": [{ "code": status.as_u16(), "msg": problem }] });
            let mut answer = answer(status, JSON, told.to_string());
            // What is left of its body is not read.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            answer
        }
    }
}

async fn route(head: &Parts, body: Incoming, shared: &Shared) -> Result<Answer, Refused> {
    let (bytes, bytes_max) = (head_bytes(head), shared.limits.header_max_bytes);
    if bytes > bytes_max {
        let problem = format!("the head of the request has {bytes} bytes; header_max_bytes is {bytes_max}");
        return Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, problem));
    }
    let is_change = head.method != Method::GET && head.method != Method::HEAD;
    if let Some(reason) = sites::foreign(&head.headers, is_change, &shared.limits.allowed_hosts) {
        return Err((StatusCode::FORBIDDEN, format!("refused for another site: {reason}")));
    }
    let path = head.uri.path();
    match (&head.method, path) {
        (&Method::POST, "/v1/traces") => take(head, body, shared).await,
        (_, "/v1/traces") => Err((StatusCode::METHOD_NOT_ALLOWED, "spans are posted".to_owned())),
        (&Method::GET | &Method::HEAD, "/healthz") => Ok(answer(StatusCode::OK, TEXT, "ok\n".to_owned())),
        (&Method::GET | &Method::HEAD, _) => match path.strip_prefix("/api/") {
            Some(asked) => {
                let told = asked_by_pages(asked, head.uri.query().unwrap_or_default(), &shared.kept())?;
                Ok(answer(StatusCode::OK, JSON, told.to_string()))
            }
            None => page(path, &shared.pages),
        },
        _ => Err((StatusCode::METHOD_NOT_ALLOWED, format!("{path} can be read only"))),
    }
}

/// What the pages ask of `/api/…`.
fn asked_by_pages(path: &str, query: &str, kept: &Kept) -> Result<Value, Refused> {
    let bad = |problem| (StatusCode::BAD_REQUEST, problem);
    let missing = |problem: String| (StatusCode::NOT_FOUND, problem);
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["services"] => Ok(enveloped(jaeger::services(kept))),
        ["services", service, "operations"] => {
            let service = percent_decode_str(service).decode_utf8_lossy();
            let mut names: Vec<String> = jaeger::operations(kept, &service).into_iter().map(|(name, _)| name).collect();
            names.dedup();
            Ok(enveloped(names.into_iter().map(Value::from).collect()))
        }
        ["operations"] => {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            let service = pairs.find(|(key, _)| key == "service").map(|(_, value)| value.into_owned());
            let operations = jaeger::operations(kept, &service.unwrap_or_default());
            let shown = operations.into_iter().map(|(name, kind)| json!({ "name": name, "spanKind": kind }));
            Ok(enveloped(shown.collect()))
        }
        ["traces"] => {
            let query = Query::parse(query).map_err(bad)?;
            Ok(enveloped(query.found(kept).into_iter().map(|(id, trace)| jaeger::trace(id, trace)).collect()))
        }
        ["traces", id] => {
            let id = trace_id(id).map_err(bad)?;
            let trace =
                kept.trace(&id).ok_or_else(|| missing("trace not found; only the latest are kept".to_owned()))?;
            Ok(enveloped(vec![jaeger::trace(&id, trace)]))
        }
        ["dependencies"] => Ok(enveloped(jaeger::dependencies(kept))),
        _ => Err(missing(format!("/api/{path} is not known here"))),
    }
}

fn page(path: &str, pages: &Pages) -> Result<Answer, Refused> {
    let page = pages.get(path).ok_or_else(|| (StatusCode::NOT_FOUND, format!("there is no {path}")))?;
    let mut sent = answer(StatusCode::OK, page.content_type, String::new());
    *sent.body_mut() = Full::new(page.bytes.clone());
    sent.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(sent)
}

/// Takes spans; answers as OTLP says.
async fn take(head: &Parts, body: Incoming, shared: &Shared) -> Result<Answer, Refused> {
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.split(';').next().map(str::trim) != Some(PROTOBUF) {
        let problem = format!("spans come as {PROTOBUF}, not as {content_type:?}");
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, problem));
    }
    let bytes_max = shared.limits.body_max_bytes;
    let too_long = || (StatusCode::PAYLOAD_TOO_LARGE, format!("more than body_max_bytes, which is {bytes_max}"));
    let read = tokio::time::timeout(shared.limits.read_timeout, Limited::new(body, bytes_max).collect()).await;
    let read = read.map_err(|_| (StatusCode::REQUEST_TIMEOUT, "the body took too long".to_owned()))?;
    let body = read
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                too_long()
            } else {
                (StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}"))
            }
        })?
        .to_bytes();
    let body = match inflated(&head.headers, body, bytes_max)? {
        Some(body) => body,
        None => return Err(too_long()),
    };
    let request = ExportTraceServiceRequest::decode(body)
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("no spans in OTLP: {error}")))?;
    let refused = shared.kept().add(request);
    let partial_success = (refused > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(refused).unwrap_or(i64::MAX),
        error_message: "spans without ids of 16 and 8 bytes".to_owned(),
    });
    let mut sent = answer(StatusCode::OK, PROTOBUF, String::new());
    *sent.body_mut() = Full::new(ExportTraceServiceResponse { partial_success }.encode_to_vec().into());
    Ok(sent)
}

/// A body as it was before it was compressed; none where that is too long.
fn inflated(headers: &HeaderMap, body: Bytes, bytes_max: usize) -> Result<Option<Bytes>, Refused> {
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(Some(body)),
        Some(b"gzip") => {
            let mut inflated = Vec::new();
            let mut reader = flate2::read::GzDecoder::new(&*body).take(bytes_max as u64 + 1);
            let read = reader.read_to_end(&mut inflated);
            let read = read.map_err(|error| (StatusCode::BAD_REQUEST, format!("no gzip: {error}")))?;
            Ok((read <= bytes_max).then(|| inflated.into()))
        }
        Some(other) => {
            let problem = format!("content-encoding {} is not known; gzip is", String::from_utf8_lossy(other));
            Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, problem))
        }
    }
}
