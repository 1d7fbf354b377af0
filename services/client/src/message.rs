//! What one message can hold: steps are packed into as few as possible, and a step that is too large for one is taken
//! apart into pieces that add up to it.

use nuncius_schemas::codec::MESSAGE_MAX_BYTES;
use nuncius_schemas::meter::MeterDelta;
use nuncius_schemas::metric::{CheckCount, FailureCount, HostCount, Series, StepDelta};
use nuncius_schemas::track::TrackDelta;
use nuncius_stats::Totals;

/// Room for a message's headers: its id, schema, trace context.
const HEADERS_BYTES_MAX: usize = 1_024;
/// Room in a delta for everything that is not a step: names, numbers, the generator's health.
const ENVELOPE_BYTES_MAX: usize = 1_536;
/// Most bytes of a step's names and numbers, without what is of variable length.
const STEP_BYTES_MAX: usize = 704;
/// Least room that is left for steps, however small the server's messages are.
const ROOM_BYTES_MIN: usize = 1_024;

/// Bytes of steps that a message may have on a server that takes `max_payload_bytes`.
pub(crate) fn room_bytes(max_payload_bytes: usize) -> usize {
    let payload_bytes = max_payload_bytes.saturating_sub(HEADERS_BYTES_MAX).min(MESSAGE_MAX_BYTES);
    payload_bytes.saturating_sub(ENVELOPE_BYTES_MAX).max(ROOM_BYTES_MIN)
}

/// What one message holds.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    pub(crate) steps: Vec<StepDelta>,
    pub(crate) meters: Vec<MeterDelta>,
    pub(crate) tracks: Vec<TrackDelta>,
}

/// Steps, meters and tracks message by message, each within `room_bytes`. There is one at least.
pub(crate) fn pack(
    steps: impl Iterator<Item = StepDelta>,
    meters: impl Iterator<Item = MeterDelta>,
    tracks: impl Iterator<Item = TrackDelta>,
    room_bytes: usize,
) -> Vec<Packed> {
    let mut packing = Packing { messages: Vec::new(), last: Packed::default(), used_bytes: 0, room_bytes };
    for step in steps.flat_map(|step| pieces(step, room_bytes)) {
        packing.make_room(size_bytes(&step)).steps.push(step);
    }
    for meter in meters.flat_map(|meter| meter_pieces(meter, room_bytes)) {
        packing.make_room(meter_bytes(&meter)).meters.push(meter);
    }
    for track in tracks.flat_map(|track| track_pieces(track, room_bytes)) {
        packing.make_room(track_bytes(&track)).tracks.push(track);
    }
    packing.messages.push(packing.last);
    packing.messages
}

struct Packing {
    messages: Vec<Packed>,
    last: Packed,
    used_bytes: usize,
    room_bytes: usize,
}

impl Packing {
    /// The message that has room for so many bytes more.
    fn make_room(&mut self, bytes: usize) -> &mut Packed {
        if self.used_bytes + bytes > self.room_bytes && self.used_bytes > 0 {
            self.messages.push(std::mem::take(&mut self.last));
            self.used_bytes = 0;
        }
        self.used_bytes += bytes;
        &mut self.last
    }
}

/// At most this many bytes.
fn size_bytes(step: &StepDelta) -> usize {
    STEP_BYTES_MAX
        + step.failures.iter().map(failure_bytes).sum::<usize>()
        + step.checks.iter().map(check_bytes).sum::<usize>()
        + step.hosts.iter().map(host_bytes).sum::<usize>()
        + step.statuses.len() * STATUS_BYTES_MAX
        + step.cycles.len() * CYCLE_BYTES_MAX
        + step.slowest.len() * SLOW_BYTES_MAX
        + Series::ALL.into_iter().map(|series| step.series(series).len()).sum::<usize>()
}

/// Two names, two numbers of at most 3 and 9 bytes, and the map around them.
const STATUS_BYTES_MAX: usize = 28;
/// Two numbers of at most 5 and 9 bytes, and the array around them.
const CYCLE_BYTES_MAX: usize = 15;
/// Ten names, ids of 34 and 18 bytes, six numbers, a kind of failure.
const SLOW_BYTES_MAX: usize = 256;

