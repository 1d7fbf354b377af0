//! `nuncius up --observe`: a real Prometheus, the gateway, and Jaeger's pages.

use std::path::Path;

use nuncius_testkit::{Browser, Scheme, TempDir};
use serde_json::Value;

use crate::harness::{beside_others, nuncius, until};
use crate::observe_harness::{Observed, ask, encoded};

#[test]
fn what_is_not_installed_is_told_with_what_to_install() {
    let directory = TempDir::new("observe").unwrap();
    let up = |pages: &str, path: &str| {
        let mut command = nuncius();
        command.arg("--data").arg(directory.path()).args(["up", "--observe", "--listen", "127.0.0.1:0"]);
        command.env("PATH", path).env("NUNCIUS_JAEGER_UI", pages).output().unwrap()
    };
    for (output, missing) in [
        (up("/nonexistent", "/nonexistent"), "no prometheus found"),
        (up("/nonexistent", &std::env::var("PATH").unwrap()), "the pages of Jaeger in /nonexistent"),
    ] {
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{told}");
        assert!(told.contains(missing) && told.contains("scripts/setup --observe"), "{told}");
        assert!(output.stdout.is_empty(), "nothing was started");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_up_started_ends_with_it_even_when_it_is_killed() {
    let mut observed = Observed::start(&[]);
    let own = observed.up.child.id();
    let children = || children_of(own);
    until("both servers are children", async || {
        let names: Vec<String> = children().into_iter().map(|(_, name)| name).collect();
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        (has("prometheus") && has("nats-server")).then_some(())
    })
    .await;
    let before = children();
    observed.up.kill();
    until("the children have ended", async || {
        before.iter().all(|(pid, name)| name_of(*pid).as_ref() != Some(name)).then_some(())
    })
    .await;
}

/// Process ids and names of the children of a process.
fn children_of(parent: u32) -> Vec<(u32, String)> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name in brackets: the state and the parent.
        let is_child = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse() == Ok(parent);
        is_child.then(|| Some((pid, name_of(pid)?)))?
    })
    .collect()
}

/// The name of a process that has not ended.
fn name_of(pid: u32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    (!field("State:")?.starts_with('Z')).then(|| field("Name:").map(str::to_owned))?
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_is_seen_in_prometheus_and_each_point_of_its_latencies_leads_to_a_trace() {
    let _machine = beside_others().await;
    let observed = Observed::start(&["--clients", "2"]);
    let spec = "id: seen\nname: seen\nlag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\ntrace_ratio: 0.02\n\
                groups:\n- name: browse\n  target: http://stub/\n  arrivals: poisson\n  stages:\n\
                \x20 - {duration: 4s, rate: 20/s, to: 200/s}\n  - {duration: 6s, rate: 200/s}\n\
                \x20 - {duration: 2s, rate: 200/s, to: 0}\n";
    assert_eq!(tokio::task::block_in_place(|| observed.run("seen", spec)), 0);

    // All alerts are there and none has an error.
    let (status, rules) = crate::queue_harness::http_get(&observed.prometheus, "/api/v1/rules");
    assert_eq!(status, 200, "{rules}");
    let rules: Value = serde_json::from_str(&rules).unwrap();
    let groups = rules["data"]["groups"].as_array().unwrap();
    let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() > 15, "{rules:?}");
    assert!(rules.iter().all(|rule| rule["health"] != "err"), "{rules:?}");

    let query = "nuncius_experiment_response_seconds_bucket{experiment=\"seen\"}";
    let exemplar = until("a point of the latencies has a trace", async || {
        let now = seconds_now();
        let (start, end) = ((now - 120.0).to_string(), now.to_string());
        let parameters = [("query", query), ("start", start.as_str()), ("end", end.as_str())];
        let found = ask(&observed.prometheus, "/api/v1/query_exemplars", &parameters);
        let series = found["data"].as_array().unwrap().first()?.clone();
        series["exemplars"][0]["labels"]["trace_id"].as_str().map(str::to_owned)
    })
    .await;
    let trace = until("the trace has arrived", async || {
        let (status, body) = crate::queue_harness::http_get(&observed.traces, &format!("/api/traces/{exemplar}"));
        let trace: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
        let spans = trace["data"][0]["spans"].as_array()?.clone();
        spans.iter().any(|span| span["operationName"] == "run experiment").then_some(trace)
    })
    .await;
    let spans = trace["data"][0]["spans"].as_array().unwrap();
    let kinds: Vec<&str> = spans.iter().filter_map(|span| tag(span, "span.kind")).collect();
    assert!(kinds.contains(&"client") && kinds.contains(&"producer"), "{kinds:?}");
    shown(&observed, &exemplar).await;
}

fn tag<'a>(span: &'a Value, key: &str) -> Option<&'a str> {
    span["tags"].as_array()?.iter().find(|tag| tag["key"] == key)?["value"].as_str()
}

fn seconds_now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Looks at the pages as a person does. NUNCIUS_SHOTS=DIRECTORY keeps the pictures.
async fn shown(observed: &Observed, trace: &str) {
    let shots = std::env::var_os("NUNCIUS_SHOTS");
    let mut browser = Browser::start().unwrap();
    let complaints =
        browser.open_url(&format!("http://{}/trace/{trace}", observed.traces), 1400, Scheme::Light).unwrap();
    let text = until("Jaeger's page shows the trace", async || {
        let text = browser.evaluate("document.body.innerText").unwrap().as_str().unwrap_or_default().to_owned();
        text.contains("run experiment").then_some(text)
    })
    .await;
    assert!(text.contains("nuncius"), "{text}");
    // What the policy of the page forbids would be told here.
    let refused: Vec<&String> = complaints.iter().filter(|text| text.contains("Content Security Policy")).collect();
    assert!(refused.is_empty(), "{refused:?}");
    if let Some(shots) = &shots {
        browser.screenshot_of_window(&Path::new(shots).join("trace.png")).unwrap();
    }
    let search = format!("http://{}/search?service=nuncius-up&lookback=1h&limit=20", observed.traces);
    browser.open_url(&search, 1400, Scheme::Light).unwrap();
    until("Jaeger's page finds traces", async || {
        let text = browser.evaluate("document.body.innerText").unwrap();
        text.as_str()?.contains("Spans").then_some(())
    })
    .await;
    let quantile =
        "histogram_quantile(0.99, sum by (le, step) (rate(nuncius_experiment_response_seconds_bucket[10s])))";
    let graph = format!(
        "http://{}/classic/graph?g0.expr={}&g0.tab=0&g0.range_input=30s",
        observed.prometheus,
        encoded(quantile)
    );
    browser.open_url(&graph, 1400, Scheme::Light).unwrap();
    until("Prometheus' page draws the latencies", async || {
        let drawn = "document.querySelectorAll('.rickshaw_graph svg path, canvas').length";
        (browser.evaluate(drawn).unwrap().as_f64()? > 0.0).then_some(())
    })
    .await;
    if let Some(shots) = &shots {
        browser.screenshot_of_window(&Path::new(shots).join("latencies.png")).unwrap();
    }
}
