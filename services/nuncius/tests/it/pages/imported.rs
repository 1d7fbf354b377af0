//! A test of Artillery, given to the page of new experiments.

use nuncius_testkit::{Browser, Scheme};

use super::look::{barriers, look, text};
use crate::harness::{System, until};
use crate::rest_harness::Face;

const TEST: &str = "config:\n  target: http://shop/\n  phases:\n    - duration: 10\n      arrivalRate: 5\n\
                    scenarios:\n  - flow:\n      - get:\n          url: /items\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_test_of_artillery_becomes_a_specification_and_each_key_is_told() {
    let system = System::start(1).await;
    let face = Face::start(&system, &[]);
    until("the gateway has read everything", async || (face.get("/readyz").0 == 200).then_some(())).await;
    let mut browser = Browser::start().unwrap();
    let give = |browser: &mut Browser, test: &str| {
        look(browser, &face.address, "/new", 1400, Scheme::Light, "import");
        let test = serde_json::to_string(test).unwrap();
        let script = format!(
            "document.getElementById('artillery').value = {test}; document.querySelector('form[action$=import] button').click()"
        );
        browser.evaluate(&script).unwrap();
    };
    give(&mut browser, TEST);
    let told = until("it is told what became of it", async || {
        let told = text(&mut browser, "#imported");
        (!told.is_empty()).then_some(told)
    })
    .await;
    assert!(told.contains("config.target") && told.contains("supported"), "{told}");
    assert_eq!(barriers(&mut browser), Vec::<String>::new());
    let spec = browser.evaluate("document.getElementById('spec').value").unwrap();
    let submission = nuncius_schemas::submission::from_bytes(spec.as_str().unwrap().as_bytes()).unwrap();
    let nuncius_schemas::submission::Submission::Spec(spec) = submission else { panic!("{spec}") };
    assert_eq!(spec.groups[0].target, "http://shop");
    // What has no meaning here is refused, by its key; files of the gateway's machine are not read.
    give(&mut browser, &TEST.replace("- get:", "- frobnicate:"));
    until("the key is refused", async || text(&mut browser, "#imported").contains("frobnicate").then_some(())).await;
    give(&mut browser, &TEST.replace("config:", "config:\n  payload: {path: /etc/passwd, fields: [a]}"));
    let refused = until("the file is refused", async || {
        Some(text(&mut browser, "#imported")).filter(|told| told.contains("/etc/passwd"))
    })
    .await;
    assert!(refused.contains("nuncius import") && !refused.contains("root:"), "{refused}");
}
