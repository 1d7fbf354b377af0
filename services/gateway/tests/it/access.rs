//! Who may do what: tokens, sessions, origins, rates.

use std::net::SocketAddr;
use std::path::PathBuf;

use nuncius_gateway::{GatewayConfig, GatewayError, NewToken, Scope, new_token};
use nuncius_testkit::TempDir;

use crate::http::{Answer, ask, get};
use crate::scene::{Scene, blocking};

struct Tokens {
    _directory: TempDir,
    file: PathBuf,
    read: NewToken,
    control: NewToken,
    admin: NewToken,
}

fn tokens() -> Tokens {
    let directory = TempDir::new("tokens").unwrap();
    let file = directory.path().join("tokens");
    let [read, control, admin] = [("eve", Scope::Read), ("ci", Scope::Control), ("ada", Scope::Admin)]
        .map(|(name, scope)| new_token(name, scope).unwrap());
    std::fs::write(&file, format!("# who\n{}\n{}\n{}\n", read.line, control.line, admin.line)).unwrap();
    Tokens { _directory: directory, file, read, control, admin }
}

fn bearer(token: &NewToken) -> String {
    format!("authorization: Bearer {}\r\n", token.token)
}

fn route(address: SocketAddr, headers: &str) -> Answer {
    ask(address, "PUT", "/api/v1/routes/shop", headers, br#"{"hosts": [{"address": "10.0.0.7:80"}]}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_what_its_scope_says_and_metrics_stay_open() {
    let scene = Scene::start().await;
    let tokens = tokens();
    let file = tokens.file.clone();
    // Beyond loopback: with tokens it may.
    let gateway = scene
        .gateway(|config| {
            config.listen = "0.0.0.0:0".to_owned();
            config.access.token_file = Some(file);
        })
        .await;
    let address = SocketAddr::from(([127, 0, 0, 1], gateway.address.port()));
    blocking(move || {
        for path in ["/metrics", "/healthz", "/sign-in", "/assets/pages.css"] {
            assert_eq!(get(address, path).status, 200, "{path}");
        }
        let page = get(address, "/");
        assert_eq!((page.status, page.header("location")), (303, Some("/sign-in")), "a page asks for a token");
        let nobody = get(address, "/api/v1/nodes");
        assert_eq!((nobody.status, nobody.problem().as_str()), (401, "no-token"));
        assert!(nobody.header("www-authenticate").is_some());
        assert_eq!(ask(address, "GET", "/api/v1/nodes", &bearer(&tokens.read), b"").status, 200);
        for token in [&tokens.read, &tokens.control] {
            let refused = route(address, &bearer(token));
            assert_eq!((refused.status, refused.problem().as_str()), (403, "scope"));
        }
        assert_eq!(route(address, &bearer(&tokens.admin)).status, 200);
        let cancel =
            |token: &NewToken| ask(address, "POST", "/api/v1/experiments/none/cancel", &bearer(token), b"{}").status;
        assert_eq!((cancel(&tokens.read), cancel(&tokens.control)), (403, 404));
        // Validating changes nothing.
        let validate = ask(address, "POST", "/api/v1/experiments/validate", &bearer(&tokens.read), b"name: x");
        assert_eq!(validate.status, 200, "{validate:?}");
        for wrong in ["Bearer ada.wrong", "Bearer", "Bearer eve", "Basic x", &format!("Bearer {}x", tokens.admin.token)]
        {
            let refused = ask(address, "GET", "/api/v1/nodes", &format!("authorization: {wrong}\r\n"), b"");
            assert_eq!((refused.status, refused.problem().as_str()), (401, "wrong-token"), "{wrong}");
        }
        // Guessing ends soon, and keeps nobody out who knows.
        let guesses: Vec<u16> = (0..20)
            .map(|number| {
                ask(address, "GET", "/api/v1/nodes", &format!("authorization: Bearer ada.{number}\r\n"), b"").status
            })
            .collect();
        assert!(guesses.contains(&429), "{guesses:?}");
        assert_eq!(ask(address, "GET", "/api/v1/nodes", &bearer(&tokens.read), b"").status, 200);
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_for_the_own_origin_and_ends_when_it_is_ended() {
    let scene = Scene::start().await;
    let tokens = tokens();
    let file = tokens.file.clone();
    let gateway = scene.gateway(|config| config.access.token_file = Some(file)).await;
    let address = gateway.address;
    blocking(move || {
        let own = format!("origin: http://{address}\r\nsec-fetch-site: same-origin\r\n");
        let sign_in = |headers: &str, token: &str| {
            ask(address, "POST", "/session", headers, format!("{{\"token\": \"{token}\"}}").as_bytes())
        };
        assert_eq!(sign_in("origin: http://evil.example\r\n", &tokens.admin.token).status, 403);
        assert_eq!(sign_in(&own, "ada.wrong").status, 401);
        let signed_in = sign_in(&own, &tokens.admin.token);
        assert_eq!(signed_in.status, 200, "{signed_in:?}");
        let set = signed_in.header("set-cookie").unwrap().to_owned();
        for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
            assert!(set.contains(part), "{set}");
        }
        let cookie = format!("cookie: {}\r\n", set.split(';').next().unwrap());
        assert_eq!(ask(address, "GET", "/api/v1/nodes", &cookie, b"").status, 200);
        let who = ask(address, "GET", "/session", &cookie, b"").json();
        assert_eq!((who["name"].as_str(), who["scope"].as_str()), (Some("ada"), Some("admin")));
        assert_eq!(route(address, &format!("{cookie}{own}")).status, 200);
        for (origin, why) in [
            ("origin: http://evil.example\r\n", "another origin"),
            ("sec-fetch-site: cross-site\r\n", "another site"),
            ("origin: null\r\n", "no origin"),
            ("", "it does not say"),
        ] {
            let refused = route(address, &format!("{cookie}{origin}"));
            assert_eq!((refused.status, refused.problem().as_str()), (403, "foreign-origin"), "{why}");
        }
        let ended = ask(address, "DELETE", "/session", &format!("{cookie}{own}"), b"");
        assert_eq!(ended.status, 204);
        assert!(ended.header("set-cookie").unwrap().contains("Max-Age=0"));
        // Replayed by whoever has seen it.
        let replayed = ask(address, "GET", "/api/v1/nodes", &cookie, b"");
        assert_eq!((replayed.status, replayed.problem().as_str()), (401, "no-session"));
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_a_page_of_another_site_can_do_nothing_here() {
    let scene = Scene::start().await;
    let gateway = scene.gateway(|_| {}).await;
    let address = gateway.address;
    blocking(move || {
        assert_eq!(route(address, "").status, 200);
        for foreign in ["origin: http://evil.example\r\n", "sec-fetch-site: cross-site\r\n"] {
            assert_eq!(route(address, foreign).status, 403);
            assert_eq!(ask(address, "GET", "/api/v1/routes", foreign, b"").status, 403);
        }
        // A stranger's name that leads here.
        let rebound = crate::http::send(
            address,
            b"DELETE /api/v1/routes/shop HTTP/1.0\r\nhost: evil.example\r\norigin: http://evil.example\r\n\r\n",
        );
        assert_eq!(rebound.status, 403);
        // Nothing is open to other origins.
        let answer = ask(address, "OPTIONS", "/api/v1/routes/shop", "origin: http://evil.example\r\n", b"");
        assert!(answer.header("access-control-allow-origin").is_none(), "{answer:?}");
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_only_reads_changes_nothing_and_so_many_a_second_are_answered() {
    let scene = Scene::start().await;
    let gateway = scene
        .gateway(|config| {
            config.access.read_only = true;
            config.access.requests_per_second = 5;
        })
        .await;
    let address = gateway.address;
    blocking(move || {
        let refused = route(address, "");
        assert_eq!((refused.status, refused.problem().as_str()), (403, "read-only"));
        let answers: Vec<Answer> = (0..60).map(|_| get(address, "/api/v1/nodes")).collect();
        let told = answers.iter().find(|answer| answer.status == 429).expect("it is limited");
        assert_eq!(told.problem(), "too-many-requests");
        assert!(told.body.contains("--requests-per-second") && told.header("retry-after").is_some(), "{told:?}");
        // Nobody is kept from looking whether it is there.
        assert_eq!(get(address, "/healthz").status, 200);
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_would_be_open_to_strangers_does_not_start() {
    let config = |change: fn(&mut GatewayConfig)| {
        let mut config = GatewayConfig::new("gateway", "test");
        change(&mut config);
        config.check()
    };
    let open = config(|config| config.listen = "0.0.0.0:9464".to_owned());
    assert!(matches!(open, Err(GatewayError::Open { .. })), "{open:?}");
    let told = open.unwrap_err().to_string();
    assert!(told.contains("--token-file") && told.contains("--metrics-only"), "{told}");
    let open = config(|config| config.api.galileo_listen = Some("0.0.0.0:5001".to_owned()));
    assert!(matches!(open, Err(GatewayError::Open { .. })), "{open:?}");
    config(|config| {
        config.listen = "0.0.0.0:9464".to_owned();
        config.api.metrics_only = true;
    })
    .unwrap();
    for base in ["nuncius", "/", "/a/", "/a b", "/../x", "/<x>"] {
        let mut wrong = GatewayConfig::new("gateway", "test");
        base.clone_into(&mut wrong.api.base_path);
        assert!(matches!(wrong.check(), Err(GatewayError::BasePath(_))), "{base}");
    }
    let scene = Scene::start().await;
    let gateway = scene.gateway(|config| config.api.metrics_only = true).await;
    let address = gateway.address;
    blocking(move || {
        assert_eq!((get(address, "/metrics").status, get(address, "/readyz").status), (200, 200));
        for path in ["/", "/api/v1/nodes", "/session"] {
            assert_eq!(get(address, path).status, 404, "{path}");
        }
    })
    .await;
    gateway.stop().await;
}
