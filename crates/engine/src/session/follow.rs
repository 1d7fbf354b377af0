//! A request on its way to an answer, over redirects, with the cookies of its user.

use http::header::{LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use nuncius_clock::{monotonic_ns, unix_ms};
use nuncius_scenario::Origin;
use nuncius_schemas::metric::FailureKind;
use url::Url;

use super::send::Sending;
use super::shared::Buffers;
use super::state::Session;
use crate::failure::Failure;
use crate::http::outgoing::Outgoing;
use crate::http::received::{Received, Wanted};
use crate::http::redirect::{self, Change};
use crate::in_flight::ExchangeId;
use crate::program::render::Destination;
use crate::program::target::TargetPlan;
use crate::record::Recorder;

/// How an answer was come by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    pub(super) exchange: ExchangeId,
    /// Number of the target that gave it.
    pub(super) target: u32,
    /// When it was complete.
    pub(super) at_ns: u64,
    /// When the first request for it was written.
    pub(super) sent_ns: u64,
}

/// How a request is followed to its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Following {
    pub(super) step: u16,
    pub(super) timeout_ns: u64,
    /// Most redirects.
    pub(super) redirects: u32,
    pub(super) wanted: Wanted,
}

impl Session<'_> {
    /// Sends a request and follows where it is sent on to.
    pub(super) async fn follow(
        &self,
        exchange: ExchangeId,
        destination: Destination,
        following: Following,
        buffers: &mut Buffers,
    ) -> Result<Answered, Failure> {
        let Following { step, timeout_ns, redirects, wanted } = following;
        let mut number = self.shared.resolve(destination, FailureKind::Template).await?;
        let (mut hops, mut first_sent_ns) = (0, None);
        loop {
            let target = self.shared.target(number);
            let Some(target) = target else { return Err(Failure::new(FailureKind::Resolve, "no such target")) };
            if !target.is_http {
                let text = "the group's target is no server of HTTP: give the whole URL";
                return Err(Failure::new(FailureKind::Template, text));
            }
            self.add_cookies(&target, &mut buffers.outgoing);
            self.permit(exchange).await;
            let sending = Sending { exchange, step: Some(step), target: (number, &target), timeout_ns, wanted };
            let written_ns = self.send(sending, buffers).await?;
            let at_ns = monotonic_ns();
            let sent_ns = *first_sent_ns.get_or_insert(written_ns);
            self.keep_cookies(&target, buffers.outgoing.path(), &buffers.received);
            let answered = Answered { exchange, target: number, at_ns, sent_ns };
            let status = buffers.received.status();
            let Some(change) = redirect::change(status, buffers.outgoing.method()).filter(|_| redirects > 0) else {
                return Ok(answered);
            };
            if hops >= redirects {
                let text = format!("more than {redirects} redirects: the last one had status {status}");
                return Err(Failure::new(FailureKind::Status, text));
            }
            hops += 1;
            number = Box::pin(self.sent_on(&target, change, buffers)).await?;
            self.in_flight().count(self.iteration, step, Recorder::redirected);
        }
    }

    /// Makes the request that a redirect asks for; the number of the target that it goes to.
    async fn sent_on(&self, from: &TargetPlan, change: Change, buffers: &mut Buffers) -> Result<u32, Failure> {
        let refused = |text: String| Failure::new(FailureKind::Refused, text);
        let Buffers { outgoing, received } = buffers;
        let current = Url::parse(&format!("{}{}", from.origin, outgoing.path()));
        let current = current.map_err(|_| refused("the URL of the request cannot be read".to_owned()))?;
        let location = received.headers().get(LOCATION).map(HeaderValue::as_bytes);
        let next = redirect::location(&current, location).map_err(|error| refused(error.to_string()))?;
        let origin = next.origin().ascii_serialization();
        let is_elsewhere = origin != current.origin().ascii_serialization();
        // As it was written, the origin is known already.
        let origin = if is_elsewhere { origin } else { from.origin.clone() };
        let mut path = next.path().to_owned();
        if let Some(query) = next.query() {
            path.push('?');
            path.push_str(query);
        }
        outgoing.redirect(&path, change == Change::ToGet, is_elsewhere);
        self.shared.resolve(Destination::Origin(origin), FailureKind::Refused).await
    }

    pub(super) fn add_cookies(&self, target: &TargetPlan, outgoing: &mut Outgoing) {
        if !self.program.keeps_cookies {
            return;
        }
        let mut jar = self.user.jar.borrow_mut();
        // Whoever writes a `Cookie` of his own knows what he wants.
        if jar.is_empty() || outgoing.has_field("cookie") {
            return;
        }
        let mut value = String::new();
        let origin = origin_of(target, outgoing.path());
        if jar.header(&origin, unix_s(), &mut value) > 0 {
            outgoing.add("Cookie", &value);
        }
    }

    fn keep_cookies(&self, target: &TargetPlan, path: &str, received: &Received) {
        self.keep_cookies_of(target, path, received.headers());
    }

    /// Keeps the cookies that the headers of an answer set.
    pub(super) fn keep_cookies_of(&self, target: &TargetPlan, path: &str, headers: &HeaderMap) {
        if !self.program.keeps_cookies {
            return;
        }
        for value in headers.get_all(SET_COOKIE) {
            // One that is not to be kept is passed over, as browsers do.
            let _ = self.user.jar.borrow_mut().store(value.as_bytes(), &origin_of(target, path), unix_s());
        }
    }

    /// Where an answer came from.
    pub(super) fn url_of(&self, target: u32, outgoing: &Outgoing) -> String {
        self.shared.target(target).map_or_else(String::new, |target| format!("{}{}", target.origin, outgoing.path()))
    }
}

fn origin_of<'a>(target: &'a TargetPlan, path: &'a str) -> Origin<'a> {
    let path = path.split('?').next().unwrap_or_default();
    Origin { host: &target.host, path, is_secure: target.tls.is_some() }
}

fn unix_s() -> i64 {
    i64::try_from(unix_ms() / 1_000).unwrap_or(i64::MAX)
}
