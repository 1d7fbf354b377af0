//! An experiment that somebody wrote who means no good.

use nuncius_testkit::{Browser, Scheme};

use super::look::{look, text};
use crate::harness::{System, until};
use crate::rest_harness::Face;

/// A step's name has at most 64 characters.
const STEP: &str = "<img src=x onerror='window.stolen = 1'>";
const SCRIPT: &str = "<script>window.stolen = 1</script><img src=x onerror='window.stolen = 1'>";

#[tokio::test(flavor = "multi_thread")]
async fn names_and_reasons_of_strangers_are_text_on_every_page() {
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let face = Face::start(&system, &[]);
    until("the gateway has read everything", async || (face.get("/readyz").0 == 200).then_some(())).await;
    let spec = serde_json::json!({
        "id": "hostile",
        "name": SCRIPT,
        "creator": SCRIPT,
        "lag_limit": "10s",
        "run_delay_limit": 1.0,
        "heartbeat_limit": "1h",
        "metadata": { "note": SCRIPT },
        "services": { "target": [address] },
        "groups": [{
            "name": "group",
            "target": "http://target/",
            "rate": "20/s",
            "duration": "30s",
            "steps": [{ "name": STEP, "get": "/" }, { "name": "other", "get": "/?x=%3Cscript%3E" }],
        }],
    });
    let (status, answer) =
        face.ask("POST", "/api/v1/experiments", "content-type: application/json\r\n", &spec.to_string());
    assert_eq!(status, 201, "{answer}");
    let mut browser = Browser::start().unwrap();
    look(&mut browser, &face.address, "/runs/hostile", 1400, Scheme::Light, "hostile");
    assert_eq!(text(&mut browser, ".headline h1"), SCRIPT);
    until("its steps are listed", async || text(&mut browser, "[data-steps]").contains(STEP).then_some(())).await;
    until("its series can be chosen", async || text(&mut browser, ".chooser").contains(STEP).then_some(())).await;
    let unharmed = |browser: &mut Browser, path: &str| {
        let stolen =
            browser.evaluate("window.stolen === undefined && document.querySelector('main img, main script') === null");
        assert_eq!(stolen.unwrap(), true, "{path}");
    };
    unharmed(&mut browser, "live");
    let reason = format!("{{\"reason\": \"{}\"}}", SCRIPT.replace('"', ""));
    let (status, answer) =
        face.ask("POST", "/api/v1/experiments/hostile/cancel", "content-type: application/json\r\n", &reason);
    assert_eq!(status, 202, "{answer}");
    system.wait_for_end("hostile").await;
    until("the report is on its page", async || text(&mut browser, ".badge").contains("CANCELLED").then_some(())).await;
    for path in
        ["/runs/hostile", "/", "/runs", "/runs/hostile/events", "/events", "/api/v1/experiments/hostile/report.html"]
    {
        look(&mut browser, &face.address, path, 1400, Scheme::Light, "hostile");
        let shown = browser.evaluate("document.body.textContent.includes('window.stolen = 1')").unwrap();
        assert_eq!(shown, true, "{path} shows it as text");
        unharmed(&mut browser, path);
    }
}
