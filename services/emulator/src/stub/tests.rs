use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

mod site;

const DEADLINE: Duration = Duration::from_secs(10);

struct Running {
    handle: StubHandle,
    shutdown: CancellationToken,
}

fn running(config: StubConfig) -> Running {
    let shutdown = CancellationToken::new();
    Running { handle: start(config, shutdown.clone()).unwrap(), shutdown }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.handle.local_addr()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = self.connect().await;
        exchange(&mut stream, &format!("GET {path} HTTP/1.1\r\nhost: stub\r\n\r\n")).await
    }

    async fn until(&self, what: &str, done: impl Fn(&StubStats) -> bool) {
        let begun = Instant::now();
        while !done(&self.handle.stats()) {
            assert!(begun.elapsed() < DEADLINE, "never {what}: {:?}", self.handle.stats());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.handle.wait().await.unwrap();
    }
}

/// Reads one answer with a content-length.
async fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut read = Vec::new();
    loop {
        let mut byte = [0u8; 1];
        assert_eq!(stream.read(&mut byte).await.unwrap(), 1, "closed after {:?}", String::from_utf8_lossy(&read));
        read.push(byte[0]);
        if read.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8(read).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length =
        head.split("content-length: ").nth(1).map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (status, String::from_utf8(body).unwrap())
}

async fn exchange(stream: &mut TcpStream, request: &str) -> (u16, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::time::timeout(DEADLINE, answer(stream)).await.expect("no answer")
}

const GET: &str = "GET / HTTP/1.1\r\nhost: stub\r\n\r\n";

fn config(service_time: &str) -> StubConfig {
    StubConfig { service_time: service_time.parse().unwrap(), ..StubConfig::default() }
}

#[tokio::test]
async fn a_kept_connection_and_a_pipeline_are_answered_in_order() {
    let stub = running(StubConfig { body_bytes: 10, ..StubConfig::default() });
    let mut stream = stub.connect().await;
    assert_eq!(exchange(&mut stream, GET).await, (200, "ok\n.......".to_owned()));
    let pipeline = "GET /status/404 HTTP/1.1\r\nhost: a\r\n\r\nPOST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabcGET /status/201 HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(pipeline.as_bytes()).await.unwrap();
    for expected in [404, 200, 201] {
        assert_eq!(answer(&mut stream).await.0, expected);
    }
    assert_eq!(stub.get("/status/99").await.0, 400);
    assert_eq!(stub.get("/delay/soon").await.0, 400);
    let stats = stub.handle.stats();
    assert_eq!((stats.requests, stats.answered, stats.rejected), (4, 4, 2));
    stub.stop().await;
}

#[tokio::test]
async fn with_one_slot_two_requests_take_one_and_two_service_times_oldest_first() {
    let stub = running(StubConfig { concurrency: Some(1), ..config("40ms") });
    let (mut first, mut second) = (stub.connect().await, stub.connect().await);
    let begun = Instant::now();
    first.write_all(GET.as_bytes()).await.unwrap();
    stub.until("in service", |stats| stats.in_service == 1).await;
    second.write_all(GET.as_bytes()).await.unwrap();
    let (first, second) = tokio::join!(async { (answer(&mut first).await.0, begun.elapsed()) }, async {
        (answer(&mut second).await.0, begun.elapsed())
    });
    assert_eq!((first.0, second.0), (200, 200));
    assert!(first.1 >= Duration::from_millis(40) && first.1 < Duration::from_millis(60), "{:?}", first.1);
    assert!(second.1 >= Duration::from_millis(80) && second.1 < Duration::from_millis(100), "{:?}", second.1);
    assert_eq!(stub.handle.stats().waiting_most, 1);
    stub.stop().await;
}

#[tokio::test]
async fn a_request_beyond_the_waiting_room_is_refused_at_once() {
    let stub = running(StubConfig { concurrency: Some(1), queue: Some(1), ..config("200ms") });
    let (mut first, mut second, mut third) = (stub.connect().await, stub.connect().await, stub.connect().await);
    first.write_all(GET.as_bytes()).await.unwrap();
    second.write_all(GET.as_bytes()).await.unwrap();
    stub.until("full", |stats| stats.waiting == 1).await;
    let begun = Instant::now();
    assert_eq!(exchange(&mut third, GET).await.0, 503);
    assert!(begun.elapsed() < Duration::from_millis(50), "{:?}", begun.elapsed());
    assert_eq!(answer(&mut first).await.0, 200);
    assert_eq!(answer(&mut second).await.0, 200);
    assert_eq!(stub.handle.stats().refused, 1);
    stub.stop().await;
}

