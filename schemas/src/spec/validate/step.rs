//! What a step must keep to, whatever its engine.

use super::headers::check_headers;
use crate::flow::Op;
use crate::flow::nats::{MESSAGES_MAX, check_track};
use crate::flow::received::{Knows, Received, check_timeout};
use crate::flow::rule::{check_condition, check_function_name, check_variable_name};
use crate::flow::template::has_template;
use crate::job::ARGUMENTS_MAX;
use crate::queue::{PRIORITIES_MAX, check_queue_name};
use crate::spec::check::{Reading, SpecError, at_most, refuse};
use crate::spec::limits::{AMQP_NAME_MAX_BYTES, ENTRIES_MAX, URL_MAX_BYTES, VALUE_MAX_BYTES};
use crate::spec::{AmqpConsume, AmqpPublish, EngineKind, JobStep, Step};
use crate::variable::has_variables;

pub(super) fn check_step(path: &str, engine: EngineKind, step: &Step, reading: Reading) -> Result<(), SpecError> {
    check_chance(path, engine, step)?;
    let http = step.version_1_fields().next().is_some();
    if let Some(op) = step.op.as_ref().filter(|_| engine != EngineKind::Http) {
        return refuse(format!("{path}.{}", op.verb()), "belongs to `engine: http`");
    }
    match engine {
        EngineKind::Http => {
            let olds = [step.publish.is_some(), step.consume.is_some(), step.job.is_some()];
            match (olds.into_iter().filter(|is_there| *is_there).count(), &step.op) {
                (0, Some(op)) => check_op(path, step, op, reading),
                (0, None) => check_request(path, step, reading),
                (1, None) if !http => check_message(path, step, reading),
                _ => refuse(path, "has two verbs, or fields of a request beside one: write each as a step of its own"),
            }
        }
        EngineKind::Amqp => {
            if http {
                return refuse(path, "method, path, headers, body and expect belong to `engine: http`");
            }
            if step.job.is_some() {
                return refuse(path, "`job` belongs to `engine: queue`");
            }
            if let Some(field) = field_of_session(step) {
                return refuse(format!("{path}.{field}"), "belongs to sessions: `engine: http`");
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
            if let Some(field) = field_of_session(step) {
                return refuse(format!("{path}.{field}"), "belongs to sessions: `engine: http`");
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

/// The first field of a message or a job that only sessions have.
fn field_of_session(step: &Step) -> Option<&'static str> {
    let of_publish = step.publish.as_ref().map(|publish| {
        let AmqpPublish { exchange: _, routing_key: _, body: _, persistent: _, declare: _, broker, track, timeout } =
            publish;
        vec![
            ("publish.broker", broker.is_some()),
            ("publish.track", track.is_some()),
            ("publish.timeout", timeout.is_some()),
        ]
    });
    let of_consume = step.consume.as_ref().map(|consume| {
        let AmqpConsume {
            queue: _,
            prefetch: _,
            broker,
            messages,
            track,
            timeout,
            capture,
            checks,
            on_check_failure: _,
        } = consume;
        vec![
            ("consume.broker", broker.is_some()),
            ("consume.messages", messages.is_some()),
            ("consume.track", track.is_some()),
            ("consume.timeout", timeout.is_some()),
            ("consume.capture", !capture.is_empty()),
            ("consume.checks", !checks.is_empty()),
        ]
    });
    let of_job = step.job.as_ref().map(|job| {
        let JobStep { args: _, priority: _, limit: _, queue, timeout, capture, checks, on_check_failure: _ } = job;
        vec![
            ("job.queue", queue.is_some()),
            ("job.timeout", timeout.is_some()),
            ("job.capture", !capture.is_empty()),
            ("job.checks", !checks.is_empty()),
        ]
    });
    let written = of_publish.into_iter().chain(of_consume).chain(of_job).flatten();
    written.into_iter().find_map(|(field, is_there)| is_there.then_some(field))
}

/// A message or a job as a step of a session.
fn check_message(path: &str, step: &Step, reading: Reading) -> Result<(), SpecError> {
    if let Some(publish) = &step.publish {
        let path = format!("{path}.publish");
        check_publish(&path, publish, reading)?;
        check_broker(&path, publish.broker.as_deref(), reading)?;
        publish.track.as_ref().map_or(Ok(()), |track| check_track(&path, track))?;
        return check_timeout(&path, publish.timeout);
    }
    if let Some(consume) = &step.consume {
        let path = format!("{path}.consume");
        check_consume(&path, consume, reading)?;
        check_broker(&path, consume.broker.as_deref(), reading)?;
        consume.track.as_ref().map_or(Ok(()), |track| check_track(&path, track))?;
        if consume.messages.is_some_and(|messages| messages == 0 || messages > MESSAGES_MAX) {
            return refuse(format!("{path}.messages"), format!("give 1 to {MESSAGES_MAX}"));
        }
        let received = Received {
            wait: None,
            timeout: consume.timeout,
            capture: &consume.capture,
            checks: &consume.checks,
            on_check_failure: consume.on_check_failure,
        };
        return received.check(&path, ".wait", Knows::HeadersAndBody);
    }
    let Some(job) = &step.job else { return Ok(()) };
    let path = format!("{path}.job");
    check_job(&path, job)?;
    match &job.queue {
        None => return refuse(format!("{path}.queue"), "name the queue that it is submitted to"),
        Some(queue) if reading.knows(queue) => check_queue_name(queue)
            .map_err(|error| SpecError { field: format!("{path}.queue"), problem: error.problem })?,
        Some(_) => {}
    }
    let received = Received {
        wait: None,
        timeout: job.timeout,
        capture: &job.capture,
        checks: &job.checks,
        on_check_failure: job.on_check_failure,
    };
    received.check(&path, ".wait", Knows::Body)
}

fn check_broker(path: &str, broker: Option<&str>, reading: Reading) -> Result<(), SpecError> {
    let Some(broker) = broker else { return Ok(()) };
    if has_template(broker) {
        return refuse(format!("{path}.broker"), "templates are not filled in here: connections are the same for all");
    }
    let is_broker = broker.starts_with("amqp://") || broker.starts_with("amqps://");
    match reading.knows(broker) && !is_broker {
        true => refuse(format!("{path}.broker"), "no broker: write amqp://user:password@host/vhost, or amqps://"),
        false => Ok(()),
    }
}

/// When a step is taken at all.
fn check_chance(path: &str, engine: EngineKind, step: &Step) -> Result<(), SpecError> {
    if let Some(probability) = step.probability {
        let field = format!("{path}.probability");
        if engine != EngineKind::Http {
            return refuse(field, "belongs to `engine: http`");
        }
        if !(probability > 0.0 && probability <= 1.0) {
            return refuse(field, "not within 0 to 1, or 0: such a step is never taken");
        }
    }
    let Some(condition) = &step.condition else { return Ok(()) };
    let field = format!("{path}.if");
    if engine != EngineKind::Http {
        return refuse(field, "belongs to `engine: http`");
    }
    if matches!(step.op, Some(Op::If(_))) {
        return refuse(field, "stands beside the verb `if`: put its condition there");
    }
    check_condition(&field, condition)
}

/// A step with a verb; what is in its blocks is checked as all other steps are.
fn check_op(path: &str, step: &Step, op: &Op, reading: Reading) -> Result<(), SpecError> {
    let verb = op.verb();
    if let Some(field) = step.version_1_fields().next() {
        let problem = match op {
            Op::Http(_, _) if field == "path" => format!("stands beside `{verb}`: the path is what `{verb}` says"),
            Op::Http(_, _) => format!("belongs into `{verb}`: write {verb}: {{url: …, {field}: …}}"),
            Op::Ws(_)
            | Op::SocketIo(_)
            | Op::Nats(_)
            | Op::Think(_)
            | Op::Set(_)
            | Op::Loop(_)
            | Op::If(_)
            | Op::Parallel(_)
            | Op::Call(_)
            | Op::Log(_) => {
                format!("means nothing beside `{verb}`")
            }
        };
        return refuse(format!("{path}.{field}"), problem);
    }
    let path = format!("{path}.{verb}");
    match op {
        Op::Http(verb, request) => request.check(&path, *verb, reading),
        Op::Ws(step) => step.check(&path, reading),
        Op::SocketIo(step) => step.check(&path, reading),
        Op::Nats(step) => step.check(&path, reading),
        Op::Think(think) => think.check(&path),
        Op::Set(values) => {
            if values.is_empty() {
                return refuse(path, "empty: name what is to be set");
            }
            at_most(&path, values.len(), ENTRIES_MAX)?;
            values.keys().try_for_each(|name| {
                let shown: String = name.chars().take(64).collect();
                check_variable_name(&format!("{path}.{shown}"), name)
            })
        }
        Op::Loop(one) => one.check(&path, reading),
        Op::If(branches) => branches.check(&path),
        Op::Parallel(parallel) => parallel.check(&path),
        Op::Call(function) => check_function_name(&path, function),
        Op::Log(text) => match text.is_empty() || text.len() > VALUE_MAX_BYTES {
            true => refuse(path, format!("empty, or longer than {VALUE_MAX_BYTES} bytes")),
            false => Ok(()),
        },
    }
}

/// A request as version 1 has it.
fn check_request(path: &str, step: &Step, reading: Reading) -> Result<(), SpecError> {
    if let Some(target) = &step.path {
        // What a template or a variable stands for is looked at when it is known.
        let is_open = !reading.knows(target) || has_template(target);
        let plain = is_open || target.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        let rooted = target.starts_with('/') || (is_open && (target.starts_with('$') || target.starts_with("{{")));
        if !rooted || !plain || target.len() > URL_MAX_BYTES {
            let problem = format!(
                "must start with /, be percent-encoded, hold no spaces or `#`, and have at most {URL_MAX_BYTES} bytes"
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
