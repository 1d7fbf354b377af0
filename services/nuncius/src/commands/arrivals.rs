//! `nuncius export --arrivals`: when the arrivals of a run were planned, as a file that another run reads.
//!
//! They are worked out again from what the report has: the seed, the specification, and how it was amended. So all of
//! them are there, whichever requests have left a record.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use nuncius_bundle::Limits;
use nuncius_bus::Bus;
use nuncius_control::recorded;
use nuncius_load::recorded::{COLUMN, seconds};
use nuncius_load::{Schedule, schedule_of};
use nuncius_schemas::report::Report;
use nuncius_schemas::spec::recorded::RECORDED_MAX;
use nuncius_schemas::spec::{ExperimentSpec, Group};

use super::{experiment_id, report};
use crate::args::{ExportArgs, Global};
use crate::connect;
use crate::exit::Usage;
use crate::output::{StandardOutput, is_standard_output, note, say};

/// Writes the file.
pub(super) async fn export(global: &Global, args: &ExportArgs, file: &Path) -> Result<u8> {
    let bus = connect::possible(global, "nuncius-export").await?;
    let id = experiment_id::meant(global, bus.as_ref(), &args.id).await?;
    let mut report = report::fetch(global, bus.as_ref(), &id).await?;
    let spec = report.spec.take().ok_or_else(|| anyhow!("the report of {id} has no specification"))?;
    let (index, group) = chosen(&spec, args.group.as_deref())?;
    let name = group.name.clone();
    let schedule = schedule(bus.as_ref(), spec, index, &report).await?;
    if let Some(bus) = bus {
        let _ = connect::leave(&bus).await;
    }
    if schedule.clone().nth(RECORDED_MAX).is_some() {
        bail!("group {name} has more than {RECORDED_MAX} arrivals, which is as many as a file may have");
    }
    let count = if is_standard_output(file) {
        write(schedule, StandardOutput).context("standard output")?
    } else {
        let opened = std::fs::File::create(file).with_context(|| file.display().to_string())?;
        write(schedule, opened).with_context(|| file.display().to_string())?
    };
    let told = format!("{count} arrivals of group {name} of {id}");
    if is_standard_output(file) {
        note(&told);
        return Ok(0);
    }
    let value = serde_json::json!({ "id": id, "group": name, "arrivals": count, "file": file });
    say(global.json, &value, &format!("{told} written to {}", file.display()))?;
    Ok(0)
}

/// The group that is meant, and its number: the one of this name, or the only one that has a schedule.
fn chosen<'a>(spec: &'a ExperimentSpec, name: Option<&str>) -> Result<(u16, &'a Group)> {
    let numbered = || (0u16..).zip(&spec.groups);
    let names = |groups: &[(u16, &Group)]| -> String {
        groups.iter().map(|(_, group)| group.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let open: Vec<(u16, &Group)> = numbered().filter(|(_, group)| group.is_open()).collect();
    if let Some(name) = name {
        let found = numbered().find(|(_, group)| group.name == name);
        let all: Vec<(u16, &Group)> = numbered().collect();
        let found = found.ok_or_else(|| Usage(format!("--group: no group `{name}`: there are {}", names(&all))))?;
        if !found.1.is_open() {
            let text = "begin when they are done (closed model): nothing is planned";
            return Err(Usage(format!("--group: the users of {name} {text}")).into());
        }
        return Ok(found);
    }
    match open.as_slice() {
        [one] => Ok(*one),
        [] => {
            let text = "it has no group with a schedule: users (closed model) begin when they are done";
            Err(Usage(text.to_owned()).into())
        }
        several => Err(Usage(format!("say which group, with --group: there are {}", names(several))).into()),
    }
}

async fn schedule(bus: Option<&Bus>, mut spec: ExperimentSpec, index: u16, report: &Report) -> Result<Schedule> {
    if spec.wants_instants()
        && let Some(bus) = bus
    {
        recorded::fetch(bus, &mut spec, Limits::default()).await?;
    }
    let group = spec.groups.get(usize::from(index)).ok_or_else(|| anyhow!("no such group"))?;
    if group.rate_per_node && group.nodes.is_some() {
        bail!("the rate of {} is for each of its nodes, and how many of them it had is not in the report", group.name);
    }
    let nodes = u32::try_from(report.nodes.len()).unwrap_or(u32::MAX);
    Ok(schedule_of(&spec, index, group, nodes)?)
}

/// One instant a line; how many there are.
fn write(schedule: Schedule, output: impl Write) -> std::io::Result<u64> {
    let mut output = BufWriter::new(output);
    writeln!(output, "{COLUMN}")?;
    let mut count = 0;
    for arrival in schedule {
        writeln!(output, "{}", seconds(arrival.planned_ns))?;
        count += 1;
    }
    output.flush()?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(groups: &str) -> ExperimentSpec {
        nuncius_schemas::codec::from_text(&format!("groups: [{groups}]")).unwrap()
    }

    const OPEN: &str = "{name: a, target: 'http://h/', rate: 4/s, duration: 1s}";
    const CLOSED: &str = "{name: b, target: 'http://h/', users: 1, duration: 1s}";

    #[test]
    fn the_only_group_with_a_schedule_is_meant_or_the_one_that_is_named() {
        assert_eq!(chosen(&spec(&format!("{CLOSED}, {OPEN}")), None).unwrap().0, 1);
        assert_eq!(chosen(&spec(OPEN), Some("a")).unwrap().0, 0);
        let two = spec(&format!("{OPEN}, {}, {CLOSED}", OPEN.replace("name: a", "name: c")));
        for (spec, name, words) in [
            (&two, None, "say which group, with --group: there are a, c"),
            (&two, Some("x"), "no group `x`: there are a, c, b"),
            (&two, Some("b"), "closed model"),
            (&spec(CLOSED), None, "no group with a schedule"),
        ] {
            let refused = chosen(spec, name).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn what_is_written_is_a_line_an_arrival() {
        let spec = spec(OPEN);
        let mut text = Vec::new();
        let count = write(schedule_of(&spec, 0, &spec.groups[0], 1).unwrap(), &mut text).unwrap();
        let lines = "seconds\n0.000000000\n0.250000000\n0.500000000\n0.750000000\n";
        assert_eq!((count, String::from_utf8(text).unwrap().as_str()), (4, lines));
    }
}