#[tokio::test]
async fn the_same_seed_fails_the_same_requests_at_the_rate_asked_for() {
    let mut runs = Vec::new();
    for seed in [5, 5, 6] {
        let stub = running(StubConfig { error_rate: 0.25, seed, ..StubConfig::default() });
        let mut stream = stub.connect().await;
        let mut failed = Vec::new();
        for number in 0..1_000 {
            if exchange(&mut stream, GET).await.0 == 500 {
                failed.push(number);
            }
        }
        assert_eq!(stub.handle.stats().errors, failed.len() as u64);
        runs.push(failed);
        stub.stop().await;
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    assert!((200..300).contains(&runs[0].len()), "{}", runs[0].len());
}

#[tokio::test]
async fn a_freeze_holds_every_answer_and_then_releases_them_oldest_first() {
    for concurrency in [None, Some(1)] {
        let stub = running(StubConfig { concurrency, ..config("2ms") });
        assert_eq!(stub.get("/").await.0, 200);
        let mut control = stub.connect().await;
        let freeze = "POST /.stub/freeze HTTP/1.1\r\nhost: a\r\n\r\n";
        let (status, body) = exchange(&mut control, freeze).await;
        assert_eq!((status, body.contains("\"frozen\":true")), (200, true));
        let (sender, mut order) = tokio::sync::mpsc::channel(5);
        for number in 0..5 {
            let mut stream = stub.connect().await;
            stream.write_all(GET.as_bytes()).await.unwrap();
            stub.until("held", |stats| stats.held == number + 1).await;
            let sender = sender.clone();
            tokio::spawn(async move {
                assert_eq!(answer(&mut stream).await.0, 200);
                sender.send(number).await.unwrap();
            });
        }
        assert!(tokio::time::timeout(Duration::from_millis(50), order.recv()).await.is_err(), "answered while frozen");
        assert_eq!(exchange(&mut control, "POST /.stub/thaw HTTP/1.1\r\nhost: a\r\n\r\n").await.0, 200);
        for number in 0..5 {
            assert_eq!(tokio::time::timeout(DEADLINE, order.recv()).await.unwrap(), Some(number));
        }
        stub.stop().await;
    }
}

#[tokio::test]
async fn a_planned_freeze_ends_by_itself_and_stretches_what_was_in_service() {
    let freeze = vec![Freeze { after: Duration::from_millis(20), duration: Some(Duration::from_millis(100)) }];
    let stub = running(StubConfig { freeze, ..config("60ms") });
    let begun = Instant::now();
    assert_eq!(stub.get("/").await.0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(155), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_millis(220), "{:?}", begun.elapsed());
    let begun = Instant::now();
    assert_eq!(stub.get("/").await.0, 200);
    assert!(begun.elapsed() < Duration::from_millis(100));
    stub.stop().await;
}

#[tokio::test]
async fn a_freeze_by_request_lasts_for_its_time() {
    let stub = running(StubConfig::default());
    let mut control = stub.connect().await;
    let begun = Instant::now();
    exchange(&mut control, "POST /.stub/freeze?for=100ms HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(stub.get("/").await.0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(100));
    assert_eq!(exchange(&mut control, "POST /.stub/freeze?until=noon HTTP/1.1\r\nhost: a\r\n\r\n").await.0, 400);
    assert!(!stub.handle.stats().frozen);
    // A page of another site, or of a stranger whose name leads here, freezes nothing.
    for headers in ["host: a\r\norigin: http://evil.example", "host: evil.example"] {
        let request = format!("POST /.stub/freeze?for=9s HTTP/1.1\r\n{headers}\r\n\r\n");
        assert_eq!(exchange(&mut control, &request).await.0, 403, "{headers}");
    }
    assert!(!stub.handle.stats().frozen);
    stub.stop().await;
}

#[tokio::test]
async fn a_service_time_below_a_millisecond_is_kept_within_300_us_at_the_median() {
    // What the exchange itself takes here, by a stub that takes no time.
    let immediate = running(config("0s"));
    let mut bare = immediate.connect().await;
    for concurrency in [None, Some(1)] {
        let stub = running(StubConfig { concurrency, ..config("400us") });
        let mut stream = stub.connect().await;
        let mut added_us = u128::MAX;
        // A quiet moment of the machine among several bounds the stub's share from above.
        for _ in 0..20 {
            let (mut bare_us, mut taken_us) = (Vec::new(), Vec::new());
            for _ in 0..51 {
                for (stream, durations) in [(&mut bare, &mut bare_us), (&mut stream, &mut taken_us)] {
                    let begun = Instant::now();
                    exchange(stream, GET).await;
                    durations.push(begun.elapsed().as_micros());
                }
            }
            bare_us.sort_unstable();
            taken_us.sort_unstable();
            assert!(taken_us[0] >= 400, "answered early: {} us", taken_us[0]);
            added_us = added_us.min(taken_us[25].saturating_sub(bare_us[25]));
            if added_us < 700 {
                break;
            }
        }
        assert!(added_us < 700, "median {added_us} us");
        stub.stop().await;
    }
    immediate.stop().await;
}

#[tokio::test]
async fn a_slot_is_held_for_its_time_by_a_client_that_hung_up() {
    let stub = running(StubConfig { concurrency: Some(1), ..config("60ms") });
    let begun = Instant::now();
    let mut gone = stub.connect().await;
    gone.write_all(GET.as_bytes()).await.unwrap();
    stub.until("in service", |stats| stats.in_service == 1).await;
    drop(gone);
    assert_eq!(stub.get("/").await.0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(120));
    stub.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let stub = running(StubConfig::default());
    let listen = stub.handle.local_addr();
    let error = start(StubConfig { listen, ..StubConfig::default() }, CancellationToken::new()).unwrap_err();
    assert!(matches!(error, StubError::Listen { .. }));
    assert!(error.to_string().contains(&listen.to_string()), "{error}");
    stub.stop().await;
}

#[test]
fn settings_that_cannot_be_meant_and_a_missing_runtime_are_errors() {
    let with = |config| start(config, CancellationToken::new()).unwrap_err();
    assert!(matches!(with(StubConfig::default()), StubError::NoRuntime));
    for config in [
        StubConfig { error_rate: f64::NAN, ..StubConfig::default() },
        StubConfig { concurrency: Some(0), ..StubConfig::default() },
        StubConfig { queue: Some(3), ..StubConfig::default() },
        StubConfig { max_connections: 0, ..StubConfig::default() },
        StubConfig { body_bytes: usize::MAX, ..StubConfig::default() },
    ] {
        assert!(matches!(with(config), StubError::Setting { .. }));
    }
}

#[tokio::test]
async fn garbage_huge_heads_and_bodies_and_stalled_clients_do_not_kill_it() {
    let stub = running(StubConfig { read_timeout: Duration::from_secs(1), ..StubConfig::default() });
    let mut stalled_head = stub.connect().await;
    stalled_head.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    let mut stalled_body = stub.connect().await;
    stalled_body.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nab").await.unwrap();
    let mut idle = stub.connect().await;
    assert_eq!(exchange(&mut idle, GET).await.0, 200);

    let mut garbage = stub.connect().await;
    assert_eq!(exchange(&mut garbage, "\u{1}\u{2} what\r\n\r\n").await.0, 400);
    let mut huge = stub.connect().await;
    let mut request = b"GET / HTTP/1.1\r\nx: ".to_vec();
    request.resize(1 << 20, b'a');
    // The stub may answer and close before all of it is sent.
    let _ = huge.write_all(&request).await;
    let mut announced = stub.connect().await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10485761\r\n\r\n";
    assert_eq!(exchange(&mut announced, head).await.0, 413);
    let mut chunked = stub.connect().await;
    chunked.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let (mut reading, mut writing) = chunked.into_split();
    let writer = tokio::spawn(async move {
        let chunk = [b"100000\r\n".to_vec(), vec![b'a'; 1 << 20], b"\r\n".to_vec()].concat();
        for _ in 0..11 {
            if writing.write_all(&chunk).await.is_err() {
                break;
            }
        }
        writing
    });
    let mut status = [0u8; 12];
    reading.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    drop(writer.await.unwrap());

    assert_eq!(tokio::time::timeout(DEADLINE, answer(&mut stalled_body)).await.unwrap().0, 408);
    let mut rest = Vec::new();
    let _ =
        tokio::time::timeout(DEADLINE, stalled_head.read_to_end(&mut rest)).await.expect("a stalled head is cut off");
    // A connection on which nothing is being read lives on.
    assert_eq!(exchange(&mut idle, GET).await.0, 200);
    assert_eq!(stub.get("/").await, (200, "ok\n".to_owned()));
    stub.stop().await;
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_closed_and_counted() {
    let stub = running(StubConfig { max_connections: 1, ..StubConfig::default() });
    let mut first = stub.connect().await;
    assert_eq!(exchange(&mut first, GET).await.0, 200);
    let mut second = stub.connect().await;
    let mut rest = Vec::new();
    let _ = second.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    assert_eq!(stub.handle.stats().connections_refused, 1);
    assert_eq!(exchange(&mut first, GET).await.0, 200);
    stub.stop().await;
}

#[tokio::test]
async fn shutdown_closes_the_port_even_with_requests_in_service() {
    let stub = running(config("1h"));
    let address = stub.handle.local_addr();
    let mut stream = stub.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    stub.until("in service", |stats| stats.in_service == 1).await;
    tokio::time::timeout(DEADLINE, stub.stop()).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
