//! The instruction text: parsed line by line, played against the nodes, compiled to groups.

use std::collections::{BTreeMap, BTreeSet};

use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::{group_name, in_flight_of, parse_time, push_stage, shown, target_of};
use crate::spec::{ExperimentSpec, Group, NodeSelection, RecordsMode, SpecError, Stage, TelemetrySpec};
use crate::units::Rate;

/// Most lines with a command.
pub const INSTRUCTIONS_MAX: usize = 10_000;
/// Longest regular expression, in bytes.
pub const REGEX_MAX_BYTES: usize = 1_024;
/// Most memory a compiled regular expression may take, in bytes.
const REGEX_COMPILED_MAX_BYTES: usize = 1 << 20;

/// An experiment as a text of commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InstructionExperiment {
    /// Commands, one a line: spawn, rps, sleep, close.
    pub instructions: String,
    /// Identifier, a token; made from the message when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp_id: Option<String>,
    /// Who wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<String>,
    /// What people call it; the id when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Service names and their `host:port` addresses, as in an experiment of Nuncius; the original has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, Vec<String>>,
}

/// The service that a line names, if it is a command that names one.
pub(super) fn service_of(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    matches!(words.next(), Some("spawn" | "rps" | "close")).then(|| words.nth(1)).flatten()
}

/// One line with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line<'a> {
    /// Counted from 1 in the whole text.
    number: usize,
    command: Command<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Command<'a> {
    Spawn { workers: &'a str, service: &'a str, clients: u32 },
    Rps { workers: &'a str, service: &'a str, rate: Rate },
    Sleep { duration_ns: u64 },
    Close { workers: &'a str, service: &'a str },
}

/// The clients of one service on one node.
#[derive(Debug, Default)]
struct Clients {
    /// Alive; 0 after a close.
    alive: u32,
    /// Most alive at any time.
    most: u32,
    rate: Rate,
    /// Offered up to `recorded_ns`.
    stages: Vec<Stage>,
    recorded_ns: u64,
}

impl Clients {
    /// Writes down the rate that held since the last change.
    fn record_until(&mut self, now_ns: u64) {
        push_stage(&mut self.stages, self.rate, now_ns.saturating_sub(self.recorded_ns));
        self.recorded_ns = now_ns;
    }
}

fn refuse<T>(line: usize, problem: impl Into<String>) -> Result<T, SpecError> {
    Err(SpecError { field: format!("instructions line {line}"), problem: problem.into() })
}

fn at_line<T>(line: usize, result: Result<T, String>) -> Result<T, SpecError> {
    result.or_else(|problem| refuse(line, problem))
}

impl InstructionExperiment {
    /// Refuses a text that cannot be right on any nodes.
    pub(super) fn check(&self) -> Result<(), SpecError> {
        crate::spec::validate::check_written_services(&self.services)?;
        let lines = parse(&self.instructions)?;
        let mut patterns = Patterns::default();
        let mut spawned = BTreeSet::new();
        for line in &lines {
            let (workers, service) = match line.command {
                Command::Spawn { workers, service, .. } => {
                    spawned.insert(service);
                    (workers, service)
                }
                Command::Rps { workers, service, .. } | Command::Close { workers, service } => (workers, service),
                Command::Sleep { .. } => continue,
            };
            patterns.get(line.number, workers)?;
            if !spawned.contains(service) {
                return refuse(line.number, format!("no client of `{service}` has been spawned before"));
            }
        }
        Ok(())
    }

