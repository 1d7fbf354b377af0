//! What `config` says of every request and every user.

use std::collections::BTreeMap;

use nuncius_schemas::spec::limits::VALUE_MAX_BYTES;
use nuncius_schemas::units::HumanDuration;

use super::state::{State, Sure};
use super::texts::Place;
use super::view::{View, shown};

/// How long a request may take in version 2 unless the file says otherwise, in seconds. Version 1 had 120.
pub const TIMEOUT_DEFAULT_S: f64 = 10.0;

/// Longest timeout that a specification takes, in seconds.
const TIMEOUT_MAX_S: f64 = 3_600.0;

/// Headers that the engine makes: a specification has none of them.
const MADE_BY_ENGINE: [&str; 7] =
    ["content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"];

/// What checks of answers do, where the plugin is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ExpectOptions {
    pub(crate) fails: bool,
    pub(crate) default_200: bool,
}

/// What `config` says of every request and every user.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) timeout: HumanDuration,
    pub(crate) timeout_s: f64,
    /// Connections of all users together; each has one of its own when absent.
    pub(crate) pool: Option<u32>,
    /// Whether a capture that finds nothing ends the user unless it says otherwise.
    pub(crate) strict_capture: bool,
    /// As it is written: milliseconds, or a share with `%`.
    pub(crate) jitter: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) cookie: BTreeMap<String, String>,
    /// Absent where the plugin is off.
    pub(crate) expect: Option<ExpectOptions>,
    pub(crate) extended_metrics: bool,
}

impl Config {
    /// What stands under `config.http`, `config.defaults` and `config.timeout`.
    pub(crate) fn read(state: &mut State<'_, '_>, config: &View<'_>) -> Self {
        let mut made = Self {
            strict_capture: true,
            timeout: HumanDuration::from_secs(TIMEOUT_DEFAULT_S as u64),
            timeout_s: TIMEOUT_DEFAULT_S,
            ..Self::default()
        };
        if let Some(http) = config.get("http").filter(|http| !http.is_nothing()) {
            made.http(state, &http);
        }
        if let Some(defaults) = config.get("defaults").filter(|defaults| !defaults.is_nothing()) {
            made.defaults(state, &defaults);
        }
        // It goes before that of `http`.
        let timeout = config.get("timeout").filter(|timeout| !timeout.is_nothing());
        if let Some(timeout) = &timeout {
            made.set_timeout(state, timeout);
        }
        if timeout.is_none() && config.get("http").is_none_or(|http| http.get("timeout").is_none()) {
            state.differs(
                "a request may take 10 s where the file does not say otherwise, as in version 2; version 1 let it take \
                 120 s",
            );
        }
        made
    }

    fn set_timeout(&mut self, state: &mut State<'_, '_>, view: &View<'_>) {
        let Some(seconds) = state.known_number(view) else { return };
        match super::human::nanoseconds(seconds).filter(|ns| *ns > 0 && seconds <= TIMEOUT_MAX_S) {
            Some(nanoseconds) => {
                self.timeout = HumanDuration(nanoseconds);
                self.timeout_s = seconds;
                let note = "here it is until the whole answer is there; there until its first byte";
                state.ledger.approximated(view.spot(), note);
            }
            None => {
                state.ledger.refused(view.spot(), format!("{seconds} s: give more than 0 and at most {TIMEOUT_MAX_S}"))
            }
        }
    }

