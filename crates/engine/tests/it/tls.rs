//! The general client over TLS: the authority and the name of the specification are what counts.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::support::{Client, Run};
use nuncius_engine::FinishReason;
use nuncius_schemas::metric::FailureKind;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const AUTHORITY: &str = include_str!("tls/authority.pem");

/// Answers every request on a TLS connection; ends with the process.
fn start_server() -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_slice(include_bytes!("tls/server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server.key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(socket).await else { return };
                    let mut buffer = [0u8; 4096];
                    while matches!(stream.read(&mut buffer).await, Ok(1..)) {
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                        stream.flush().await.unwrap();
                    }
                });
            }
        });
    });
    address
}

fn group(address: SocketAddr, tls: &str) -> String {
    format!(r#""target": "https://{address}/", "rate": "200/s", "iterations": 20, "tls": {tls}"#)
}

#[test]
fn a_peer_with_the_expected_name_and_authority_is_answered() {
    let address = start_server();
    let pem = AUTHORITY.replace('\n', "\\n");
    let tls = format!(r#"{{"ca_pem": "{pem}", "server_name": "shop.test"}}"#);
    let outcome = Run::new(Client::Plain, address, &group(address, &tls)).go();
    let step = outcome.step();
    assert_eq!((step.succeeded, step.lag.count(), step.response.count()), (20, 20, 20), "{:?}", step.failures);
    assert_eq!(outcome.reasons, [FinishReason::ScheduleEnded]);
}

#[test]
fn a_peer_with_another_name_is_a_tls_failure() {
    let address = start_server();
    let pem = AUTHORITY.replace('\n', "\\n");
    let tls = format!(r#"{{"ca_pem": "{pem}", "server_name": "bank.test"}}"#);
    let outcome = Run::new(Client::Plain, address, &group(address, &tls)).go();
    let step = outcome.step();
    assert_eq!((step.failed, step.sent), (20, 0));
    assert!(step.failures.iter().all(|failure| failure.kind == FailureKind::Tls), "{:?}", step.failures);
}

#[test]
fn an_authority_that_cannot_be_read_is_refused_at_the_start() {
    let address = start_server();
    let run = Run::new(Client::Plain, address, &group(address, r#"{"ca_pem": "nonsense"}"#));
    let (sink, _messages) = std::sync::mpsc::sync_channel(1);
    let error =
        nuncius_engine::spawn_group(run.plan().unwrap(), run.options, nuncius_engine::Control::new(), sink, None);
    assert!(error.unwrap_err().to_string().starts_with("groups[0].tls: "));
}
