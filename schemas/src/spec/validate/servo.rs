//! What a group of servos must keep to.

use crate::names::check_token;
use crate::servo::{BUS_TARGET, INTERVAL_MIN_NS, LONGEST_NS, NAME_MAX_BYTES, ServoOptions};
use crate::spec::check::{Reading, SpecError, refuse};
use crate::spec::{EngineKind, Group};
use crate::variable::is_variable;

/// Refuses what a group of servos cannot be, and `servo` in any other group.
pub(super) fn check_group(path: &str, group: &Group, reading: Reading) -> Result<(), SpecError> {
    if group.engine != EngineKind::Servo {
        return match group.servo {
            Some(_) => refuse(format!("{path}.servo"), "belongs to `engine: servo`"),
            None => Ok(()),
        };
    }
    let wrong = [
        ("steps", !group.steps.is_empty(), "leave it out: the steps of servos are the events of their protocol"),
        ("rate", group.rate.is_some() || !group.stages.is_empty(), "servos are `users` for a `duration`"),
        ("pattern", group.pattern.is_some(), "servos are `users` for a `duration`"),
        ("iterations", group.iterations.is_some(), "servos go on to the end: give a `duration`"),
        ("think_time", group.think_time.0 > 0, "the pauses of servos follow from `servo.measure` and `servo.adjust`"),
        ("backoff", !group.backoff.is_default(), "servos try again after `servo.retry`"),
        ("users", group.users.is_none(), "missing: say how many servos there are"),
        ("duration", group.duration.is_none(), "missing: say how long the servos run"),
        ("tls", group.tls.is_some(), "servos speak plain HTTP or NATS"),
    ];
    if let Some((name, _, problem)) = wrong.into_iter().find(|(_, is_wrong, _)| *is_wrong) {
        return refuse(format!("{path}.{name}"), problem);
    }
    let is_bus = group.target.starts_with("nats://");
    if is_bus && group.target.trim_end_matches('/') != BUS_TARGET {
        return refuse(format!("{path}.target"), format!("over the bus the target of servos is {BUS_TARGET}"));
    }
    if is_bus && !group.headers.is_empty() {
        return refuse(format!("{path}.headers"), "belong to servos over HTTP");
    }
    if group.target.contains('?') {
        return refuse(format!("{path}.target"), "the root of the service has no query");
    }
    let options = group.servo.clone().unwrap_or_default();
    check_options(&format!("{path}.servo"), &options, group.users.unwrap_or(1), is_bus, reading)
}

fn check_options(
    path: &str,
    options: &ServoOptions,
    users: u32,
    is_bus: bool,
    reading: Reading,
) -> Result<(), SpecError> {
    if reading.knows(&options.account) {
        check_name(format!("{path}.account"), &options.account, is_bus)?;
    }
    let field = || format!("{path}.app_template");
    let numbers = if reading.knows(&options.app_template) { vec![0, users.saturating_sub(1)] } else { Vec::new() };
    for number in numbers {
        match options.app_name(number) {
            Some(app) => check_name(field(), &app, is_bus)?,
            None => return refuse(field(), "needs one `{n}` or `{n:05}` for the number of the servo"),
        }
    }
    for (name, interval) in [("progress_interval", options.progress_interval), ("retry_delay", options.retry_delay)] {
        if interval.0 < INTERVAL_MIN_NS {
            return refuse(format!("{path}.{name}"), "shorter than 10ms");
        }
    }
    if options.start_spread.0 > LONGEST_NS {
        return refuse(format!("{path}.start_spread"), "longer than 24h");
    }
    for (name, share) in options.faults.named() {
        if !(0.0..=1.0).contains(&share) {
            return refuse(format!("{path}.faults.{name}"), "not within 0 to 1");
        }
    }
    match &options.token {
        // A specification is stored and shown: what is secret stays on the nodes.
        Some(token) if reading == Reading::Written && !is_variable(token) => {
            refuse(format!("{path}.token"), "write `${NAME}`: the token is taken from the environment of the node")
        }
        _ => Ok(()),
    }
}

fn check_name(field: String, name: &str, is_token: bool) -> Result<(), SpecError> {
    if is_token {
        return check_token("name", name)
            .map_err(|error| SpecError { field, problem: format!("{error} over the bus") });
    }
    let fine = (1..=NAME_MAX_BYTES).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if fine { Ok(()) } else { refuse(field, format!("use 1 to {NAME_MAX_BYTES} of A-Z a-z 0-9 . _ -")) }
}

#[cfg(test)]
mod tests;
