//! The routing table is changed while load is offered: all nodes go by it from the next request on, nothing is lost.

use nuncius_schemas::event::EventKind;
use nuncius_schemas::run::{RunStatus, Verdict};

use crate::harness::{System, open_spec, spawn_stub, stub_stats, until};

/// An open group for the service `shop`, and what is said of it beside that.
fn shop_spec(id: &str, rate: &str, duration: &str, more: &str) -> String {
    open_spec(id, "127.0.0.1:9", rate, duration, more).replace("target: http://target/", "target: http://shop/")
}

fn set(system: &System, hosts: &[String]) -> String {
    let mut arguments = vec!["route", "set", "shop"];
    arguments.extend(hosts.iter().map(String::as_str));
    let done = system.output(&arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

async fn says(system: &System, id: &str, word: &str) -> String {
    until(word, async || {
        system.events(id).await.into_iter().map(|event| event.message).find(|message| message.contains(word))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_holds_on_three_nodes_from_the_next_request_on_and_nothing_is_lost() {
    let mut system = System::start(3).await;
    let first = system.start_stub(&[]);
    let (_second, second) = spawn_stub(system.directory.path(), &[]);
    let said = set(&system, &[format!("{first}=1")]);
    assert!(said.contains("(revision "), "{said}");
    let before = [&first, &second].map(|address| stub_stats(address).requests);
    system.publish(shop_spec("live", "300/s", "12s", "gates: ['failures < 1%']").as_bytes()).await;
    until("the first host has requests", async || (stub_stats(&first).requests > before[0] + 600).then_some(())).await;
    set(&system, &[format!("{second}=1")]);
    let told = says(&system, "live", "3 nodes go by the new route").await;
    // From here on the first host gets nothing any more, but for what was on its way.
    let after_change = stub_stats(&first).requests;
    until("the second host has requests", async || (stub_stats(&second).requests > before[1] + 600).then_some(()))
        .await;
    let late = stub_stats(&first).requests - after_change;
    assert!(late <= 6, "{late} requests went to the host that was out of the route: {told}");
    // Shared between the two, by weights that are no whole numbers.
    set(&system, &[format!("{first}=0.5"), format!("{second}=1.5")]);
    let record = system.wait_for_end("live").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", record.reason);
    let counted = [&first, &second].map(|address| stub_stats(address).requests);
    let report = system.report("live").await;
    let step = &report.groups[0].steps[0];
    assert_eq!((step.succeeded, step.failed), (3_600, 0), "nothing is lost");
    assert_eq!(counted.iter().sum::<u64>() - before.iter().sum::<u64>(), 3_600);
    assert!(counted[0] > after_change, "{counted:?}");
    // What each host did is what it counted.
    let hosts = &step.hosts;
    let told = [&first, &second].map(|address| hosts.iter().find(|host| host.host == **address).unwrap().succeeded);
    assert_eq!(told, [counted[0] - before[0], counted[1] - before[1]], "{hosts:?}");
    assert!(hosts.iter().all(|host| host.failed == 0 && host.mean_service_ns().is_some()), "{hosts:?}");
    let text = String::from_utf8(system.output(&["report", "live"]).stdout).unwrap();
    assert!(text.contains(&format!("at {second}: ")), "{text}");
    assert_eq!((record.route_changes, record.routes[0].hosts.len()), (2, 2));
    let events = system.events("live").await;
    let changes: Vec<_> =
        events.iter().filter(|event| event.data.get("change").is_some_and(|it| it == "route")).collect();
    assert_eq!(changes.len(), 2, "{events:?}");
    assert!(changes.iter().all(|event| event.kind == EventKind::Control && event.data["service"] == "shop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_by_a_change_too_and_what_may_not_be_reached_changes_nothing() {
    let mut system = System::start(1).await;
    let first = system.start_stub(&[]);
    let (_second, second) = spawn_stub(system.directory.path(), &[]);
    set(&system, &[format!("{first}=1")]);
    let steps = "  steps:\n  - {get: '/a{{ iteration() }}', capture: [{name: n, status: true}]}\n  - get: /b\n";
    let spec = shop_spec("sessions", "50/s", "8s", "").replace("  duration: 8s\n", &format!("  duration: 8s\n{steps}"));
    let spec = spec.replace("capture: [{name: n, status: true}]", "name: first");
    system.publish(spec.as_bytes()).await;
    until("the first host has requests", async || (stub_stats(&first).requests > 40).then_some(())).await;
    // The nodes of a test may be aimed at their own host alone.
    set(&system, &["192.0.2.7:80=1".to_owned()]);
    let refused = says(&system, "sessions", "keeps to the routes that it has").await;
    assert!(refused.contains("192.0.2.7") && refused.contains("--allow-target"), "{refused}");
    set(&system, &[format!("{second}=1")]);
    until("the second host has requests", async || (stub_stats(&second).requests > 40).then_some(())).await;
    assert!(system.output(&["route", "rm", "shop"]).status.success());
    let gone = says(&system, "sessions", "no longer in the routing table").await;
    assert!(gone.contains("goes on by the one it has"), "{gone}");
    let record = system.wait_for_end("sessions").await;
    assert_eq!(record.status, RunStatus::Finished, "{:?}", record.reason);
    let report = system.report("sessions").await;
    let steps = &report.groups[0].steps;
    assert!(steps.iter().all(|step| step.failed == 0), "{steps:?}");
    assert!(steps.iter().any(|step| step.hosts.len() == 2), "{steps:?}");
    assert_eq!(record.routes[0].hosts[0].address, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_takes_the_run_over_goes_by_what_was_changed_while_there_was_none() {
    let mut system = System::start(2).await;
    let first = system.start_stub(&[]);
    let (_second, second) = spawn_stub(system.directory.path(), &[]);
    set(&system, &[format!("{first}=1")]);
    system.publish(shop_spec("orphan", "100/s", "12s", "").as_bytes()).await;
    system.wait_for_requests(100).await;
    system.daemon = None;
    set(&system, &[format!("{second}=1")]);
    system.start_daemon();
    says(&system, "orphan", "2 nodes go by the new route").await;
    until("the second host has requests", async || (stub_stats(&second).requests > 100).then_some(())).await;
    let record = system.wait_for_end("orphan").await;
    assert_eq!((record.status, record.route_changes), (RunStatus::Finished, 1), "{:?}", record.reason);
    assert_eq!(system.report("orphan").await.groups[0].steps[0].succeeded, 1_200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_route_stays_and_one_of_another_revision_is_refused() {
    let mut system = System::start(1).await;
    let first = system.start_stub(&[]);
    let (_second, second) = spawn_stub(system.directory.path(), &[]);
    let said = set(&system, &[format!("{first}=1")]);
    let revision: u64 = said.split("(revision ").nth(1).unwrap().trim_end().trim_end_matches(')').parse().unwrap();
    let other = revision + 7;
    system.publish(shop_spec("other", "10/s", "1s", &format!("pinned_routes: {{shop: {other}}}")).as_bytes()).await;
    let record = system.wait_for_end("other").await;
    let reason = record.reason.unwrap();
    assert_eq!(record.status, RunStatus::Failed);
    assert!(reason.contains("pinned_routes.shop") && reason.contains(&format!("has revision {revision}")), "{reason}");
    let pinned = format!("pinned_routes: {{shop: {revision}}}");
    let asked = stub_stats(&second).requests;
    system.publish(shop_spec("pinned", "50/s", "4s", &pinned).as_bytes()).await;
    system.wait_for_requests(50).await;
    set(&system, &[format!("{second}=1")]);
    let record = system.wait_for_end("pinned").await;
    assert_eq!((record.status, record.route_changes), (RunStatus::Finished, 0), "{:?}", record.reason);
    assert_eq!(stub_stats(&second).requests, asked, "nothing went where the table points now");
    // What the experiment itself says of a service goes before the table.
    let file = system.directory.path().join("both.yaml");
    let both =
        shop_spec("both", "1/s", "1s", &pinned).replace("services: {", &format!("services: {{shop: ['{first}'], "));
    std::fs::write(&file, both).unwrap();
    let refused = system.output(&["validate", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(64) && said.contains("pinned_routes.shop"), "{said}");
}
