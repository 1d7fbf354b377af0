//! One request: what it asks for, how long it takes, what it is answered.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version};
use nuncius_schemas::units::HumanDuration;
use nuncius_serve::sites;
use tokio::sync::Notify;

use super::coding::{gzip, wants_gzip};
use super::config::{MAX_REQUEST_BODY_BYTES, StubConfig};
use super::counters::{Counters, Kind, StubStats, Up};
use super::line::{Line, Turn};
use super::service_time::{ERROR_STREAM, uniform};
use super::site::Place;
use crate::spans;
use crate::timer::{Timer, lock};

/// Most of a request's body that decides about its answer, in bytes.
const KEPT_MAX_BYTES: usize = 64 * 1024;

/// What every connection of a stub shares.
pub(crate) struct Stub {
    pub(crate) config: StubConfig,
    /// The clock that stands while the stub is frozen; service times run on it.
    pub(crate) clock: Timer,
    /// The clock that never stands; freezes run on it.
    pub(crate) wall: Timer,
    /// The lock is never taken by a request that has nothing to wait for.
    pub(crate) line: Mutex<Standing>,
    /// Written under the lock of `line`, read without.
    pub(crate) frozen: AtomicBool,
    pub(crate) freeze_changed: Notify,
    pub(crate) counters: Counters,
    body: Bytes,
    /// The same compressed, once somebody has asked for that.
    compressed_body: OnceLock<Bytes>,
}

/// The queue, and until when the stub stands still.
pub(crate) struct Standing {
    pub(crate) queue: Line,
    pub(crate) frozen_until_ns: Option<u64>,
}

impl std::fmt::Debug for Stub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stub").field("config", &self.config).field("counters", &self.counters).finish_non_exhaustive()
    }
}

/// What a path asks for beside the ordinary.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Ordinary,
    Status(StatusCode),
    Delay { delay_ns: u64 },
    Site(Place),
    Control,
    Wrong(String),
}

fn asked(method: &Method, path: &str) -> Asked {
    if let Some(place) = Place::of(method, path) {
        return Asked::Site(place);
    }
    if path.starts_with("/.stub/") {
        return Asked::Control;
    }
    if let Some(text) = path.strip_prefix("/status/") {
        return match text.parse::<u16>().ok().filter(|code| (200..600).contains(code)).map(StatusCode::from_u16) {
            Some(Ok(status)) => Asked::Status(status),
            _ => Asked::Wrong(format!("`{text}` is no status; write 200 to 599, as in /status/404\n")),
        };
    }
    if let Some(text) = path.strip_prefix("/delay/") {
        return match text.parse::<HumanDuration>() {
            Ok(delay) if delay.to_std() <= Duration::from_secs(86_400) => Asked::Delay { delay_ns: delay.as_nanos() },
            Ok(_) => Asked::Wrong(format!("the delay `{text}` is above the limit of 24h\n")),
            Err(error) => Asked::Wrong(format!("{error}\n")),
        };
    }
    Asked::Ordinary
}

impl Stub {
    pub(crate) fn new(config: StubConfig) -> io::Result<Self> {
        let mut body = b"ok\n".to_vec();
        body.resize(config.body_bytes, b'.');
        Ok(Self {
            clock: Timer::new()?,
            wall: Timer::new()?,
            line: Mutex::new(Standing { queue: Line::new(config.concurrency, config.queue), frozen_until_ns: None }),
            frozen: AtomicBool::new(false),
            freeze_changed: Notify::new(),
            counters: Counters::default(),
            body: Bytes::from(body),
            compressed_body: OnceLock::new(),
            config,
        })
    }

