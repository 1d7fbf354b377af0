//! Every change that is made by the REST interface or by a form of a page stands written down: who, what and why.

use std::path::Path;
use std::process::Stdio;

use nuncius_bundle::{Limits, pack_directory};
use nuncius_schemas::event::EventKind;
use nuncius_schemas::run::RunStatus;
use serde_json::Value;

use crate::harness::{Process, System, beside_others, open_spec, until};
use crate::rest_harness::{Face, exchange};

const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

/// A request with what lets it in; its status and body.
struct By<'a> {
    face: &'a Face,
    headers: String,
}

impl By<'_> {
    fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let headers = format!("{}{headers}", self.headers);
        let (status, _, body) =
            tokio::task::block_in_place(|| exchange(&self.face.address, method, path, &headers, body));
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// Over REST, with why in a header.
    fn rest(&self, method: &str, path: &str, why: &str, body: &[u8], wanted: u16) {
        let (status, told) = self.ask(method, &format!("/api/v1{path}"), &format!("nuncius-reason: {why}\r\n"), body);
        assert_eq!(status, wanted, "{method} {path}: {told}");
    }

    /// A form of a page: refused without a reason, then taken with one.
    fn form(&self, path: &str, fields: &[(&str, &str)], why: &str) {
        if path != "/new" {
            let (status, told) = self.ask("POST", path, FORM, &encoded(fields));
            assert!(status == 400 && told.contains("say why"), "{path}: {status} {told}");
        }
        let (status, told) = self.ask("POST", path, FORM, &encoded(&[fields, &[("reason", why)]].concat()));
        assert_eq!(status, 303, "{path}: {told}");
    }
}

/// The fields of a form as browsers write them.
fn encoded(fields: &[(&str, &str)]) -> Vec<u8> {
    let word = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{}={}", word(name), word(value))).collect();
    fields.join("&").into_bytes()
}

