//! `nuncius profile`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use nuncius_bus::Bus;
use nuncius_report::flame::{self, Folded, PICTURE_MAX_BYTES};
use nuncius_schemas::profile::{ProfileFormat, ProfileReport};
use nuncius_schemas::report::Report;
use serde_json::json;

use super::experiment_id;
use super::profiles::{Places, output};
use super::report::fetch;
use crate::args::{Global, ProfileArgs};
use crate::connect;
use crate::exit::Usage;
use crate::output::{is_standard_output, note, print_json, print_table, say, write_bytes};

/// Longest name in a table, in characters.
const NAME_CHARACTERS: usize = 64;
/// Longest reason in a table, in characters.
const REASON_CHARACTERS: usize = 160;

/// `nuncius profile`: lists, fetches, draws.
pub(super) async fn profile(global: &Global, args: &ProfileArgs) -> Result<u8> {
    let bus = connect::possible(global, "nuncius-profile").await?;
    let data = connect::data_place(global);
    let places = Places { bus: bus.as_ref(), data: data.as_deref() };
    let report = report_of(global, bus.as_ref(), &args.id).await?;
    if args.out.is_none() && args.flamegraph.is_none() {
        list(global, args, &report)?;
        return Ok(0);
    }
    let chosen = chosen(&report, args.name.as_deref(), args.node.as_deref())?;
    let name = chosen.first().map(|profile| profile.name.clone()).unwrap_or_default();
    if let Some(path) = &args.out {
        let [one] = chosen.as_slice() else {
            let nodes: Vec<&str> = chosen.iter().map(|profile| profile.node.as_str()).collect();
            let text =
                format!("profile {name} was collected on several nodes, choose with --node: {}", nodes.join(", "));
            return Err(Usage(text).into());
        };
        let bytes = read(places, &report, one).await?;
        write_bytes(path, &bytes)?;
        if !is_standard_output(path) {
            let words = format!("profile {name} of node {}: {}", one.node, path.display());
            say(global.json, &json!({ "profile": one, "out": path }), &words)?;
        }
    }
    if let Some(path) = &args.flamegraph {
        let after = stacks(places, &report, &chosen).await?;
        let (picture, words) = match &args.diff {
            None => {
                let title = format!("{name} of {}", report.id);
                (flame::graph(&after, &title, PICTURE_MAX_BYTES)?, format!("{} samples", after.samples()))
            }
            Some(other) => {
                let other = report_of(global, bus.as_ref(), other).await?;
                let then = self::chosen(&other, Some(&name), args.node.as_deref())?;
                let before = stacks(places, &other, &then).await?;
                let title = format!("{name} of {}, and what has changed since {}", report.id, other.id);
                let words = format!("{} samples, compared with {} of {}", after.samples(), before.samples(), other.id);
                (flame::difference(&before, &after, &title, PICTURE_MAX_BYTES)?, words)
            }
        };
        write_bytes(path, picture.as_bytes())?;
        if !is_standard_output(path) {
            let value = json!({ "flamegraph": path, "samples": after.samples() });
            say(global.json, &value, &format!("flame graph of {words}: {}", path.display()))?;
        }
    }
    Ok(0)
}

async fn report_of(global: &Global, bus: Option<&Bus>, typed: &str) -> Result<Report> {
    let id = experiment_id::meant(global, bus, typed).await?;
    fetch(global, bus, &id).await
}

fn list(global: &Global, args: &ProfileArgs, report: &Report) -> Result<()> {
    let is_meant = |profile: &&ProfileReport| {
        args.name.as_ref().is_none_or(|name| *name == profile.name)
            && args.node.as_ref().is_none_or(|node| *node == profile.node)
    };
    let meant: Vec<&ProfileReport> = report.profiles.iter().filter(is_meant).collect();
    if global.json {
        return print_json(&meant);
    }
    let plain =
        |text: &str, most| if text.is_empty() { "-".to_owned() } else { nuncius_report::text::plain(text, most) };
    let row = |profile: &&ProfileReport| {
        let size =
            if profile.is_collected() { nuncius_report::text::bytes(profile.size_bytes) } else { "-".to_owned() };
        vec![
            plain(&profile.name, NAME_CHARACTERS),
            plain(&profile.node, NAME_CHARACTERS),
            profile.outcome.name().to_owned(),
            profile.format.name().to_owned(),
            size,
            plain(profile.reason.as_deref().unwrap_or_default(), REASON_CHARACTERS),
        ]
    };
    let rows: Vec<Vec<String>> = meant.iter().map(row).collect();
    let nothing = format!("experiment {} has no such profile", report.id);
    print_table(&["profile", "node", "outcome", "format", "size", "reason"], &rows, &[1, 2, 3, 5], &nothing);
    Ok(())
}

/// The collected profiles that are meant, all of one name.
fn chosen<'a>(report: &'a Report, name: Option<&str>, node: Option<&str>) -> Result<Vec<&'a ProfileReport>> {
    let id = &report.id;
    let meant: Vec<&ProfileReport> = report
        .profiles
        .iter()
        .filter(|profile| name.is_none_or(|name| name == profile.name))
        .filter(|profile| node.is_none_or(|node| node == profile.node))
        .collect();
    let collected: Vec<&ProfileReport> = meant.iter().copied().filter(|profile| profile.is_collected()).collect();
    let names: BTreeSet<&str> = collected.iter().map(|profile| profile.name.as_str()).collect();
    match (collected.is_empty(), meant.first()) {
        (true, None) => bail!("experiment {id} has no such profile; `nuncius profile {id}` lists all"),
        (true, Some(first)) => {
            let reason = first.reason.as_deref().unwrap_or("no reason was told");
            bail!("profile {} of experiment {id} was not collected: {}: {reason}", first.name, first.outcome)
        }
        (false, _) if names.len() > 1 => {
            let names: Vec<&str> = names.into_iter().collect();
            Err(Usage(format!("experiment {id} has several profiles, name one of them: {}", names.join(", "))).into())
        }
        (false, _) => Ok(collected),
    }
}

async fn read(places: Places<'_>, report: &Report, profile: &ProfileReport) -> Result<Vec<u8>> {
    output(places, &report.id, profile).await?.with_context(|| {
        let (id, name, node) = (&report.id, &profile.name, &profile.node);
        format!(
            "what profile {name} of node {node} wrote in experiment {id} is neither on the bus any more nor kept here"
        )
    })
}

/// The stacks of all of them together.
async fn stacks(places: Places<'_>, report: &Report, profiles: &[&ProfileReport]) -> Result<Folded> {
    let mut all = Folded::default();
    for profile in profiles {
        if profile.format != ProfileFormat::Folded {
            let (name, format) = (&profile.name, profile.format.name());
            bail!("profile {name} is `format: {format}`, and only folded stacks are drawn; --out fetches it as it is");
        }
        let place = || format!("profile {} of node {}", profile.name, profile.node);
        let folded = Folded::parse(&read(places, report, profile).await?).with_context(place)?;
        all.add(folded).with_context(place)?;
    }
    if all.lines_left_out() > 0 {
        note(&format!("{} lines were no stacks, and are left out", all.lines_left_out()));
    }
    Ok(all)
}
