//! What a page does that is open while something is away.

use std::collections::BTreeMap;

use nuncius_schemas::run::RunStatus;
use nuncius_testkit::{Browser, Scheme};

use super::look::{last_minute, look, number, text};
use crate::harness::{System, open_spec, until};
use crate::rest_harness::{Face, follow};

/// What the stream says of each second: how many succeeded, of the highest revision, and what came late.
async fn told(face: &Face, id: &str, through: u64) -> BTreeMap<u64, u64> {
    let (address, path) = (face.address.clone(), format!("/api/v1/experiments/{id}/live"));
    let all = tokio::task::spawn_blocking(move || {
        follow(&address, &path, None, |told| told.name != "second" || told.data["second"].as_u64() < Some(through))
    });
    let mut seconds: BTreeMap<u64, (u64, u64, u64)> = BTreeMap::new();
    for second in all.await.unwrap().into_iter().filter(|told| told.name == "second") {
        let number = second.data["second"].as_u64().unwrap();
        let succeeded = second.data["steps"]["succeeded"][0].as_u64().unwrap_or(0);
        let revision = second.data["revision"].as_u64().unwrap();
        let known = seconds.entry(number).or_default();
        if second.data["late"] == true {
            known.2 += succeeded;
        } else if revision >= known.0 {
            (known.0, known.1) = (revision, succeeded);
        }
    }
    seconds.into_iter().map(|(second, (_, succeeded, late))| (second, succeeded + late)).collect()
}

/// Waits until the page shows more than so many that succeeded.
async fn goes_on(browser: &mut Browser, beyond: u64) -> u64 {
    until("the page goes on", async || number(browser, "[data-tile=succeeded]").filter(|count| *count > beyond)).await
}

/// What the page shows is without a gap, and what the stream says.
async fn is_whole(browser: &mut Browser, face: &Face, id: &str) {
    let shown = until("the table is filled", async || Some(last_minute(browser)).filter(|rows| rows.len() > 5)).await;
    let numbers: Vec<u64> = shown.iter().map(|(second, _)| *second).collect();
    let wanted: Vec<u64> = (0..=*numbers.last().unwrap()).collect();
    assert_eq!(numbers, wanted, "every second, and none twice");
    let told = told(face, id, *numbers.last().unwrap()).await;
    // What is told of the very last ones may change meanwhile.
    for (second, succeeded) in shown.iter().rev().skip(3) {
        assert_eq!(told.get(second), Some(succeeded), "second {second}");
    }
}

async fn opened(system: &mut System, id: &str, face: &Face) -> (Browser, u64) {
    let address = system.start_stub(&[]);
    until("the gateway has read everything", async || (face.get("/readyz").0 == 200).then_some(())).await;
    let spec = open_spec(id, &address, "50/s", "55s", "horizon: 20s");
    system.publish(spec.as_bytes()).await;
    system.wait_for_status(id, RunStatus::Running).await;
    let mut browser = Browser::start().unwrap();
    look(&mut browser, &face.address, &format!("/runs/{id}"), 1400, Scheme::Light, "faults");
    let count = goes_on(&mut browser, 100).await;
    (browser, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_that_its_gateway_is_away_and_goes_on_without_a_gap_when_it_is_back() {
    let mut system = System::start(1).await;
    let mut face = Face::start(&system, &[]);
    let (mut browser, count) = opened(&mut system, "gateway-away", &face).await;
    face.process.kill();
    until("the page says what is missing", async || {
        let told = text(&mut browser, "[data-told]");
        let missing = text(&mut browser, "#missing");
        (told.contains("does not answer") && missing.contains("does not answer")).then_some(())
    })
    .await;
    let face = Face::start_at(&system, &face.address, &[]);
    goes_on(&mut browser, count + 200).await;
    until("nothing is missing any more", async || text(&mut browser, "#missing").is_empty().then_some(())).await;
    is_whole(&mut browser, &face, "gateway-away").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_that_the_bus_is_away_and_goes_on_without_a_gap_when_it_is_back() {
    let mut system = System::start(1).await;
    let face = Face::start(&system, &[]);
    let (mut browser, count) = opened(&mut system, "bus-away", &face).await;
    system.server.kill();
    until("the page says what is missing", async || {
        text(&mut browser, "#missing").contains("no connection to NATS").then_some(())
    })
    .await;
    system.server.restart().await.unwrap();
    goes_on(&mut browser, count + 300).await;
    until("nothing is missing any more", async || text(&mut browser, "#missing").is_empty().then_some(())).await;
    is_whole(&mut browser, &face, "bus-away").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_that_nobody_takes_experiments_when_the_daemon_is_gone() {
    let system = System::start(1).await;
    let face = Face::start(&system, &[]);
    until("the gateway has read everything", async || (face.get("/readyz").0 == 200).then_some(())).await;
    let mut browser = Browser::start().unwrap();
    look(&mut browser, &face.address, "/", 1400, Scheme::Light, "faults");
    assert_eq!(text(&mut browser, "#missing"), "");
    system.daemon.as_ref().unwrap().signal(rustix::process::Signal::TERM);
    until("the page says so by itself", async || {
        text(&mut browser, "#missing").contains("No experiment daemon").then_some(())
    })
    .await;
}
