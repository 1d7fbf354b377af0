//! What the pattern of a rate must keep to.

use crate::spec::check::{SpecError, refuse};
use crate::spec::limits::{DURATION_MAX_NS, RATE_MAX, STAGES_MAX};
use crate::spec::pattern::{Bursts, PERIOD_MIN_NS, RandomWalk, STATES_MAX, SinePattern};
use crate::spec::{Arrivals, Group, Pattern};
use crate::units::Rate;

/// Shortest time that a state or a rate of a walk lasts, in nanoseconds.
const SHORTEST_NS: u64 = 1_000_000;

/// Refuses a pattern that offers nothing or changes too often, and what belongs to another kind of load.
pub(super) fn check(path: &str, group: &Group, pattern: &Pattern) -> Result<(), SpecError> {
    let others = [
        ("rate", group.rate.is_some(), "the pattern says how much there is: leave it out"),
        ("stages", !group.stages.is_empty(), "the pattern says how much there is: leave them out"),
        ("clients", group.clients.is_some(), "clients decide when they send: leave them or the pattern out"),
        ("arrivals", group.arrivals.recorded().is_some(), "a file says when: leave it or the pattern out"),
        ("duration", group.duration.is_none(), "missing: say how long the pattern goes on"),
    ];
    if let Some((field, _, problem)) = others.into_iter().find(|(_, is_wrong, _)| *is_wrong) {
        return refuse(format!("{path}.{field}"), problem);
    }
    let duration_ns = group.duration.map_or(0, |duration| duration.0);
    if duration_ns == 0 {
        return refuse(format!("{path}.duration"), "0s offers nothing");
    }
    let path = format!("{path}.pattern.{}", pattern.name());
    match pattern {
        Pattern::Sine(sine) => check_sine(&path, sine),
        Pattern::RandomWalk(walk) => check_walk(&path, walk, duration_ns),
        Pattern::Bursts(bursts) => check_bursts(&path, bursts, duration_ns),
    }
}

fn check_bounds(path: &str, min: Rate, max: Rate) -> Result<(), SpecError> {
    if max.0 == 0 {
        return refuse(format!("{path}.max"), "0 offers nothing");
    }
    if max > RATE_MAX {
        return refuse(format!("{path}.max"), format!("more than {RATE_MAX}"));
    }
    if min > max { refuse(format!("{path}.min"), "more than `max`") } else { Ok(()) }
}

fn check_sine(path: &str, sine: &SinePattern) -> Result<(), SpecError> {
    check_bounds(path, sine.min, sine.max)?;
    if !(PERIOD_MIN_NS..=DURATION_MAX_NS).contains(&sine.period.0) {
        return refuse(format!("{path}.period"), "not within 10ms to 30d");
    }
    if sine.phase >= sine.period {
        return refuse(format!("{path}.phase"), "not shorter than the period, which begins again there");
    }
    Ok(())
}

fn check_walk(path: &str, walk: &RandomWalk, duration_ns: u64) -> Result<(), SpecError> {
    check_bounds(path, walk.min, walk.max)?;
    if walk.start.is_some_and(|start| start < walk.min || start > walk.max) {
        return refuse(format!("{path}.start"), "not within `min` to `max`");
    }
    let most = RATE_MAX.as_per_second();
    if !walk.mu.is_finite() || walk.mu.abs() > most {
        return refuse(format!("{path}.mu"), format!("not within -{most} to {most} arrivals per second"));
    }
    if !walk.sigma.is_finite() || !(0.0..=most).contains(&walk.sigma) {
        return refuse(format!("{path}.sigma"), format!("not within 0 to {most} arrivals per second"));
    }
    if walk.sigma == 0.0 && walk.mu == 0.0 {
        return refuse(format!("{path}.sigma"), "0, as is `mu`: the rate would never change; write `rate`");
    }
    let interval_ns = walk.interval.0;
    if interval_ns < SHORTEST_NS {
        return refuse(format!("{path}.interval"), "shorter than 1ms");
    }
    let steps = duration_ns.div_ceil(interval_ns);
    if steps > STAGES_MAX as u64 {
        let problem = format!("{steps} of them in the duration, at most {STAGES_MAX} are taken: make it longer");
        return refuse(format!("{path}.interval"), problem);
    }
    Ok(())
}

