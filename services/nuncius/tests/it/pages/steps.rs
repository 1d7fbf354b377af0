//! The steps of a run that goes on: each has its series and its heat map, as it has afterwards.

use nuncius_testkit::{Browser, Scheme};
use serde_json::{Value, json};

use super::look::{last_minute, look, pictures, text};
use crate::harness::{System, open_spec, until};
use crate::rest_harness::Face;

const STEPS: &str = "  name: shop\n  steps: [{name: list, get: /}, {name: buy, get: /buy}]\n";

/// Chooses a series.
fn choose(browser: &mut Browser, name: &str) {
    let script = format!(
        "(() => {{ const chooser = document.querySelector('.chooser select'); chooser.value = '{name}'; \
         chooser.dispatchEvent(new Event('change')); return chooser.value; }})()"
    );
    assert_eq!(browser.evaluate(&script).unwrap(), name);
}

/// In how many columns of its pixels the heat map has something, its axes apart.
fn width_of_heat(browser: &mut Browser) -> u64 {
    let script = "(() => { const figure = [...document.querySelectorAll('.live')] \
                  .find((one) => one.textContent.startsWith('Heat')); if (!figure || figure.hidden) return 0; \
                  const canvas = figure.querySelector('canvas'); const { width, height } = canvas; \
                  const over = figure.querySelector('.u-over').getBoundingClientRect(); \
                  const at = canvas.getBoundingClientRect(); const scale = width / at.width; \
                  const left = Math.ceil((over.left - at.left) * scale) + 1; \
                  const wide = Math.floor(over.width * scale) - 2; \
                  const colour = getComputedStyle(document.documentElement).getPropertyValue('--heat').trim(); \
                  const blue = parseInt(colour.slice(5, 7), 16); const red = parseInt(colour.slice(1, 3), 16); \
                  const { data } = canvas.getContext('2d').getImageData(left, 0, wide, height); let columns = 0; \
                  for (let x = 0; x < wide; x += 1) for (let y = 0; y < height; y += 1) { \
                  const i = 4 * (y * wide + x); \
                  if (data[i + 3] > 20 && Math.abs(data[i] - red) < 40 && Math.abs(data[i + 2] - blue) < 40) \
                  { columns += 1; break; } } return columns; })()";
    browser.evaluate(script).unwrap().as_u64().unwrap()
}

