//! The HTTP client of the exporter: one request over one connection, which is enough for a batch twice a second.

use std::sync::Arc;

use base64::Engine;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Most of an answer that is read: it holds an error message at most.
const ANSWER_MAX_BYTES: usize = 4 << 20;

/// Sends the exporter's requests to the one endpoint it was made for.
pub(crate) struct Client {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// From `user:password@` in the endpoint.
    authorization: Option<HeaderValue>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither the authorities, which are many, nor the password.
        f.debug_struct("Client").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Client {
    /// For `endpoint`; opens no connection.
    ///
    /// # Errors
    /// For people: the endpoint is no address, or the system has no authorities to trust.
    pub(crate) fn new(endpoint: &str) -> Result<Self, String> {
        let uri: Uri = endpoint.parse().map_err(|_| "its endpoint is not a URL".to_owned())?;
        let host = uri.host().ok_or("its endpoint has no host")?.to_owned();
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = uri.scheme_str() == Some("https");
        let tls = if is_tls { Some((connector()?, server_name(&bare)?)) } else { None };
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let authorization = uri
            .authority()
            .and_then(|authority| authority.as_str().rsplit_once('@'))
            .map(|(user, _)| basic(user))
            .transpose()?;
        Ok(Self { host: bare, port, tls, authorization })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let request = self.in_origin_form(request)?;
        match &self.tls {
            None => exchange(stream, request).await,
            Some((connector, name)) => exchange(connector.connect(name.clone(), stream).await?, request).await,
        }
    }

    /// The request as it goes over a connection: the path alone, and the host as a header (RFC 9112, 3.2.1).
    fn in_origin_form(&self, request: Request<Bytes>) -> Result<Request<Full<Bytes>>, HttpError> {
        let (mut parts, body) = request.into_parts();
        let authority = parts.uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        parts.headers.insert(header::HOST, HeaderValue::from_str(host)?);
        if let Some(authorization) = &self.authorization {
            parts.headers.entry(header::AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
        parts.uri = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).parse()?;
        Ok(Request::from_parts(parts, Full::new(body)))
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.send(request).await
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, HttpError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await?.to_bytes();
        Ok(Response::from_parts(parts, body))
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended?;
            answer.await
        }
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is not a name that a certificate can be for"))
}

/// Trusts the system's authorities.
fn connector() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("there is no authority to trust for https: install the system's certificates".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// `user:password` as the credentials of RFC 7617.
fn basic(user: &str) -> Result<HeaderValue, String> {
    let text = percent_encoding::percent_decode_str(user).collect::<Vec<u8>>();
    let text = if text.contains(&b':') { text } else { [text, b":".to_vec()].concat() };
    let mut value = HeaderValue::try_from(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text)))
        .map_err(|error| error.to_string())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_out_in_origin_form_with_its_host_and_the_credentials_of_the_endpoint() {
        let endpoint = "http://me:se%63ret@[::1]:4318/v1/traces";
        let client = Client::new(endpoint).unwrap();
        assert_eq!((client.host.as_str(), client.port), ("::1", 4318));
        let request = Request::post(endpoint).body(Bytes::new()).unwrap();
        let request = client.in_origin_form(request).unwrap();
        assert_eq!(request.uri(), "/v1/traces");
        assert_eq!(request.headers()[header::HOST], "[::1]:4318");
        assert_eq!(request.headers()[header::AUTHORIZATION], "Basic bWU6c2VjcmV0");
        assert!(!format!("{client:?}").contains("cret"));
    }
}
