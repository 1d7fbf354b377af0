//! Dead letters on the page of queues.

use std::process::Stdio;

use nuncius_testkit::{Browser, Scheme};
use serde_json::json;

use super::look::{barriers, look, text};
use crate::harness::{Process, System, until};
use crate::rest_harness::{Face, ask};

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_run_again_and_removed_by_who_may_and_for_a_reason() {
    let system = System::start(1).await;
    let done = |arguments: &[&str]| system.output(arguments);
    assert!(done(&["queue", "create", "q", "--attempts", "1", "--retry-failures"]).status.success());
    let mut worker = system.command(&["worker", "--queue", "q", "/bin/sh", "-c"]);
    let _worker = Process::start(worker.stdout(Stdio::null()), &system.directory.path().join("worker.log"));
    let flag = system.directory.path().join("flag");
    let script = format!("test -e {}", flag.display());
    for id in ["a", "b"] {
        let submitted = done(&["queue", "submit", "q", "--id", id, "--", &script]);
        assert!(!submitted.status.success(), "{submitted:?}");
    }
    let face = Face::start(&system, &[]);
    until("the gateway has read everything", async || (face.get("/readyz").0 == 200).then_some(())).await;
    let mut browser = Browser::start().unwrap();
    until("both are given up", async || {
        let (_, letters) = face.get("/api/v1/queues/q/dead");
        (letters["items"].as_array().map(Vec::len) == Some(2)).then_some(())
    })
    .await;
    look(&mut browser, &face.address, "/queues", 1400, Scheme::Light, "queues-dead");
    assert!(text(&mut browser, "#dead").contains("exit code 1"));
    assert_eq!(barriers(&mut browser), Vec::<String>::new());
    std::fs::write(&flag, "").unwrap();
    let settle = |browser: &mut Browser, job: &str, button: &str| {
        let script = format!(
            "document.querySelector('[name=job][value=\"q/{job}\"]').click(); \
             document.querySelector('#dead [name=reason]').value = 'the flag is there'; \
             document.querySelector('#dead [value={button}]').click()"
        );
        browser.evaluate(&script).unwrap();
    };
    settle(&mut browser, "a", "retry");
    until("it ran again, and well", async || {
        let (_, queue) = face.get("/api/v1/queues/q");
        (queue["totals"]["succeeded"] == 1).then_some(())
    })
    .await;
    until("the page is there again", async || {
        let shown = text(&mut browser, "#dead");
        (shown.contains("q") && !shown.contains("a-r1") && !shown.is_empty()).then_some(())
    })
    .await;
    settle(&mut browser, "b", "remove");
    until("none is left", async || {
        let (_, letters) = face.get("/api/v1/queues/q/dead");
        (letters["items"] == json!([])).then_some(())
    })
    .await;
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    assert_eq!(ask(&face.address, "POST", "/queues/dead", form, "do=retry&job=q/a").0, 400, "nobody said why");
    let read_only = Face::start(&system, &["--read-only"]);
    assert_eq!(ask(&read_only.address, "POST", "/queues/dead", form, "do=retry&job=q/a&reason=x").0, 403);
    let paused = ask(&face.address, "POST", "/queues/state", form, "queue=q&state=paused&reason=enough");
    assert_eq!(paused.0, 303, "{paused:?}");
    assert_eq!(face.get("/api/v1/queues/q").1["definition"]["state"], "paused");
}
