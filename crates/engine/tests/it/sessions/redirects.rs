//! Redirects: followed as far as they may be, and no further.

use nuncius_schemas::metric::FailureKind;

use super::{answer, lines, once, path};
use crate::support::{Reply, Server};

fn to(status: &str, location: &str) -> Reply {
    answer(status, &format!("Location: {location}\r\nSet-Cookie: hop=1\r\n"), b"")
}

#[test]
fn redirects_are_followed_only_where_that_is_wanted_and_are_counted_apart() {
    let server = Server::start(|seen, _| match path(seen).as_str() {
        "/a/start" => to("302 Found", "../b?c=d#e"),
        "/b?c=d" => to("307 Go", "/end"),
        _ => Reply::ok(),
    });
    let outcome = once(&server, "steps: [{get: /a/start}, {set: {x: 1}}]");
    assert_eq!(lines(&server), ["GET /a/start"]);
    assert_eq!((outcome.all()[0].succeeded, outcome.steps[0].redirects), (1, 0));
    assert_eq!(outcome.steps[0].statuses, [(302, 1)].into());
    let outcome = once(&server, "redirects: 5, steps: [{get: /a/start}]");
    assert_eq!(lines(&server)[1..], ["GET /a/start", "GET /b?c=d", "GET /end"]);
    let step = &outcome.all()[0];
    assert_eq!((step.planned, step.sent, step.succeeded, step.redirects), (1, 1, 1, 2));
    assert_eq!(step.statuses, [(200, 1)].into());
    assert_eq!(server.seen()[3].header("cookie"), Some("hop=1"), "what a redirect sets is sent on");
}

#[test]
fn a_form_that_is_sent_on_becomes_a_get_and_keeps_its_body_where_it_must() {
    let server = Server::start(|seen, _| match path(seen).as_str() {
        "/login" => to("303 See", "/home"),
        "/upload" => to("308 Go", "/elsewhere"),
        _ => Reply::ok(),
    });
    let fields = "redirects: 3, steps: [{post: {url: /login, form: {a: 'b c'}}}, {put: {url: /upload, body: text}}]";
    once(&server, fields);
    assert_eq!(lines(&server), ["POST /login", "GET /home", "PUT /upload", "PUT /elsewhere"]);
    let seen = server.seen();
    assert_eq!((seen[0].body.as_str(), seen[1].body.as_str()), ("a=b+c", ""));
    assert_eq!((seen[1].header("content-type"), seen[3].body.as_str()), (None, "text"));
}

#[test]
fn a_circle_ends_at_the_limit_as_a_failure() {
    let server = Server::start(|_, _| to("302 Found", "/again"));
    let outcome = once(&server, "redirects: 7, steps: [{get: /}, {get: /never}]");
    assert_eq!(lines(&server).len(), 8);
    let (kind, count, sample) = outcome.all()[0].failure();
    assert_eq!((kind, count), (FailureKind::Status, 1));
    assert!(sample.contains("7 redirects"), "{sample}");
    assert_eq!(outcome.steps[1].planned, 0);
}

#[test]
fn nobody_is_sent_on_to_a_host_that_is_not_allowed_or_to_what_is_no_page() {
    for (location, words) in [
        ("http://8.8.8.8/", "not allowed"),
        ("http://user:secret@127.0.0.1/", "credentials"),
        ("file:///etc/passwd", "neither http"),
        ("gopher://127.0.0.1/", "neither http"),
        ("http://[", "no URL"),
    ] {
        let server = Server::start(move |_, _| to("302 Found", location));
        let outcome = once(&server, "redirects: 3, steps: [{get: /}]");
        let (kind, _, sample) = outcome.all()[0].failure();
        assert_eq!(kind, FailureKind::Refused, "{location}");
        assert!(sample.contains(words) && !sample.contains("secret"), "{sample}");
        assert_eq!(lines(&server).len(), 1);
    }
}

#[test]
fn another_host_that_is_allowed_is_reached_without_what_was_meant_for_the_first() {
    let other = Server::start(|_, _| Reply::ok());
    let address = other.address;
    let server = Server::start(move |_, _| to("302 Found", &format!("http://{address}/there")));
    let fields = "redirects: 3, auth: {basic: {user: u, password: p}}, steps: [{get: {url: /, headers: {X-A: b}}}]";
    let outcome = once(&server, fields);
    assert_eq!(outcome.all()[0].succeeded, 1);
    assert_eq!(server.seen()[0].header("authorization"), Some("Basic dTpw"));
    let there = &other.seen()[0];
    assert_eq!((there.header("authorization"), there.header("x-a")), (None, Some("b")));
    assert_eq!(there.header("host"), Some(address.to_string().as_str()));
}

#[test]
fn a_whole_url_of_a_template_is_checked_when_it_is_known() {
    let other = Server::start(|_, _| Reply::ok());
    let server = Server::start(|_, _| Reply::ok());
    let fields = format!(
        "variables: {{there: 'http://{}'}}, steps: [{{get: '{{{{ there }}}}/x?y'}}, {{get: '{{{{ there }}}}'}}]",
        other.address
    );
    assert_eq!(once(&server, &fields).all().last().unwrap().succeeded, 1);
    assert_eq!(lines(&other), ["GET /x?y", "GET /"]);
    let outcome = once(&server, "variables: {there: 'http://8.8.8.8/'}, steps: [{get: '{{ there }}'}]");
    let (kind, _, sample) = outcome.all()[0].failure();
    assert_eq!(kind, FailureKind::Template);
    assert!(sample.contains("not allowed"), "{sample}");
    let outcome = once(&server, "variables: {there: 'nowhere'}, steps: [{get: '{{ there }}'}]");
    assert!(outcome.all()[0].failure().2.contains("neither a path"));
}
