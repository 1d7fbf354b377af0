use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::*;
use crate::queue_client::Ended;

const DEADLINE: Duration = Duration::from_secs(10);

struct Server {
    runtime: Runtime,
    address: SocketAddr,
    control: Arc<Control>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

fn server_with(limits: HttpLimits) -> Server {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(listen("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let control = Arc::new(Control::new(2, 8));
    let shutdown = CancellationToken::new();
    let task = runtime.spawn(serve(listener, Arc::clone(&control), limits, shutdown.clone()));
    Server { runtime, address, control, shutdown, task }
}

/// With patience for a busy machine.
fn patient() -> HttpLimits {
    HttpLimits { read_timeout: DEADLINE, ..HttpLimits::default() }
}

fn server() -> Server {
    server_with(patient())
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Server {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends text on a connection of its own and reads one answer.
    fn send(&self, text: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).unwrap();
        read_answer(&mut stream)
    }

    fn ask(&self, method: &str, target: &str, headers: &str) -> Answer {
        self.send(&format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n{headers}\r\n", self.address))
    }

    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "")
    }

    fn plain(&self, target: &str) -> (u16, String) {
        let answer = self.get(target);
        (answer.status, answer.body)
    }

    fn post(&self, target: &str, body: &str) -> Answer {
        self.post_with(target, &format!("content-type: {}\r\n", "application/x-www-form-urlencoded"), body)
    }

    fn post_with(&self, target: &str, headers: &str, body: &str) -> Answer {
        let (address, length) = (self.address, body.len());
        self.send(&format!(
            "POST {target} HTTP/1.1\r\nhost: {address}\r\n{headers}content-length: {length}\r\n\r\n{body}"
        ))
    }

    fn count(&self, succeeds: bool) {
        let error = (!succeeds).then(|| "broken".to_owned());
        self.control.with(|statistics| {
            let begun = statistics.begin(Instant::now());
            statistics.end(begun, &Ended { node: Some("node-a".to_owned()), error, ..Ended::default() });
        });
    }

    /// Parallelism, successes and failures as they are counted.
    fn counted(&self) -> (u32, u64, u64) {
        self.control.with(|statistics| (statistics.parallel(), statistics.successful(), statistics.failed()))
    }

    fn stop(self) {
        self.shutdown.cancel();
        self.runtime.block_on(async { tokio::time::timeout(DEADLINE, self.task).await }).unwrap().unwrap();
    }
}

fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let mut byte = [0u8; 1];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed after {:?}", String::from_utf8_lossy(&read));
        read.push(byte[0]);
    }
    let head = String::from_utf8(read).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length =
        head.split("content-length: ").nth(1).map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    Answer { status, head, body: String::from_utf8(body).unwrap() }
}

#[test]
fn every_page_answers_in_every_form_and_html_is_the_default_but_of_reports() {
    let server = server();
    server.count(true);
    for path in ["/stats", "/fails", "/nodes", "/pods", "/parallel", "/reqs-per-sec", "/reset"] {
        let text = "text/plain; charset=utf-8";
        let default = if matches!(path, "/nodes" | "/pods") { text } else { "text/html; charset=utf-8" };
        for (query, wanted) in [
            ("", default),
            // One that is not known counts as none.
            ("?type=xml", default),
            ("?type=html", "text/html; charset=utf-8"),
            ("?type=plain", "text/plain; charset=utf-8"),
            ("?type=json", "application/json"),
        ] {
            let answer = server.get(&format!("{path}{query}"));
            assert_eq!(answer.status, 200, "{path}{query}");
            assert!(answer.head.contains(&format!("content-type: {wanted}\r\n")), "{path}{query}: {}", answer.head);
            if query == "?type=json" {
                serde_json::from_str::<serde_json::Value>(&answer.body).unwrap();
            }
        }
    }
    server.stop();
}

#[test]
fn the_first_names_of_pages_still_work_and_the_root_leads_to_the_statistics() {
    let server = server();
    assert_eq!(server.plain("/parallelism?type=plain&value=5"), (200, "5\n".to_owned()));
    assert_eq!(server.plain("/parallel?type=plain"), (200, "5\n".to_owned()));
    assert_eq!(server.plain("/reqs-per-seq?type=plain"), (200, "0.000000\n".to_owned()));
    let root = server.get("/?type=plain");
    assert_eq!((root.status, root.head.contains("location: stats?type=plain\r\n")), (302, true));
    assert_eq!(server.get("/favicon.ico").status, 404);
    assert_eq!(server.get("/stats/").status, 404);
    server.stop();
}

#[test]
fn other_methods_and_bodies_where_none_belongs_are_refused() {
    let server = server();
    for method in ["DELETE", "PUT", "OPTIONS", "PATCH"] {
        let answer = server.ask(method, "/parallel?value=1", "content-length: 0\r\n");
        assert_eq!((answer.status, answer.head.contains("allow: get, post\r\n")), (405, true), "{method}");
    }
    let answer = server.post("/stats", "");
    assert_eq!((answer.status, answer.head.contains("allow: get\r\n")), (405, true));
    assert_eq!(server.ask("GET", "/stats", "content-length: 1\r\n\r\nx").status, 400);
    assert_eq!(server.ask("GET", "/stats", "transfer-encoding: chunked\r\n").status, 400);
    assert_eq!(server.ask("GET", "/stats", "content-length: 0\r\n").status, 200);
    assert_eq!(server.counted().0, 2);
    server.stop();
}

