//! Runs that are found by their tags.

use nuncius_testkit::{Browser, Scheme};
use serde_json::Value;

use super::look::{barriers, look, text};
use crate::harness::{System, open_spec, until};
use crate::rest_harness::Face;

fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_found_by_their_tags_on_pages_over_rest_and_on_the_command_line() {
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    for (id, branch) in [("one", "main"), ("two", "a b&c=<d>")] {
        let metadata = serde_json::json!({ "branch": branch, "nightly": "", "note": "two\nlines" });
        system.publish(open_spec(id, &address, "50/s", "2s", &format!("metadata: {metadata}")).as_bytes()).await;
        system.wait_for_end(id).await;
    }
    let face = Face::start(&system, &[]);
    until("the gateway has read everything", async || (face.get("/readyz").0 == 200).then_some(())).await;
    let found = |query: &str| {
        let (status, page) = face.get(&format!("/api/v1/experiments?{query}"));
        assert_eq!(status, 200, "{page}");
        ids(&page["items"])
    };
    // One of them is known to the daemon alone.
    system.bus.kv(&system.bus.namespace().bucket_run()).await.unwrap().delete("one").await.unwrap();
    until("both are found", async || (found("tag=nightly") == ["two", "one"]).then_some(())).await;
    assert_eq!(found("tag=branch%3Dmain"), ["one"]);
    assert_eq!(found("tag=nightly&tag=branch%3Da%20b%26c%3D%3Cd%3E"), ["two"]);
    assert_eq!(found("tag=nightly&tag=note"), Vec::<String>::new(), "what has two lines is no tag");
    let (status, refused) = face.get("/api/v1/experiments?tag=%3Dmain");
    assert_eq!((status, refused["field"].as_str()), (400, Some("tag")), "{refused}");

    let listed = |arguments: &[&str]| {
        let output = system.output(&[&["ps", "--json"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        ids(&serde_json::from_slice(&output.stdout).unwrap())
    };
    assert_eq!(listed(&["--all", "--tag", "nightly"]), ["one", "two"]);
    assert_eq!(listed(&["--all", "--tag", "nightly", "--tag", "branch=main"]), ["one"]);
    assert_eq!(listed(&["--tag", "nightly"]), Vec::<String>::new(), "both have ended");

    let mut browser = Browser::start().unwrap();
    look(&mut browser, &face.address, "/runs", 1400, Scheme::Light, "runs-tagged");
    assert_eq!(barriers(&mut browser), Vec::<String>::new());
    // A tag leads to all that have it, and another one can be added to it.
    browser
        .evaluate("[...document.querySelectorAll('.tag')].find((tag) => tag.textContent.includes('<d>')).click()")
        .unwrap();
    until("those with the tag are listed", async || {
        let chosen = browser.evaluate("document.querySelector('[name=tag]')?.value").unwrap();
        (chosen == "branch=a b&c=<d>" && !text(&mut browser, "tbody").contains("one")).then_some(())
    })
    .await;
    let script = "document.querySelectorAll('[name=tag]')[1].value = 'nightly'; \
                  document.querySelector('form.filter button').click()";
    browser.evaluate(script).unwrap();
    until("both tags are asked for", async || {
        let chosen = browser.evaluate("document.querySelectorAll('[name=tag]').length").unwrap();
        (chosen == 3 && text(&mut browser, "tbody").contains("two")).then_some(())
    })
    .await;
    look(&mut browser, &face.address, "/runs/two", 400, Scheme::Dark, "run-tagged");
    assert!(text(&mut browser, "main").contains("Others with the same tag"));
    look(&mut browser, &face.address, "/runs?tag=nobody", 400, Scheme::Light, "runs-none");
    assert!(text(&mut browser, "main").contains("No experiment is here"));
}