/// Four names, two numbers, the kind, and the sample.
fn failure_bytes(failure: &FailureCount) -> usize {
    64 + failure.sample.as_ref().map_or(0, String::len)
}

/// Three names, two numbers, and the name of the check.
fn check_bytes(check: &CheckCount) -> usize {
    48 + check.name.len()
}

/// Four names, three numbers, and the address.
fn host_bytes(host: &HostCount) -> usize {
    72 + host.host.len()
}

/// Names and numbers of a meter, and what its values are.
const METER_BYTES_MAX: usize = 96;

fn meter_bytes(meter: &MeterDelta) -> usize {
    METER_BYTES_MAX + meter.name.len() + meter.histogram.len()
}

/// The meter itself if it fits, else what adds up to it.
fn meter_pieces(mut meter: MeterDelta, room_bytes: usize) -> Vec<MeterDelta> {
    if meter_bytes(&meter) <= room_bytes {
        return vec![meter];
    }
    let histogram = std::mem::take(&mut meter.histogram);
    let left_bytes = room_bytes.saturating_sub(meter_bytes(&meter));
    let pieces = split(histogram, left_bytes).into_iter();
    let pieces: Vec<MeterDelta> = pieces.map(|histogram| MeterDelta { sum: 0, histogram, ..meter.clone() }).collect();
    std::iter::once(meter).chain(pieces).collect()
}

/// Names and numbers of a track, and what its ranges are beside.
const TRACK_BYTES_MAX: usize = 128;
/// Two numbers of at most 9 bytes, and the array around them.
const RANGE_BYTES_MAX: usize = 19;

fn track_bytes(track: &TrackDelta) -> usize {
    TRACK_BYTES_MAX + track.track.len() + (track.published.len() + track.received.len()) * RANGE_BYTES_MAX
}

/// The track itself if it fits, else what adds up to it: counts are in the first.
fn track_pieces(mut track: TrackDelta, room_bytes: usize) -> Vec<TrackDelta> {
    if track_bytes(&track) <= room_bytes {
        return vec![track];
    }
    let (published, received) = (std::mem::take(&mut track.published), std::mem::take(&mut track.received));
    let left_bytes = room_bytes.saturating_sub(track_bytes(&track));
    let empty = TrackDelta { messages: 0, reordered: 0, ..track.clone() };
    let mut pieces = vec![track];
    for published in chunks(published, left_bytes, |_| RANGE_BYTES_MAX) {
        pieces.push(TrackDelta { published, ..empty.clone() });
    }
    for received in chunks(received, left_bytes, |_| RANGE_BYTES_MAX) {
        pieces.push(TrackDelta { received, ..empty.clone() });
    }
    pieces
}

/// The step itself if it fits, else what adds up to it: counts are in the first, what is of variable length follows.
/// The gauge is the same in all.
fn pieces(mut step: StepDelta, room_bytes: usize) -> Vec<StepDelta> {
    if size_bytes(&step) <= room_bytes {
        return vec![step];
    }
    let (group, number, in_flight) = (step.group, step.step, step.in_flight);
    let empty = || StepDelta { group, step: number, in_flight, ..StepDelta::default() };
    let left_bytes = room_bytes.saturating_sub(STEP_BYTES_MAX);
    let mut pieces = Vec::new();
    for series in Series::ALL {
        for histogram in split(std::mem::take(step.series_mut(series)), left_bytes) {
            let mut piece = empty();
            *piece.series_mut(series) = histogram;
            pieces.push(piece);
        }
    }
    for statuses in chunks(std::mem::take(&mut step.statuses), left_bytes, |_| STATUS_BYTES_MAX) {
        pieces.push(StepDelta { statuses, ..empty() });
    }
    for failures in chunks(std::mem::take(&mut step.failures), left_bytes, failure_bytes) {
        pieces.push(StepDelta { failures, ..empty() });
    }
    for checks in chunks(std::mem::take(&mut step.checks), left_bytes, check_bytes) {
        pieces.push(StepDelta { checks, ..empty() });
    }
    for hosts in chunks(std::mem::take(&mut step.hosts), left_bytes, host_bytes) {
        pieces.push(StepDelta { hosts, ..empty() });
    }
    for cycles in chunks(std::mem::take(&mut step.cycles), left_bytes, |_| CYCLE_BYTES_MAX) {
        pieces.push(StepDelta { cycles, ..empty() });
    }
    for slowest in chunks(std::mem::take(&mut step.slowest), left_bytes, |_| SLOW_BYTES_MAX) {
        pieces.push(StepDelta { slowest, ..empty() });
    }
    pieces.insert(0, step);
    pieces
}

