//! The REST interface: described as it is, and calm whatever is asked of it.

use nuncius_schemas::route::{RouteHost, Weight};
use nuncius_schemas::run::RunStatus;
use serde_json::{Value, json};

use crate::http::{ask, get, send};
use crate::scene::{Scene, blocking};

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_path_answers_as_documented_and_every_problem_is_one() {
    let scene = Scene::start().await;
    let gateway = scene.gateway(|_| {}).await;
    let address = gateway.address;
    blocking(move || {
        let answer = get(address, "/api/v1/openapi.json");
        assert_eq!(answer.status, 200);
        let document = answer.json();
        assert_eq!(document["openapi"], "3.1.0");
        let tag = answer.header("etag").unwrap().to_owned();
        let again = ask(address, "GET", "/api/v1/openapi.json", &format!("if-none-match: {tag}\r\n"), b"");
        assert_eq!((again.status, again.body.as_str()), (304, ""));
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.len() > 25, "{}", paths.len());
        for (path, methods) in paths {
            let real = path
                .split('/')
                .map(|word| if word.starts_with('{') { "nothing-here" } else { word })
                .collect::<Vec<_>>()
                .join("/");
            for (method, operation) in methods.as_object().unwrap() {
                if real.ends_with("/live") && !real.contains("nothing") {
                    continue;
                }
                let answer = ask(address, &method.to_uppercase(), &real, "", b"{}");
                let documented = operation["responses"].as_object().unwrap();
                if answer.status < 400 {
                    assert!(documented.contains_key(&answer.status.to_string()), "{method} {path}: {answer:?}");
                } else {
                    assert!(answer.status < 500 || answer.status == 503, "{method} {path}: {answer:?}");
                    answer.problem();
                    assert!(documented.contains_key("default"));
                }
                // A method that is not for the path.
                let wrong = ask(address, "PATCH", &real, "", b"");
                assert_eq!((wrong.status, wrong.problem().as_str()), (405, "wrong-method"), "{path}");
                assert!(wrong.header("allow").is_some_and(|allow| allow.contains(&method.to_uppercase())), "{wrong:?}");
            }
        }
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_paths_parameters_heads_and_bodies_are_refused_by_name() {
    let scene = Scene::start().await;
    let gateway = scene.gateway(|config| config.api.body_max_bytes = 4_096).await;
    let address = gateway.address;
    blocking(move || {
        for path in [
            "/api/v1/experiments/..%2f..%2fetc%2fpasswd",
            "/api/v1/experiments/%00",
            "/api/v1/experiments/%ff%fe",
            "/api/v1/experiments/a.b.c",
            "/api/v1/experiments/*/report",
            "/api/v1/experiments/%3e/events",
            "/api/v1/experiments/~/export",
            "/api/v1/routes/%24KV.nuncius_run.x",
            "/api/v1/../../etc/passwd",
            "/api/v1/nothing",
            "/api/v1/experiments/<script>alert(1)</script>",
            "/api/v1/queues/a%20b",
            "/api/v1/apps/..%2F/bundle",
        ] {
            let answer = get(address, path);
            assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
            // hyper itself refuses what is no path at all.
            if !answer.body.is_empty() {
                answer.problem();
            }
            for header in ["content-security-policy", "x-content-type-options", "referrer-policy", "x-frame-options"] {
                assert!(answer.body.is_empty() || answer.header(header).is_some(), "{path}: {header}");
            }
        }
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=99999999999999999999", "limit"),
            ("cursor=%00", "cursor"),
            ("cursor=bm9uc2Vuc2U", "cursor"),
            ("status=running,mad", "status"),
            ("unknown=1", "unknown"),
            ("from=yesterday", "from"),
        ] {
            let answer = get(address, &format!("/api/v1/experiments?{query}"));
            assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some(field)), "{query}: {answer:?}");
        }
        assert!(get(address, "/api/v1/experiments?limit=101").body.contains("1 to 100"));
        // A body over the limit, said or not.
        let long = vec![b'x'; 5_000];
        let refused = ask(address, "POST", "/api/v1/experiments", "", &long);
        assert_eq!((refused.status, refused.problem().as_str()), (413, "too-large"));
        assert!(refused.body.contains("4096"), "{}", refused.body);
        let chunk = format!("1388\r\n{}\r\n0\r\n\r\n", "x".repeat(5_000));
        let head = format!(
            "POST /api/v1/experiments HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        assert_eq!(send(address, format!("{head}{chunk}").as_bytes()).status, 413);
        // A head over the limit.
        let long = format!("x-long: {}\r\n", "y".repeat(9_000));
        assert_eq!(ask(address, "GET", "/api/v1/nodes", &long, b"").status, 431);
        // What is no HTTP.
        assert_eq!(send(address, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").status, 400);
        let kind = ask(address, "POST", "/api/v1/experiments", "content-type: image/png\r\n", b"{}");
        assert_eq!((kind.status, kind.problem().as_str()), (415, "unsupported-type"));
        let id = ask(address, "POST", "/api/v1/experiments", "nuncius-id: a b\r\n", b"{}");
        assert_eq!((id.status, id.json()["field"].as_str()), (400, Some("nuncius-id")));
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_experiment_is_told_by_its_field_and_line() {
    let scene = Scene::start().await;
    let gateway = scene.gateway(|_| {}).await;
    let address = gateway.address;
    let wrong = "name: x\ngroups:\n- target: http://shop/\n  rate: 5\n  duration: soon\n";
    let fine = "name: '<script>alert(1)</script>'\ngroups: [{target: 'http://shop/', rate: 5, duration: 2s}]\n";
    blocking(move || {
        let told = ask(address, "POST", "/api/v1/experiments/validate", "", wrong.as_bytes());
        assert_eq!(told.status, 200, "{told:?}");
        let told = told.json();
        assert_eq!((told["valid"].as_bool(), told["problems"][0]["line"].as_u64()), (Some(false), Some(5)), "{told}");
        assert_eq!(told["problems"][0]["field"], "groups[0].duration");
        let refused = ask(address, "POST", "/api/v1/experiments", "", wrong.as_bytes());
        assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid-field"));
        assert_eq!(refused.json()["line"], 5);
        let told = ask(address, "POST", "/api/v1/experiments/validate", "", fine.as_bytes()).json();
        assert_eq!(told["valid"], true, "{told}");
        assert_eq!((&told["groups"][0]["scheduled"], &told["groups"][0]["curve"][1]), (&json!(10), &json!([2.0, 5.0])));
        let warned: Vec<&Value> =
            told["warnings"].as_array().unwrap().iter().map(|warning| &warning["field"]).collect();
        assert_eq!(warned, ["nodes", "groups[0].target"]);
        let scaling = format!("{fine}scaling: {{workers: [1], queue: q}}\n");
        assert!(ask(address, "POST", "/api/v1/experiments", "", scaling.as_bytes()).status >= 400);
        // A hundred thousand steps, and ten megabytes of text.
        let steps = format!(
            "groups:\n- target: http://shop/\n  rate: 1\n  duration: 1s\n  steps:\n{}",
            "  - get: /\n".repeat(20_000)
        );
        let many = ask(address, "POST", "/api/v1/experiments", "", steps.as_bytes());
        assert!((400..500).contains(&many.status), "{many:?}");
        let large = ask(address, "POST", "/api/v1/experiments", "", &vec![b'#'; 10 << 20]);
        assert_eq!(large.status, 413);
        // Nobody is there who would take it.
        let unread = ask(address, "POST", "/api/v1/experiments", "content-type: application/yaml\r\n", b"\xff\xff\xff");
        assert_eq!((unread.status, unread.problem().as_str()), (400, "unreadable"));
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn experiments_are_listed_page_by_page_and_filtered() {
    let scene = Scene::start().await;
    let gateway = scene.gateway(|_| {}).await;
    for (id, status) in [("a", RunStatus::Finished), ("b", RunStatus::Running), ("c", RunStatus::Failed)] {
        scene.record(id, status).await;
    }
    let address = gateway.address;
    blocking(move || {
        let list = |query: &str| {
            let deadline = std::time::Instant::now() + crate::http::PATIENCE;
            loop {
                let page = get(address, &format!("/api/v1/experiments?{query}")).json();
                let ids: Vec<String> = page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|item| item["id"].as_str().unwrap().to_owned())
                    .collect();
                if !ids.is_empty() || std::time::Instant::now() > deadline {
                    return (ids, page["next"].as_str().map(str::to_owned));
                }
            }
        };
        while list("").0.len() < 3 {}
        assert_eq!(list("").0, ["c", "b", "a"]);
        let (first, next) = list("limit=2");
        assert_eq!(first, ["c", "b"]);
        let (rest, end) = list(&format!("limit=2&cursor={}", next.unwrap()));
        assert_eq!((rest, end), (vec!["a".to_owned()], None));
        assert_eq!(list("status=running,failed").0, ["c", "b"]);
        assert_eq!(list("verdict=pass&status=finished").0, ["a"]);
        assert_eq!(list("name=shop%20b").0, ["b"]);
        assert_eq!(list("text=SHOP%20A").0, ["a"]);
        assert_eq!(list("from=1700000000098&to=1700000000099").0, ["b"]);
        let one = get(address, "/api/v1/experiments/b");
        assert_eq!((one.status, &one.json()["status"]), (200, &json!("running")));
        assert_eq!(one.json()["spec"]["groups"][0]["target"], "http://shop/");
        let tag = one.header("etag").unwrap().to_owned();
        let again = ask(address, "GET", "/api/v1/experiments/b", &format!("if-none-match: {tag}\r\n"), b"");
        assert_eq!(again.status, 304);
        assert_eq!(get(address, "/api/v1/experiments/unknown").status, 404);
        let removed = ask(address, "DELETE", "/api/v1/experiments/b", "", b"");
        assert_eq!((removed.status, removed.problem().as_str()), (409, "not-ended"));
        let away = ask(address, "DELETE", "/api/v1/experiments/a", "", b"");
        assert_eq!((away.status, away.problem().as_str()), (409, "out-of-reach"));
        assert_eq!(ask(address, "DELETE", "/api/v1/experiments/a?force=true", "", b"").status, 204);
        assert_eq!(get(address, "/api/v1/experiments/a").status, 404);
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_changed_by_whoever_has_read_what_is_there() {
    let scene = Scene::start().await;
    let gateway = scene.gateway(|_| {}).await;
    let address = gateway.address;
    blocking(move || {
        let hosts = |address: &str| {
            let host = RouteHost { address: address.to_owned(), weight: Weight::default() };
            serde_json::to_vec(&json!({ "hosts": [host] })).unwrap()
        };
        let path = "/api/v1/routes/shop";
        let made = ask(address, "PUT", path, "if-none-match: *\r\n", &hosts("10.0.0.7:80"));
        assert_eq!(made.status, 200, "{made:?}");
        let tag = made.header("etag").unwrap().to_owned();
        assert_eq!(get(address, path).header("etag"), Some(tag.as_str()));
        assert_eq!(ask(address, "PUT", path, "if-none-match: *\r\n", &hosts("10.0.0.8:80")).status, 412);
        let changed = ask(address, "PUT", path, &format!("if-match: {tag}\r\n"), &hosts("10.0.0.8:80"));
        assert_eq!(changed.status, 200);
        let stale = ask(address, "PUT", path, &format!("if-match: {tag}\r\n"), &hosts("10.0.0.9:80"));
        assert_eq!((stale.status, stale.problem().as_str()), (412, "changed"));
        assert_eq!(ask(address, "DELETE", path, &format!("if-match: {tag}\r\n"), b"").status, 412);
        assert_eq!(get(address, path).json()["hosts"][0]["address"], "10.0.0.8:80");
        let wrong = ask(address, "PUT", path, "", &hosts("nowhere"));
        assert_eq!((wrong.status, wrong.json()["field"].as_str()), (422, Some("hosts[0].address")));
        assert_eq!(get(address, "/api/v1/routes").json()["items"][0]["service"], "shop");
        assert_eq!(ask(address, "DELETE", path, "", b"").status, 204);
        assert_eq!(ask(address, "DELETE", path, "", b"").status, 404);
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_on_has_series_and_says_where_to_go_on() {
    let scene = Scene::start().await;
    let gateway = scene.gateway(|_| {}).await;
    scene.record("e1", RunStatus::Running).await;
    for number in 0..10 {
        scene.second("e1", number).await;
    }
    let address = gateway.address;
    let series = move || get(address, "/api/v1/experiments/e1/series?points=5").json();
    let told = blocking(series).await;
    assert_eq!((&told["source"], &told["after"]), (&json!("seconds"), &json!("10.0")));
    let first = &told["series"][0];
    assert_eq!(first["second"], json!([0, 2, 4, 6, 8]));
    assert_eq!(first["counts"]["succeeded"], json!([10, 10, 10, 10, 10]));
    assert_eq!(first["levels"]["response_p99_ns"]["max"][4], 3_009);
    scene.second("e1", 10).await;
    assert_eq!(blocking(series).await["after"], "11.0");
    assert_eq!(blocking(move || get(address, "/api/v1/experiments/none/series").status).await, 404);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_of_a_proxy_is_before_everything_but_metrics_and_probes() {
    let scene = Scene::start().await;
    let gateway = scene.gateway(|config| config.api.base_path = "/nuncius".to_owned()).await;
    let address = gateway.address;
    blocking(move || {
        for path in ["/healthz", "/metrics", "/nuncius", "/nuncius/api/v1/nodes", "/nuncius/session"] {
            assert_eq!(get(address, path).status, 200, "{path}");
        }
        for path in ["/nuncius", "/nuncius/"] {
            assert!(get(address, path).body.contains("href=\"/nuncius/runs\""), "{path}");
        }
        assert_eq!(get(address, "/api/v1/nodes").status, 404);
        let document = get(address, "/nuncius/api/v1/openapi.json").json();
        assert_eq!(document["servers"][0]["url"], "/nuncius");
        let deadline = std::time::Instant::now() + crate::http::PATIENCE;
        while get(address, "/readyz").status != 200 {
            assert!(std::time::Instant::now() < deadline);
        }
    })
    .await;
    gateway.stop().await;
}
