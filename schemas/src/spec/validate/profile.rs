//! What profiles must keep to.

use std::collections::BTreeSet;

use crate::flow::ByteSize;
use crate::names::check_token;
use crate::profile::{
    COMMAND_WORD_MAX_BYTES, COMMAND_WORDS_MAX, GRACE_MAX, OUTPUT_MAX, OUTPUT_NAME_MAX_BYTES, PID_PLACE, PROFILES_MAX,
    ProfileSpec, SECONDS_PLACE,
};
use crate::spec::check::{SpecError, at_most, refuse};
use crate::spec::limits::DURATION_MAX_NS;
use crate::spec::{ExperimentSpec, Group, NodeSelection};
use crate::units::{HumanDuration, SECOND_NS};

/// Refuses profiles that cannot be meant; `check_nodes` looks at a selection.
pub(super) fn check(
    profiles: &[ProfileSpec],
    groups: &[Group],
    check_nodes: impl Fn(&str, &NodeSelection) -> Result<(), SpecError>,
) -> Result<(), SpecError> {
    at_most("profile", profiles.len(), PROFILES_MAX)?;
    let mut names = BTreeSet::new();
    for (index, profile) in profiles.iter().enumerate() {
        let path = format!("profile[{index}]");
        let field = format!("{path}.name");
        if let Err(error) = check_token("profile", &profile.name) {
            return refuse(field, error.to_string());
        }
        if !names.insert(profile.name.as_str()) {
            return refuse(field, format!("`{}` is taken by another profile", profile.name));
        }
        check_nodes(&format!("{path}.nodes"), &profile.nodes)?;
        check_command(&path, profile)?;
        check_output(&path, profile)?;
        check_time(&path, profile, groups)?;
    }
    Ok(())
}

fn check_command(path: &str, profile: &ProfileSpec) -> Result<(), SpecError> {
    let field = format!("{path}.command");
    at_most(&field, profile.command.len(), COMMAND_WORDS_MAX)?;
    let Some(program) = profile.command.first() else {
        return refuse(field, "empty: name a program, then its arguments");
    };
    if program.is_empty() {
        return refuse(format!("{field}[0]"), "no program");
    }
    if program.contains('/') && !program.starts_with('/') {
        return refuse(format!("{field}[0]"), "neither the name of a program nor a path from the root");
    }
    for (index, word) in profile.command.iter().enumerate() {
        if word.len() > COMMAND_WORD_MAX_BYTES || word.contains('\0') {
            let problem = format!("longer than {COMMAND_WORD_MAX_BYTES} bytes, or holds a zero byte");
            return refuse(format!("{field}[{index}]"), problem);
        }
    }
    match &profile.pid_of {
        None if profile.mentions(PID_PLACE) => {
            refuse(format!("{path}.pid_of"), "missing: `{pid}` in the command is the id of the process named here")
        }
        Some(_) if !profile.mentions(PID_PLACE) => {
            refuse(format!("{path}.pid_of"), "the command does not use it: write `{pid}` where the id belongs")
        }
        Some(name) if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) => {
            refuse(format!("{path}.pid_of"), "no name of a process: 1 to 256 bytes without control characters")
        }
        Some(_) | None => Ok(()),
    }
}

fn check_output(path: &str, profile: &ProfileSpec) -> Result<(), SpecError> {
    if let Some(name) = &profile.output {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty()
            || name.len() > OUTPUT_NAME_MAX_BYTES
            || name.starts_with(['.', '-'])
            || !name.chars().all(is_plain)
        {
            return refuse(
                format!("{path}.output"),
                format!("not a file name: use 1 to {OUTPUT_NAME_MAX_BYTES} of A-Z a-z 0-9 . _ -, no . or - first"),
            );
        }
    }
    let ByteSize(bytes) = profile.at_most;
    if bytes == 0 || bytes > OUTPUT_MAX.0 {
        return refuse(format!("{path}.at_most"), format!("not within 1B to {OUTPUT_MAX}"));
    }
    Ok(())
}

