//! Every page, in windows of two widths, light and dark.

use nuncius_schemas::run::Verdict;
use nuncius_testkit::{Browser, Scheme};

use super::look::{barriers, look, text};
use crate::harness::{System, open_spec, until};
use crate::rest_harness::{Face, ask};

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_its_window_keeps_nobody_out_and_complains_of_nothing() {
    let mut system = System::start(2).await;
    let address = system.start_stub(&["--service-time", "exponential:2ms"]);
    for id in ["before", "after"] {
        let more = "name: <b>shop & \"co\"</b>\ngates: ['failures < 1%', 'p99(response) < 2s', 'rate > 1/s']";
        let spec = open_spec(id, &address, "100/s", "9s", more);
        system.publish(spec.as_bytes()).await;
        assert_eq!(system.wait_for_end(id).await.verdict, Some(Verdict::Pass));
    }
    assert!(system.output(&["queue", "create", "jobs"]).status.success());
    assert!(system.output(&["route", "set", "shop", "10.0.0.7:8080=3", "10.0.0.8:8080"]).status.success());
    let face = Face::start(&system, &[]);
    until("the gateway has read everything", async || (face.get("/readyz").0 == 200).then_some(())).await;
    let mut browser = Browser::start().unwrap();
    let name = "%3Cb%3Eshop%20%26%20%22co%22%3C%2Fb%3E";
    let pages = [
        ("/", "now"),
        ("/runs", "runs"),
        ("/runs/after", "run"),
        ("/runs/after/events", "run-events"),
        ("/compare?id=after&id=before", "compare"),
        (&format!("/experiments/{name}"), "trend"),
        ("/new?example=staged", "new"),
        ("/nodes", "nodes"),
        ("/queues", "queues"),
        ("/routes", "routes"),
        ("/apps", "apps"),
        ("/events", "events"),
        ("/system", "system"),
        ("/api", "api"),
        ("/sign-in", "sign-in"),
    ];
    let mut found = Vec::new();
    for (path, name) in pages {
        for width in [1400, 400] {
            for scheme in [Scheme::Light, Scheme::Dark] {
                look(&mut browser, &face.address, path, width, scheme, name);
                let here = barriers(&mut browser).into_iter();
                found.extend(here.map(|barrier| format!("{path} at {width}, {scheme:?}: {barrier}")));
            }
        }
        let foreign =
            "performance.getEntriesByType('resource').filter((e) => !e.name.startsWith(location.origin)).length";
        assert_eq!(browser.evaluate(foreign).unwrap(), 0, "{path} asks nobody else");
    }
    assert_eq!(found, Vec::<String>::new());
    look(&mut browser, &face.address, "/runs/after", 1400, Scheme::Light, "run");
    assert_eq!(text(&mut browser, ".headline h1"), "<b>shop & \"co\"</b> (after)");
    until("its charts are drawn", async || {
        let script = "[...document.querySelectorAll('.live:not([hidden]) canvas')].filter((canvas) => \
                      canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)).length";
        let drawn = browser.evaluate(script).unwrap();
        // Rates, latency, heat map, causes, in flight, nodes twice; nothing failed.
        (drawn.as_i64() == Some(7)).then_some(())
    })
    .await;
    assert_eq!(browser.evaluate("document.querySelectorAll('svg.bar .edge').length").unwrap(), 3, "gates are drawn");
    let (status, page) = ask(&face.address, "GET", "/runs/nobody", "accept: text/html\r\n", "");
    assert_eq!(status, 404);
    assert!(page.as_str().unwrap().contains("There is") || page.as_str().unwrap().contains("there is"), "{page}");
}
