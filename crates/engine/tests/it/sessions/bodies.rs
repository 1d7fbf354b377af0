//! Bodies of requests and of answers.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use nuncius_schemas::metric::FailureKind;

use super::{answer, json, lines, once, path};
use crate::support::{Reply, Run, Server};

#[test]
fn bodies_of_each_kind_are_sent_as_their_media_type_says() {
    let directory = std::env::temp_dir().join(format!("nuncius-bodies-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("data")).unwrap();
    std::fs::write(directory.join("data/a.txt"), "from a file").unwrap();
    let server = Server::start(|_, _| Reply::ok());
    let fields = "users: 1, iterations: 1, variables: {x: 'a&b', list: [1, {y: 2}]}, steps: [\
        {post: {url: /text, body: 'x is {{ x }}'}}, \
        {post: {url: /json, json: {x: '{{ x }}', list: '{{ list }}', n: null}}}, \
        {post: {url: /form, form: {x: '{{ x }}', many: [1, 'ü']}}}, \
        {put: {url: /file, file: data/a.txt, headers: {Content-Type: text/plain}}}, \
        {post: {url: /parts, multipart: [{name: f, file: data/a.txt, type: text/plain}, {name: g, value: '{{ x }}'}]}}, \
        {post: {url: /empty}}]";
    let mut run = Run::sessions(server.address, fields);
    run.bundle = Some(directory.clone());
    let outcome = run.go();
    assert_eq!(outcome.all().last().unwrap().succeeded, 1, "{:?}", outcome.steps);
    let seen = server.seen();
    let told: Vec<(Option<&str>, &str)> =
        seen.iter().map(|seen| (seen.header("content-type"), seen.body.as_str())).collect();
    assert_eq!(told[0], (None, "x is a&b"));
    assert_eq!(told[1], (Some("application/json"), r#"{"list":[1,{"y":2}],"n":null,"x":"a&b"}"#));
    assert_eq!(told[2], (Some("application/x-www-form-urlencoded"), "many=1&many=%C3%BC&x=a%26b"));
    assert_eq!(told[3], (Some("text/plain"), "from a file"));
    let boundary = told[4].0.unwrap().strip_prefix("multipart/form-data; boundary=").unwrap();
    let expected = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n\
         from a file\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"g\"\r\n\r\na&b\r\n--{boundary}--\r\n"
    );
    assert_eq!(told[4].1, expected);
    assert_eq!((seen[5].header("content-length"), told[5].1), (Some("0"), ""));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn compressed_answers_are_asked_for_and_read_where_somebody_wants_the_body() {
    let text = br#"{"token": "abc"}"#;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(text).unwrap();
    let zlib = zlib.finish().unwrap();
    let server = Server::start(move |seen, _| match path(seen).as_str() {
        "/gzip" => answer("200 OK", "Content-Encoding: gzip\r\n", &gzip),
        "/deflate" => answer("200 OK", "Content-Encoding: deflate\r\n", &zlib),
        "/lie" => answer("200 OK", "Content-Encoding: gzip\r\n", b"{\"token\": 1}"),
        "/zstd" => answer("200 OK", "Content-Encoding: zstd\r\n", b"x"),
        _ => Reply::ok(),
    });
    let capture = "capture: {token: {json: $.token}}";
    let fields = format!(
        "compression: true, steps: [{{get: {{url: /gzip, {capture}}}}}, {{get: '/{{{{ token }}}}'}}, \
         {{get: {{url: /deflate, {capture}}}}}, {{get: /lie}}]"
    );
    let outcome = once(&server, &fields);
    assert_eq!(lines(&server), ["GET /gzip", "GET /abc", "GET /deflate", "GET /lie"]);
    assert_eq!(server.seen()[0].header("accept-encoding"), Some("gzip, deflate, br"));
    assert_eq!(outcome.all().last().unwrap().succeeded, 1, "who wants no body cares for no coding");
    for (path, words) in [("/lie", "said to be gzip"), ("/zstd", "`zstd`")] {
        let outcome = once(&server, &format!("compression: true, steps: [{{get: {{url: {path}, {capture}}}}}]"));
        let (kind, _, sample) = outcome.all()[0].failure();
        assert_eq!(kind, FailureKind::Protocol);
        assert!(sample.contains(words), "{sample}");
    }
    let server = Server::start(|_, _| Reply::ok());
    once(&server, "steps: [{set: {x: 1}}, {get: '/{{ x }}'}]");
    assert_eq!(server.seen()[0].header("accept-encoding"), None);
}

#[test]
fn a_bomb_stops_at_the_limit_of_the_body() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&vec![b' '; 20_000_000]).unwrap();
    let gzip = gzip.finish().unwrap();
    let server = Server::start(move |_, _| answer("200 OK", "Content-Encoding: gzip\r\n", &gzip));
    let fields = "compression: true, body_limit: 1MiB, steps: [{get: {url: /, capture: {x: {json: $.x}}}}]";
    let (kind, count, sample) = once(&server, fields).all()[0].failure();
    assert_eq!((kind, count), (FailureKind::BodyLimit, 1));
    assert!(sample.contains("1048576"), "{sample}");
}

#[test]
fn a_capture_that_finds_nothing_fails_the_step_unless_it_has_a_default() {
    let server = Server::start(|seen, _| match path(seen).as_str() {
        "/html" => answer("200 OK", "", b"<html><a class=next href='/p/2'>x</a><b>id=77</b>"),
        _ => json(&serde_json::json!({"a": 1})),
    });
    for (capture, words) in [
        ("{json: $.nope}", "`$.nope` is not in the answer"),
        ("{header: X-Nope}", "header x-nope"),
        ("{regex: 'id=(x)'}", "is not in the answer"),
        ("{cookie: sid}", "cookie `sid`"),
    ] {
        let fields = format!("steps: [{{get: {{url: /, capture: {{v: {capture}}}}}}}, {{get: /never}}]");
        let outcome = once(&server, &fields);
        let (kind, _, sample) = outcome.all()[0].failure();
        assert_eq!(kind, FailureKind::Capture);
        assert!(sample.contains("capture `v`") && sample.contains(words), "{sample}");
        assert_eq!(outcome.steps[1].planned, 0);
    }
    let fields = "steps: [{get: {url: /, capture: {v: {json: $.nope, default: d}}}}, {get: '/{{ v }}'}, \
                  {get: {url: /html, capture: {next: {css: a.next, attribute: href}, id: {regex: 'id=([0-9]+)'}, s: status}}}, \
                  {get: '{{ next }}/{{ id }}/{{ s }}'}]";
    assert_eq!(once(&server, fields).all().last().unwrap().succeeded, 1);
    assert_eq!(lines(&server)[lines(&server).len() - 3..], ["GET /d", "GET /html", "GET /p/2/77/200"]);
    let (kind, _, sample) = once(&server, "steps: [{get: {url: /html, capture: {v: {json: $.a}}}}]").all()[0].failure();
    assert_eq!(kind, FailureKind::Capture);
    assert!(sample.contains("HTML"), "{sample}");
}