fn check_time(path: &str, profile: &ProfileSpec, groups: &[Group]) -> Result<(), SpecError> {
    if profile.grace.0 == 0 || profile.grace > GRACE_MAX {
        return refuse(format!("{path}.grace"), format!("not within 1ns to {GRACE_MAX}"));
    }
    for (name, duration) in [("from", profile.from), ("for", profile.duration)] {
        if duration.is_some_and(|duration| duration.0 > DURATION_MAX_NS) {
            return refuse(format!("{path}.{name}"), "longer than 30 days");
        }
    }
    if profile.duration.is_some_and(|duration| duration.0 == 0) {
        return refuse(format!("{path}.for"), "0 would be no time");
    }
    let end_ns = ExperimentSpec::load_end_ns(groups);
    let Some((from_ns, length_ns)) = profile.window_ns(groups) else {
        let problem = "missing: it is not known beforehand when the load ends";
        return refuse(format!("{path}.for"), problem);
    };
    if let Some(end) = end_ns.filter(|end| from_ns >= *end) {
        let problem = format!("{} is not before the end of the load, {}", HumanDuration(from_ns), HumanDuration(end));
        return refuse(format!("{path}.from"), problem);
    }
    if let Some(end) = end_ns.filter(|end| from_ns.saturating_add(length_ns) > *end) {
        let (last, end) = (HumanDuration(from_ns.saturating_add(length_ns)), HumanDuration(end));
        return refuse(format!("{path}.for"), format!("it would end at {last}, after the load, which ends at {end}"));
    }
    if profile.mentions(SECONDS_PLACE) && length_ns < SECOND_NS {
        let problem = format!("{} is no whole second, and the command is told `{{seconds}}`", HumanDuration(length_ns));
        return refuse(format!("{path}.for"), problem);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::spec::ExperimentSpec;

    /// What is said of this profile beside ten seconds of load.
    fn problem(profile: &str) -> Option<String> {
        let text = format!("groups: [{{target: http://a/, rate: 1, duration: 10s}}]\nprofile: [{profile}]");
        let spec: ExperimentSpec = crate::codec::from_text(&text).unwrap();
        spec.validate().err().map(|error| error.to_string())
    }

    #[test]
    fn a_profile_that_can_be_meant_is_taken() {
        for profile in [
            "{name: cpu, command: [py-spy, record, -d, '{seconds}', -p, '{pid}', -o, '{output}'], pid_of: gunicorn}",
            "{name: cpu, command: [/usr/bin/perf, record, -e, '{cycles,faults}', -o, '{output}'], format: raw}",
            "{name: cpu, command: [x], nodes: {labels: {beside: shop}}, from: 1s, for: 9s, at_most: 64MiB}",
        ] {
            assert_eq!(problem(profile), None, "{profile}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_field() {
        let long = format!("{{name: a, command: [x, {}]}}", "y".repeat(5_000));
        let many = format!("{{name: a, command: [{}]}}", vec!["x"; 65].join(", "));
        for (profile, told) in [
            ("{name: a.b, command: [x]}", "profile[0].name: profile `a.b` is not a valid name"),
            ("{name: a, command: [x]}, {name: a, command: [x]}", "profile[1].name: `a` is taken by another profile"),
            ("{name: a, command: []}", "profile[0].command: empty"),
            ("{name: a, command: ['']}", "profile[0].command[0]: no program"),
            ("{name: a, command: [bin/x]}", "profile[0].command[0]: neither the name of a program nor a path"),
            (long.as_str(), "profile[0].command[1]: longer than 4096 bytes"),
            (many.as_str(), "profile[0].command: 65 entries, at most 64 are taken"),
            ("{name: a, command: [x, '{pid}']}", "profile[0].pid_of: missing"),
            ("{name: a, command: [x], pid_of: y}", "profile[0].pid_of: the command does not use it"),
            ("{name: a, command: [x, '{pid}'], pid_of: ''}", "profile[0].pid_of: no name of a process"),
            ("{name: a, command: [x], output: ../y}", "profile[0].output: not a file name"),
            ("{name: a, command: [x], output: .y}", "profile[0].output: not a file name"),
            ("{name: a, command: [x], at_most: 65MiB}", "profile[0].at_most: not within 1B to 64MiB"),
            ("{name: a, command: [x], at_most: 0}", "profile[0].at_most: not within"),
            ("{name: a, command: [x], grace: 0s}", "profile[0].grace: not within"),
            ("{name: a, command: [x], grace: 11m}", "profile[0].grace: not within 1ns to 10m"),
            ("{name: a, command: [x], for: 0s}", "profile[0].for: 0 would be no time"),
            ("{name: a, command: [x], from: 10s}", "profile[0].from: 10s is not before the end of the load, 10s"),
            (
                "{name: a, command: [x], from: 5s, for: 6s}",
                "profile[0].for: it would end at 11s, after the load, which ends at 10s",
            ),
            ("{name: a, command: [x, '{seconds}'], for: 900ms}", "profile[0].for: 900ms is no whole second"),
            ("{name: a, command: [x], nodes: {count: 0}}", "profile[0].nodes.count: 0 nodes can do nothing"),
            ("{name: '${A}', command: [x]}", "profile[0].name: variables are not filled in here"),
        ] {
            let found = problem(profile).unwrap_or_default();
            assert!(found.starts_with(told), "{profile}: {found}");
        }
    }

    #[test]
    fn where_the_end_of_the_load_is_not_known_a_profile_says_how_long() {
        let problem = |more: &str| {
            let text = format!(
                "groups: [{{target: http://a/, users: 1, iterations: 5}}]\nprofile: [{{name: a, command: [x]{more}}}]"
            );
            let spec: ExperimentSpec = crate::codec::from_text(&text).unwrap();
            spec.validate().err().map(|error| error.to_string())
        };
        assert!(problem("").unwrap().starts_with("profile[0].for: missing"));
        assert_eq!(problem(", for: 3s"), None);
    }

    #[test]
    fn more_profiles_than_there_may_be_are_refused() {
        let many: Vec<String> = (0..17).map(|index| format!("{{name: p{index}, command: [x]}}")).collect();
        assert_eq!(problem(&many.join(", ")).unwrap(), "profile: 17 entries, at most 16 are taken");
    }
}