#[test]
fn parallelism_is_clamped_and_what_is_answered_is_in_force() {
    let server = server();
    let parallel = server.control.parallel();
    for (value, wanted) in [("3", 3), ("0", 0), ("8", 8), ("9", 8), ("-1", 0), ("%2B4", 4), ("99999999999999999999", 8)]
    {
        assert_eq!(
            server.plain(&format!("/parallel?type=plain&value={value}")),
            (200, format!("{wanted}\n")),
            "{value}"
        );
        assert_eq!((*parallel.borrow(), server.counted().0), (wanted, wanted), "{value}");
        let answer = server.post("/parallel?type=json", &format!("value={value}"));
        assert_eq!(answer.body, format!("{{\"result\": {wanted}, \"info\": \"requests in parallel\"}}\n"));
    }
    server.stop();
}

#[test]
fn a_wrong_value_is_refused_in_the_form_asked_for_and_changes_nothing() {
    let server = server();
    server.count(true);
    for value in ["", "abc", "2.5", "1e3", "--1", "%3Cscript%3Ealert(1)%3C/script%3E", "%00%ff%22"] {
        let plain = server.get(&format!("/parallel?type=plain&value={value}"));
        assert_eq!((plain.status, plain.body.starts_with("ERROR: value=")), (400, true), "{value}");
        let json = server.get(&format!("/parallel?type=json&value={value}"));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json.body).unwrap()["result"], "ERROR");
        let html = server.get(&format!("/parallel?value={value}"));
        assert!(html.body.contains("<p>ERROR: value=") && !html.body.contains("<script"), "{}", html.body);
    }
    assert_eq!(server.post("/parallel", "").status, 400);
    assert_eq!(server.counted(), (2, 1, 0));
    server.stop();
}

#[test]
fn changes_reset_the_statistics_and_reads_do_not() {
    let server = server();
    server.count(false);
    assert_eq!(server.plain("/fails?type=plain"), (200, "1\n".to_owned()));
    assert_eq!(server.plain("/parallel?type=plain"), (200, "2\n".to_owned()));
    assert_eq!(server.plain("/fails?type=plain"), (200, "1\n".to_owned()));
    assert_eq!(server.plain("/reset?type=plain"), (200, "Reseted\n".to_owned()));
    assert_eq!(server.plain("/fails?type=plain"), (200, "0\n".to_owned()));
    for change in ["/reset", "/parallel"] {
        server.count(false);
        assert_eq!(server.post(change, "type=plain&value=2").status, 200);
        assert_eq!(server.counted().2, 0, "{change}");
    }
    server.stop();
}

#[test]
fn what_a_browser_sends_for_another_site_changes_nothing() {
    let server = server();
    let own = format!("origin: http://{}\r\nsec-fetch-site: same-origin\r\n", server.address);
    for headers in ["origin: http://evil.example\r\n", "origin: null\r\n", "sec-fetch-site: cross-site\r\n"] {
        assert_eq!(server.ask("GET", "/parallel?value=7", headers).status, 403, "{headers}");
        assert_eq!(server.ask("GET", "/reset", headers).status, 403, "{headers}");
        assert_eq!(server.post_with("/parallel", headers, "value=7").status, 403, "{headers}");
    }
    assert_eq!(server.counted().0, 2);
    assert_eq!(server.post_with("/parallel", &own, "value=7").status, 200);
    assert_eq!(server.counted().0, 7);
    server.stop();
}

#[test]
fn heads_and_bodies_beyond_their_limits_are_refused_by_name() {
    let server = server();
    let head_of = |bytes: usize| {
        let fixed = format!("GET /fails?type=plain HTTP/1.1\r\nhost: {}\r\nx: \r\n\r\n", server.address).len();
        server.ask("GET", "/fails?type=plain", &format!("x: {}\r\n", "y".repeat(bytes - fixed)))
    };
    assert_eq!(head_of(4096).status, 200);
    let over = head_of(4097);
    assert_eq!((over.status, over.body.contains("has 4097 bytes; header_max_bytes is 4096")), (431, true), "{over:?}");
    assert_eq!(head_of(9000).status, 431);

    let body_of = |bytes: usize| format!("value=3&x={}", "y".repeat(bytes - "value=3&x=".len()));
    assert_eq!(server.post("/parallel", &body_of(4096)).status, 200);
    let over = server.post("/parallel?type=plain", &body_of(4097));
    assert_eq!((over.status, over.body.contains("body_max_bytes is 4096")), (413, true), "{over:?}");
    let chunk = format!("1001\r\n{}\r\n0\r\n\r\n", body_of(4097));
    let chunked = server.ask("POST", "/parallel", &format!("transfer-encoding: chunked\r\n\r\n{chunk}"));
    assert_eq!(chunked.status, 413);
    assert_eq!(server.post_with("/parallel", "content-type: application/json\r\n", "{}").status, 415);
    server.stop();
}

