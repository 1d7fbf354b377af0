//! A tab that is open while a run goes on for long.

use nuncius_schemas::event::{EventKind, ExperimentEvent};
use nuncius_schemas::run::RunStatus;
use nuncius_schemas::second::{Distribution, ExperimentSecond, GroupSecond, NodeSecond, StepSecond};
use nuncius_stats::second::distribution;
use nuncius_stats::{Histogram, Totals};
use nuncius_testkit::{Browser, Scheme, eventually};

use crate::http::PATIENCE;
use crate::scene::Scene;

/// Half an hour, told as fast as the page takes it.
const SECONDS: u32 = 1_800;
/// Seconds that are told before the page must show the last of them.
const AT_ONCE: u32 = 60;
/// Steps of the run.
const STEPS: u16 = 10;
/// How much of what it holds before the middle a tab may hold before the end.
const GROWTH_MAX: f64 = 1.10;

fn latencies(seed: u64) -> Distribution {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut histogram = Histogram::new();
    (0..200).for_each(|_| histogram.record_ns((-random.f64().max(1e-9).ln() * 5e6) as u64));
    distribution(&Totals::from(&histogram))
}

fn second(number: u32) -> ExperimentSecond {
    let step = |step: u16, name: String| StepSecond {
        step,
        name,
        offered: 200,
        sent: 200,
        succeeded: 200,
        response: latencies(u64::from(number) * 64 + u64::from(step)),
        ..StepSecond::default()
    };
    let group = GroupSecond {
        name: "main".to_owned(),
        open: true,
        offered_ns: 1_000_000_000,
        scheduled: Some(200),
        iterations: Some(step(STEPS, "iteration".to_owned())),
        steps: (0..STEPS).map(|index| step(index, format!("step-{index}"))).collect(),
        ..GroupSecond::default()
    };
    let node = |name: u32| NodeSecond {
        node: format!("n{name}"),
        offered: 50,
        lag_p99_ns: Some(50_000 + u64::from(number)),
        ..NodeSecond::default()
    };
    ExperimentSecond {
        experiment: "long".to_owned(),
        second: number,
        first_second: number,
        revision: 0,
        late: false,
        part: 0,
        parts: 1,
        length_ns: 1_000_000_000,
        at_unix_ns: (1_700_000_000 + u64::from(number)) * 1_000_000_000,
        status: RunStatus::Running,
        seconds_total: Some(SECONDS),
        groups: vec![group],
        nodes: (0..4).map(node).collect(),
        nodes_left_out: 0,
    }
}

fn event(number: u32) -> ExperimentEvent {
    ExperimentEvent {
        experiment: "long".to_owned(),
        at_unix_ms: (1_700_000_000 + u64::from(number)) * 1_000,
        kind: EventKind::Warning,
        message: format!("something that happened in second {number}"),
        status: None,
        verdict: None,
        data: std::collections::BTreeMap::new(),
    }
}

/// Tells seconds, and waits until the page shows the last of them.
async fn tell(scene: &Scene, browser: &mut Browser, seconds: std::ops::Range<u32>) {
    let names = scene.bus.namespace();
    let last = seconds.end;
    for number in seconds {
        scene
            .bus
            .store_message(&names.experiment_second("long"), "experiment-second.v1", &second(number), None)
            .await
            .unwrap();
        if number % 5 == 0 {
            scene
                .bus
                .store_message(&names.experiment_event("long"), "experiment-event.v1", &event(number), None)
                .await
                .unwrap();
        }
    }
    let script = "document.querySelector('[data-told]').textContent";
    let wanted = format!("second {last} of {SECONDS}");
    let shown = eventually(PATIENCE, || {
        let is_shown = browser.evaluate(script).unwrap() == wanted.as_str();
        async move { is_shown.then_some(()) }
    })
    .await;
    assert!(shown.is_some(), "{wanted}: {}", browser.evaluate(script).unwrap());
    // What it draws is drawn.
    let drawn = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))";
    browser.evaluate(drawn).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tab_that_follows_a_run_for_half_an_hour_holds_no_more_at_the_end_than_in_the_middle() {
    let scene = Scene::start().await;
    let gateway = scene.gateway(|_| {}).await;
    scene.record_with_steps("long", usize::from(STEPS)).await;
    let mut browser = Browser::start().unwrap();
    let page = format!("http://{}/runs/long", gateway.address);
    let there = eventually(PATIENCE, || {
        let complaints = browser.open_url(&page, 1400, Scheme::Light).unwrap();
        async move { complaints.is_empty().then_some(()) }
    })
    .await;
    assert!(there.is_some(), "there is a page of the run");
    let mut held = Vec::new();
    for begin in (0..SECONDS).step_by(AT_ONCE as usize) {
        tell(&scene, &mut browser, begin..begin + AT_ONCE).await;
        held.push(browser.heap_bytes().unwrap());
    }
    // What is folded now and then goes up and down: the second quarter is compared with the last.
    let quarter = held.len() / 4;
    let mean = |until: usize| held[until - quarter..until].iter().sum::<u64>() as f64 / quarter as f64;
    let (middle, end) = (mean(held.len() / 2), mean(held.len()));
    eprintln!("{middle:.0} bytes before the middle, {end:.0} before the end: {held:?}");
    assert!(end <= middle * GROWTH_MAX, "{middle} bytes before the middle, {end} before the end: {held:?}");
    // It has all of the run: what is older with less detail.
    let counted = browser.evaluate("document.querySelector('[data-tile=offered]').textContent").unwrap();
    assert_ne!(counted, "–");
    gateway.stop().await;
}