/// A token of each name, and the file of both.
fn tokens(system: &System) -> (String, [String; 2]) {
    let mut lines = String::new();
    let tokens = ["rest", "page"].map(|name| {
        let made = system.output(&["gateway", "hash-token", name, "--scope", "admin", "--json"]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        lines.push_str(&format!("{}\n", made["line"].as_str().unwrap()));
        made["token"].as_str().unwrap().to_owned()
    });
    let file = system.directory.path().join("tokens");
    std::fs::write(&file, lines).unwrap();
    (file.to_str().unwrap().to_owned(), tokens)
}

/// The cookie of a session, as a browser sends it.
fn session(face: &Face, token: &str) -> String {
    let body = format!("token={token}");
    let (status, head, _) = exchange(&face.address, "POST", "/sign-in", FORM, body.as_bytes());
    assert_eq!(status, 303, "{head}");
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

/// Jobs that were given up, on a queue `q`.
async fn give_up(system: &System, ids: &[&str]) -> Process {
    assert!(system.output(&["queue", "create", "q", "--attempts", "1", "--retry-failures"]).status.success());
    let mut worker = system.command(&["worker", "--queue", "q", "/bin/sh", "-c"]);
    let worker = Process::start(worker.stdout(Stdio::null()), &system.directory.path().join("worker.log"));
    for id in ids {
        let submitted = system.output(&["queue", "submit", "q", "--id", id, "--", "false"]);
        assert!(!submitted.status.success(), "{submitted:?}");
    }
    worker
}

/// Everything that can be changed over REST.
async fn change_by_rest(system: &System, rest: &By<'_>, target: &str) {
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/examples/members");
    let bundle = pack_directory(&bundle, "members", &Limits::default()).unwrap().bytes;
    let route = br#"{"hosts": [{"address": "10.0.0.7:80"}]}"#;
    rest.rest("PUT", "/routes/shop", "it moved", route, 200);
    rest.rest("DELETE", "/routes/shop", "it is gone", b"", 204);
    rest.rest("PUT", "/apps/members", "the new season", &bundle, 201);
    rest.rest("DELETE", "/apps/members", "the season is over", b"", 204);
    rest.rest("POST", "/queues/q/dead/a/retry", "it was the network", b"", 201);
    rest.rest("DELETE", "/queues/q/dead/b", "nobody needs it", b"", 204);
    rest.rest("PUT", "/queues/q/state", "the disk is full", br#"{"state": "paused"}"#, 200);
    let spec = open_spec("by-rest", target, "20/s", "10m", "creator: somebody else\n");
    rest.rest("POST", "/experiments", "before the release", spec.as_bytes(), 201);
    system.wait_for_status("by-rest", RunStatus::Running).await;
    rest.rest("POST", "/experiments/by-rest/events", "", br#"{"name": "deployed"}"#, 201);
    let amendment = br#"{"change": {"rate": "30/s"}, "reason": "more of it"}"#;
    rest.rest("POST", "/experiments/by-rest/amendments", "", amendment, 202);
    // Where the body says nothing, the header does.
    rest.rest("POST", "/experiments/by-rest/cancel", "seen enough", b"", 202);
    system.wait_for_end("by-rest").await;
}

/// Everything that can be changed by a form.
async fn change_by_page(system: &System, page: &By<'_>, target: &str) {
    page.form("/routes", &[("service", "shop"), ("hosts", "10.0.0.8:80=2")], "it moved again");
    page.form("/routes/shop/remove", &[], "it is gone for good");
    page.form("/queues/state", &[("queue", "q"), ("state", "open")], "there is room");
    page.form("/queues/dead", &[("job", "q/c"), ("do", "retry")], "try it");
    page.form("/queues/dead", &[("job", "q/d"), ("do", "remove")], "old");
    let spec = open_spec("by-page", target, "20/s", "10m", "");
    page.form("/new", &[("do", "submit"), ("spec", &spec)], "to look at it");
    system.wait_for_status("by-page", RunStatus::Running).await;
    page.form("/runs/by-page/amend", &[("change", "rate"), ("value", "30/s")], "more of it");
    page.form("/runs/by-page/cancel", &[], "seen enough");
    system.wait_for_end("by-page").await;
}

/// Who and why stand in the events of an experiment.
async fn is_told(system: &System, id: &str, who: &str) {
    let events = system.events(id).await;
    let controls: Vec<&str> =
        events.iter().filter(|event| event.kind == EventKind::Control).map(|event| event.message.as_str()).collect();
    let has = |texts: &[&str]| controls.iter().any(|message| texts.iter().all(|text| message.contains(text)));
    assert!(has(&["rate 30/s", &format!("by {who}: more of it")]), "{controls:?}");
    assert!(has(&[&format!("cancelled by {who}: seen enough")]), "{controls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_by_a_page_or_by_rest_is_written_down_with_who_and_why() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let target = system.start_stub(&[]);
    let (file, [rest, page]) = tokens(&system);
    let face = Face::start(&system, &["--token-file", &file]);
    until("the gateway has read everything", async || (face.get("/readyz").0 == 200).then_some(())).await;
    let _worker = give_up(&system, &["a", "b", "c", "d"]).await;
    let cookie = session(&face, &page);
    let rest = By { face: &face, headers: format!("authorization: Bearer {rest}\r\n") };
    let page = By { face: &face, headers: format!("cookie: {cookie}\r\norigin: http://{}\r\n", face.address) };
    change_by_rest(&system, &rest, &target).await;
    change_by_page(&system, &page, &target).await;
    is_told(&system, "by-rest", "rest").await;
    is_told(&system, "by-page", "page").await;
    let marks = system.events("by-rest").await.into_iter().filter(|event| event.kind == EventKind::User);
    assert_eq!(marks.map(|event| event.data["who"].clone()).collect::<Vec<_>>(), ["rest"]);
    until("what has ended can be deleted", async || {
        let (status, _) = rest.ask("DELETE", "/api/v1/experiments/by-rest", "nuncius-reason: a trial\r\n", b"");
        (status == 204).then_some(())
    })
    .await;

    let (status, told) = rest.ask("GET", "/api/v1/audit", "", b"");
    assert_eq!(status, 200, "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let lines = told["items"].as_array().unwrap().iter().rev().map(|change| {
        // An app is written down with the digest of what was deployed.
        let what = change["what"].as_str().unwrap().split(' ').filter(|word| word.len() < 64).collect::<Vec<_>>();
        let what = what.join(" ");
        let [who, action, why] = ["who", "action", "reason"].map(|field| change[field].as_str().unwrap());
        format!("{who}: {action} {what}: {why}")
    });
    let wanted = [
        "rest: set route of shop: it moved",
        "rest: remove route of shop: it is gone",
        "rest: deploy app members: the new season",
        "rest: remove app members: the season is over",
        "rest: retry job a of queue q: it was the network",
        "rest: remove dead letter b of queue q: nobody needs it",
        "rest: paused queue q: the disk is full",
        "rest: submit experiment by-rest: before the release",
        "page: set route of shop: it moved again",
        "page: remove route of shop: it is gone for good",
        "page: open queue q: there is room",
        "page: retry job c of queue q: try it",
        "page: remove dead letter d of queue q: old",
        "page: submit experiment by-page: to look at it",
        "rest: remove experiment by-rest: a trial",
    ];
    assert_eq!(lines.collect::<Vec<_>>(), wanted);
    let (_, shown) = page.ask("GET", "/events", "accept: text/html\r\n", b"");
    for text in ["experiment by-page", "to look at it", "it moved again"] {
        assert!(shown.contains(text), "the page of events has {text}");
    }
}
