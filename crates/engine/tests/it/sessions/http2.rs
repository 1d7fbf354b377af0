//! HTTP/2, by prior knowledge and agreed on in TLS, against a server that is told what to do with each stream.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use nuncius_schemas::metric::FailureKind;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::support::{Reply, Run, Server};

/// What is done with a request.
#[derive(Clone)]
enum Answer {
    Ok(&'static str),
    After(Duration),
    /// Not looked at.
    Refuse,
    Reset,
    /// Answered, and the last of its connection.
    Last,
    Hang,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    connection: usize,
    method: String,
    path: String,
    authority: String,
    headers: Vec<(String, String)>,
    body: String,
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// The path and the number of the request over all connections say what is done.
fn start(streams_max: u32, tls: bool, script: fn(&str, usize) -> Answer) -> (SocketAddr, Log) {
    let log = Log::default();
    let (told, address) = std::sync::mpsc::channel();
    let shared = Arc::clone(&log);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            told.send(listener.local_addr().unwrap()).unwrap();
            let acceptor = tls.then(acceptor);
            for connection in 0.. {
                let (socket, _) = listener.accept().await.unwrap();
                let (log, acceptor) = (Arc::clone(&shared), acceptor.clone());
                tokio::task::spawn_local(async move {
                    match acceptor {
                        None => serve(socket, connection, streams_max, log, script).await,
                        Some(acceptor) => {
                            if let Ok(socket) = acceptor.accept(socket).await {
                                serve(socket, connection, streams_max, log, script).await;
                            }
                        }
                    }
                });
            }
        });
    });
    (address.recv().unwrap(), log)
}

fn acceptor() -> tokio_rustls::TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_slice(include_bytes!("../tls/server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../tls/server.key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

async fn serve<S>(socket: S, connection: usize, streams_max: u32, log: Log, script: fn(&str, usize) -> Answer)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let Ok(mut http2) = h2::server::Builder::new().max_concurrent_streams(streams_max).handshake(socket).await else {
        return;
    };
    while let Some(Ok((request, mut respond))) = http2.accept().await {
        let (head, mut body) = request.into_parts();
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
        };
        let seen = Seen {
            connection,
            method: head.method.to_string(),
            path: head.uri.path_and_query().unwrap().to_string(),
            authority: head.uri.authority().unwrap().to_string(),
            headers: head.headers.iter().map(header).collect(),
            body: String::new(),
        };
        let path = seen.path.clone();
        let number = {
            let mut log = log.lock().unwrap();
            log.push(seen);
            log.len() - 1
        };
        let answer = script(&path, number);
        if matches!(answer, Answer::Last) {
            http2.graceful_shutdown();
        }
        let log = Arc::clone(&log);
        tokio::task::spawn_local(async move {
            let mut text = Vec::new();
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
                text.extend_from_slice(&piece);
            }
            log.lock().unwrap()[number].body = String::from_utf8(text).unwrap();
            let body = match answer {
                Answer::Ok(body) => body,
                Answer::After(pause) => {
                    tokio::time::sleep(pause).await;
                    ""
                }
                Answer::Last => "",
                Answer::Refuse => return respond.send_reset(h2::Reason::REFUSED_STREAM),
                Answer::Reset => return respond.send_reset(h2::Reason::INTERNAL_ERROR),
                Answer::Hang => return std::future::pending().await,
            };
            let head = http::Response::builder().status(200).header("x-n", "1").body(()).unwrap();
            if let Ok(mut stream) = respond.send_response(head, body.is_empty()) {
                let _ = stream.send_data(Bytes::from_static(body.as_bytes()), true);
            }
        });
    }
}

fn paths(log: &Log) -> Vec<String> {
    log.lock().unwrap().iter().map(|seen| seen.path.clone()).collect()
}

fn connections(log: &Log) -> usize {
    log.lock().unwrap().iter().map(|seen| seen.connection).collect::<std::collections::BTreeSet<_>>().len()
}

