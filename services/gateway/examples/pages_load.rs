//! What live pages and long runs cost a gateway: a run is told on the bus as a daemon would, and looked at.
//!
//! `cargo run --release -p nuncius-gateway --example pages_load URL GATEWAY readers [readers] [steps] [seconds]`: so
//! many readers follow a run of so many steps; how long after it was published a second reaches them.
//! `… first`: how long the first page takes with all its files, and how long they are on the wire.
//! `… long [hours]`: a run that is that old already; how long its series and its page take, and how long they are.

#![expect(clippy::print_stdout, reason = "a program that prints its result")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use nuncius_bus::{Bus, ConnectOptions, connect};
use nuncius_clock::unix_ms;
use nuncius_schemas::codec;
use nuncius_schemas::run::{RunRecord, RunStatus};
use nuncius_schemas::second::{Distribution, ExperimentSecond, GroupSecond, NodeSecond, StepSecond};
use nuncius_stats::second::distribution;
use nuncius_stats::{Histogram, Totals};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

type Failure = Box<dyn std::error::Error>;

const SECOND_NS: u64 = 1_000_000_000;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args_os().skip(1).filter_map(|text| text.into_string().ok()).collect();
    let [url, gateway, mode, numbers @ ..] = arguments.as_slice() else {
        return Err("usage: pages_load URL GATEWAY first|readers|long [number] …".into());
    };
    let number = |at: usize, usual: usize| numbers.get(at).map_or(Ok(usual), |text| text.parse::<usize>());
    let options = ConnectOptions { urls: vec![url.clone()], name: "pages_load".into(), ..ConnectOptions::default() };
    let bus = connect(options).await?;
    nuncius_bus::streams::ensure_streams(&bus).await?;
    match mode.as_str() {
        "first" => first(gateway).await,
        "readers" => readers(&bus, gateway, number(0, 200)?, number(1, 50)?, number(2, 20)?).await,
        "long" => long(&bus, gateway, number(0, 12)?).await,
        _ => Err("the mode is first, readers or long".into()),
    }
}

/// Puts the record of a run that goes on.
async fn record(bus: &Bus, id: &str, steps: usize) -> Result<(), Failure> {
    let steps: Vec<String> = (0..steps).map(|step| format!("{{name: step-{step}, get: /}}")).collect();
    let steps = steps.join(", ");
    let text = format!(
        "groups: [{{name: main, target: 'http://shop/', rate: 1000, duration: 24h, steps: [{steps}]}}]\n\
         gates: ['p99(response) < 1s', 'failures < 1%']"
    );
    let record = RunRecord {
        id: id.to_owned(),
        stream_sequence: 1,
        status: RunStatus::Running,
        verdict: None,
        reason: None,
        spec: codec::from_text(&text)?,
        submitted_unix_ms: unix_ms(),
        started_unix_ms: Some(unix_ms()),
        ended_unix_ms: None,
        routes: Vec::new(),
        route_changes: 0,
        nodes: Vec::new(),
        nodes_left_out: 0,
        attempt: 1,
        token: 1,
        traceparent: None,
        store: None,
    };
    bus.kv(&bus.namespace().bucket_run()).await?.put(id, codec::encode(&record)?.into()).await?;
    Ok(())
}

/// Latencies of a second: a thousand, of several milliseconds.
fn latencies(seed: u64) -> Distribution {
    let mut histogram = Histogram::new();
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..1_000 {
        histogram.record_ns((-random.f64().max(1e-9).ln() * 5e6) as u64);
    }
    distribution(&Totals::from(&histogram))
}

fn second(id: &str, number: u32, steps: usize, shapes: &[Distribution]) -> ExperimentSecond {
    let shape = |at: usize| shapes.get(at % shapes.len().max(1)).cloned().unwrap_or_default();
    let step = |index: usize, name: String| StepSecond {
        step: u16::try_from(index).unwrap_or(u16::MAX),
        name,
        offered: 1_000,
        sent: 1_000,
        succeeded: 1_000,
        response: shape(number as usize + index),
        service: shape(number as usize + index + 1),
        lag: shape(number as usize + index + 2),
        ..StepSecond::default()
    };
    let is_alone = steps == 1;
    let group = GroupSecond {
        name: "main".to_owned(),
        open: true,
        offered_ns: SECOND_NS,
        scheduled: Some(1_000),
        iterations: (!is_alone).then(|| step(steps, "iteration".to_owned())),
        steps: (0..steps).map(|index| step(index, format!("step-{index}"))).collect(),
        ..GroupSecond::default()
    };
    let node = NodeSecond { node: "n1".to_owned(), offered: 1_000, lag_p99_ns: Some(50_000), ..NodeSecond::default() };
    ExperimentSecond {
        experiment: id.to_owned(),
        second: number,
        first_second: number,
        revision: 0,
        late: false,
        part: 0,
        parts: 1,
        length_ns: SECOND_NS,
        at_unix_ns: unix_ms() * 1_000_000,
        status: RunStatus::Running,
        seconds_total: None,
        groups: vec![group],
        nodes: vec![node],
        nodes_left_out: 0,
    }
}

