//! What a step must keep to, whatever its engine, and what headers must.

use std::collections::BTreeMap;

use super::{AMQP_NAME_MAX_BYTES, Reading, SpecError, URL_MAX_BYTES, VALUE_MAX_BYTES, at_most, refuse};
use crate::job::ARGUMENTS_MAX;
use crate::queue::PRIORITIES_MAX;
use crate::spec::{AmqpConsume, AmqpPublish, EngineKind, JobStep, Step};
use crate::variable::has_variables;

pub(super) fn check_headers<'a>(
    field: &str,
    headers: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<(), SpecError> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (name, value) in headers {
        let token = !name.is_empty()
            && name.len() <= 256
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        if !token {
            let shown: String = name.chars().take(64).collect();
            return refuse(format!("{field}.{shown}"), "not a header name");
        }
        if let Some(first) = seen.insert(name.to_ascii_lowercase(), name) {
            let problem = format!("the same header as `{first}`: names of headers do not differ by case");
            return refuse(format!("{field}.{name}"), problem);
        }
        if value.len() > VALUE_MAX_BYTES || value.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
            let problem = format!("over {VALUE_MAX_BYTES} bytes, or holds line ends or other control characters");
            return refuse(format!("{field}.{name}"), problem);
        }
        if ["content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"]
            .contains(&name.to_ascii_lowercase().as_str())
        {
            return refuse(format!("{field}.{name}"), "is set by the engine");
        }
    }
    Ok(())
}

pub(super) fn check_step(path: &str, engine: EngineKind, step: &Step, reading: Reading) -> Result<(), SpecError> {
    let http = step.method.is_some()
        || step.path.is_some()
        || step.body.is_some()
        || step.expect.is_some()
        || !step.headers.is_empty();
    match engine {
        EngineKind::Http => {
            if step.publish.is_some() || step.consume.is_some() {
                return refuse(path, "`publish` and `consume` belong to `engine: amqp`");
            }
            if step.job.is_some() {
                return refuse(path, "`job` belongs to `engine: queue`");
            }
            if let Some(target) = &step.path {
                let plain = !reading.knows(target) || target.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
                let rooted = target.starts_with('/') || (!reading.knows(target) && target.starts_with('$'));
                if !rooted || !plain || target.len() > URL_MAX_BYTES {
                    let problem = format!(
                        "must start with /, be percent-encoded, hold no spaces or `#`, and have at most {URL_MAX_BYTES} \
                         bytes"
                    );
                    return refuse(format!("{path}.path"), problem);
                }
            }
            check_headers(&format!("{path}.headers"), step.headers.iter())?;
            match step.expect.as_ref().and_then(|expect| expect.status.problem()) {
                Some(problem) => refuse(format!("{path}.expect.status"), problem),
                None => Ok(()),
            }
        }
        EngineKind::Amqp => {
            if http {
                return refuse(path, "method, path, headers, body and expect belong to `engine: http`");
            }
            if step.job.is_some() {
                return refuse(path, "`job` belongs to `engine: queue`");
            }
            match (&step.publish, &step.consume) {
                (Some(publish), None) => check_publish(&format!("{path}.publish"), publish, reading),
                (None, Some(consume)) => check_consume(&format!("{path}.consume"), consume, reading),
                _ => refuse(path, "an amqp step has either `publish` or `consume`"),
            }
        }
        EngineKind::Queue => {
            if http || step.publish.is_some() || step.consume.is_some() {
                return refuse(path, "a queue's step has `job` and nothing else");
            }
            match &step.job {
                Some(job) => check_job(&format!("{path}.job"), job),
                None => refuse(path, "a queue's step has a `job`"),
            }
        }
        // Refused as a whole by the check of the group.
        EngineKind::Servo => Ok(()),
    }
}

fn check_job(path: &str, job: &JobStep) -> Result<(), SpecError> {
    if job.priority >= PRIORITIES_MAX {
        return refuse(format!("{path}.priority"), format!("{}; give 0 to {}", job.priority, PRIORITIES_MAX - 1));
    }
    at_most(&format!("{path}.args"), job.args.len(), ARGUMENTS_MAX as usize)?;
    match job.args.iter().position(|arg| arg.contains('\0')) {
        Some(index) => refuse(format!("{path}.args[{index}]"), "holds a NUL byte, which no program can be given"),
        None => Ok(()),
    }
}

fn check_publish(path: &str, publish: &AmqpPublish, reading: Reading) -> Result<(), SpecError> {
    check_amqp_name(&format!("{path}.exchange"), &publish.exchange, reading)?;
    check_amqp_name(&format!("{path}.routing_key"), &publish.routing_key, reading)?;
    if publish.routing_key.is_empty() && (publish.exchange.is_empty() || publish.declare) {
        return refuse(format!("{path}.routing_key"), "empty: it names the queue here");
    }
    Ok(())
}

fn check_consume(path: &str, consume: &AmqpConsume, reading: Reading) -> Result<(), SpecError> {
    check_amqp_name(&format!("{path}.queue"), &consume.queue, reading)?;
    if consume.queue.is_empty() {
        return refuse(format!("{path}.queue"), "empty: name a queue");
    }
    if consume.prefetch == 0 {
        return refuse(format!("{path}.prefetch"), "0 means without limit to a broker: give 1 or more");
    }
    Ok(())
}

fn check_amqp_name(field: &str, name: &str, reading: Reading) -> Result<(), SpecError> {
    if reading == Reading::Written && has_variables(name) {
        return Ok(());
    }
    if name.len() > AMQP_NAME_MAX_BYTES || name.chars().any(char::is_control) {
        return refuse(field, format!("longer than {AMQP_NAME_MAX_BYTES} bytes, or holds control characters"));
    }
    Ok(())
}