#[test]
fn a_session_is_the_same_over_http_2_and_its_requests_share_a_connection() {
    let (address, log) = start(100, false, |path, _| match path {
        "/login" => Answer::Ok(r#"{"token": "t1"}"#),
        _ => Answer::Ok("ok"),
    });
    let fields = "users: 10, iterations: 40, http: 2, steps: [{post: {url: /login, json: {a: 1}, capture: {t: {json: $.token}, n: {header: x-n}}}}, \
                  {get: {url: '/{{ t }}?n={{ n }}', headers: {X-Case: B}}}]";
    let outcome = Run::sessions(address, fields).go();
    let [post, get, iteration] = outcome.all() else { panic!() };
    assert_eq!((post.succeeded, get.succeeded, iteration.succeeded), (40, 40, 40), "{:?}", post.failures);
    assert_eq!((connections(&log), post.retried), (1, 0));
    let seen = log.lock().unwrap();
    let get = seen.iter().find(|seen| seen.method == "GET").unwrap();
    assert_eq!((get.path.as_str(), get.authority.clone()), ("/t1?n=1", address.to_string()));
    assert!(get.headers.contains(&("x-case".to_owned(), "B".to_owned())));
    assert!(get.headers.iter().all(|(name, _)| name != "host" && name != "connection"));
    assert_eq!(seen.iter().find(|seen| seen.method == "POST").unwrap().body, r#"{"a":1}"#);
    assert!(outcome.steps[0].bytes_sent > 0 && outcome.steps[0].bytes_received > 0);
}

#[test]
fn more_than_a_server_takes_at_a_time_goes_over_further_connections_or_waits_as_blocked() {
    let script = |_: &str, _| Answer::After(Duration::from_millis(40));
    let (address, log) = start(2, false, script);
    let fields = "users: 6, iterations: 6, http: 2, steps: [{get: '/{{ user() }}'}]";
    // The first has said nothing yet of how many it takes.
    let warm = "users: 1, iterations: 2, http: 2, steps: [{get: /}, {think: 20ms}, {parallel: [{get: /}, {get: /}, {get: /}, {get: /}, {get: /}]}]";
    let outcome = Run::sessions(address, warm).go();
    assert_eq!(outcome.all().last().unwrap().succeeded, 2, "{:?}", outcome.steps);
    // Two on each that has said so by then.
    assert!((3..=5).contains(&connections(&log)), "{}", connections(&log));
    let (address, log) = start(2, false, script);
    let outcome = Run::sessions(address, &format!("max_connections: 1, {fields}")).go();
    let step = &outcome.all()[0];
    assert_eq!((step.succeeded, connections(&log)), (6, 1), "{:?}", step.failures);
}

#[test]
fn what_a_server_has_refused_or_not_looked_at_is_sent_again_and_what_it_gave_up_is_not() {
    let (address, log) = start(100, false, |_, number| if number == 1 { Answer::Refuse } else { Answer::Ok("") });
    let fields =
        "users: 1, iterations: 1, http: 2, steps: [{get: /a}, {post: {url: /b, body: x}}, {get: /c}, {set: {x: 1}}]";
    let outcome = Run::sessions(address, fields).go();
    assert_eq!((outcome.all()[1].succeeded, outcome.steps[1].retried), (1, 1), "{:?}", outcome.steps[1].failures);
    assert_eq!(paths(&log), ["/a", "/b", "/b", "/c"]);
    let (address, log) = start(100, false, |_, number| if number == 0 { Answer::Last } else { Answer::Ok("") });
    let outcome = Run::sessions(address, fields).go();
    assert_eq!(outcome.all().last().unwrap().succeeded, 1, "{:?}", outcome.steps[1].failures);
    assert_eq!((paths(&log).len(), connections(&log)), (3, 2));
    let (address, log) = start(100, false, |_, number| if number == 1 { Answer::Reset } else { Answer::Ok("") });
    let outcome = Run::sessions(address, fields).go();
    let (kind, count, sample) = outcome.all()[1].failure();
    assert_eq!((kind, count, paths(&log).len()), (FailureKind::Closed, 1, 2));
    assert!(sample.contains("gave the stream up"), "{sample}");
}

#[test]
fn a_stream_that_hangs_times_out_alone() {
    let (address, _log) = start(100, false, |path, _| if path == "/0" { Answer::Hang } else { Answer::Ok("") });
    let fields = "users: 3, iterations: 3, http: 2, timeout: 150ms, steps: [{get: '/{{ user() }}'}]";
    let outcome = Run::sessions(address, fields).go();
    let step = &outcome.all()[0];
    assert_eq!((step.succeeded, step.failure().0, step.failed), (2, FailureKind::Timeout, 1));
}

#[test]
fn over_tls_it_is_agreed_on_and_a_server_that_does_not_speak_it_is_told_so() {
    let (address, log) = start(100, true, |_, _| Answer::Ok(""));
    let authority = include_str!("../tls/authority.pem").replace('\n', "\\n");
    let fields = |address: SocketAddr| {
        format!(
            "groups:\n- {{target: 'https://localhost:{}', users: 2, iterations: 4, http: 2, tls: {{ca: \"{authority}\", server_name: shop.test}}, steps: [{{get: '/{{{{ user() }}}}'}}]}}\n",
            address.port()
        )
    };
    let mut run = Run::sessions(address, "users: 1, iterations: 1");
    run.spec = fields(address);
    let outcome = run.go();
    assert_eq!((outcome.all()[0].succeeded, connections(&log)), (4, 1), "{:?}", outcome.steps[0].failures);
    let plain = Server::start(|_, _| Reply::ok());
    let outcome = Run::sessions(plain.address, "users: 1, iterations: 1, http: 2, timeout: 2s, steps: [{get: /}]").go();
    let (kind, _, sample) = outcome.all()[0].failure();
    assert!(matches!(kind, FailureKind::Protocol | FailureKind::Closed), "{kind:?} {sample}");
}