async fn readers(bus: &Bus, gateway: &str, readers: usize, steps: usize, seconds: usize) -> Result<(), Failure> {
    let id = format!("readers-{}", unix_ms());
    record(bus, &id, steps).await?;
    let shapes: Vec<Distribution> = (0..16).map(latencies).collect();
    let delays = Arc::new(Mutex::new(Vec::new()));
    let path = format!("/api/v1/experiments/{id}/live");
    let mut tasks = Vec::new();
    for _ in 0..readers {
        let stream = TcpStream::connect(gateway).await?;
        let (delays, request) = (Arc::clone(&delays), format!("GET {path} HTTP/1.0\r\nhost: {gateway}\r\n\r\n"));
        tasks.push(tokio::spawn(
            async move { read(stream, &request, &delays).await.map_err(|error| error.to_string()) },
        ));
    }
    // All of them are there before anything is told.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let subject = bus.namespace().experiment_second(&id);
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    for number in 0..u32::try_from(seconds)? {
        tick.tick().await;
        bus.store_message(&subject, "experiment-second.v1", &second(&id, number, steps, &shapes), None).await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    let mut delays = delays.lock().await;
    delays.sort_unstable();
    let at = |share: f64| delays.get((delays.len() as f64 * share) as usize).or(delays.last()).copied().unwrap_or(0);
    println!(
        "readers={readers} steps={steps} told={} wanted={} delay_p50_ms={} delay_p99_ms={} delay_max_ms={}",
        delays.len(),
        readers * seconds,
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

/// Reads a stream, and notes how old each second is when it comes.
async fn read(stream: TcpStream, request: &str, delays: &Mutex<Vec<u64>>) -> Result<(), Failure> {
    let mut stream = BufReader::new(stream);
    stream.write_all(request.as_bytes()).await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let told = line.strip_prefix("data: {\"second\":").and_then(|rest| rest.split("\"at_unix_ms\":").nth(1));
        let at = told.and_then(|rest| rest.split(',').next()?.parse::<u64>().ok());
        if let Some(at) = at {
            delays.lock().await.push(unix_ms().saturating_sub(at));
        }
        line.clear();
    }
    Ok(())
}

/// The whole answer to a GET, as a browser asks.
async fn got(gateway: &str, path: &str) -> Result<Vec<u8>, Failure> {
    let mut stream = TcpStream::connect(gateway).await?;
    let head = format!("GET {path} HTTP/1.0\r\nhost: {gateway}\r\naccept-encoding: gzip\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if !answer.starts_with(b"HTTP/1.0 200") {
        return Err(format!("{path}: {}", String::from_utf8_lossy(answer.get(..400).unwrap_or(&answer))).into());
    }
    Ok(answer)
}

async fn first(gateway: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    let page = got(gateway, "/").await?;
    let text = String::from_utf8_lossy(&page);
    let mut files: Vec<&str> = text.split("=\"/assets/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    files.sort_unstable();
    files.dedup();
    let mut asked = Vec::new();
    for file in &files {
        let (gateway, path) = (gateway.to_owned(), format!("/assets/{file}"));
        asked.push(tokio::spawn(async move { got(&gateway, &path).await.map_err(|error| error.to_string()) }));
    }
    let mut bytes = page.len();
    for one in asked {
        bytes += one.await??.len();
    }
    println!("what=first ms={:.1} files={} bytes={bytes}", begun.elapsed().as_secs_f64() * 1e3, files.len());
    Ok(())
}

async fn long(bus: &Bus, gateway: &str, hours: usize) -> Result<(), Failure> {
    let id = format!("long-{}", unix_ms());
    record(bus, &id, 1).await?;
    let shapes: Vec<Distribution> = (0..16).map(latencies).collect();
    let subject = bus.namespace().experiment_second(&id);
    for number in 0..u32::try_from(hours * 3_600)? {
        bus.store_message(&subject, "experiment-second.v1", &second(&id, number, 1, &shapes), None).await?;
    }
    for (name, path) in [
        ("series_first", format!("/api/v1/experiments/{id}/series?points=1000")),
        ("series", format!("/api/v1/experiments/{id}/series?points=1000")),
        ("nodes", format!("/api/v1/experiments/{id}/nodes?points=1000")),
        ("page", format!("/runs/{id}")),
        ("now", "/".to_owned()),
    ] {
        let begun = Instant::now();
        let answer = got(gateway, &path).await?;
        println!("what={name} ms={:.1} bytes={}", begun.elapsed().as_secs_f64() * 1e3, answer.len());
    }
    Ok(())
}
