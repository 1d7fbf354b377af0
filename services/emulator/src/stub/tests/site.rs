//! The site that scenarios log in to and browse, over both versions of HTTP.

use serde_json::{Value, json};

use super::*;

/// An answer, whole.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The first field of this name, or nothing.
    fn header(&self, name: &str) -> &str {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}

impl Running {
    async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: stub\r\nconnection: close\r\n");
        for (name, value) in fields {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        tokio::time::timeout(DEADLINE, stream.read_to_end(&mut read)).await.expect("no answer").unwrap();
        let end = read.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(read[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: read[end + 4..].to_vec() }
    }

    /// One connection of HTTP/2.
    async fn connect_http2(&self) -> (Streams, tokio::task::JoinHandle<Result<(), h2::Error>>) {
        let (streams, connection) = h2::client::handshake(self.connect().await).await.unwrap();
        (streams, tokio::spawn(connection))
    }
}

type Streams = h2::client::SendRequest<bytes::Bytes>;

/// Asks over HTTP/2; the status, once the body is there.
async fn status_of(streams: Streams, path: &'static str) -> Result<u16, h2::Error> {
    let request = hyper::Request::get(format!("http://stub{path}")).body(()).unwrap();
    let (answer, _) = streams.ready().await?.send_request(request, true)?;
    let (head, mut body) = answer.await?.into_parts();
    while let Some(data) = body.data().await {
        let length = data?.len();
        body.flow_control().release_capacity(length)?;
    }
    Ok(head.status.as_u16())
}

#[tokio::test]
async fn who_logs_in_has_a_token_and_a_cookie_and_without_them_there_is_no_way_in() {
    let stub = running(StubConfig::default());
    let login = stub.ask("POST", "/login", &[], "user=ada&password=x").await;
    assert_eq!((login.status, login.json()["user"].as_str()), (200, Some("ada")));
    let bearer = format!("Bearer {}", login.json()["token"].as_str().unwrap());
    for path in ["/account", "/private"] {
        let refused = stub.ask("GET", path, &[], "").await;
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer realm=\"stub\""), "{path}");
        assert_eq!(stub.ask("GET", path, &[("authorization", "Bearer made.up")], "").await.status, 401);
        let shown = stub.ask("GET", path, &[("authorization", &bearer)], "").await;
        assert_eq!((shown.status, shown.header("content-type")), (200, "application/json"), "{path}");
    }
    let cookie = login.header("set-cookie").split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("sid="), "{cookie}");
    assert_eq!(stub.ask("GET", "/session", &[("cookie", &cookie)], "").await.status, 200);
    assert_eq!(stub.ask("GET", "/session", &[("cookie", "sid=stub.0.0.0")], "").await.status, 401);
    assert_eq!(stub.ask("POST", "/logout", &[("authorization", &bearer)], "").await.status, 200);
    let wrong = stub.ask("POST", "/login", &[], r#"{"user": "ada", "password": "wrong"}"#).await;
    assert_eq!((wrong.status, wrong.json()["token"].is_null()), (401, true));
    let stats = stub.handle.stats();
    let paths = ["login", "account", "private", "session", "logout"].map(|kind| stats.path(kind));
    assert_eq!((paths, stats.unauthorized, stats.requests, stats.answered), ([2, 3, 3, 2, 1], 6, 11, 11));
    stub.stop().await;
}

#[tokio::test]
async fn items_carts_and_orders_are_what_a_shop_answers() {
    let stub = running(StubConfig::default());
    let list = stub.ask("GET", "/items?country=GB", &[], "").await.json();
    assert_eq!((list["items"].as_array().unwrap().len(), &list["items"][0]["id"]), (10, &json!(1)));
    assert_eq!(stub.ask("GET", "/items/7", &[], "").await.json()["price_cents"], 699);
    assert_eq!(stub.ask("GET", "/items/0", &[], "").await.status, 404);
    assert_eq!(stub.ask("GET", "/items/1001", &[], "").await.status, 404);
    assert_eq!(stub.ask("POST", "/cart", &[], "{}").await.status, 201);
    assert_eq!(stub.ask("GET", "/cart", &[], "").await.status, 200);
    let order = stub.ask("POST", "/orders", &[], "{}").await;
    assert_eq!(order.status, 201);
    let shown = stub.ask("GET", order.header("location"), &[], "").await.json();
    assert_eq!((&shown["id"], &shown["state"]), (&order.json()["id"], &json!("paid")));
    let stats = stub.handle.stats();
    let paths = ["items", "item", "cart_added", "cart", "order_made", "order", "orders"].map(|kind| stats.path(kind));
    assert_eq!(paths, [1, 3, 1, 1, 1, 1, 0]);
    stub.stop().await;
}

#[tokio::test]
async fn a_token_server_gives_tokens_that_run_out() {
    let stub = running(StubConfig::default());
    let fields = [("authorization", "Basic YTpi")];
    let given = stub.ask("POST", "/oauth/token", &fields, "grant_type=client_credentials&scope=orders%3Aread").await;
    let said = given.json();
    assert_eq!((given.status, &said["token_type"], &said["expires_in"]), (200, &json!("Bearer"), &json!(3_600)));
    assert_eq!((said["scope"].as_str(), given.header("cache-control")), (Some("orders:read"), "no-store"));
    let bearer = format!("Bearer {}", said["access_token"].as_str().unwrap());
    assert_eq!(stub.ask("GET", "/private", &[("authorization", &bearer)], "").await.status, 200);
    let body = "grant_type=password&client_id=a&username=ada&password=x";
    let short = stub.ask("POST", "/oauth2/token?expires_in=0", &[], body).await.json();
    let bearer = format!("Bearer {}", short["access_token"].as_str().unwrap());
    assert_eq!(stub.ask("GET", "/private", &[("authorization", &bearer)], "").await.status, 401);
    for (body, status, error) in [
        ("grant_type=password&client_id=a&username=ada&password=wrong", 400, "invalid_grant"),
        ("grant_type=client_credentials", 401, "invalid_client"),
        ("grant_type=magic&client_id=a", 400, "unsupported_grant_type"),
        ("client_id=a", 400, "invalid_request"),
    ] {
        let denied = stub.ask("POST", "/oauth/token", &[], body).await;
        assert_eq!((denied.status, denied.json()["error"].as_str()), (status, Some(error)), "{body}");
    }
    assert_eq!(stub.handle.stats().path("token"), 6);
    stub.stop().await;
}