    /// Answers one request; never fails, whatever was sent.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let mut span = spans::of_request(&head, None);
        let response = self.respond(&head, body).await;
        spans::answered(&mut span, response.status().as_u16());
        response
    }

    async fn respond(&self, head: &Parts, body: Incoming) -> Response<Full<Bytes>> {
        let asked = asked(&head.method, head.uri.path());
        let mut sent = Vec::new();
        if !body.is_end_stream() {
            let keeps = matches!(asked, Asked::Site(place) if place.wants_body());
            if let Err(refusal) = self.swallow(body, keeps.then_some(&mut sent)).await {
                self.counters.rejected.fetch_add(1, Ordering::Relaxed);
                return refusal;
            }
        }
        let (status, place, delay_ns) = match asked {
            Asked::Ordinary => (None, None, 0),
            Asked::Status(status) => {
                self.counters.count(Kind::Status);
                (Some(status), None, 0)
            }
            Asked::Delay { delay_ns } => {
                self.counters.count(Kind::Delay);
                (None, None, delay_ns)
            }
            Asked::Site(place) => {
                self.counters.count(place.kind());
                (None, Some(place), 0)
            }
            Asked::Control => {
                let changes = head.method != Method::GET;
                if let Some(reason) = sites::foreign(&head.headers, changes, &self.config.allowed_hosts) {
                    self.counters.rejected.fetch_add(1, Ordering::Relaxed);
                    return text(StatusCode::FORBIDDEN, format!("refused for another site: {reason}\n"));
                }
                return self.control(&head.method, head.uri.path(), head.uri.query());
            }
            Asked::Wrong(problem) => {
                self.counters.rejected.fetch_add(1, Ordering::Relaxed);
                return text(StatusCode::BAD_REQUEST, problem);
            }
        };
        // This is the arrival: the whole request has been read.
        let number = self.counters.requests.fetch_add(1, Ordering::Relaxed);
        if head.version == Version::HTTP_2 {
            self.counters.http2.fetch_add(1, Ordering::Relaxed);
        }
        let service_ns = self.config.service_time.sample_ns(self.config.seed, number).saturating_add(delay_ns);
        if !self.serve(number, service_ns).await {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return text(StatusCode::SERVICE_UNAVAILABLE, "the waiting room is full\n");
        }
        let fails = status.is_none()
            && self.config.error_rate > 0.0
            && uniform(self.config.seed, number, ERROR_STREAM) < self.config.error_rate;
        if fails {
            self.counters.errors.fetch_add(1, Ordering::Relaxed);
            return text(StatusCode::INTERNAL_SERVER_ERROR, "a seeded error\n");
        }
        self.counters.answered.fetch_add(1, Ordering::Relaxed);
        let wants_gzip = wants_gzip(&head.headers);
        let Some(place) = place else {
            let status = status.unwrap_or(StatusCode::OK);
            if !wants_gzip || !may_have_body(status) {
                return text(status, self.body.clone());
            }
            self.counters.compressed.fetch_add(1, Ordering::Relaxed);
            return compressed(text(status, self.compressed_body.get_or_init(|| gzip(&self.body)).clone()));
        };
        let answer = self.answer_of(place, number, head, &sent);
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.counters.unauthorized.fetch_add(1, Ordering::Relaxed);
        }
        if !wants_gzip || answer.body().is_empty() {
            return answer.map(Full::new);
        }
        self.counters.compressed.fetch_add(1, Ordering::Relaxed);
        compressed(answer.map(|body| Full::new(gzip(&body))))
    }

    /// Waits for a slot and holds it; false when there is no room to wait in.
    async fn serve(&self, number: u64, service_ns: u64) -> bool {
        let unlimited = self.config.concurrency.is_none();
        if unlimited && !self.frozen.load(Ordering::Acquire) {
            if service_ns > 0 {
                let _up = Up::on(&self.counters.unlimited_in_service);
                // An error would mean that the timer is gone, and with it the stub.
                let _ = self.clock.at(self.clock.now_ns().saturating_add(service_ns)).await;
            }
            return true;
        }
        let turn = {
            let mut line = lock(&self.line);
            if line.frozen_until_ns.is_some() {
                Err(line.queue.hold(number, service_ns))
            } else {
                Ok(line.queue.admit(self.clock.now_ns(), service_ns))
            }
        };
        let turn = match turn {
            Ok(turn) => turn,
            Err(held) => match held.await {
                Ok(turn) => turn,
                // The stub is being dropped.
                Err(_) => return false,
            },
        };
        match turn {
            Turn::Refused => false,
            Turn::Due { end_ns } => {
                let _up = unlimited.then(|| Up::on(&self.counters.unlimited_in_service));
                // Without a service time a thawed request is due already; it must not wait for a timer's turn.
                if service_ns > 0 || self.clock.now_ns() < end_ns {
                    let _ = self.clock.at(end_ns).await;
                }
                true
            }
        }
    }

    /// Reads a body and forgets it, but for what there is to be kept of it.
    async fn swallow(&self, mut body: Incoming, mut kept: Option<&mut Vec<u8>>) -> Result<(), Response<Full<Bytes>>> {
        let too_long = || {
            closing(text(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is above the limit of {MAX_REQUEST_BODY_BYTES} bytes\n"),
            ))
        };
        if body.size_hint().lower() > MAX_REQUEST_BODY_BYTES {
            return Err(too_long());
        }
        let read = async {
            let mut length_bytes = 0u64;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else {
                    return Err(closing(text(StatusCode::BAD_REQUEST, "the body could not be read\n")));
                };
                length_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if length_bytes > MAX_REQUEST_BODY_BYTES {
                    return Err(too_long());
                }
                if let (Some(kept), Some(data)) = (&mut kept, frame.data_ref()) {
                    let room = KEPT_MAX_BYTES.saturating_sub(kept.len());
                    kept.extend(data.iter().take(room));
                }
            }
            Ok(())
        };
        match tokio::time::timeout(self.config.read_timeout, read).await {
            Ok(result) => result,
            Err(_) => Err(closing(text(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body took longer than {:?}\n", self.config.read_timeout),
            ))),
        }
    }

    fn control(&self, method: &Method, path: &str, query: Option<&str>) -> Response<Full<Bytes>> {
        match (method, path) {
            (&Method::GET, "/.stub/stats") => {}
            (&Method::POST, "/.stub/thaw") => self.thaw(),
            (&Method::POST, "/.stub/freeze") => match freeze_query(query.unwrap_or("")) {
                Ok(duration) => self.freeze_for(duration),
                Err(problem) => {
                    self.counters.rejected.fetch_add(1, Ordering::Relaxed);
                    return text(StatusCode::BAD_REQUEST, problem);
                }
            },
            _ => {
                self.counters.rejected.fetch_add(1, Ordering::Relaxed);
                let known = "try GET /.stub/stats, POST /.stub/freeze?for=2s or POST /.stub/thaw\n";
                return text(StatusCode::NOT_FOUND, known);
            }
        }
        let json = serde_json::to_vec(&self.stats()).unwrap_or_default();
        let mut response = Response::new(Full::new(Bytes::from(json)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    /// What the stub has done so far.
    pub(crate) fn stats(&self) -> StubStats {
        let levels = lock(&self.line).queue.levels(self.clock.now_ns());
        let counters = &self.counters;
        let (unlimited, unlimited_most) = counters.unlimited_in_service.read();
        let (connections, connections_most) = counters.connections.read();
        StubStats {
            requests: counters.requests.load(Ordering::Relaxed),
            answered: counters.answered.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
            errors: counters.errors.load(Ordering::Relaxed),
            rejected: counters.rejected.load(Ordering::Relaxed),
            in_service: levels.in_service.max(unlimited),
            in_service_most: levels.in_service_most.max(unlimited_most),
            waiting: levels.waiting,
            waiting_most: levels.waiting_most,
            held: levels.held,
            connections,
            connections_most,
            connections_accepted: counters.connections_accepted.load(Ordering::Relaxed),
            connections_refused: counters.connections_refused.load(Ordering::Relaxed),
            frozen: self.frozen.load(Ordering::Acquire),
            paths: counters.paths(),
            unauthorized: counters.unauthorized.load(Ordering::Relaxed),
            compressed: counters.compressed.load(Ordering::Relaxed),
            http2: counters.http2.load(Ordering::Relaxed),
        }
    }
}

/// The duration of `for=2s`; `None` when the query is empty.
fn freeze_query(query: &str) -> Result<Option<Duration>, String> {
    if query.is_empty() {
        return Ok(None);
    }
    let text = query.strip_prefix("for=").ok_or_else(|| format!("`{query}` is unknown; write ?for=2s\n"))?;
    text.parse::<HumanDuration>().map(|duration| Some(duration.to_std())).map_err(|error| format!("{error}\n"))
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// Whether an answer of this status may have a body (RFC 9110, section 6.4.1).
fn may_have_body(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn compressed(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

fn closing(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
