//! From the bytes of a request to its work.

use nuncius_schemas::codec::{self, CodecError};
use nuncius_schemas::units::SECOND_NS;
use nuncius_schemas::worker::{DeviceReply, DeviceRequest};

use super::model::Ended;

/// Most work of one request, in seconds: a day.
pub const MOST_WORK_SECONDS: f64 = 86_400.0;

/// Why a request is not run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum RequestError {
    /// The bytes.
    #[error("not a request to a device: {0}; send {{\"work_seconds\": 0.5}} as JSON or MessagePack")]
    Unreadable(#[from] CodecError),
    /// The work is no time, or too long a one.
    #[error("work_seconds: {seconds} is out of range; write 0 to {MOST_WORK_SECONDS}")]
    Work {
        /// What was asked.
        seconds: f64,
    },
    /// As many wait as may.
    #[error("the device is full: {queue} requests wait, and no more may; send later, or give it a longer queue")]
    Full {
        /// The limit.
        queue: u32,
    },
    /// The device is going, or has gone.
    #[error("the device was shut down")]
    ShutDown,
}

/// The work that a payload asks for, in nanoseconds; none where it leaves that to the device.
pub(crate) fn read(payload: &[u8]) -> Result<Option<u64>, RequestError> {
    let request: DeviceRequest = codec::decode(payload)?;
    match request.work_seconds {
        None => Ok(None),
        Some(seconds) if (0.0..=MOST_WORK_SECONDS).contains(&seconds) => {
            Ok(Some(libm::round(seconds * SECOND_NS as f64) as u64))
        }
        Some(seconds) => Err(RequestError::Work { seconds }),
    }
}

/// The answer to a job that has ended, or was given up for a reason.
pub(crate) fn reply<T>(device: &str, job: &Ended<T>, error: Option<&RequestError>) -> DeviceReply {
    let seconds = |from_ns: u64, to_ns: u64| to_ns.saturating_sub(from_ns) as f64 / SECOND_NS as f64;
    DeviceReply {
        device: device.to_owned(),
        work_seconds: seconds(0, job.work_ns),
        wait_seconds: seconds(job.arrived_ns, job.started_ns),
        run_seconds: seconds(job.started_ns, job.ended_ns),
        error: error.map(ToString::to_string),
    }
}

/// The answer to a request that never came to the device; its work is not told, since it may be no number.
pub(crate) fn refusal(device: &str, error: &RequestError) -> DeviceReply {
    let device = device.to_owned();
    DeviceReply { device, work_seconds: 0.0, wait_seconds: 0.0, run_seconds: 0.0, error: Some(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::form::Form;

    fn packed(work_seconds: Option<f64>) -> Vec<u8> {
        codec::encode(&DeviceRequest { work_seconds }).unwrap()
    }

    #[test]
    fn work_is_read_from_both_forms_and_answered_in_the_same() {
        for (payload, form) in
            [(packed(Some(0.25)), Form::MessagePack), (b" {\"work_seconds\": 0.25}".to_vec(), Form::Json)]
        {
            assert_eq!((read(&payload), Form::of(&payload)), (Ok(Some(250_000_000)), form));
        }
        for (payload, form) in [(packed(None), Form::MessagePack), (b"{}".to_vec(), Form::Json)] {
            assert_eq!((read(&payload), Form::of(&payload)), (Ok(None), form));
        }
    }

    #[test]
    fn work_that_is_no_time_is_refused_with_the_limit() {
        for seconds in [-0.1, f64::NAN, f64::INFINITY, MOST_WORK_SECONDS * 1.01] {
            let error = read(&packed(Some(seconds))).unwrap_err().to_string();
            assert!(error.contains("86400"), "{error}");
        }
    }

    #[test]
    fn text_is_answered_in_json_even_if_it_is_no_request() {
        for payload in ["", "go", "[", "{\"work_seconds\": \"long\"}"] {
            assert!(matches!(read(payload.as_bytes()), Err(RequestError::Unreadable(_))), "{payload}");
            assert_eq!(Form::of(payload.as_bytes()), Form::Json);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused_and_the_refusal_is_readable(payload in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Err(error) = read(&payload) {
                let refusal = refusal("gpu-0", &error);
                let bytes = Form::of(&payload).encode(&refusal).unwrap();
                prop_assert_eq!(codec::decode::<DeviceReply>(&bytes).unwrap(), refusal);
            }
        }
    }
}
