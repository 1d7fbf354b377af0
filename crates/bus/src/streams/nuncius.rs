//! The streams, buckets and object stores of experiments.

use std::time::Duration;

use super::{Discard, Retention, StreamCondition, StreamWanted};
use crate::kv::BucketWanted;
use crate::object::object_store_stream;
use crate::roles::UserRole;
use crate::{Bus, BusError};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MIB: u64 = 1 << 20;

/// Limits of the experiment streams; the defaults suit one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamLimits {
    /// Submitted experiments that wait; the next is refused.
    pub submit_messages: u64,
    /// Unreadable submissions kept; the oldest goes.
    pub dead_messages: u64,
    /// Changes beside experiments kept; the oldest goes.
    pub change_messages: u64,
    /// Events of all experiments kept, in bytes; the oldest goes.
    pub event_bytes: u64,
    /// Merged seconds of all experiments kept, in bytes; the oldest goes.
    pub second_bytes: u64,
    /// Deltas, in bytes; full refuses, so that nothing is lost unseen.
    pub metric_bytes: u64,
    /// Request records, in bytes; full refuses.
    pub trace_bytes: u64,
    /// Reports, in bytes; full refuses.
    pub artifact_bytes: u64,
    /// Outputs of profiles, in bytes; full refuses, and whoever stores one has the oldest go for it.
    pub profile_bytes: u64,
    /// Bundles of applications, in bytes; full refuses.
    pub app_bytes: u64,
    /// Telemetry of hosts and devices, in bytes; the oldest goes.
    pub sample_bytes: u64,
    /// Telemetry on its way out, in bytes; the oldest goes.
    pub otlp_bytes: u64,
    /// Longest that telemetry waits for a gateway; the oldest goes.
    pub otlp_age: Duration,
    /// Life of an entry of the node bucket that is not renewed.
    pub node_ttl: Duration,
    /// Life of a lease that is not renewed.
    pub lease_ttl: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            submit_messages: 10_000,
            dead_messages: 10_000,
            change_messages: 10_000,
            event_bytes: 256 * MIB,
            second_bytes: 512 * MIB,
            metric_bytes: 1024 * MIB,
            trace_bytes: 2048 * MIB,
            artifact_bytes: 1024 * MIB,
            profile_bytes: 256 * MIB,
            app_bytes: 1024 * MIB,
            sample_bytes: 128 * MIB,
            otlp_bytes: 256 * MIB,
            otlp_age: Duration::from_secs(600),
            node_ttl: Duration::from_secs(10),
            lease_ttl: Duration::from_secs(10),
        }
    }
}

/// Makes all that experiments need, with default limits.
pub async fn ensure_streams(bus: &Bus) -> Result<(), BusError> {
    ensure_streams_with(bus, &StreamLimits::default()).await
}

/// Makes all that experiments need. May be called by every process at every start: with the credentials of a role that
/// does not make them it looks whether they are there.
///
/// # Errors
/// [`BusError::NoStreamsYet`] where they are not, and somebody else makes them.
pub async fn ensure_streams_with(bus: &Bus, limits: &StreamLimits) -> Result<(), BusError> {
    let names = bus.namespace();
    match bus.role() {
        None | Some(UserRole::Experimentd) => {
            for wanted in wanted_streams(bus, limits) {
                bus.ensure_stream(&wanted).await?;
            }
            bus.ensure_object_store(&names.bucket_artifact(), limits.artifact_bytes).await?;
            bus.ensure_object_store(&names.bucket_profile(), limits.profile_bytes).await?;
            bus.ensure_object_store(&names.bucket_app(), limits.app_bytes).await?;
            for name in [names.bucket_run(), names.bucket_route(), names.bucket_app()] {
                bus.ensure_bucket(&BucketWanted { name, ..BucketWanted::default() }).await?;
            }
            ensure_shared(bus, limits).await
        }
        Some(UserRole::Frontend) => {
            bus.ensure_stream(&wanted_samples(bus, limits)).await?;
            bus.ensure_stream(&wanted_otlp(bus, limits)).await?;
            ensure_shared(bus, limits).await
        }
        Some(
            UserRole::Client
            | UserRole::Worker
            | UserRole::QueueClient
            | UserRole::Emulator
            | UserRole::Telemetry
            | UserRole::Submitter
            | UserRole::Operator
            | UserRole::Observer
            | UserRole::Gateway
            | UserRole::Bridge,
        ) => match bus.stream_state(&format!("KV_{}", names.bucket_node())).await {
            Ok(_) => Ok(()),
            Err(BusError::NotFound { .. }) => Err(BusError::NoStreamsYet { namespace: names.as_str().to_owned() }),
            Err(error) => Err(error),
        },
    }
}

/// What all share. The bucket of nodes comes last: where it is, the rest is.
async fn ensure_shared(bus: &Bus, limits: &StreamLimits) -> Result<(), BusError> {
    let names = bus.namespace();
    for (name, max_age) in [
        (names.bucket_lease(), Some(limits.lease_ttl)),
        (names.bucket_queue(), None),
        (names.bucket_node(), Some(limits.node_ttl)),
    ] {
        bus.ensure_bucket(&BucketWanted { name, max_age, ..BucketWanted::default() }).await?;
    }
    Ok(())
}

