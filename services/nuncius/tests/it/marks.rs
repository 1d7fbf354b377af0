//! Marks that people and programs set on a run: in its events, its report, its exports, and refused where they cannot
//! be.

use nuncius_schemas::event::EventKind;

use crate::harness::{System, beside_others, open_spec, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_is_an_event_of_the_run_in_its_report_and_its_exports() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    system.publish(open_spec("marked", &address, "50", "4s", "").as_bytes()).await;
    until("it is marked", async || {
        system.output(&["event", "marked", "deployed", "2.4.1 <b>&"]).status.success().then_some(())
    })
    .await;
    assert!(system.output(&["event", "last", "cache cleared"]).status.success());
    for (arguments, code, wanted) in [
        (&["event", "marked", ""][..], 64, "name: is empty"),
        (&["event", "marked", "a\nb"], 64, "control characters"),
        (&["event", "marked", "x", &"v".repeat(1_025)], 64, "at most 1024"),
        (&["event", "nobody", "x"], 5, "there is no experiment nobody"),
    ] {
        let output = system.output(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(wanted), "{error}");
    }
    system.wait_for_end("marked").await;
    let report = system.report("marked").await;
    let marks: Vec<&str> =
        report.events.iter().filter(|e| e.kind == EventKind::User).map(|event| event.message.as_str()).collect();
    assert_eq!(marks, ["deployed: 2.4.1 <b>&", "cache cleared"]);
    let page = system.directory.path().join("page.html");
    assert!(system.output(&["report", "marked", "--html", page.to_str().unwrap()]).status.success());
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("deployed: 2.4.1 &lt;b&gt;&amp;") && !page.contains("2.4.1 <b>"));
    let csv = system.directory.path().join("csv");
    let exported = system.output(&["export", "marked", "--csv", "--out", csv.to_str().unwrap()]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let events = std::fs::read_to_string(csv.join("events.csv")).unwrap();
    assert!(events.contains("deployed: 2.4.1 <b>&") && events.contains("cache cleared"), "{events}");
    let late = system.output(&["event", "marked", "late"]);
    let error = String::from_utf8_lossy(&late.stderr);
    assert_eq!(late.status.code(), Some(5), "{error}");
    assert!(error.contains("finished already"), "{error}");
}
