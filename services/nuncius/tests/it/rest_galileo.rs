//! Galileo's REST interface: what is posted runs to its end, and each status has the word that it has there.

use nuncius_schemas::run::RunStatus;
use serde_json::{Value, json};

use crate::harness::{System, beside_others, stub_stats, until};
use crate::rest::apart;
use crate::rest_harness::{Face, ask};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_posted_runs_to_its_end_as_its_ticks_say_and_each_status_has_galileos_word() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let target = system.start_stub(&[]);
    let face = Face::start(&system, &[]);
    let route = json!({ "hosts": [{ "address": target }] }).to_string();
    assert_eq!(apart(|| face.ask("PUT", "/api/v1/routes/shop", "", &route)).0, 200);
    let galileo = |method: &str, path: &str, body: &str| apart(|| ask(&face.galileo, method, path, "", body));
    until("the node is seen", async || (galileo("GET", "/api/worker", "").1 == json!(["n1"])).then_some(())).await;
    let post = |service: &str, ticks: &[u32], interval: &str, duration: &str| {
        let workload =
            json!({ "service": service, "ticks": ticks, "clients_per_host": 1, "arrival_pattern": "constant" });
        let configuration = json!({ "duration": duration, "interval": interval, "workloads": [workload] });
        let body = json!({ "experiment": { "name": "ticks", "creator": "ada" }, "configuration": configuration });
        let (status, id) = galileo("POST", "/api/experiments", &body.to_string());
        assert_eq!(status, 200, "{id}");
        id.as_str().unwrap().to_owned()
    };
    let shown = |id: &str| galileo("GET", &format!("/api/experiments/{id}"), "").1;
    let status = async |id: &str, wanted: &str| {
        until(wanted, async || Some(shown(id)).filter(|one| one["status"] == wanted)).await
    };

    let first = post("shop", &[20, 40], "2s", "4s");
    let ended = status(&first, "FINISHED").await;
    let seconds = |name: &str| ended[name].as_f64().unwrap_or_else(|| panic!("{name}: {ended}"));
    assert!(seconds("created") <= seconds("start") && seconds("start") + 3.9 <= seconds("end"), "{ended}");
    assert_eq!((&ended["name"], &ended["creator"]), (&json!("ticks"), &json!("ada")));
    let sent = 2 * 20 + 2 * 40;
    let report = system.report(&first).await;
    assert_eq!((report.offered, stub_stats(&target).requests), (sent, sent), "{:?}", report.reasons);
    let (_, records) = apart(|| face.get(&format!("/api/v1/experiments/{first}/records")));
    assert_eq!(records.as_str().unwrap().lines().count() as u64, 1 + sent, "a record of each request");

    // The node is taken: the next one waits, and is taken out of the queue.
    let long = post("shop", &[5], "10m", "10m");
    status(&long, "IN_PROGRESS").await;
    system.wait_for_status(&long, RunStatus::Running).await;
    let waiting = post("shop", &[5], "10m", "10m");
    assert_eq!(shown(&waiting)["status"], "QUEUED");
    let path = format!("/api/experiments/{waiting}");
    until("it is deleted", async || (galileo("DELETE", &path, "") == (200, json!(waiting))).then_some(())).await;
    assert_eq!(galileo("GET", &path, "").0, 404);
    assert!(system.record(&waiting).await.is_none());
    assert_eq!(shown(&long)["status"], "IN_PROGRESS", "the other one goes on");

    let cancel = format!("/api/v1/experiments/{long}/cancel");
    assert_eq!(apart(|| face.ask("POST", &cancel, "", "{\"reason\": \"enough\"}")).0, 202);
    status(&long, "CANCELLED").await;
    let nowhere = post("nowhere", &[5], "1s", "1s");
    status(&nowhere, "FAILED").await;
    let listed = galileo("GET", "/api/experiments", "").1;
    let statuses = |id: &str| -> Vec<Value> {
        let of_id = listed.as_array().unwrap().iter().filter(|one| one["id"] == id);
        of_id.map(|one| one["status"].clone()).collect()
    };
    for (id, word) in [(&first, "FINISHED"), (&long, "CANCELLED"), (&nowhere, "FAILED")] {
        assert_eq!(statuses(id), [json!(word)], "{listed}");
    }
}
