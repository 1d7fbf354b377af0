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

use crate::connect;
use crate::http::response::HEAD_MAX_BYTES;
use crate::plan::{Host, HttpPlan};
use crate::run::EngineError;
use crate::trouble::Trouble;

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
    match http.tls.as_ref().and_then(|tls| tls.ca.as_deref()) {
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
    pub(super) traffic: Rc<Cell<Traffic>>,
    pub(super) host: usize,
    pub(super) is_reused: bool,
}

/// Opens a connection; the task that drives it ends with it.
pub(super) async fn connect(target: &Host, host: usize, tls: Option<&Tls>) -> Result<Client, Trouble> {
    let socket = connect::connect(target).await?;
    let address = socket.peer_addr().unwrap_or(target.address);
    match tls {
        None => handshake(socket, address, host).await,
        Some(tls) => {
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&tls.config));
            let stream = connector
                .connect(tls.server_name.clone(), socket)
                .await
                .map_err(|error| Trouble::of_error(FailureKind::Tls, format_args!("tls {address}"), &error))?;
            handshake(stream, address, host).await
        }
    }
}

async fn handshake<S>(stream: S, address: SocketAddr, host: usize) -> Result<Client, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let traffic = Rc::new(Cell::new(Traffic::default()));
    let counted = Counted { stream, traffic: Rc::clone(&traffic) };
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX_BYTES)
        .max_headers(128)
        .handshake(TokioIo::new(counted))
        .await
        .map_err(|error| Trouble::target(FailureKind::Connect, format!("connect {address}: {error}")))?;
    // Its error, if any, reaches the request that it is the error of.
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    Ok(Client { sender, traffic, host, is_reused: false })
}

/// Bytes of a connection so far, those of HTTP itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) written: u64,
    pub(super) read: u64,
}

/// Counts what goes out and comes in.
struct Counted<S> {
    stream: S,
    traffic: Rc<Cell<Traffic>>,
}

impl<S> Counted<S> {
    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = result {
            let traffic = self.traffic.get();
            self.traffic.set(Traffic { written: traffic.written + *bytes as u64, ..traffic });
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(context, buffer);
        let traffic = this.traffic.get();
        let read = traffic.read + (buffer.filled().len() - before) as u64;
        this.traffic.set(Traffic { read, ..traffic });
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.wrote(&result);
        result
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
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
        this.wrote(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
