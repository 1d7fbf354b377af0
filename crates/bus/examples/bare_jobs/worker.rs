//! Takes jobs, never more than there are slots, and records each.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::messages::{Job, Record, headers};
use crate::setup::{CONSUMER, JOBS};
use crate::{Failure, publish_acked};

const EXPIRES: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Without a word for this long, the pull is lost.
const SILENCE: Duration = Duration::from_millis(12_500);

/// Works until SIGTERM, and then ends what it has begun.
pub(crate) async fn run(client: &Client, slots: usize, tells: bool) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let inbox = client.new_inbox();
    let mut messages = client.subscribe(format!("{inbox}.*")).await?;
    let ask = format!("$JS.API.CONSUMER.MSG.NEXT.{JOBS}.{CONSUMER}");
    let mut record_headers = headers("job-result.v1");
    record_headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
    let names = Names {
        worker: format!("worker-{:08x}", fastrand::u32(..)),
        node: host(),
        headers: record_headers,
        told_headers: headers("job-result.v1"),
        tells,
    };
    let mut running = FuturesUnordered::new();
    // Messages that may still come of what was asked for.
    let (mut outstanding, mut serial) = (0usize, 0u64);
    let mut heard = Instant::now();
    let mut check = tokio::time::interval(HEARTBEAT);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let free = slots.saturating_sub(running.len());
        if outstanding * 2 < free {
            let batch = free.saturating_sub(outstanding);
            let (expires, heartbeat) = (EXPIRES.as_nanos(), HEARTBEAT.as_nanos());
            let body = format!(r#"{{"batch":{batch},"expires":{expires},"idle_heartbeat":{heartbeat}}}"#);
            client.publish_with_reply(ask.clone(), format!("{inbox}.{serial}"), body.into()).await?;
            if serial == 0 {
                client.flush().await?;
                println!("ready");
            }
            (outstanding, serial) = (free, serial + 1);
        }
        tokio::select! {
            biased;
            Some(ended) = running.next() => ended?,
            message = messages.next() => {
                let message = message.ok_or("the subscription ended")?;
                heard = Instant::now();
                match message.status.map(|status| status.as_u16()) {
                    None => {
                        outstanding = outstanding.saturating_sub(1);
                        running.push(work(client, &names, message));
                    }
                    Some(100) => {}
                    Some(408) => outstanding = outstanding.saturating_sub(left(&message)),
                    Some(status) => return Err(format!("the pull ended: {status} {:?}", message.description).into()),
                }
            }
            _ = check.tick() => {
                if heard.elapsed() > SILENCE {
                    return Err("heartbeats are missing".into());
                }
            }
            _ = terminate.recv() => break,
        }
    }
    while let Some(ended) = running.next().await {
        ended?;
    }
    client.flush().await?;
    Ok(())
}

/// What is the same in all records of a worker.
struct Names {
    worker: String,
    node: String,
    headers: HeaderMap,
    told_headers: HeaderMap,
    /// Whether a record is told once it is stored; else the client hears it being published, stored or not.
    tells: bool,
}

/// The record first; then the job may go.
async fn work(client: &Client, names: &Names, message: Message) -> Result<(), Failure> {
    let reply = message.reply.as_ref().ok_or("a job without a subject for its acknowledgement")?.clone();
    let (job_sequence, submitted_unix_ns) = delivery(&reply).ok_or("an acknowledgement of an unknown form")?;
    let id = message.headers.as_ref().and_then(|headers| headers.get(async_nats::header::NATS_MESSAGE_ID));
    let id = id.ok_or("a job without an id")?.as_str();
    let owner = message.subject.rsplit('.').next().unwrap_or_default();
    let taken_unix_ns = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?;
    let begun = Instant::now();
    let job: Job<'_> = rmp_serde::from_slice(&message.payload)?;
    if job.args.first() != Some(&"0") {
        return Err("a job that is not to wait 0 s".into());
    }
    let record = Record {
        job: id,
        queue: JOBS,
        client: owner,
        priority: 0,
        status: "succeeded",
        attempt: 1,
        job_sequence,
        submitted_unix_ns,
        wait_seconds: (taken_unix_ns - submitted_unix_ns).max(0) as f64 / 1e9,
        run_seconds: begun.elapsed().as_secs_f64(),
        worker: &names.worker,
        node: &names.node,
        pod: &names.node,
        exit_code: 0,
    };
    let payload = Bytes::from(rmp_serde::to_vec_named(&record)?);
    // Where there is a record already, the job may go as well.
    let is_stored =
        publish_acked(client, format!("bare.result.{owner}.{id}"), names.headers.clone(), payload.clone()).await?;
    if is_stored && names.tells {
        client.publish_with_headers(format!("bare.told.{owner}.{id}"), names.told_headers.clone(), payload).await?;
    }
    client.publish(reply, Bytes::from_static(b"+ACK")).await?;
    Ok(())
}

/// Sequence in the stream and time, unix nanoseconds, of a subject for acknowledgements:
/// `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer sequence>.<time>.<pending>`.
fn delivery(reply: &str) -> Option<(u64, i64)> {
    let mut tokens = reply.split('.').skip(5);
    let sequence = tokens.next()?.parse().ok()?;
    Some((sequence, tokens.nth(1)?.parse().ok()?))
}

/// How much of an ended pull was not given; all where that is not told.
fn left(message: &Message) -> usize {
    let pending = message.headers.as_ref().and_then(|headers| headers.get("Nats-Pending-Messages"));
    pending.and_then(|pending| pending.as_str().parse().ok()).unwrap_or(usize::MAX)
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
