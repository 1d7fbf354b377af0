//! Whether two runs differ, step by step.

use nuncius_bus::Bus;
use nuncius_report::comparison::{ComparedRuns, ComparedSide};
use nuncius_schemas::codec::CodecError;
use nuncius_schemas::comparison::{ComparableRun, ComparedFigure};
use nuncius_schemas::report::Report;
use nuncius_schemas::spec::{ExperimentSpec, Group, Pattern};
use nuncius_stats::{ComparisonOptions, PartSeries, compare_runs};
use serde_json::Value;

use crate::{ControlError, archive, reports};

/// Differences between specifications that are told.
const DIFFERENCES_MAX: usize = 20;
/// Characters of a value in one.
const VALUE_CHARACTERS: usize = 60;
/// Fields that differ between any two runs, or change nothing of what is measured.
const NOT_COMPARED: [&str; 6] = ["id", "name", "creator", "metadata", "services", "gates"];

/// One of two runs.
#[derive(Debug)]
pub struct Side {
    /// Its seconds.
    pub run: ComparableRun,
    /// Its report.
    pub report: Report,
}

/// Whether both followed the same schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Schedule {
    /// As their specifications say.
    #[default]
    Auto,
    /// They did.
    Same,
    /// They did not.
    Apart,
}

/// What is compared, and how sure one wants to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparing {
    /// Figures; none for all of them.
    pub figures: Vec<ComparedFigure>,
    /// Confidence of all verdicts together, a share.
    pub confidence: f64,
    /// Relative differences up to this are none, a share.
    pub least_relative: f64,
    /// Whether both followed the same schedule.
    pub schedule: Schedule,
}

/// What of a run is compared, from the bus and the daemon that has it.
///
/// # Errors
/// Nobody has its report or its seconds.
pub async fn side(bus: &Bus, id: &str) -> Result<Side, ControlError> {
    let report = reports::report(bus, id).await?;
    let run = archive::comparable(bus, id).await?;
    Ok(Side { run: run.ok_or_else(|| ControlError::NoSeconds { id: id.to_owned() })?, report })
}

/// Compares two runs.
///
/// # Errors
/// A confidence that is none, and what cannot be added up.
pub fn compare(baseline: Side, candidate: Side, comparing: &Comparing) -> Result<ComparedRuns, ControlError> {
    let (first, second) = (series(baseline.run), series(candidate.run));
    let specs = baseline.report.spec.as_ref().zip(candidate.report.spec.as_ref());
    let same_schedule = match comparing.schedule {
        Schedule::Same => true,
        Schedule::Apart => false,
        Schedule::Auto => {
            let aligned = first.iter().all(|part| {
                second.iter().find(|other| other.name() == part.name()).is_none_or(|other| part.is_aligned_with(other))
            });
            aligned && specs.is_some_and(|(first, second)| follow_one_schedule(first, second))
        }
    };
    let figures: Vec<ComparedFigure> = match comparing.figures.as_slice() {
        [] => ComparedFigure::ALL.to_vec(),
        chosen => ComparedFigure::ALL.into_iter().filter(|figure| chosen.contains(figure)).collect(),
    };
    let options = ComparisonOptions {
        figures: &figures,
        confidence: comparing.confidence,
        least_relative: comparing.least_relative,
        same_schedule,
    };
    let comparison = compare_runs(&first, &second, options)?;
    let spec_differences = specs.map_or_else(|| Ok(Vec::new()), |(first, second)| differences(first, second))?;
    let (baseline, candidate) = (told(baseline.report), told(candidate.report));
    Ok(ComparedRuns { baseline, candidate, spec_differences, comparison })
}

fn told(report: Report) -> ComparedSide {
    ComparedSide { id: report.id, name: report.name, status: report.status, verdict: report.verdict }
}

fn series(run: ComparableRun) -> Vec<PartSeries> {
    run.parts.into_iter().map(PartSeries::from).collect()
}