fn wanted_samples(bus: &Bus, limits: &StreamLimits) -> StreamWanted {
    let names = bus.namespace();
    StreamWanted {
        name: names.stream_sample(),
        description: "telemetry of hosts and devices".to_owned(),
        subjects: vec![names.sample("*")],
        discard: Discard::Old,
        max_age: Some(HOUR),
        max_bytes: Some(limits.sample_bytes),
        ..StreamWanted::default()
    }
}

fn wanted_otlp(bus: &Bus, limits: &StreamLimits) -> StreamWanted {
    let names = bus.namespace();
    StreamWanted {
        name: names.stream_otlp(),
        description: "telemetry on its way out".to_owned(),
        subjects: vec![names.otlp_all()],
        discard: Discard::Old,
        max_age: Some(limits.otlp_age),
        max_bytes: Some(limits.otlp_bytes),
        ..StreamWanted::default()
    }
}

/// How each stream, bucket and object store that experiments need stands to what is wanted of it. Changes nothing.
///
/// # Errors
/// When the server cannot be asked.
pub async fn inspect_streams(bus: &Bus, limits: &StreamLimits) -> Result<Vec<(String, StreamCondition)>, BusError> {
    let mut found = Vec::new();
    for wanted in wanted(bus, limits) {
        let condition = bus.inspect_stream(&wanted).await?;
        found.push((wanted.name, condition));
    }
    Ok(found)
}

fn wanted(bus: &Bus, limits: &StreamLimits) -> Vec<StreamWanted> {
    let names = bus.namespace();
    let mut wanted = wanted_streams(bus, limits);
    let buckets = [
        (names.bucket_node(), Some(limits.node_ttl)),
        (names.bucket_lease(), Some(limits.lease_ttl)),
        (names.bucket_run(), None),
        (names.bucket_route(), None),
        (names.bucket_app(), None),
        (names.bucket_queue(), None),
    ];
    wanted.extend(
        buckets.into_iter().map(|(name, max_age)| BucketWanted { name, max_age, ..BucketWanted::default() }.stream()),
    );
    wanted.push(object_store_stream(&names.bucket_artifact(), limits.artifact_bytes));
    wanted.push(object_store_stream(&names.bucket_profile(), limits.profile_bytes));
    wanted.push(object_store_stream(&names.bucket_app(), limits.app_bytes));
    wanted
}

fn wanted_streams(bus: &Bus, limits: &StreamLimits) -> Vec<StreamWanted> {
    let names = bus.namespace();
    vec![
        StreamWanted {
            name: names.stream_submit(),
            description: "experiments that wait for a daemon".to_owned(),
            subjects: vec![names.experiment_submit()],
            retention: Retention::WorkQueue,
            max_messages: Some(limits.submit_messages),
            ..StreamWanted::default()
        },
        StreamWanted {
            name: names.stream_dead(),
            description: "submissions that could not be read".to_owned(),
            subjects: vec![names.experiment_dead()],
            discard: Discard::Old,
            max_age: Some(7 * DAY),
            max_messages: Some(limits.dead_messages),
            max_bytes: Some(64 * MIB),
            ..StreamWanted::default()
        },
        StreamWanted {
            name: names.stream_change(),
            description: "what was changed, by whom and why".to_owned(),
            subjects: vec![names.change()],
            discard: Discard::Old,
            max_messages: Some(limits.change_messages),
            max_bytes: Some(16 * MIB),
            ..StreamWanted::default()
        },
        StreamWanted {
            name: names.stream_event(),
            description: "life cycle of experiments".to_owned(),
            subjects: vec![names.experiment_event("*")],
            discard: Discard::Old,
            max_age: Some(7 * DAY),
            max_bytes: Some(limits.event_bytes),
            ..StreamWanted::default()
        },
        StreamWanted {
            name: names.stream_second(),
            description: "merged seconds of experiments".to_owned(),
            subjects: vec![names.experiment_second("*")],
            discard: Discard::Old,
            max_age: Some(7 * DAY),
            max_bytes: Some(limits.second_bytes),
            ..StreamWanted::default()
        },
        StreamWanted {
            name: names.stream_metric(),
            description: "deltas of running experiments".to_owned(),
            subjects: vec![names.metric_all("*")],
            max_age: Some(DAY),
            max_bytes: Some(limits.metric_bytes),
            // A node may come back after an outage and send again.
            duplicate_window: Some(HOUR / 6),
            ..StreamWanted::default()
        },
        StreamWanted {
            name: names.stream_trace(),
            description: "request records of running experiments".to_owned(),
            subjects: vec![names.trace_all("*")],
            // Full refuses: a loss shall be seen.
            discard: Discard::New,
            max_age: Some(DAY),
            max_bytes: Some(limits.trace_bytes),
            duplicate_window: Some(HOUR / 6),
            ..StreamWanted::default()
        },
        wanted_samples(bus, limits),
        wanted_otlp(bus, limits),
    ]
}