    /// The specification this text means on these nodes.
    pub(super) fn translate(&self, node_names: &[String]) -> Result<ExperimentSpec, SpecError> {
        let lines = parse(&self.instructions)?;
        let mut nodes: Vec<&str> = node_names.iter().map(String::as_str).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let played = play(&lines, &nodes)?;
        let groups = compile(played)?;
        if groups.is_empty() {
            return Err(SpecError {
                field: "instructions".to_owned(),
                problem: "offer nothing: an `rps` above 0 must be followed by a `sleep`".to_owned(),
            });
        }
        let working: BTreeSet<&str> = groups.iter().flat_map(|(_, nodes)| nodes.iter().copied()).collect();
        let selection = select(working.into_iter());
        let spec = ExperimentSpec {
            id: self.exp_id.clone(),
            name: self.name.clone(),
            creator: self.creator.clone(),
            services: self.services.clone(),
            nodes: selection,
            records: RecordsMode::All,
            telemetry: Some(TelemetrySpec::all()),
            ..ExperimentSpec::of_groups(groups.into_iter().map(|(group, _)| group).collect())
        };
        spec.validate().map_err(|error| match error.field.as_str() {
            "id" => SpecError { field: "exp_id".to_owned(), ..error },
            "name" | "creator" => error,
            field if field.starts_with("services") => error,
            _ => SpecError { field: format!("instructions (translated: {})", error.field), ..error },
        })?;
        Ok(spec)
    }
}

fn parse(text: &str) -> Result<Vec<Line<'_>>, SpecError> {
    let mut lines = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let number = index + 1;
        let words: Vec<&str> = text.split_whitespace().collect();
        let Some((word, arguments)) = words.split_first() else { continue };
        if word.starts_with('#') {
            continue;
        }
        if lines.len() == INSTRUCTIONS_MAX {
            return refuse(number, format!("more than {INSTRUCTIONS_MAX} commands"));
        }
        lines.push(Line { number, command: parse_command(number, word, arguments)? });
    }
    Ok(lines)
}

fn parse_command<'a>(number: usize, word: &str, arguments: &[&'a str]) -> Result<Command<'a>, SpecError> {
    let usage = |usage: &str| refuse(number, format!("{} arguments to `{word}`: write `{usage}`", arguments.len()));
    let no_app = |app: &str| {
        refuse(number, format!("client app `{}`: custom client apps are not available yet; leave it out", shown(app)))
    };
    match (word, arguments) {
        ("spawn", [_, _, _, app]) | ("rps", [_, _, _, app]) | ("close", [_, _, app]) => no_app(app),
        ("spawn", [workers, service, clients]) => {
            at_line(number, target_of(service))?;
            let clients = clients
                .parse()
                .or_else(|_| refuse(number, format!("`{}` is not a number of clients", shown(clients))))?;
            at_line(number, in_flight_of(clients))?;
            Ok(Command::Spawn { workers, service, clients })
        }
        ("rps", [workers, service, rate]) => {
            at_line(number, target_of(service))?;
            let rate = rate
                .parse()
                .or_else(|_| refuse(number, format!("`{}` is not a rate: write requests per second", shown(rate))))?;
            Ok(Command::Rps { workers, service, rate })
        }
        ("sleep", [time]) => Ok(Command::Sleep { duration_ns: at_line(number, parse_time(time))?.0 }),
        ("close", [workers, service]) => {
            at_line(number, target_of(service))?;
            Ok(Command::Close { workers, service })
        }
        ("spawn", _) => usage("spawn <worker-regex> <service> <num>"),
        ("rps", _) => usage("rps <worker-regex> <service> <rps>"),
        ("sleep", _) => usage("sleep <seconds>"),
        ("close", _) => usage("close <worker-regex> <service>"),
        _ => refuse(number, format!("unknown command `{}`: use spawn, rps, sleep or close", shown(word))),
    }
}

/// Compiled regular expressions: a text may repeat one thousands of times.
#[derive(Default)]
struct Patterns<'a>(BTreeMap<&'a str, Regex>);

impl<'a> Patterns<'a> {
    fn get(&mut self, line: usize, pattern: &'a str) -> Result<&Regex, SpecError> {
        if pattern.len() > REGEX_MAX_BYTES {
            return refuse(line, format!("worker expression over {REGEX_MAX_BYTES} bytes"));
        }
        match self.0.entry(pattern) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let whole = format!("^(?:{pattern})$");
                match RegexBuilder::new(&whole).size_limit(REGEX_COMPILED_MAX_BYTES).build() {
                    Ok(regex) => Ok(entry.insert(regex)),
                    Err(_) => refuse(line, format!("`{}` is not a regular expression", shown(pattern))),
                }
            }
        }
    }
}

