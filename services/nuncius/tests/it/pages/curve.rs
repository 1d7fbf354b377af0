//! A curve that is drawn by hand.

use nuncius_testkit::{Browser, Scheme};

use super::look::look;
use crate::harness::{System, until};
use crate::rest_harness::Face;

#[tokio::test(flavor = "multi_thread")]
async fn a_curve_that_is_drawn_becomes_the_stages_of_the_experiment() {
    let system = System::start(1).await;
    let face = Face::start(&system, &["--base-path", "/load"]);
    until("the gateway has read everything", async || (face.get("/readyz").0 == 200).then_some(())).await;
    let mut browser = Browser::start().unwrap();
    look(&mut browser, &face.address, "/load/new?example=smallest", 1400, Scheme::Light, "new");
    // A point is moved by the keyboard, and the curve is used.
    let script = "(() => { const dot = document.querySelectorAll('[data-curve] circle')[1]; dot.focus(); \
                  dot.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowDown', bubbles: true })); \
                  document.querySelector('[data-use]').click(); \
                  return document.getElementById('spec').value; })()";
    let text = browser.evaluate(script).unwrap();
    let text = text.as_str().unwrap();
    let submission = nuncius_schemas::submission::from_bytes(text.as_bytes());
    let submission = submission.unwrap_or_else(|error| panic!("{error}\n{text}"));
    let nuncius_schemas::submission::Submission::Spec(spec) = submission else { panic!("{text}") };
    let stages = spec.groups[0].effective_stages();
    assert_eq!(stages.len(), 3, "{text}");
    assert_eq!(stages[0].to.unwrap().as_per_second(), 78.0, "{text}");
    assert_eq!(stages.iter().map(|stage| stage.duration.0).sum::<u64>(), 60_000_000_000);
}
