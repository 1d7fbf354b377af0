//! Spans, by OpenTelemetry's own exporter: what it would send over HTTP is taken from it, and leaves as everything
//! else.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::{Encoded, Encoding};

/// Spans tried in one message at first; where they are longer than it may be, half of them are.
const SPANS_TRIED: usize = 512;
/// Nothing is sent there.
const NOWHERE: &str = "http://out-box.invalid/v1/traces";

/// Makes messages of spans.
#[derive(Debug)]
pub(crate) struct SpanEncoder {
    exporter: OtlpExporter,
    written: Written,
}

/// The last body that the exporter has given away.
#[derive(Debug, Clone, Default)]
struct Written(Arc<Mutex<Option<Bytes>>>);

#[async_trait::async_trait]
impl HttpClient for Written {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.into_body());
        Ok(Response::new(Bytes::new()))
    }
}

impl SpanEncoder {
    /// For spans of a process with these attributes.
    ///
    /// # Errors
    /// The words of the exporter that could not be built.
    pub(crate) fn new(attributes: &[(String, String)]) -> Result<Self, String> {
        let written = Written::default();
        let mut exporter = OtlpExporter::builder()
            .with_http()
            .with_http_client(written.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(NOWHERE)
            .build()
            .map_err(|error| error.to_string())?;
        let attributes = attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        exporter.set_resource(&Resource::builder_empty().with_attributes(attributes).build());
        Ok(Self { exporter, written })
    }

    /// Messages of at most `limit_bytes`.
    pub(crate) fn encode(&self, mut spans: Vec<SpanData>, limit_bytes: usize) -> Encoding {
        let mut encoding = Encoding { messages: Vec::new(), too_long: 0 };
        while !spans.is_empty() {
            let rest = spans.split_off(spans.len().min(SPANS_TRIED));
            self.put(spans, limit_bytes, &mut encoding);
            spans = rest;
        }
        encoding
    }

    fn put(&self, mut spans: Vec<SpanData>, limit_bytes: usize, encoding: &mut Encoding) {
        let items = spans.len() as u64;
        // Only one that may have to be taken apart is kept.
        match self.message(if items > 1 { spans.clone() } else { std::mem::take(&mut spans) }) {
            Some(message) if message.len() <= limit_bytes => encoding.messages.push(Encoded { message, items }),
            Some(_) if items > 1 => {
                let second = spans.split_off(spans.len() / 2);
                self.put(spans, limit_bytes, encoding);
                self.put(second, limit_bytes, encoding);
            }
            Some(_) | None => encoding.too_long += items,
        }
    }

    /// One message of all of them.
    fn message(&self, spans: Vec<SpanData>) -> Option<Bytes> {
        // Nothing is waited for: it is written at once.
        let exported = self.exporter.export(spans).now_or_never()?;
        let written = self.written.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        exported.ok().and(written)
    }
}
