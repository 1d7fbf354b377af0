//! Headers of a message, and the W3C trace context in them.

use std::borrow::Cow;
use std::sync::Arc;

use async_nats::HeaderMap;
use opentelemetry::propagation::{Extractor, Injector};

use crate::BusError;

/// Headers: names (case-sensitive) with one value each. Those of a received message, and those that were made
/// [`Headers::ready`], stay as they are until one of them is changed.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    own: Vec<(Cow<'static, str>, String)>,
    /// As on the wire; none of these is in `own`.
    wire: Option<Arc<HeaderMap>>,
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
        let (name, value) = (name.into(), value.into());
        if self.on_the_wire().any(|(have, _)| have == name) {
            self.take_over();
        }
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

    /// The same headers, written once for the many messages that are sent with clones of them.
    ///
    /// # Errors
    /// [`BusError::InvalidHeader`] for a name or a value that would break the wire format.
    pub fn ready(self) -> Result<Self, BusError> {
        Ok(Self::from_wire(self.to_wire()?))
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
        own.chain(self.on_the_wire())
    }

    fn on_the_wire(&self) -> impl Iterator<Item = (&str, &str)> {
        self.wire.iter().flat_map(|map| map.iter()).filter_map(|(name, values)| {
            let name: &str = name.as_ref();
            values.last().map(|value| (name, value.as_str()))
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Makes those that are as on the wire one's own, to be changed.
    fn take_over(&mut self) {
        let Some(wire) = self.wire.take() else { return };
        for (name, values) in wire.iter() {
            let name: &str = name.as_ref();
            if let Some(value) = values.last() {
                self.own.push((Cow::Owned(name.to_owned()), value.as_str().to_owned()));
            }
        }
    }

    /// Refuses what would break the wire format (async-nats panics on such names).
    pub(crate) fn to_wire(&self) -> Result<Option<HeaderMap>, BusError> {
        if self.is_empty() {
            return Ok(None);
        }
        let mut map = self.wire.as_deref().cloned().unwrap_or_default();
        for (name, value) in &self.own {
            write_header(&mut map, name, value)?;
        }
        Ok(Some(map))
    }

    /// Bytes that they take on the wire, with the line that begins them and the one that ends them.
    pub(crate) fn wire_bytes(&self) -> usize {
        // "NATS/1.0\r\n", "name: value\r\n" each, "\r\n".
        if self.is_empty() { 0 } else { 12 + self.iter().map(|(n, v)| n.len() + v.len() + 4).sum::<usize>() }
    }

    pub(crate) fn from_wire(map: Option<HeaderMap>) -> Self {
        Self { own: Vec::new(), wire: map.map(Arc::new) }
    }
}

/// Adds a header to those that are as on the wire.
///
/// # Errors
/// [`BusError::InvalidHeader`] where it would break the wire format.
pub(crate) fn write_header(map: &mut HeaderMap, name: &str, value: &str) -> Result<(), BusError> {
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    if !is_name || value.contains(['\r', '\n']) {
        return Err(BusError::InvalidHeader { name: name.escape_debug().take(80).collect() });
    }
    map.insert(name, value);
    Ok(())
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

    #[test]
    fn headers_that_are_ready_can_be_added_to_changed_and_taken_out() {
        assert!(Headers::new().with("X A", "1").ready().is_err());
        let ready = Headers::new().with("A", "1").with("B", "2").ready().unwrap();
        assert_eq!(ready, Headers::new().with("B", "2").with("A", "1"));
        let changed = ready.clone().with("C", "3").with("A", "4");
        assert_eq!(changed, Headers::new().with("A", "4").with("B", "2").with("C", "3"));
        let sent = Headers::from_wire(changed.to_wire().unwrap());
        assert_eq!((sent.get("A"), sent.get("B"), sent.get("C")), (Some("4"), Some("2"), Some("3")));
        let mut fewer = ready.clone();
        assert_eq!(fewer.remove("B").as_deref(), Some("2"));
        assert_eq!(fewer, Headers::new().with("A", "1"));
        // "NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n"
        assert_eq!((ready.wire_bytes(), Headers::new().wire_bytes()), (24, 0));
    }
}