#[test]
fn who_sends_a_head_or_a_body_slowly_is_cut_off() {
    let server = server_with(HttpLimits::default());
    let mut slow = server.connect();
    slow.write_all(b"GET /stats HTT").unwrap();
    let mut rest = Vec::new();
    let ended = slow.read_to_end(&mut rest);
    assert!(rest.is_empty() && ended.is_ok_and(|bytes| bytes == 0), "{rest:?}");
    let late = server.ask("POST", "/parallel?type=plain", "content-length: 7\r\n\r\nval");
    assert_eq!((late.status, late.body.contains("read_timeout")), (408, true), "{late:?}");
    server.stop();
}

#[test]
fn a_connection_too_many_is_refused_and_a_free_one_is_taken_again() {
    let server = server_with(HttpLimits { connections_max: 2, ..patient() });
    let ask = |stream: &mut TcpStream| stream.write_all(b"GET /fails HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut held: Vec<TcpStream> = (0..2).map(|_| server.connect()).collect();
    for stream in &mut held {
        ask(stream).unwrap();
        assert_eq!(read_answer(stream).status, 200);
    }
    let refused = read_answer(&mut server.connect());
    assert_eq!((refused.status, refused.body.contains("connections_max")), (503, true));
    held.clear();
    let begun = Instant::now();
    loop {
        let mut stream = server.connect();
        // Until the server has seen that they are closed it may refuse, and reset what was sent meanwhile.
        let mut first = [0u8; 12];
        let answered = ask(&mut stream).and_then(|()| stream.read_exact(&mut first));
        if answered.is_ok() && &first == b"HTTP/1.1 200" {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "no connection was freed");
    }
    server.stop();
}

#[test]
fn queries_are_counted_by_what_became_of_them() {
    let server = server();
    for path in ["/stats", "/fails", "/nope", "/parallel?value=x"] {
        server.get(path);
    }
    assert_eq!(server.send("rubbish\r\n\r\n").status, 400);
    let begun = Instant::now();
    while server.control.with(|statistics| statistics.overall(begun)).http_rejected < 3 && begun.elapsed() < DEADLINE {
        std::thread::yield_now();
    }
    let text = server.get("/stats?type=plain").body;
    assert!(text.ends_with("HTTP queries: 2 completed, 3 rejected.\n"), "{text}");
    server.stop();
}

#[test]
fn a_kept_connection_is_answered_in_order_and_ends_with_the_server() {
    let server = server();
    let mut stream = server.connect();
    for value in [1, 2, 3] {
        let request = format!("GET /parallel?type=plain&value={value} HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(read_answer(&mut stream).body, format!("{value}\n"));
    }
    server.stop();
    let mut byte = [0u8; 1];
    let ended = stream.read(&mut byte);
    assert!(matches!(ended, Ok(0)) || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
}

#[test]
fn no_connection_is_kept_for_longer_than_its_limit() {
    let limits = HttpLimits { connection_timeout: Duration::from_millis(500), read_timeout: 6 * DEADLINE, ..patient() };
    let server = server_with(limits);
    let mut stream = server.connect();
    stream.write_all(b"GET /fails HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut stream).status, 200);
    assert_eq!(stream.read(&mut [0u8; 1]).unwrap(), 0);
    server.stop();
}

#[test]
fn a_taken_address_is_named_together_with_the_flag() {
    let server = server();
    let address = server.address.to_string();
    let error = server.runtime.block_on(listen(&address)).unwrap_err().to_string();
    assert!(error.contains(&address) && error.contains("--caddr"), "{error}");
    server.stop();
}

/// Sets one value after the other on one connection; the last answer.
fn toggle(server: &Server, values: &[i64]) -> u32 {
    let mut stream = server.connect();
    let mut last = 0;
    for value in values {
        let request = format!("GET /parallel?type=plain&value={value} HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let answer = read_answer(&mut stream);
        last = answer.body.trim().parse().unwrap();
        assert_eq!((answer.status, i64::from(last)), (200, (*value).clamp(0, 8)));
    }
    last
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn whoever_toggles_at_once_is_answered_what_is_allowed_and_the_last_applied_stays(
        connections in proptest::collection::vec(proptest::collection::vec(-20i64..200, 1..40), 2..6),
    ) {
        let server = server();
        let lasts: Vec<u32> = std::thread::scope(|scope| {
            let server = &server;
            let spawned = connections.iter().map(|values| scope.spawn(move || toggle(server, values)));
            let spawned: Vec<_> = spawned.collect();
            spawned.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let in_force = *server.control.parallel().borrow();
        prop_assert_eq!(server.counted().0, in_force);
        prop_assert_eq!(server.plain("/parallel?type=plain"), (200, format!("{in_force}\n")));
        prop_assert!(lasts.contains(&in_force), "{} was nobody's last: {:?}", in_force, lasts);
        server.stop();
    }
}
