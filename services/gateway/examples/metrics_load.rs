//! What the page of metrics costs: many processes tell many series each, once a second, and the page is scraped.
//!
//! `cargo run --release -p nuncius-gateway --example metrics_load URL GATEWAY [processes] [series] [seconds]`: the
//! server, and the host and port of a gateway that runs. One line for each scrape, by form: how long it took and how
//! long it was.

#![expect(clippy::print_stdout, reason = "a program that prints its result")]

use std::time::{Duration, Instant};

use nuncius_bus::{Bus, ConnectOptions, connect};
use nuncius_metrics::Families;
use nuncius_metrics::expose::Format;
use nuncius_metrics::names::emulator;
use nuncius_metrics::otlp::{INSTANCE, SERVICE, Sender, encode};
use nuncius_schemas::subjects::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failure = Box<dyn std::error::Error>;

/// Families of each process.
const FAMILIES: usize = 10;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args_os().skip(1).filter_map(|text| text.into_string().ok()).collect();
    let [url, gateway, numbers @ ..] = arguments.as_slice() else {
        return Err("usage: metrics_load URL GATEWAY [processes] [series] [seconds]".into());
    };
    let number = |at: usize, usual: usize| numbers.get(at).map_or(Ok(usual), |text| text.parse::<usize>());
    let (processes, series, seconds) = (number(0, 200)?, number(1, 300)?, number(2, 15)?);
    let options = ConnectOptions { urls: vec![url.clone()], name: "metrics_load".into(), ..ConnectOptions::default() };
    let bus = connect(options).await?;
    let telling = tokio::spawn(tell(bus, processes, series));
    // What everybody has told is there before it is measured.
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!("processes={processes} series={series}");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds as u64) {
        for format in Format::ALL {
            let (took, bytes) = scrape(gateway, format).await?;
            println!("format={} scrape_ms={:.1} bytes={bytes}", format.name(), took.as_secs_f64() * 1e3);
            // A page that is a second old is made anew.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
    }
    telling.abort();
    Ok(())
}

/// Each process tells all of its series once a second; spread over the second, as processes are.
async fn tell(bus: Bus, processes: usize, series: usize) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(processes).unwrap_or(1).max(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for told in 0u64.. {
        for process in 0..processes {
            ticks.tick().await;
            let resource = vec![
                (INSTANCE.to_owned(), format!("{process:016x}")),
                (SERVICE.to_owned(), "metrics_load".to_owned()),
                ("host.name".to_owned(), format!("host-{process}")),
            ];
            let sender = Sender { resource, start_unix_ns: 1, message_max_bytes: 256 * 1024 };
            let families = families(&format!("node-{process}"), series, told);
            let (messages, _) = encode(&families, &sender, told + 2, Duration::from_secs(1));
            for message in messages {
                if bus.publish_otlp(Signal::Metrics, message).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn families(node: &str, series: usize, told: u64) -> Families {
    let mut families = Families::new();
    let metrics: [&'static nuncius_metrics::Metric; FAMILIES] = [
        &emulator::RESOURCE_WANTED_BYTES,
        &emulator::RESOURCE_ACTUAL_BYTES,
        &emulator::RESOURCE_LIMIT_BYTES,
        &emulator::RESOURCE_FLOOR_BYTES,
        &emulator::RESOURCE_WANTED_CORES,
        &emulator::RESOURCE_MEASURED_CORES,
        &emulator::RESOURCE_CPU_SECONDS,
        &emulator::RESOURCE_WRITTEN_BYTES,
        &emulator::RESOURCE_READ_BYTES,
        &emulator::RESOURCE_ACCEPTED,
    ];
    for metric in metrics {
        for value in 0..series / FAMILIES {
            families.number(metric, &[node, &format!("kind-{value}")], told as f64 + value as f64 / 7.0);
        }
    }
    families
}

async fn scrape(address: &str, format: Format) -> Result<(Duration, usize), Failure> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).await?;
    let accept = format.content_type();
    let head = format!("GET /metrics HTTP/1.0\r\nhost: {address}\r\naccept: {accept}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if !answer.starts_with(b"HTTP/1.0 200") {
        return Err(String::from_utf8_lossy(answer.get(..200).unwrap_or(&answer)).into_owned().into());
    }
    Ok((begun.elapsed(), answer.len()))
}
