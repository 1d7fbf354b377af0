//! Who requests are sent as.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nuncius_schemas::metric::{FailureKind, Series};

use super::{answer, counts, json, once, path};
use crate::support::{Reply, Run, Server};

#[test]
fn basic_and_bearer_are_templates_and_a_step_may_be_somebody_else_or_nobody() {
    let server = Server::start(|_, _| Reply::ok());
    let fields = "variables: {token: t0k}, auth: {basic: {user: 'u{{ user() }}', password: pä}}, \
                  steps: [{get: /a}, {get: {url: /b, auth: {bearer: '{{ token }}'}}}, {get: {url: /c, auth: none}}]";
    once(&server, fields);
    let sent: Vec<Option<String>> =
        server.seen().iter().map(|seen| seen.header("authorization").map(str::to_owned)).collect();
    assert_eq!(sent, [Some("Basic dTA6cMOk".to_owned()), Some("Bearer t0k".to_owned()), None]);
}

/// Gives tokens that hold for so many seconds.
fn token_server(life_s: u64) -> (Server, Arc<AtomicUsize>) {
    let given = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&given);
    let server = Server::start(move |seen, _| match path(seen).as_str() {
        "/token" => {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let body =
                serde_json::json!({"access_token": format!("t{number}"), "token_type": "bearer", "expires_in": life_s});
            let body = body.to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            Reply::After(Duration::from_millis(20), [head.into_bytes(), body.into_bytes()].concat())
        }
        _ => Reply::ok(),
    });
    (server, given)
}

const CLIENT: &str =
    "grant: client_credentials, token_url: /token, client_id: me, client_secret: 's3 cret', scope: 'a b'";

#[test]
fn one_token_is_fetched_for_all_users_however_many_wait_for_it() {
    let (server, given) = token_server(3_600);
    let fields =
        format!("users: 20, iterations: 60, auth: {{oauth2: {{{CLIENT}}}}}, steps: [{{get: '/{{{{ user() }}}}'}}]");
    let outcome = Run::sessions(server.address, &fields).go();
    let step = &outcome.all()[0];
    assert_eq!((step.succeeded, given.load(Ordering::SeqCst)), (60, 1));
    let seen = server.seen();
    let token = seen.iter().find(|seen| path(seen) == "/token").unwrap();
    assert_eq!(token.body, "grant_type=client_credentials&scope=a+b");
    assert!(token.header("authorization").unwrap().starts_with("Basic "));
    assert!(
        seen.iter().filter(|seen| path(seen) != "/token").all(|seen| seen.header("authorization") == Some("Bearer t0"))
    );
    assert!(step.of(Series::Blocked).summary().max_ns >= 15_000_000, "who waits for a token is blocked");
    assert!(
        step.of(Series::Lag).summary().max_ns < 15_000_000,
        "and no fault of the generator: {}",
        step.of(Series::Lag).summary().max_ns
    );
    assert_eq!(step.sent, 60, "the token's own request is none of the step's");
}

#[test]
fn each_user_has_a_token_of_its_own_where_it_shows_a_password() {
    let (server, given) = token_server(3_600);
    let fields = "users: 3, iterations: 9, auth: {oauth2: {grant: password, token_url: 'http://ADDRESS/token', client_id: me, \
                  user: 'u{{ user() }}', password: p}}, steps: [{get: '/{{ user() }}'}]";
    Run::sessions(server.address, fields).go();
    assert_eq!(given.load(Ordering::SeqCst), 3);
    let bodies =
        server.seen().iter().filter(|seen| path(seen) == "/token").map(|seen| seen.body.clone()).collect::<Vec<_>>();
    assert!(bodies.contains(&"grant_type=password&username=u1&password=p&client_id=me".to_owned()), "{bodies:?}");
}

#[test]
fn a_token_that_runs_out_or_is_refused_is_fetched_anew() {
    let (server, given) = token_server(0);
    let fields =
        format!("users: 1, iterations: 3, auth: {{oauth2: {{{CLIENT}}}}}, steps: [{{get: '/{{{{ user() }}}}'}}]");
    Run::sessions(server.address, &fields).go();
    assert_eq!(given.load(Ordering::SeqCst), 3);
    let given = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&given);
    let server = Server::start(move |seen, _| match path(seen).as_str() {
        "/token" => json(&serde_json::json!({"access_token": format!("t{}", counted.fetch_add(1, Ordering::SeqCst))})),
        _ if seen.header("authorization") == Some("Bearer t0") => answer("401 No", "", b""),
        _ => Reply::ok(),
    });
    let fields =
        format!("users: 1, iterations: 3, auth: {{oauth2: {{{CLIENT}}}}}, steps: [{{get: '/{{{{ user() }}}}'}}]");
    let outcome = Run::sessions(server.address, &fields).go();
    assert_eq!((outcome.all()[0].failed, outcome.steps[0].succeeded), (1, 2));
    assert_eq!(counts(&server)["POST /token"], 2);
}

#[test]
fn a_token_server_that_refuses_is_told_and_not_asked_by_everybody() {
    let server = Server::start(|seen, _| match path(seen).as_str() {
        "/token" => answer("400 No", "", br#"{"error": "invalid_client", "secret": "s3cret"}"#),
        _ => Reply::ok(),
    });
    let fields =
        format!("users: 10, iterations: 10, auth: {{oauth2: {{{CLIENT}}}}}, steps: [{{get: '/{{{{ user() }}}}'}}]");
    let outcome = Run::sessions(server.address, &fields).go();
    let (kind, count, sample) = outcome.all()[0].failure();
    assert_eq!((kind, count, counts(&server)["POST /token"]), (FailureKind::Status, 10, 1));
    assert!(
        sample.contains("groups[0].auth.oauth2") && sample.contains("invalid_client") && !sample.contains("s3cret"),
        "{sample}"
    );
}
