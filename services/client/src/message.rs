//! What one message can hold: steps are packed into as few as possible, and a step that is too large for one is taken
//! apart into pieces that add up to it.

use nuncius_schemas::codec::MESSAGE_MAX_BYTES;
use nuncius_schemas::metric::StepDelta;
use nuncius_stats::Totals;

/// Room for a message's headers: its id, schema, trace context.
const HEADERS_BYTES_MAX: usize = 1_024;
/// Room in a delta for everything that is not a step: names, numbers, the generator's health.
const ENVELOPE_BYTES_MAX: usize = 1_536;
/// Most bytes of a step's names and numbers, without what is of variable length.
const STEP_BYTES_MAX: usize = 640;
/// Least room that is left for steps, however small the server's messages are.
const ROOM_BYTES_MIN: usize = 1_024;

/// Bytes of steps that a message may have on a server that takes `max_payload_bytes`.
pub(crate) fn room_bytes(max_payload_bytes: usize) -> usize {
    let payload_bytes = max_payload_bytes.saturating_sub(HEADERS_BYTES_MAX).min(MESSAGE_MAX_BYTES);
    payload_bytes.saturating_sub(ENVELOPE_BYTES_MAX).max(ROOM_BYTES_MIN)
}

/// Steps message by message, each within `room_bytes`.
pub(crate) fn pack(steps: impl Iterator<Item = StepDelta>, room_bytes: usize) -> Vec<Vec<StepDelta>> {
    let mut messages: Vec<Vec<StepDelta>> = vec![Vec::new()];
    let mut used_bytes = 0;
    for piece in steps.flat_map(|step| pieces(step, room_bytes)) {
        let size = size_bytes(&piece);
        if used_bytes + size > room_bytes && used_bytes > 0 {
            messages.push(Vec::new());
            used_bytes = 0;
        }
        used_bytes += size;
        if let Some(message) = messages.last_mut() {
            message.push(piece);
        }
    }
    messages
}

/// At most this many bytes.
fn size_bytes(step: &StepDelta) -> usize {
    let histograms = [
        &step.lag,
        &step.blocked,
        &step.service,
        &step.response,
        &step.failed_service,
        &step.failed_response,
        &step.censored_response,
        &step.censored_service,
    ];
    STEP_BYTES_MAX
        + step.failures.iter().map(failure_bytes).sum::<usize>()
        + step.statuses.len() * STATUS_BYTES_MAX
        + step.cycles.len() * CYCLE_BYTES_MAX
        + step.slowest.len() * SLOW_BYTES_MAX
        + histograms.iter().map(|bytes| bytes.len()).sum::<usize>()
}

/// Two names, two numbers of at most 3 and 9 bytes, and the map around them.
const STATUS_BYTES_MAX: usize = 28;
/// Two numbers of at most 5 and 9 bytes, and the array around them.
const CYCLE_BYTES_MAX: usize = 15;
/// Ten names, ids of 34 and 18 bytes, six numbers, a kind of failure.
const SLOW_BYTES_MAX: usize = 256;

/// Four names, two numbers, the kind, and the sample.
fn failure_bytes(failure: &nuncius_schemas::metric::FailureCount) -> usize {
    64 + failure.sample.as_ref().map_or(0, String::len)
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
    for (take, put) in HISTOGRAMS {
        for histogram in split(std::mem::take(take(&mut step)), left_bytes) {
            let mut piece = empty();
            put(&mut piece, histogram);
            pieces.push(piece);
        }
    }
    for statuses in chunks(std::mem::take(&mut step.statuses), left_bytes, |_| STATUS_BYTES_MAX) {
        pieces.push(StepDelta { statuses, ..empty() });
    }
    for failures in chunks(std::mem::take(&mut step.failures), left_bytes, failure_bytes) {
        pieces.push(StepDelta { failures, ..empty() });
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

type Take = fn(&mut StepDelta) -> &mut Vec<u8>;
type Put = fn(&mut StepDelta, Vec<u8>);

/// Every histogram of a step.
const HISTOGRAMS: [(Take, Put); 8] = [
    (|step| &mut step.lag, |step, bytes| step.lag = bytes),
    (|step| &mut step.blocked, |step, bytes| step.blocked = bytes),
    (|step| &mut step.service, |step, bytes| step.service = bytes),
    (|step| &mut step.response, |step, bytes| step.response = bytes),
    (|step| &mut step.failed_service, |step, bytes| step.failed_service = bytes),
    (|step| &mut step.failed_response, |step, bytes| step.failed_response = bytes),
    (|step| &mut step.censored_response, |step, bytes| step.censored_response = bytes),
    (|step| &mut step.censored_service, |step, bytes| step.censored_service = bytes),
];

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
    use nuncius_schemas::metric::{FailureCount, FailureKind, MetricDelta, SLOWEST_MAX, SlowRequest, StatusCount};
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
        StepDelta {
            group: u16::MAX,
            step: u16::MAX,
            planned: u64::MAX,
            sent: u64::MAX,
            succeeded: u64::MAX,
            failed: u64::MAX,
            censored: u64::MAX,
            in_flight: u64::MAX,
            retried: u64::MAX,
            held_back: u64::MAX,
            backed_off: u64::MAX,
            bytes_sent: u64::MAX,
            bytes_received: u64::MAX,
            statuses: (0..600).map(|status| StatusCount { status, count: u64::MAX }).collect(),
            failures: (400..464).map(failure).collect(),
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

    fn message(steps: Vec<StepDelta>) -> MetricDelta {
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
            health: Some(Default::default()),
        }
    }

    #[test]
    fn whatever_a_server_takes_messages_fit_it_and_add_up_to_what_was_measured() {
        for max_payload_bytes in [8 * 1024, 16 * 1024, 1024 * 1024] {
            let packed = pack([large(), large()].into_iter(), room_bytes(max_payload_bytes));
            let mut sums: [Totals; 8] = Default::default();
            let (mut planned, mut failures, mut statuses, mut cycles, mut slowest) = (0u128, 0, 0, 0, 0);
            for steps in packed {
                let bytes = codec::encode(&message(steps.clone())).unwrap().len();
                assert!(bytes + HEADERS_BYTES_MAX <= max_payload_bytes, "{bytes} of {max_payload_bytes}");
                for mut step in steps {
                    planned += u128::from(step.planned);
                    assert_eq!(step.in_flight, u64::MAX);
                    failures += step.failures.len();
                    statuses += step.statuses.len();
                    cycles += step.cycles.len();
                    slowest += step.slowest.len();
                    for (sum, (take, _)) in sums.iter_mut().zip(HISTOGRAMS) {
                        sum.merge_delta(take(&mut step)).unwrap();
                    }
                }
            }
            assert_eq!((planned, failures, statuses, cycles), (2 * u128::from(u64::MAX), 2 * 64, 2 * 600, 2 * 2_000));
            assert_eq!(slowest, 2 * SLOWEST_MAX);
            for (sum, (take, _)) in sums.iter().zip(HISTOGRAMS) {
                let mut twice = Totals::decode(take(&mut large())).unwrap();
                twice.merge_delta(take(&mut large())).unwrap();
                assert_eq!(sum, &twice);
            }
        }
    }
}
