//! One that sends to a receiver, and what its requests have in common whatever the protocol.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use nuncius_schemas::subjects::Signal;

use super::answer::{Answer, USER_AGENT};
use super::dial::Dialer;
use super::endpoint::{Endpoint, Protocol};

/// Sends messages to the one endpoint that it was made for.
#[derive(Debug)]
pub struct Sender {
    pub(super) signal: Signal,
    pub(super) dialer: Dialer,
    pub(super) protocol: Protocol,
    headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) gzip: bool,
}

impl Sender {
    /// For `endpoint`; opens no connection.
    ///
    /// # Errors
    /// For people: the address is none, a header cannot be sent, the system has no authorities to trust.
    pub fn new(endpoint: &Endpoint) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (key, value) in &endpoint.headers {
            let pair = (HeaderName::try_from(key.as_str()), HeaderValue::try_from(value.as_str()));
            let (Ok(name), Ok(mut value)) = pair else {
                return Err(format!("the header `{key}` is not one that can be sent"));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self {
            signal: endpoint.signal,
            dialer: Dialer::new(&endpoint.url, endpoint.protocol)?,
            protocol: endpoint.protocol,
            headers,
            timeout: endpoint.timeout,
            gzip: endpoint.gzip,
        })
    }

    /// Adds what every request says beside its protocol's own; the receiver's headers come last, and win.
    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if let Some(authorization) = &self.dialer.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        headers.extend(self.headers.clone());
    }
}

pub(super) type SendError = Box<dyn std::error::Error + Send + Sync>;

/// Drives a connection until there is an answer.
pub(super) async fn answered<E: Into<SendError>>(
    connection: impl Future<Output = Result<(), E>>,
    answer: impl Future<Output = Result<Answer, SendError>>,
) -> Result<Answer, SendError> {
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended.map_err(Into::into)?;
            answer.await
        }
    }
}

/// The message as gzip.
pub(super) fn compressed(message: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(message)?;
    encoder.finish()
}
