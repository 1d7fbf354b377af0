//! Keeps a number of jobs in flight and tells how fast they come back.

use std::time::Duration;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::messages::{Ended, Job, headers};
use crate::{Failure, publish_acked};

const WARM_UP: Duration = Duration::from_secs(1);
/// How long results may take once no more jobs are sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs for `duration`, and a second before that is not counted.
pub(crate) async fn run(client: &Client, in_flight: u32, duration: Duration, tells: bool) -> Result<(), Failure> {
    let name = format!("{:08x}", fastrand::u32(..));
    let results = client.subscribe(format!("bare.{}.{name}.*", if tells { "told" } else { "result" })).await?;
    client.flush().await?;
    let begin = Instant::now() + WARM_UP;
    let end = begin + duration;
    let shared = Shared { client, subject: format!("bare.job.{name}"), headers: headers("job.v1"), begin, end };
    let (mut routes, mut slots) = (Vec::new(), FuturesUnordered::new());
    for slot in 0..in_flight {
        let (route, ended) = mpsc::channel(1);
        routes.push(route);
        slots.push(keep_one(&shared, slot, ended));
    }
    let cpu = tokio::spawn(async move {
        sleep_until(begin).await;
        let before = cpu_seconds();
        sleep_until(end).await;
        cpu_seconds() - before
    });
    let mut latencies_ns = Vec::new();
    let all = async {
        while let Some(slot) = slots.next().await {
            latencies_ns.extend(slot?);
        }
        Ok::<(), Failure>(())
    };
    // All in this one task: what its slots send at the same time is written at once. A task for each costs half as much
    // again.
    tokio::select! {
        biased;
        ended = route_results(results, routes) => return ended,
        ended = all => ended?,
        () = sleep_until(end + PATIENCE) => {
            return Err(format!("no result for {PATIENCE:?}: is there a worker?").into());
        }
    }
    let cpu = cpu.await?;
    latencies_ns.sort_unstable();
    let seconds = duration.as_secs_f64();
    println!(
        "round_trips={} seconds={seconds:.3} rate={:.0} p50_us={:.1} p99_us={:.1} cpu_seconds={cpu:.3}",
        latencies_ns.len(),
        latencies_ns.len() as f64 / seconds,
        quantile_us(&latencies_ns, 0.5),
        quantile_us(&latencies_ns, 0.99),
    );
    Ok(())
}

struct Shared<'a> {
    client: &'a Client,
    subject: String,
    headers: HeaderMap,
    /// What ends from here on is counted,
    begin: Instant,
    /// to here.
    end: Instant,
}

/// Sends one job after another; gives the times from before its publishing to its result, in nanoseconds.
async fn keep_one(shared: &Shared<'_>, slot: u32, mut ended: mpsc::Receiver<Instant>) -> Result<Vec<u64>, Failure> {
    let mut latencies_ns = Vec::new();
    let run = fastrand::u32(..);
    for serial in 0u32.. {
        let started = Instant::now();
        if started >= shared.end {
            break;
        }
        // Its middle says whose it is.
        let id = format!("{run:08x}{slot:08x}{serial:08x}");
        let mut headers = shared.headers.clone();
        headers.insert(NATS_MESSAGE_ID, id);
        let payload = Bytes::from(rmp_serde::to_vec_named(&Job { args: vec!["0"] })?);
        publish_acked(shared.client, shared.subject.clone(), headers, payload).await?;
        let received = ended.recv().await.ok_or("the results ended")?;
        if received >= shared.begin && received < shared.end {
            latencies_ns.push(u64::try_from((received - started).as_nanos())?);
        }
    }
    Ok(latencies_ns)
}

/// Tells each slot when its result came.
async fn route_results(mut results: async_nats::Subscriber, routes: Vec<mpsc::Sender<Instant>>) -> Result<(), Failure> {
    while let Some(message) = results.next().await {
        let received = Instant::now();
        let ended: Ended<'_> = rmp_serde::from_slice(&message.payload)?;
        if ended.status != "succeeded" {
            return Err(format!("job {} {}", ended.job, ended.status).into());
        }
        let slot = ended.job.get(8..16).and_then(|slot| usize::from_str_radix(slot, 16).ok());
        let route = slot.and_then(|slot| routes.get(slot)).ok_or("a result of an unknown job")?;
        // A slot that has ended waits for none.
        let _ = route.try_send(received);
    }
    Err("the subscription ended".into())
}

fn quantile_us(sorted_ns: &[u64], quantile: f64) -> f64 {
    let index = (sorted_ns.len() as f64 * quantile) as usize;
    sorted_ns.get(index).map_or(f64::NAN, |ns| *ns as f64 / 1e3)
}

/// Processor time of this process, user and system.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
