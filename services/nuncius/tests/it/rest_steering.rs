//! The load of a run is changed over HTTP.

use nuncius_schemas::amendment::{Change, Multiplier};
use nuncius_schemas::event::EventKind;
use nuncius_schemas::run::RunStatus;
use serde_json::{Value, json};

use crate::harness::{System, beside_others, open_spec, until};
use crate::rest::apart;
use crate::rest_harness::Face;
use crate::steering::assert_as_amended;

#[tokio::test(flavor = "multi_thread")]
async fn a_load_is_changed_over_http_by_who_may_with_who_and_why_and_the_target_counted_it() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let target = system.start_stub(&[]);
    let token = |name: &str, scope: &str| {
        let made = system.output(&["gateway", "hash-token", name, "--scope", scope, "--json"]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let header = format!("authorization: Bearer {}\r\n", made["token"].as_str().unwrap());
        (made["line"].as_str().unwrap().to_owned(), header)
    };
    let ((control_line, control), (read_line, read)) = (token("ci", "control"), token("eve", "read"));
    let file = system.directory.path().join("tokens");
    std::fs::write(&file, format!("{control_line}\n{read_line}\n")).unwrap();
    let face = Face::start(&system, &["--token-file", file.to_str().unwrap()]);
    system.publish(open_spec("steered", &target, "120/s", "10s", "horizon: 2s").as_bytes()).await;
    system.wait_for_status("steered", RunStatus::Running).await;
    system.wait_for_requests(120).await;
    let amend =
        |headers: &str, body: &str| apart(|| face.ask("POST", "/api/v1/experiments/steered/amendments", headers, body));
    let wanted = json!({ "change": { "scale": 2 }, "reason": "the sale" }).to_string();
    assert_eq!(amend("", &wanted).0, 401);
    assert_eq!(amend(&read, &wanted).0, 403);
    for (body, status, field) in [
        ("", 400, "change"),
        ("{\"change\": {\"scael\": 2}}", 422, "change"),
        ("{\"change\": \"faster\"}", 422, "change"),
        ("{\"change\": \"pause\", \"until\": 1}", 422, "until"),
    ] {
        let (found, problem) = amend(&control, body);
        let named = problem["field"].as_str().unwrap_or_default();
        assert!(found == status && named.starts_with(field), "{body}: {found} {problem}");
    }
    let (status, problem) = amend(&control, "{\"change\": \"pause\", \"group\": \"nobody\"}");
    assert!((400..500).contains(&status) && problem["detail"].as_str().unwrap().contains("nobody"), "{problem}");
    let (status, told) = amend(&control, &wanted);
    assert_eq!((status, &told["id"]), (202, &json!("steered")), "{told}");

    let (record, _) = assert_as_amended(&system, "steered", &target).await;
    assert_eq!(record.spec.amendments.len(), 1);
    let made = &record.spec.amendments[0];
    assert_eq!(
        (Some(made.at.0), made.change.clone()),
        (told["at_ns"].as_u64(), Change::Scale(Multiplier::new(2.0).unwrap()))
    );
    assert_eq!((made.who.as_deref(), made.reason.as_str()), (Some("ci"), "the sale"));
    let event = until("it is an event", async || {
        let events = system.events("steered").await;
        events.into_iter().find(|event| event.kind == EventKind::Control)
    })
    .await;
    assert!(event.message.starts_with("scale 2") && event.message.ends_with(", by ci: the sale"), "{event:?}");
    let (status, late) = amend(&control, &wanted);
    assert_eq!((status, &late["code"]), (409, &json!("ended")), "{late}");
}
