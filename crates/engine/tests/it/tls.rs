//! The general client over TLS: whom the specification trusts, who it says we are, and what is said when that fails.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::support::{Client, Outcome, Run};
use nuncius_engine::FinishReason;
use nuncius_schemas::metric::FailureKind;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const AUTHORITY: &str = include_str!("tls/authority.pem");
/// Made by `openssl req -x509 -nodes -subj /CN=localhost`: a certificate of an authority that names no host.
const SELF_SIGNED: &str = include_str!("tls/self_signed.pem");

/// A certificate with its key, both PEM.
struct Identity {
    certificate: String,
    key: String,
}

impl Identity {
    fn committed() -> Self {
        let key = include_str!("tls/server.key.pem").to_owned();
        Self { certificate: include_str!("tls/server.pem").to_owned(), key }
    }

    fn by_openssl() -> Self {
        Self { certificate: SELF_SIGNED.to_owned(), key: include_str!("tls/self_signed.key.pem").to_owned() }
    }

    /// Self-signed, for these names, valid between these years.
    fn self_signed(names: &[&str], years: (i32, i32)) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// An authority for clients, and one that it has signed.
fn client_identity() -> (String, Identity) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "clients");
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let mut client = CertificateParams::new(vec!["node.test".to_owned()]).unwrap();
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client_key = KeyPair::generate().unwrap();
    let certificate = client.signed_by(&client_key, &issuer).unwrap().pem();
    (authority, Identity { certificate, key: client_key.serialize_pem() })
}

/// What a server asks of its clients.
#[derive(Default)]
struct Demands {
    /// Authority of the certificates that clients must have.
    clients: Option<String>,
    /// No version after 1.2.
    only_1_2: bool,
}

fn start_server() -> SocketAddr {
    start(&Identity::committed(), Demands::default())
}

