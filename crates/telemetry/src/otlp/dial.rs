//! Connections to a receiver.

use std::sync::Arc;

use base64::Engine;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::Protocol;

/// A connection, with or without TLS.
pub(super) type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// Opens connections to the address that it was made for.
pub(super) struct Dialer {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Host and port as they were written.
    pub(super) authority: String,
    pub(super) path: PathAndQuery,
    /// From `user:password@` in the address.
    pub(super) authorization: Option<HeaderValue>,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither the authorities, which are many, nor the password.
        f.debug_struct("Dialer").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Dialer {
    /// For `url`; opens no connection.
    ///
    /// # Errors
    /// For people: the address is none, or the system has no authorities to trust.
    pub(super) fn new(url: &str, protocol: Protocol) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| "its endpoint is not a URL".to_owned())?;
        let host = uri.host().ok_or("its endpoint has no host")?;
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let tls = if is_tls { Some((connector(protocol)?, server_name(&bare)?)) } else { None };
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let (user, authority) = authority.rsplit_once('@').map_or((None, authority), |(u, host)| (Some(u), host));
        Ok(Self {
            host: bare,
            port,
            tls,
            authority: authority.to_owned(),
            path: uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
            authorization: user.map(basic).transpose()?,
        })
    }

    pub(super) fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP }
    }

    pub(super) async fn connect(&self) -> std::io::Result<Stream> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Either::Left(stream),
            Some((connector, name)) => Either::Right(connector.connect(name.clone(), stream).await?),
        })
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is not a name that a certificate can be for"))
}

/// Trusts the system's authorities.
fn connector(protocol: Protocol) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("there is no authority to trust for https: install the system's certificates".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = match protocol {
        Protocol::Http => vec![b"http/1.1".to_vec()],
        Protocol::Grpc => vec![b"h2".to_vec()],
    };
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
    fn an_address_gives_where_to_dial_what_to_call_it_and_the_credentials_without_showing_them() {
        let dialer = Dialer::new("http://me:se%63ret@[::1]:4318/v1/traces", Protocol::Http).unwrap();
        assert_eq!((dialer.host.as_str(), dialer.port, dialer.authority.as_str()), ("::1", 4318, "[::1]:4318"));
        assert_eq!((dialer.path.as_str(), dialer.scheme()), ("/v1/traces", Scheme::HTTP));
        assert_eq!(dialer.authorization.as_ref().unwrap(), "Basic bWU6c2VjcmV0");
        assert!(!format!("{dialer:?}").contains("cret"));
        assert!(Dialer::new("/v1/traces", Protocol::Http).is_err());
    }
}