fn split(bytes: Vec<u8>, left_bytes: usize) -> Vec<Vec<u8>> {
    if bytes.is_empty() {
        return Vec::new();
    }
    match Totals::decode(&bytes) {
        Ok(totals) => totals.encode_in_pieces(left_bytes),
        // It was encoded here: it loads. Sent as it is, whoever cannot store it says so.
        Err(_) => vec![bytes],
    }
}

fn chunks<T>(items: Vec<T>, left_bytes: usize, bytes_of: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut chunks: Vec<Vec<T>> = Vec::new();
    let mut used_bytes = usize::MAX;
    for item in items {
        let size = bytes_of(&item);
        if used_bytes.saturating_add(size) > left_bytes {
            chunks.push(Vec::new());
            used_bytes = 0;
        }
        used_bytes += size;
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(item);
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::codec;
    use nuncius_schemas::meter::{MeterKind, MeterUnit};
    use nuncius_schemas::metric::{
        BySeries, CHECKS_MAX, FailureKind, HOSTS_MAX, MetricDelta, SLOWEST_MAX, SlowRequest, StatusCount,
    };
    use nuncius_stats::Histogram;

    use super::*;

    /// A step as large as a server with many kinds of answers makes it.
    fn large() -> StepDelta {
        let histogram = |seed: u64| {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut histogram = Histogram::new();
            (0..20_000).for_each(|_| histogram.record_ns(random.u64(1_000..4_000_000_000)));
            histogram.encode_delta()
        };
        let failure = |status: u16| FailureCount {
            kind: FailureKind::Status,
            status,
            count: u64::MAX - u64::from(status),
            sample: Some("x".repeat(256)),
        };
        let slow = SlowRequest {
            trace_id: "f".repeat(32),
            span_id: "f".repeat(16),
            response_ns: u64::MAX,
            service_ns: u64::MAX,
            done_ns: u64::MAX,
            index: u64::MAX,
            status: u16::MAX,
            failure: Some(FailureKind::Protocol),
            sampled: true,
            node: String::new(),
        };
        let check = CheckCount { name: "c".repeat(128), passed: u64::MAX, failed: u64::MAX };
        let host = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".to_owned();
        let host = HostCount { host, succeeded: u64::MAX, failed: u64::MAX, service_ns: u64::MAX };
        StepDelta {
            group: u16::MAX,
            step: u16::MAX,
            planned: u64::MAX,
            sent: u64::MAX,
            succeeded: u64::MAX,
            failed: u64::MAX,
            censored: u64::MAX,
            skipped: u64::MAX,
            in_flight: u64::MAX,
            retried: u64::MAX,
            redirects: u64::MAX,
            held_back: u64::MAX,
            backed_off: u64::MAX,
            bytes_sent: u64::MAX,
            bytes_received: u64::MAX,
            statuses: (0..600).map(|status| StatusCount { status, count: u64::MAX }).collect(),
            failures: (400..464).map(failure).collect(),
            checks: (0..=CHECKS_MAX).map(|_| check.clone()).collect(),
            hosts: (0..=HOSTS_MAX).map(|_| host.clone()).collect(),
            lag: histogram(1),
            blocked: histogram(2),
            service: histogram(3),
            response: histogram(4),
            failed_service: histogram(5),
            failed_response: histogram(6),
            censored_response: histogram(7),
            censored_service: histogram(8),
            cycles: (0..2_000).map(|completed| (u32::MAX - completed, u64::MAX)).collect(),
            slowest: vec![slow; SLOWEST_MAX],
        }
    }

    /// A meter with as many values as a step has.
    fn large_meter() -> MeterDelta {
        MeterDelta {
            group: u16::MAX,
            name: "m".repeat(64),
            kind: MeterKind::Histogram,
            unit: MeterUnit::Nanoseconds,
            sum: u64::MAX,
            histogram: large().service,
        }
    }

    fn large_track() -> TrackDelta {
        let ranges = || (0..5_000).map(|at| [u64::MAX - 2 * at, u64::MAX - 2 * at]).collect();
        TrackDelta {
            track: "t".repeat(64),
            publisher: u64::MAX,
            published: ranges(),
            messages: u64::MAX,
            reordered: u64::MAX,
            received: ranges(),
        }
    }

    fn message(Packed { steps, meters, tracks }: Packed) -> MetricDelta {
        MetricDelta {
            experiment: "e".repeat(64),
            node: "n".repeat(64),
            epoch: u64::MAX,
            attempt: u32::MAX,
            sequence: u64::MAX,
            part: u32::MAX,
            parts: u32::MAX,
            first_second: u32::MAX,
            last_second: u32::MAX,
            last: false,
            stopped: None,
            shortfall: None,
            records: None,
            steps,
            meters,
            tracks,
            health: Some(Default::default()),
        }
    }

    #[test]
    fn whatever_a_server_takes_messages_fit_it_and_add_up_to_what_was_measured() {
        for max_payload_bytes in [8 * 1024, 16 * 1024, 1024 * 1024] {
            let meters = [large_meter(), large_meter()].into_iter();
            let packed = pack(
                [large(), large()].into_iter(),
                meters,
                [large_track(), large_track()].into_iter(),
                room_bytes(max_payload_bytes),
            );
            let mut sums: BySeries<Totals> = BySeries::default();
            let (mut planned, mut failures, mut statuses, mut cycles, mut slowest) = (0u128, 0, 0, 0, 0);
            let (mut checks, mut metered, mut values) = (0, 0u128, Totals::default());
            let (mut messages, mut ranges) = (0u128, 0);
            for packed in packed {
                let told = message(packed);
                let bytes = codec::encode(&told).unwrap().len();
                assert!(bytes + HEADERS_BYTES_MAX <= max_payload_bytes, "{bytes} of {max_payload_bytes}");
                for step in told.steps {
                    planned += u128::from(step.planned);
                    assert_eq!(step.in_flight, u64::MAX);
                    failures += step.failures.len();
                    checks += step.checks.len();
                    statuses += step.statuses.len();
                    cycles += step.cycles.len();
                    slowest += step.slowest.len();
                    for (series, sum) in sums.iter_mut() {
                        sum.merge_delta(step.series(series)).unwrap();
                    }
                }
                for track in told.tracks {
                    messages += u128::from(track.messages) + u128::from(track.reordered);
                    ranges += track.published.len() + track.received.len();
                }
                for meter in told.meters {
                    metered += u128::from(meter.sum);
                    values.merge_delta(&meter.histogram).unwrap();
                }
            }
            assert_eq!((planned, failures, statuses, cycles), (2 * u128::from(u64::MAX), 2 * 64, 2 * 600, 2 * 2_000));
            assert_eq!((checks, metered), (2 * (CHECKS_MAX + 1), 2 * u128::from(u64::MAX)));
            assert_eq!((messages, ranges), (4 * u128::from(u64::MAX), 4 * 5_000));
            let twice = |bytes: &[u8]| {
                let mut totals = Totals::decode(bytes).unwrap();
                totals.merge_delta(bytes).unwrap();
                totals
            };
            assert_eq!(values, twice(&large_meter().histogram));
            assert_eq!(slowest, 2 * SLOWEST_MAX);
            for (series, sum) in sums.iter() {
                assert_eq!(*sum, twice(large().series(series)), "{series:?}");
            }
        }
    }
}