#[tokio::test]
async fn redirects_come_to_an_end_and_a_form_wants_its_hidden_field_back() {
    let stub = running(StubConfig::default());
    let (mut path, mut hops) = ("/redirect/3".to_owned(), 0);
    let last = loop {
        let answer = stub.ask("GET", &path, &[], "").await;
        if answer.status != 302 {
            break answer;
        }
        (path, hops) = (answer.header("location").to_owned(), hops + 1);
    };
    assert_eq!((last.status, last.body.as_slice(), hops), (200, b"ok\n".as_slice(), 3));
    let page = String::from_utf8(stub.ask("GET", "/page/4", &[], "").await.body).unwrap();
    assert!(page.contains("class=\"next\" href=\"/page/5\""), "{page}");
    let hidden = page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(stub.ask("POST", "/form", &[], &format!("csrf={hidden}&text=a")).await.status, 200);
    assert_eq!(stub.ask("POST", "/form", &[], "csrf=&text=a").await.status, 403);
    let stats = stub.handle.stats();
    assert_eq!((stats.path("redirect"), stats.path("page"), stats.path("form"), stats.requests), (3, 1, 2, 7));
    stub.stop().await;
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_ask_and_for_nobody_else() {
    let stub = running(StubConfig { body_bytes: 5_000, ..StubConfig::default() });
    for (path, at_least) in [("/", 5_000), ("/items", 300)] {
        let plain = stub.ask("GET", path, &[], "").await;
        assert_eq!(plain.header("content-encoding"), "", "{path}");
        let packed = stub.ask("GET", path, &[("accept-encoding", "gzip, deflate, br")], "").await;
        assert_eq!(packed.header("content-encoding"), "gzip", "{path}");
        assert!(packed.body.len() < plain.body.len() && plain.body.len() >= at_least, "{path}");
        let mut out = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed.body.as_slice()), &mut out).unwrap();
        assert_eq!(out, plain.body, "{path}");
    }
    let empty = stub.ask("GET", "/status/204", &[("accept-encoding", "gzip")], "").await;
    assert_eq!((empty.status, empty.header("content-encoding")), (204, ""));
    assert_eq!(stub.handle.stats().compressed, 2);
    stub.stop().await;
}

#[tokio::test]
async fn one_connection_of_http_2_without_tls_has_many_requests_at_once_beside_http_1() {
    let stub = running(StubConfig { concurrency: Some(50), ..config("20ms") });
    let (streams, connection) = stub.connect_http2().await;
    let begun = Instant::now();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..50 {
        asked.spawn(status_of(streams.clone(), "/items"));
    }
    while let Some(status) = asked.join_next().await {
        assert_eq!(status.unwrap().unwrap(), 200);
    }
    assert!(begun.elapsed() < Duration::from_millis(500), "one after the other they take a second");
    assert_eq!(stub.get("/").await.0, 200);
    let stats = stub.handle.stats();
    assert_eq!((stats.http2, stats.path("items"), stats.requests, stats.connections_accepted), (50, 50, 51, 2));
    assert!(stats.in_service_most > 1, "{stats:?}");
    drop(streams);
    connection.await.unwrap().unwrap();
    stub.stop().await;
}

#[tokio::test]
async fn a_connection_of_http_2_that_waits_between_requests_is_not_taken_for_a_stalled_one() {
    let stub = running(StubConfig { read_timeout: Duration::from_secs(1), ..StubConfig::default() });
    let (streams, connection) = stub.connect_http2().await;
    assert_eq!(status_of(streams.clone(), "/").await.unwrap(), 200);
    // Of HTTP/1.1, a head that takes this long is cut off.
    let mut stalled = stub.connect().await;
    stalled.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, stalled.read_to_end(&mut rest)).await.expect("a stalled head is cut off");
    assert_eq!(status_of(streams.clone(), "/").await.unwrap(), 200);
    assert_eq!(stub.handle.stats().connections_accepted, 2);
    drop(streams);
    connection.await.unwrap().unwrap();
    stub.stop().await;
}

#[tokio::test]
async fn requests_of_http_2_end_with_the_stub() {
    let stub = running(config("1h"));
    let (streams, connection) = stub.connect_http2().await;
    let answer = tokio::spawn(status_of(streams, "/"));
    stub.until("in service", |stats| stats.in_service == 1).await;
    let Running { handle, shutdown } = stub;
    let shared = Arc::downgrade(&handle.stub);
    shutdown.cancel();
    handle.wait().await.unwrap();
    assert!(answer.await.unwrap().is_err());
    let _ = connection.await;
    let begun = Instant::now();
    while shared.upgrade().is_some() {
        assert!(begun.elapsed() < DEADLINE, "a request goes on without anybody to answer it");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
