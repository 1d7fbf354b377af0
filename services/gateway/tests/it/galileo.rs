//! Galileo's REST interface: its own calls, as its programs make them.

use nuncius_schemas::run::RunStatus;
use serde_json::json;

use crate::http::{ask, get};
use crate::scene::{Scene, blocking};

/// `manifest.yml` and `generator.py`, zipped by another program, in a directory of its own, deflated.
const ARCHIVE: &str = include_str!("galileo/app.zip.base64");

fn archive() -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = ARCHIVE.bytes().filter(|c| !c.is_ascii_whitespace() && *c != b'=').map(digit).collect();
    let bits = digits.iter().flat_map(|digit| (0..6).rev().map(move |bit| digit >> bit & 1));
    let bits: Vec<u8> = bits.collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_eight_routes_answer_as_the_original_does() {
    let scene = Scene::start().await;
    let gateway = scene.gateway(|config| config.api.galileo_listen = Some("127.0.0.1:0".to_owned())).await;
    scene.record("a", RunStatus::Finished).await;
    let address = gateway.galileo.unwrap();
    blocking(move || {
        let index = get(address, "/api");
        assert_eq!(index.header("access-control-allow-origin"), Some("*"));
        let index = index.json();
        assert_eq!((index.as_array().unwrap().len(), &index[0]), (8, &json!({ "uri": "/api", "type": "ApiResource" })));
        assert_eq!(get(address, "/api/worker").json(), json!([]));
        assert_eq!(get(address, "/api/services").json(), json!([]));
        let question = "origin: http://dashboard\r\naccess-control-request-headers: content-type\r\n";
        let asked = ask(address, "OPTIONS", "/api/experiments", question, b"");
        assert_eq!(asked.status, 200);
        assert!(asked.header("access-control-allow-methods").unwrap().contains("POST"), "{asked:?}");
        assert_eq!(asked.header("access-control-max-age"), Some("86400"));
        let deadline = std::time::Instant::now() + crate::http::PATIENCE;
        while get(address, "/api/experiments").json().as_array().unwrap().is_empty() {
            assert!(std::time::Instant::now() < deadline);
        }
        let one = get(address, "/api/experiments/a").json();
        assert_eq!(
            (&one["id"], &one["status"], &one["end"]),
            (&json!("a"), &json!("FINISHED"), &json!(1_700_000_100.0))
        );
        assert_eq!(get(address, "/api/experiments/unknown").status, 404);
        assert_eq!(ask(address, "DELETE", "/api/experiments/unknown", "", b"").status, 404);
        // Nobody is there to do it; and of what is wrong no row is left.
        let body = br#"{"experiment": {"name": "x"}, "configuration": {"duration": "soon"}}"#;
        let nobody = ask(address, "POST", "/api/experiments", "", body);
        assert_eq!(nobody.status, 503);
        assert!(nobody.body.contains("no available hosts to execute the experiment"));
        assert_eq!(get(address, "/api/experiments").json().as_array().unwrap().len(), 1);
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_deployed_listed_downloaded_and_removed() {
    let scene = Scene::start().await;
    let gateway = scene.gateway(|config| config.api.galileo_listen = Some("127.0.0.1:0".to_owned())).await;
    let (address, own) = (gateway.galileo.unwrap(), gateway.address);
    blocking(move || {
        let wrong = ask(address, "POST", "/api/apps", "", b"no zip");
        assert_eq!(wrong.status, 400);
        assert!(wrong.body.contains("Error processing upload"), "{}", wrong.body);
        let made = ask(address, "POST", "/api/apps", "", &archive());
        assert_eq!(made.status, 201, "{made:?}");
        let wanted = json!({ "name": "squirrel", "manifest": { "name": "squirrel" } });
        assert_eq!(made.json(), wanted);
        assert_eq!(get(address, "/api/apps").json(), json!([wanted]));
        assert_eq!(get(address, "/api/apps/squirrel").json(), wanted);
        assert_eq!(get(address, "/api/apps/other").status, 404);
        let zip = get(address, "/api/apps/squirrel/download");
        assert_eq!(zip.header("content-type"), Some("application/zip"));
        assert!(zip.header("content-disposition").unwrap().contains("squirrel.zip"));
        assert!(zip.body.starts_with("PK") && zip.body.contains("def next_request"), "{zip:?}");
        // The same application, seen by the other interface.
        assert_eq!(get(own, "/api/v1/apps").json()["items"][0]["name"], "squirrel");
        assert_eq!(ask(address, "DELETE", "/api/apps/squirrel", "", b"").json(), json!(true));
        assert_eq!(ask(address, "DELETE", "/api/apps/squirrel", "", b"").json(), json!(false));
    })
    .await;
    gateway.stop().await;
}