fn check_bursts(path: &str, bursts: &Bursts, duration_ns: u64) -> Result<(), SpecError> {
    let path = format!("{path}.states");
    let states = &bursts.states;
    if states.len() < 2 {
        return refuse(path, "give two states or more; one is a `rate`");
    }
    if states.len() > STATES_MAX {
        return refuse(path, format!("{} entries, at most {STATES_MAX} are taken", states.len()));
    }
    for (index, state) in states.iter().enumerate() {
        if state.rate > RATE_MAX {
            return refuse(format!("{path}[{index}].rate"), format!("more than {RATE_MAX}"));
        }
        if !(SHORTEST_NS..=DURATION_MAX_NS).contains(&state.dwell.0) {
            return refuse(format!("{path}[{index}].dwell"), "not within 1ms to 30d");
        }
    }
    if states.iter().all(|state| state.rate.0 == 0) {
        return refuse(path, "offer nothing: no state has a rate above 0");
    }
    // Each state is entered as often as any other. Twice as many changes as are expected are never seen.
    let round_ns: u128 = states.iter().map(|state| u128::from(state.dwell.0)).sum();
    let expected = u128::from(duration_ns) * states.len() as u128 / round_ns.max(1);
    if expected > STAGES_MAX as u128 / 2 {
        let most = STAGES_MAX / 2;
        let problem = format!("{expected} changes are expected in the duration, at most {most} may be: longer `dwell`");
        return refuse(path, problem);
    }
    Ok(())
}

