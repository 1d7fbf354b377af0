//! Runs that are marked in the list, and compared.

use nuncius_testkit::{Browser, Scheme};

use super::look::{barriers, look, text};
use crate::harness::{System, open_spec, until};
use crate::rest_harness::Face;

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_compared_by_marking_them_each_with_the_first_that_was_marked() {
    let mut system = System::start(1).await;
    let address = system.start_stub(&["--service-time", "exponential:2ms"]);
    for id in ["first", "second", "third"] {
        system.publish(open_spec(id, &address, "100/s", "6s", "name: shop").as_bytes()).await;
        system.wait_for_end(id).await;
    }
    let face = Face::start(&system, &[]);
    until("the gateway has read everything", async || (face.get("/readyz").0 == 200).then_some(())).await;
    let mut browser = Browser::start().unwrap();
    look(&mut browser, &face.address, "/runs", 1400, Scheme::Light, "runs-marked");
    let p99 = text(&mut browser, "tbody tr td:nth-child(6)");
    assert!(p99.ends_with("ms") || p99.ends_with("s"), "the list has the p99: {p99}");
    for id in ["second", "third", "first"] {
        browser.evaluate(&format!("document.querySelector('[name=id][value={id}]').click()")).unwrap();
    }
    assert_eq!(text(&mut browser, "[data-marked]"), "third, first against second");
    browser.evaluate("document.querySelector('[data-compare] button').click()").unwrap();
    until("they are compared", async || (text(&mut browser, ".headline h1") == "second → third, first").then_some(()))
        .await;
    let heading = text(&mut browser, "section table thead");
    assert!(heading.contains("baseline") && heading.contains("third") && heading.contains("first"), "{heading}");
    assert!(text(&mut browser, "section table tbody").contains("p99"));
    assert_eq!(barriers(&mut browser), Vec::<String>::new());
    // Another one as the baseline, and only two of them.
    browser.evaluate("[...document.querySelectorAll('dd a')].at(-1).click()").unwrap();
    until("another baseline is taken", async || {
        text(&mut browser, ".headline h1").starts_with("first → ").then_some(())
    })
    .await;
    look(&mut browser, &face.address, "/compare?id=third&id=first", 400, Scheme::Dark, "compare-two");
    assert_eq!(text(&mut browser, ".headline h1"), "first → third", "without a choice the earliest");
    look(&mut browser, &face.address, "/compare?id=third", 1400, Scheme::Light, "compare-one");
    assert!(text(&mut browser, ".reason").contains("1 were marked"));
}