type Played<'a> = BTreeMap<(&'a str, &'a str), Clients>;

/// Every client group's rate over time, by service and node.
fn play<'a>(lines: &[Line<'a>], nodes: &[&'a str]) -> Result<Played<'a>, SpecError> {
    let mut patterns = Patterns::default();
    let mut played = Played::new();
    let mut now_ns: u64 = 0;
    for line in lines {
        let number = line.number;
        let mut matched = |workers: &'a str| -> Result<Vec<&'a str>, SpecError> {
            let regex = patterns.get(number, workers)?;
            let found: Vec<&str> = nodes.iter().copied().filter(|name| regex.is_match(name)).collect();
            if found.is_empty() {
                let problem = format!("`{}` matches none of the {} nodes", shown(workers), nodes.len());
                return refuse(number, problem);
            }
            Ok(found)
        };
        match line.command {
            Command::Sleep { duration_ns } => now_ns = now_ns.saturating_add(duration_ns),
            Command::Spawn { workers, service, clients } => {
                for node in matched(workers)? {
                    let entry = played.entry((service, node)).or_default();
                    entry.alive = entry.alive.saturating_add(clients);
                    entry.most = entry.most.max(entry.alive);
                    at_line(number, in_flight_of(entry.most))?;
                }
            }
            Command::Rps { workers, service, rate } => {
                let nodes = matched(workers)?;
                change(&mut played, number, service, &nodes, now_ns, |clients| clients.rate = rate)?;
            }
            Command::Close { workers, service } => {
                let nodes = matched(workers)?;
                change(&mut played, number, service, &nodes, now_ns, |clients| {
                    clients.rate = Rate(0);
                    clients.alive = 0;
                })?;
            }
        }
    }
    for clients in played.values_mut() {
        clients.record_until(now_ns);
    }
    Ok(played)
}

/// Changes those of the nodes' clients that are alive; refuses when none is.
fn change<'a>(
    played: &mut Played<'a>,
    line: usize,
    service: &'a str,
    nodes: &[&'a str],
    now_ns: u64,
    set: impl Fn(&mut Clients),
) -> Result<(), SpecError> {
    let mut found = false;
    for node in nodes {
        if let Some(clients) = played.get_mut(&(service, *node)).filter(|clients| clients.alive > 0) {
            clients.record_until(now_ns);
            set(clients);
            found = true;
        }
    }
    if found { Ok(()) } else { refuse(line, format!("no client of `{service}` is alive there: spawn comes first")) }
}

/// One group for all nodes that do the same, in the order of services.
fn compile<'a>(played: Played<'a>) -> Result<Vec<(Group, Vec<&'a str>)>, SpecError> {
    let mut groups: Vec<(Group, &str, Vec<&str>)> = Vec::new();
    for ((service, node), clients) in played {
        if clients.stages.iter().all(|stage| stage.rate.0 == 0) {
            continue;
        }
        let invalid = |problem| SpecError { field: "instructions".to_owned(), problem };
        let max_in_flight = in_flight_of(clients.most).map_err(invalid)?;
        let same = groups.iter_mut().find(|(group, of, _)| {
            *of == service && group.stages == clients.stages && group.max_in_flight == max_in_flight
        });
        if let Some((_, _, nodes)) = same {
            nodes.push(node);
            continue;
        }
        let taken: Vec<Group> = groups.iter().map(|(group, ..)| group.clone()).collect();
        let group = Group {
            name: group_name(service, &taken),
            stages: clients.stages,
            rate_per_node: true,
            max_in_flight,
            ..Group::of_target(target_of(service).map_err(invalid)?)
        };
        groups.push((group, service, vec![node]));
    }
    Ok(groups
        .into_iter()
        .map(|(group, _, nodes)| (Group { nodes: Some(select(nodes.iter().copied())), ..group }, nodes))
        .collect())
}

fn select<'a>(nodes: impl Iterator<Item = &'a str>) -> NodeSelection {
    let names: Vec<String> = nodes.map(regex::escape).collect();
    NodeSelection { names: Some(format!("^({})$", names.join("|"))), ..NodeSelection::default() }
}