    fn http(&mut self, state: &mut State<'_, '_>, http: &View<'_>) {
        const KNOWN: [&str; 7] =
            ["timeout", "maxSockets", "pool", "extendedMetrics", "distributedTracing", "defaults", "cookieJarOptions"];
        for (key, view) in http.entries() {
            match key {
                "timeout" => self.set_timeout(state, &view),
                "maxSockets" => {
                    let note = "version 2 takes no notice of it: each user has one connection; `pool` shares them";
                    state.ledger.approximated(view.spot(), note);
                }
                "pool" => {
                    let Some(size) = state.known_number(&view) else { continue };
                    self.pool = Some(size.clamp(1.0, 1e6) as u32);
                    state.ledger.approximated(view.spot(), "it is for each node here, and for each worker there");
                }
                "extendedMetrics" => {
                    self.extended_metrics = view.boolean().unwrap_or(false);
                    let note = "service, blocked and lag are always told apart; looking names up, connecting and TLS \
                                have no times of their own";
                    state.ledger.approximated(view.spot(), note);
                }
                "distributedTracing" => {
                    let note = "every sampled request has a `traceparent` already (`trace_ratio`); its trace ids have \
                                no prefix";
                    state.ledger.approximated(view.spot(), note);
                    for (key, inner) in view.entries() {
                        match key {
                            "enabled" | "sampled" | "traceIdPrefix" => state.ledger.approximated(inner.spot(), note),
                            other => {
                                state.ledger.unknown(inner.spot(), other, &["enabled", "sampled", "traceIdPrefix"]);
                            }
                        }
                    }
                }
                "defaults" => self.defaults(state, &view),
                "cookieJarOptions" => {
                    state.ledger.approximated(view.spot(), "cookies are kept as browsers keep them, by RFC 6265");
                }
                other => state.ledger.unknown(view.spot(), other, &KNOWN),
            }
        }
    }

    fn defaults(&mut self, state: &mut State<'_, '_>, defaults: &View<'_>) {
        const KNOWN: [&str; 4] = ["headers", "cookie", "strictCapture", "think"];
        state.ledger.supported(defaults.spot());
        for (key, view) in defaults.entries() {
            match key {
                "headers" => {
                    let headers = headers(state, &view, &Sure::default());
                    self.headers.extend(headers);
                }
                "cookie" => {
                    for (name, value) in view.entries() {
                        let value = state.text(&value, Place::Text, &Sure::default());
                        self.cookie.insert(name.to_owned(), value);
                    }
                    let note = "they are sent with every request; cookies that answers set are not sent beside them";
                    state.ledger.approximated(view.spot(), note);
                }
                "strictCapture" => {
                    // Only the word itself is one to Artillery.
                    self.strict_capture = !(view.boolean() == Some(false) && view.kind() == "true or false");
                    state.ledger.supported(view.spot());
                }
                "think" => {
                    for (key, inner) in view.entries() {
                        match key {
                            "jitter" => {
                                self.jitter = state.known(&inner);
                                state.ledger.supported(inner.spot());
                            }
                            other => state.ledger.unknown(inner.spot(), other, &["jitter"]),
                        }
                    }
                    state.ledger.supported(view.spot());
                }
                other => state.ledger.unknown(view.spot(), other, &KNOWN),
            }
        }
    }
}

/// Headers, without those that the engine makes. Of two that differ by case the later one counts.
pub(crate) fn headers(state: &mut State<'_, '_>, view: &View<'_>, sure: &Sure) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    if !view.is_map() {
        state.ledger.refused(view.spot(), format!("{} stands where a map of headers is wanted", view.kind()));
        return headers;
    }
    state.ledger.supported(view.spot());
    for (name, value) in view.entries() {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || name.len() > 256 || !name.bytes().all(is_token) {
            state.ledger.refused(value.spot(), format!("`{}` is no name of a header", shown(name)));
            continue;
        }
        if MADE_BY_ENGINE.contains(&name.to_ascii_lowercase().as_str()) {
            state.ledger.approximated(value.spot(), "the client makes it itself: it is left out");
            continue;
        }
        if value.is_map() || value.is_list() {
            state.ledger.refused(value.spot(), format!("{} stands where a text is wanted", value.kind()));
            continue;
        }
        let text = state.text(&value, Place::Text, sure);
        if text.len() > VALUE_MAX_BYTES {
            state.ledger.refused(value.spot(), format!("it has more than {VALUE_MAX_BYTES} bytes"));
            continue;
        }
        if text.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
            state.ledger.refused(value.spot(), "it holds ends of lines or other control characters");
            continue;
        }
        headers.retain(|known, _| !known.eq_ignore_ascii_case(name));
        headers.insert(name.to_owned(), text);
    }
    headers
}