/// What the interface says of a step: how many succeeded, and how many are in its heat map.
fn told(face: &Face, step: &str) -> (u64, u64) {
    let (status, told) = face.get(&format!("/api/v1/experiments/steps/series?group=shop&step={step}"));
    assert_eq!(status, 200, "{told}");
    let one = &told["series"][0];
    let sum = |all: &Value| all.as_array().unwrap().iter().filter_map(Value::as_u64).sum();
    let cells = one["heat"]["cells"].as_array().into_iter().flatten();
    (sum(&one["counts"]["succeeded"]), cells.filter_map(|cell| cell[2].as_u64()).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_chosen_has_its_series_and_its_heat_map_live_and_after_the_page_was_loaded_anew() {
    let mut system = System::start(1).await;
    let address = system.start_stub(&["--service-time", "exponential:2ms"]);
    let face = Face::start(&system, &[]);
    until("the gateway has read everything", async || (face.get("/readyz").0 == 200).then_some(())).await;
    let spec = format!("{}{STEPS}", open_spec("steps", &address, "50/s", "40s", ""));
    system.publish(spec.as_bytes()).await;
    let mut browser = Browser::start().unwrap();
    let path = "/runs/steps";
    until("there is a page of it", async || (face.get(path).0 == 200).then_some(())).await;
    look(&mut browser, &face.address, path, 1400, Scheme::Light, "steps");
    until("the series of steps can be chosen", async || {
        text(&mut browser, ".chooser").contains("shop / buy").then_some(())
    })
    .await;
    for again in [false, true] {
        if again {
            look(&mut browser, &face.address, path, 1400, Scheme::Light, "steps-again");
            until("its series are there", async || text(&mut browser, ".chooser").contains("shop / buy").then_some(()))
                .await;
        }
        for name in ["shop / buy", "shop / list", "shop"] {
            choose(&mut browser, name);
            let before =
                until("the heat map is drawn", async || Some(width_of_heat(&mut browser)).filter(|width| *width > 100))
                    .await;
            assert!(before > 100, "{name}");
        }
        choose(&mut browser, "shop / buy");
        until("the last minute is that of the step", async || (last_minute(&mut browser).len() > 5).then_some(()))
            .await;
    }
    if let Some(directory) = pictures() {
        browser.screenshot(&directory.join("steps-live-1400-light.png")).unwrap();
    }
    // As many as succeeded: nothing is lost, and nothing twice.
    for step in ["buy", "list", "iteration"] {
        until("the map of the step has what succeeded", async || {
            let (succeeded, mapped) = told(&face, step);
            (succeeded > 100 && succeeded == mapped).then_some(())
        })
        .await;
    }
    system.wait_for_end("steps").await;
    until("the page has the report", async || text(&mut browser, ".badge").contains("PASS").then_some(())).await;
    until("its series are there", async || text(&mut browser, ".chooser").contains("shop / buy").then_some(())).await;
    choose(&mut browser, "shop / buy");
    until("the heat map is drawn", async || (width_of_heat(&mut browser) > 100).then_some(())).await;
    assert_eq!(told(&face, "buy"), (2_000, 2_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tab_keeps_has_each_second_once_and_loses_detail_but_no_count() {
    let system = System::start(0).await;
    let face = Face::start(&system, &[]);
    let mut browser = Browser::start().unwrap();
    look(&mut browser, &face.address, "/", 1400, Scheme::Light, "heat");
    let script = "import('/assets/rows.js').then(({ Heat }) => { \
        const sum = (heat) => [...heat.columns.values()].flatMap((column) => column.filter((_, at) => at % 2)) \
          .reduce((all, count) => all + count, 0); \
        const sums = []; const tell = (heat, ...told) => { heat.put(...told); sums.push(sum(heat)); }; \
        const live = new Heat(); \
        tell(live, 1, 0, [10, 5], false); tell(live, 2, 1, [10, 5], false); tell(live, 3, 1, [10, 7], false); \
        live.wait(); \
        tell(live, 4, 2, [10, 1], false); tell(live, 5, 1, [10, 8], false); tell(live, 6, 3, [20, 2], false); \
        const map = { column_seconds: 1, row_upper_ns: [10], cells: [[0, 0, 5], [1, 0, 8], [2, 0, 1]] }; \
        live.begin(map, 5, 2); sums.push(sum(live)); \
        tell(live, 7, 3, [20, 4], false); tell(live, 8, 0, [10, 6], false); tell(live, 9, 2, [10, 3], true); \
        const begun = new Heat(); begun.begin(map, 5, 2); \
        tell(begun, 6, 2, [10, 9], false); tell(begun, 7, 3, [10, 1], false); \
        for (let second = 4; second < 200; second += 1) begun.put(second + 10, second, [10, 1], false); \
        begun.keep(60); \
        return { sums, all: sum(begun), columns: begun.columns.size, width: begun.width }; })";
    let found = browser.evaluate(script).unwrap();
    // While the server is asked, what is told waits; what its answer has already is not added again.
    assert_eq!(found["sums"], json!([5, 10, 12, 12, 12, 12, 16, 18, 19, 22, 14, 15]), "{found}");
    assert_eq!(found["all"], 15 + 196, "{found}");
    assert_eq!((&found["columns"], &found["width"]), (&json!(50), &json!(4)), "{found}");
    let script = "import('/assets/rows.js').then(({ Rows }) => { \
        const rows = new Rows('g', 's'); \
        const sum = (cells) => cells.reduce((all, count, at) => all + count * rows.seconds[at], 0); \
        for (let second = 0; second < 5000; second += 1) { \
          rows.put(second, { offered: second % 7, response_p99_ns: second }, [['status 500', 1]], false); \
          rows.keep(1000); } \
        const whole = [sum(rows.columns.offered), sum(rows.kinds.get('status 500'))]; \
        rows.put(10, { offered: 5 }, [['status 500', 2]], true); rows.put(10, { offered: 500 }, [], false); \
        rows.put(4998, { offered: 1000 }, [], false); \
        const ends = rows.second.map((second, at) => second + rows.seconds[at]); \
        return { whole, late: sum(rows.kinds.get('status 500')), last: rows.value(4998, 'offered'), \
          rows: rows.second.length, largest: Math.max(...rows.columns.response_p99_ns.filter(Number.isFinite)), \
          widest: Math.max(...rows.seconds), folded: [10, 4900, 5000].map((second) => rows.isFolded(second)), \
          gaps: ends.slice(0, -1).filter((end, at) => end !== rows.second[at + 1]).length }; })";
    let found = browser.evaluate(script).unwrap();
    // Of two that were told late one second more is told anew, which had one failure.
    let wanted = json!({ "whole": [14_995, 5_000], "late": 5_001, "last": 1_000, "rows": 834, "largest": 4_999,
                         "widest": 8, "folded": [true, false, false], "gaps": 0 });
    assert_eq!(found, wanted);
}