/// Answers every request on a TLS connection; ends with the process.
fn start(identity: &Identity, demands: Demands) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = match demands.only_1_2 {
        true => builder.with_protocol_versions(&[&rustls::version::TLS12]).unwrap(),
        false => builder.with_safe_default_protocol_versions().unwrap(),
    };
    let builder = match demands.clients {
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
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

/// Runs a group against a server with these options.
fn go(address: SocketAddr, options: &[(&str, &str)]) -> Outcome {
    let options: serde_json::Map<String, serde_json::Value> = options
        .iter()
        .map(|(name, value)| {
            let value = if *value == "false" { serde_json::Value::Bool(false) } else { (*value).into() };
            ((*name).to_owned(), value)
        })
        .collect();
    let tls = serde_json::to_string(&options).unwrap();
    Run::new(Client::Plain, address, &group(address, &tls)).go()
}

/// What the first failure of a run says, all of which are of TLS.
fn said(outcome: &Outcome) -> String {
    let step = outcome.step();
    assert_eq!((step.failed, step.succeeded), (20, 0), "{:?}", step.failures);
    assert!(step.failures.iter().all(|failure| failure.kind == FailureKind::Tls), "{:?}", step.failures);
    let text = step.failures.iter().find_map(|failure| failure.sample.clone()).unwrap();
    let library = ["InvalidCertificate", "OtherError", "AlertReceived", "(UNIX)", "rustls"];
    assert!(!library.iter().any(|word| text.contains(word)), "{text}");
    text
}

#[test]
fn the_certificate_that_openssl_makes_is_trusted_when_it_is_given_and_explained_when_it_is_not() {
    let address = start(&Identity::by_openssl(), Demands::default());
    assert_eq!(go(address, &[("ca", SELF_SIGNED)]).step().succeeded, 20);
    let other = Identity::self_signed(&["other.test"], (2020, 2100)).certificate;
    let text = said(&go(address, &[("ca", &other)]));
    assert!(text.contains("is self-signed: give it as tls.ca, or set tls.verify: false"), "{text}");
}

#[test]
fn a_self_signed_certificate_that_is_given_is_still_held_to_its_name_and_its_time() {
    let right = Identity::self_signed(&["shop.test"], (2020, 2100));
    let address = start(&right, Demands::default());
    let ca = ("ca", right.certificate.as_str());
    assert_eq!(go(address, &[ca, ("server_name", "shop.test")]).step().succeeded, 20);
    let text = said(&go(address, &[ca, ("server_name", "bank.test")]));
    assert!(text.contains("is for shop.test, not bank.test"), "{text}");
    let expired = Identity::self_signed(&["shop.test"], (2001, 2002));
    let address = start(&expired, Demands::default());
    let text = said(&go(address, &[("ca", &expired.certificate), ("server_name", "shop.test")]));
    assert!(text.contains("has expired on 2002-01-01 00:00:00 UTC"), "{text}");
    let early = Identity::self_signed(&["shop.test"], (2099, 2100));
    let address = start(&early, Demands::default());
    let text = said(&go(address, &[("ca", &early.certificate), ("server_name", "shop.test")]));
    assert!(text.contains("valid from 2099-01-01 00:00:00 UTC on only"), "{text}");
}

#[test]
fn a_peer_of_an_authority_that_is_not_trusted_is_told_from_a_self_signed_one() {
    let text = said(&go(start_server(), &[("ca", SELF_SIGNED), ("server_name", "shop.test")]));
    assert!(text.contains("authority that is not trusted") && text.contains("tls.ca"), "{text}");
}

#[test]
fn without_verification_every_certificate_will_do() {
    let expired = Identity::self_signed(&["other.test"], (2001, 2002));
    for identity in [expired, Identity::by_openssl(), Identity::committed()] {
        let address = start(&identity, Demands::default());
        assert_eq!(go(address, &[("verify", "false")]).step().succeeded, 20);
        let demands = Demands { only_1_2: true, ..Demands::default() };
        assert_eq!(go(start(&identity, demands), &[("verify", "false")]).step().succeeded, 20);
    }
}

#[test]
fn a_server_that_speaks_tls_1_2_alone_is_answered() {
    let address = start(&Identity::committed(), Demands { only_1_2: true, ..Demands::default() });
    assert_eq!(go(address, &[("ca", AUTHORITY), ("server_name", "shop.test")]).step().succeeded, 20);
}

#[test]
fn a_server_that_wants_a_client_certificate_gets_it_or_the_failure_says_that_it_wants_one() {
    for only_1_2 in [false, true] {
        let (clients, node) = client_identity();
        let address = start(&Identity::committed(), Demands { clients: Some(clients), only_1_2 });
        let server = [("ca", AUTHORITY), ("server_name", "shop.test")];
        let with = |identity: &Identity| {
            let own = [("cert", identity.certificate.as_str()), ("key", identity.key.as_str())];
            go(address, &[server, own].concat())
        };
        assert_eq!(with(&node).step().succeeded, 20, "only 1.2: {only_1_2}");
        let text = said(&go(address, &server));
        assert!(text.contains("client certificate") && text.contains("tls.cert"), "{text}");
        let (_, stranger) = client_identity();
        let text = said(&with(&stranger));
        assert!(text.contains("client certificate (tls.cert)"), "{text}");
    }
}

#[test]
fn a_server_without_tls_is_named_as_one() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut socket in listener.incoming().flatten() {
            let _ = socket.read(&mut [0; 512]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let text = said(&go(plain, &[("verify", "false")]));
    assert!(text.contains("not TLS") && text.contains("http://"), "{text}");
}

#[test]
fn what_is_no_certificate_or_no_key_is_refused_at_the_start_by_its_field_and_never_shown() {
    let good = Identity::self_signed(&["shop.test"], (2020, 2100));
    let other = Identity::self_signed(&["shop.test"], (2020, 2100));
    for (options, field) in [
        (vec![("ca", "-----BEGIN NOTHING-----")], "groups[0].tls.ca: "),
        (vec![("cert", good.certificate.as_str()), ("key", "-----BEGIN s3cret")], "groups[0].tls.key: "),
        (vec![("cert", "-----BEGIN x"), ("key", good.key.as_str())], "groups[0].tls.cert: "),
        (vec![("cert", good.certificate.as_str()), ("key", other.key.as_str())], "groups[0].tls.key: "),
    ] {
        let options: std::collections::BTreeMap<_, _> = options.into_iter().collect();
        let address = "127.0.0.1:9".parse().unwrap();
        let run = Run::new(Client::Plain, address, &group(address, &serde_json::to_string(&options).unwrap()));
        let (sink, _messages) = std::sync::mpsc::sync_channel(1);
        let control = nuncius_engine::Control::new();
        let error = nuncius_engine::spawn_group(run.plan().unwrap(), run.options, control, sink, None).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(field) && !text.contains("s3cret"), "{text}");
    }
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
    assert_eq!(outcome.step().sent, 0);
    let text = said(&outcome);
    assert!(text.contains("is for shop.test, not bank.test"), "{text}");
}
