//! Headers of a message, and the W3C trace context in them.

use std::borrow::Cow;

use opentelemetry::propagation::{Extractor, Injector};

use crate::BusError;

/// Headers: names (case-sensitive) with one value each. Those of a received message stay as they came until they are
/// changed.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    own: Vec<(Cow<'static, str>, String)>,
    received: Option<async_nats::HeaderMap>,
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        let sorted = |headers: &Self| {
            let mut pairs: Vec<(String, String)> =
                headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            pairs.sort();
            pairs
        };
        sorted(self) == sorted(other)
    }
}

impl Eq for Headers {}

impl Headers {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of `name`, whose case counts.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(have, _)| *have == name).map(|(_, value)| value)
    }

    /// Sets `name`, replacing what it had.
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.take_over();
        let (name, value) = (name.into(), value.into());
        match self.own.iter_mut().find(|(have, _)| *have == name) {
            Some(pair) => pair.1 = value,
            None => self.own.push((name, value)),
        }
    }

    /// The same, for building in one expression.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.insert(name, value);
        self
    }

    /// Takes `name` out.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.take_over();
        let at = self.own.iter().position(|(have, _)| have == name)?;
        Some(self.own.remove(at).1)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.own.iter().map(|(name, value)| (name.as_ref(), value.as_str()));
        let received = self.received.iter().flat_map(async_nats::HeaderMap::iter).filter_map(|(name, values)| {
            let name: &str = name.as_ref();
            values.last().map(|value| (name, value.as_str()))
        });
        own.chain(received)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Makes those that were received one's own, to be changed.
    fn take_over(&mut self) {
        let Some(received) = self.received.take() else { return };
        for (name, values) in received.iter() {
            let name: &str = name.as_ref();
            if let Some(value) = values.last() {
                self.own.push((Cow::Owned(name.to_owned()), value.as_str().to_owned()));
            }
        }
    }

    /// Refuses what would break the wire format (async-nats panics on such names).
    pub(crate) fn to_wire(&self) -> Result<Option<async_nats::HeaderMap>, BusError> {
        if self.is_empty() {
            return Ok(None);
        }
        let mut map = self.received.clone().unwrap_or_default();
        for (name, value) in &self.own {
            let name_fine = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
            if !name_fine || value.contains(['\r', '\n']) {
                return Err(BusError::InvalidHeader { name: name.escape_debug().take(80).collect() });
            }
            map.insert(name.as_ref(), value.as_str());
        }
        Ok(Some(map))
    }

    pub(crate) fn from_wire(map: Option<async_nats::HeaderMap>) -> Self {
        Self { own: Vec::new(), received: map }
    }
}

impl<N: Into<Cow<'static, str>>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(pairs: T) -> Self {
        let mut headers = Self::new();
        for (name, value) in pairs {
            headers.insert(name, value);
        }
        headers
    }
}

impl Injector for Headers {
    fn set(&mut self, key: &str, value: String) {
        self.insert(key.to_ascii_lowercase(), value);
    }
}

impl Extractor for Headers {
    fn get(&self, key: &str) -> Option<&str> {
        Headers::get(self, key)
            .or_else(|| self.iter().find(|(have, _)| have.eq_ignore_ascii_case(key)).map(|(_, value)| value))
    }

    fn keys(&self) -> Vec<&str> {
        self.iter().map(|(name, _)| name).collect()
    }
}

/// Writes the context of the current tracing span, with the global propagator.
pub fn inject_current(headers: &mut Headers) {
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    inject(&tracing::Span::current().context(), headers);
}

/// Writes `context` with the global propagator: lower-case `traceparent`, `tracestate`.
pub fn inject(context: &opentelemetry::Context, headers: &mut Headers) {
    opentelemetry::global::get_text_map_propagator(|propagator| propagator.inject_context(context, headers));
}

/// The context in the headers, with the global propagator; empty where there is none.
pub fn extract(headers: &Headers) -> opentelemetry::Context {
    opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_would_break_the_wire_is_refused() {
        assert!(Headers::new().with("X-A", "1\r\nNats-TTL: 1").to_wire().is_err());
        assert!(Headers::new().with("X A", "1").to_wire().is_err());
        assert!(Headers::new().with("X:A", "1").to_wire().is_err());
        let fine = Headers::new().with("X-A", "1").with("x-a", "ü");
        assert_eq!(Headers::from_wire(fine.to_wire().unwrap()).get("x-a"), Some("ü"));
    }
}