/// Whether two experiments offer the same load at the same time, and not the same all the time.
fn follow_one_schedule(first: &ExperimentSpec, second: &ExperimentSpec) -> bool {
    let is_same = |(at, group): (usize, &Group)| {
        let place = second.groups.iter().position(|other| other.name == group.name);
        place.and_then(|place| second.groups.get(place)).is_some_and(|other| {
            // What is random is of the seed and the place of the group.
            let is_random = group.pattern.as_ref().is_some_and(Pattern::is_random);
            let is_recorded = group.arrivals.recorded().is_some();
            group.effective_stages() == other.effective_stages()
                && (group.users, group.warm_up) == (other.users, other.warm_up)
                && (&group.arrivals, &group.pattern) == (&other.arrivals, &other.pattern)
                && (!is_random || (first.seed, Some(at)) == (second.seed, place))
                && (!is_recorded || first.bundle == second.bundle)
        })
    };
    let changes = |group: &Group| {
        let stages = group.effective_stages();
        let rate = stages.first().map(|stage| stage.rate);
        let is_steady =
            stages.iter().all(|stage| Some(stage.rate) == rate && stage.to.is_none_or(|to| Some(to) == rate));
        !is_steady || group.pattern.is_some() || group.arrivals.recorded().is_some()
    };
    first.groups.len() == second.groups.len()
        && first.groups.iter().enumerate().all(is_same)
        && first.groups.iter().any(changes)
}

/// What differs between two specifications, as paths with both values.
fn differences(first: &ExperimentSpec, second: &ExperimentSpec) -> Result<Vec<String>, ControlError> {
    let value = |spec: &ExperimentSpec| {
        serde_json::to_value(spec).map_err(|error| ControlError::Document {
            what: "a specification",
            source: CodecError::Encode(error.to_string()),
        })
    };
    let mut found = Vec::new();
    differ("", &value(first)?, &value(second)?, &mut found);
    if found.len() > DIFFERENCES_MAX {
        let more = found.len() - DIFFERENCES_MAX;
        found.truncate(DIFFERENCES_MAX);
        found.push(format!("and {more} more"));
    }
    Ok(found)
}

fn differ(path: &str, first: &Value, second: &Value, found: &mut Vec<String>) {
    match (first, second) {
        (Value::Object(ones), Value::Object(others)) => {
            let absent = others.iter().filter(|(name, _)| !ones.contains_key(*name));
            for (name, _) in ones.iter().chain(absent).filter(|(name, _)| !is_left_out(path, name)) {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let side = |all: &serde_json::Map<String, Value>| all.get(name).cloned().unwrap_or(Value::Null);
                differ(&below, &side(ones), &side(others), found);
            }
        }
        (Value::Array(ones), Value::Array(others)) => {
            for at in 0..ones.len().max(others.len()) {
                let side = |all: &[Value]| all.get(at).cloned().unwrap_or(Value::Null);
                differ(&format!("{path}[{at}]"), &side(ones), &side(others), found);
            }
        }
        (one, other) if one != other => found.push(format!("{path}: {} → {}", shown(one), shown(other))),
        (_, _) => {}
    }
}

fn is_left_out(path: &str, name: &str) -> bool {
    path.is_empty() && NOT_COMPARED.contains(&name)
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "absent".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    if text.chars().count() <= VALUE_CHARACTERS {
        return text;
    }
    let beginning: String = text.chars().take(VALUE_CHARACTERS).collect();
    format!("{beginning}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> ExperimentSpec {
        nuncius_schemas::codec::from_text(text).unwrap()
    }

    #[test]
    fn what_differs_between_two_specifications_is_told_by_its_path() {
        let first = spec("name: a\ngroups: [{target: 'http://a/', rate: 5, duration: 1s}]");
        let second = spec("name: b\ngroups: [{target: 'http://a/', rate: 6, duration: 1s, timeout: 2s}]");
        let told = differences(&first, &second).unwrap();
        assert!(told.iter().any(|line| line == "groups[0].rate: 5/s → 6/s"), "{told:?}");
        assert!(told.iter().any(|line| line.starts_with("groups[0].timeout: ")), "{told:?}");
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(differences(&first, &first).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn one_schedule_is_the_same_load_at_the_same_time_that_changes() {
        let stages = |to: u32| {
            spec(&format!("groups: [{{target: 'http://a/', stages: [{{duration: 5s, rate: 5, to: {to}}}]}}]"))
        };
        let steady = spec("groups: [{target: 'http://a/', rate: 5, duration: 5s}]");
        assert!(follow_one_schedule(&stages(9), &stages(9)));
        assert!(!follow_one_schedule(&stages(9), &stages(8)));
        assert!(!follow_one_schedule(&steady, &steady), "nothing that both have in common over time");
        let walk = |seed: u32| {
            let pattern = "{random_walk: {max: 9/s, sigma: 1}}";
            spec(&format!("seed: {seed}\ngroups: [{{target: 'http://a/', duration: 5s, pattern: {pattern}}}]"))
        };
        assert!(follow_one_schedule(&walk(1), &walk(1)));
        assert!(!follow_one_schedule(&walk(1), &walk(2)), "another walk");
    }
}