/// Refuses arrivals of a file that nobody could offer, and what belongs to another kind of load.
pub(super) fn check_recorded(path: &str, group: &Group) -> Result<(), SpecError> {
    let Arrivals::Recorded(recorded) = &group.arrivals else { return Ok(()) };
    let others = [
        ("users", group.users.is_some(), "closed model: users begin when they are done, not at recorded instants"),
        ("rate", group.rate.is_some(), "the file says when arrivals are: leave it out, or give a `speed`"),
        ("stages", !group.stages.is_empty(), "the file says when arrivals are: leave them out"),
        ("pattern", group.pattern.is_some(), "the file says when arrivals are: leave it out"),
        ("clients", group.clients.is_some(), "clients decide when they send: leave them or the file out"),
        ("rate_per_node", group.rate_per_node, "the file is for all nodes together: leave it out"),
        ("duration", group.duration.is_none(), "missing: say how long the file is played at most"),
    ];
    if let Some((field, _, problem)) = others.into_iter().find(|(_, is_wrong, _)| *is_wrong) {
        return refuse(format!("{path}.{field}"), problem);
    }
    if group.duration.is_some_and(|duration| duration.0 == 0) {
        return refuse(format!("{path}.duration"), "0s offers nothing");
    }
    crate::flow::rule::check_file_name(&format!("{path}.arrivals.file"), &recorded.file)?;
    if recorded.speed.0 == 0 {
        return refuse(format!("{path}.arrivals.speed"), "0 would never come to the first arrival");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::spec::ExperimentSpec;

    fn problem(group: &str) -> String {
        let text = format!("groups: [{{target: 'http://h/', {group}}}]");
        let spec: ExperimentSpec = crate::codec::from_text(&text).unwrap();
        spec.validate().map_or_else(|error| error.to_string(), |()| "nothing".to_owned())
    }

    #[test]
    fn patterns_that_can_be_are_taken() {
        for group in [
            "pattern: {sine: {max: 100/s, period: 60s}}, duration: 10m, arrivals: poisson",
            "pattern: {sine: {min: 5/s, max: 100/s, period: 60s, phase: 45s}}, duration: 30d, rate_per_node: true",
            "pattern: {random_walk: {max: 100/s, sigma: 5}}, duration: 1h",
            "pattern: {random_walk: {min: 1/s, max: 9/s, start: 2/s, mu: -0.5, sigma: 0, bounds: clamp}}, duration: 1h",
            "pattern: {bursts: {states: [{rate: 0/s, dwell: 10s}, {rate: 99/s, dwell: 1s}]}}, duration: 1h",
            "arrivals: {file: a.csv, column: x, values: gaps, speed: 0.5}, duration: 1h, iterations: 5",
        ] {
            assert_eq!(problem(group), "nothing", "{group}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_field_and_its_limit() {
        for (group, words) in [
            ("pattern: {sine: {max: 9/s, period: 60s}}", "groups[0].duration: missing"),
            ("pattern: {sine: {max: 9/s, period: 60s}}, duration: 0s", "groups[0].duration: 0s offers nothing"),
            ("pattern: {sine: {max: 9/s, period: 60s}}, duration: 1m, rate: 5/s", "groups[0].rate: the pattern"),
            ("pattern: {sine: {max: 9/s, period: 60s}}, duration: 1m, users: 5", "groups[0].users: closed model"),
            ("pattern: {sine: {max: 0/s, period: 60s}}, duration: 1m", "pattern.sine.max: 0 offers nothing"),
            ("pattern: {sine: {max: 99999999/s, period: 60s}}, duration: 1m", "more than 10000000/s"),
            ("pattern: {sine: {min: 5/s, max: 1/s, period: 60s}}, duration: 1m", "sine.min: more than `max`"),
            ("pattern: {sine: {max: 1/s, period: 1ms}}, duration: 1m", "sine.period: not within 10ms to 30d"),
            ("pattern: {sine: {max: 1/s, period: 1s, phase: 1s}}, duration: 1m", "sine.phase: not shorter"),
            ("pattern: {random_walk: {max: 9/s, sigma: 0}}, duration: 1m", "never change"),
            ("pattern: {random_walk: {max: 9/s, sigma: -1}}, duration: 1m", "random_walk.sigma: not within 0"),
            ("pattern: {random_walk: {max: 9/s, sigma: 1, start: 10/s}}, duration: 1m", "random_walk.start"),
            ("pattern: {random_walk: {max: 9/s, sigma: 1, mu: 1e99}}, duration: 1m", "random_walk.mu"),
            (
                "pattern: {random_walk: {max: 9/s, sigma: 1}}, duration: 3h",
                "10800 of them in the duration, at most 10000",
            ),
            ("pattern: {bursts: {states: [{rate: 9/s, dwell: 1s}]}}, duration: 1m", "two states or more"),
            (
                "pattern: {bursts: {states: [{rate: 0/s, dwell: 1s}, {rate: 0/s, dwell: 1s}]}}, duration: 1m",
                "offer nothing",
            ),
            (
                "pattern: {bursts: {states: [{rate: 9/s, dwell: 1s}, {rate: 1/s, dwell: 100us}]}}, duration: 1m",
                "states[1].dwell: not within 1ms",
            ),
            (
                "pattern: {bursts: {states: [{rate: 9/s, dwell: 1s}, {rate: 1/s, dwell: 1s}]}}, duration: 2h",
                "7200 changes are expected in the duration, at most 5000",
            ),
            ("arrivals: {file: a.csv}", "groups[0].duration: missing"),
            ("arrivals: {file: a.csv}, duration: 1m, rate: 5/s", "groups[0].rate: the file says"),
            ("arrivals: {file: a.csv}, duration: 1m, users: 5", "groups[0].users: closed model"),
            ("arrivals: {file: a.csv}, duration: 1m, rate_per_node: true", "groups[0].rate_per_node"),
            (
                "arrivals: {file: a.csv}, duration: 1m, clients: {count: 1, interarrival: 1}",
                "groups[0].clients: clients decide",
            ),
            ("arrivals: {file: ../a.csv}, duration: 1m", "groups[0].arrivals.file"),
            ("arrivals: {file: a.csv, speed: 0}, duration: 1m", "groups[0].arrivals.speed: 0 would never"),
            ("arrivals: {file: a.csv}, duration: 31d", "longer than 30d"),
        ] {
            let problem = problem(group);
            assert!(problem.contains(words), "{group}: {problem}");
        }
    }
}
