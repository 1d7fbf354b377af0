//! Connections of the general engine: TCP, or TLS on it, with a count of what came in.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use nuncius_schemas::metric::FailureKind;
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::http::response::HEAD_MAX_BYTES;
use crate::plan::HttpPlan;
use crate::run::EngineError;

/// How TLS peers are checked.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
}

/// Reads the authorities once for a group.
pub(crate) fn tls_config(group: u16, http: &HttpPlan) -> Result<Tls, EngineError> {
    let refuse = |problem: String| EngineError::Tls { group, problem };
    let mut roots = rustls::RootCertStore::empty();
    match http.tls.as_ref().and_then(|tls| tls.ca_pem.as_deref()) {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|error| refuse(format!("ca_pem cannot be read: {error}")))?;
                roots.add(certificate).map_err(|error| refuse(format!("ca_pem holds no authority: {error}")))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(refuse("no authority to trust: give ca_pem, or install certificates on the node".to_owned()));
    }
    let name = http.server_name.trim_end_matches('.').to_owned();
    let server_name = ServerName::try_from(name).map_err(|error| refuse(format!("server_name: {error}")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Tls { config: Arc::new(config), server_name })
}

/// An open connection on which nothing is asked at the moment.
pub(super) struct Client {
    pub(super) sender: SendRequest<Full<Bytes>>,
    pub(super) received: Rc<Cell<u64>>,
    pub(super) host: usize,
    pub(super) is_reused: bool,
}

/// Opens a connection; the task that drives it ends with it.
pub(super) async fn connect(
    address: SocketAddr,
    host: usize,
    tls: Option<&Tls>,
) -> Result<Client, (FailureKind, String)> {
    let failed = |error: io::Error| (FailureKind::Connect, format!("connect {address}: {error}"));
    let socket = TcpStream::connect(address).await.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    match tls {
        None => handshake(socket, address, host).await,
        Some(tls) => {
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&tls.config));
            let stream = connector
                .connect(tls.server_name.clone(), socket)
                .await
                .map_err(|error| (FailureKind::Tls, format!("tls {address}: {error}")))?;
            handshake(stream, address, host).await
        }
    }
}

async fn handshake<S>(stream: S, address: SocketAddr, host: usize) -> Result<Client, (FailureKind, String)>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let received = Rc::new(Cell::new(0));
    let counted = Counted { stream, received: Rc::clone(&received) };
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX_BYTES)
        .max_headers(128)
        .handshake(TokioIo::new(counted))
        .await
        .map_err(|error| (FailureKind::Connect, format!("connect {address}: {error}")))?;
    // Its error, if any, reaches the request that it is the error of.
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    Ok(Client { sender, received, host, is_reused: false })
}

/// Counts the bytes that came in.
struct Counted<S> {
    stream: S,
    received: Rc<Cell<u64>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(context, buffer);
        this.received.set(this.received.get() + (buffer.filled().len() - before) as u64);
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
