//! `nuncius validate`: what an experiment would do, without doing it. Nothing is stored, published or started.

use anyhow::Result;
use nuncius_bundle::Manifest;
use nuncius_bus::Bus;
use nuncius_client::over_caps;
use nuncius_control::recorded;
use nuncius_experimentd::{placement, unresolved_services};
use nuncius_load::{ProfileError, schedule_of};
use nuncius_schemas::gate::GateMetric;
use nuncius_schemas::node::{Capacity, GroupAssignment, NodeInfo, Prepare, Role};
use nuncius_schemas::run::{RunStatus, exit_code};
use nuncius_schemas::search::{SearchProbe, SearchPurpose};
use nuncius_schemas::spec::{ExperimentSpec, Group, SpecError};
use nuncius_schemas::submission::Submission;
use serde::Serialize;

use super::bundle::Prepared;
use super::run::STUB_SERVICE;
use super::submission::prepare;
use crate::args::{Global, NodeArgs, ValidateArgs};
use crate::connect;
use crate::exit::Usage;
use crate::local::client_config;
use crate::output::{print, print_json};

/// Impossible combinations of a sweep that are told.
const PROBLEMS_MAX: usize = 20;

/// What an experiment would do.
#[derive(Debug, Serialize)]
struct DryRun {
    /// The identifier that it asks for.
    id: Option<String>,
    /// Of a search or a sweep, which experiments it is made of. What follows is of the one with the highest load, or
    /// of the first combination.
    study: Option<String>,
    /// Whether no client node was there, so that one as `nuncius run` brings along was assumed.
    assumed_node: bool,
    groups: Vec<GroupPlan>,
    /// What would be packed and stored with it; absent where it needs nothing, or that is deployed already.
    bundle: Option<Manifest>,
    /// What must hold, as it was understood.
    gates: Vec<String>,
    nodes: Vec<NodePlan>,
    /// What would be refused, and by whom.
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct GroupPlan {
    name: String,
    target: String,
    /// Iterations its schedule holds (open model).
    scheduled: Option<u64>,
    /// Users over all nodes (closed model).
    users: Option<u32>,
    /// How long load is offered; absent where iterations alone end it.
    offered_seconds: Option<f64>,
    steps: Vec<String>,
}

#[derive(Debug, Serialize)]
struct NodePlan {
    name: String,
    groups: Vec<String>,
}

/// 0 when it would be run, 5 when it would be refused, 64 when the file is bad.
pub(super) async fn validate(global: &Global, args: ValidateArgs) -> Result<u8> {
    let Prepared { submission, bundle } = prepare(global, &args.submission, &args.node.bundle).await?;
    let bus = connect::possible(global, "nuncius-validate").await?;
    let there = match &bus {
        Some(bus) => client_nodes(bus).await?,
        None => Vec::new(),
    };
    let assumed_node = there.is_empty();
    let nodes = if assumed_node { vec![assumed(&args.node)?] } else { there };
    let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
    let spec = match submission {
        Submission::Spec(spec) => *spec,
        Submission::Galileo(input) => {
            input.translate(&names).map_err(|error| Usage(format!("{}: {error}", args.submission.file.display())))?
        }
    };
    let Study { told, hardest: mut spec, problems } = study(spec).map_err(|error| Usage(error.to_string()))?;
    // What was packed here is known by now; what was deployed is on the bus.
    let unread = match &bus {
        Some(bus) => recorded::fetch(bus, &mut spec, args.node.bundle.limits()).await.err(),
        None => None,
    };
    let mut dry_run = plan(&spec, &nodes, assumed_node);
    dry_run.study = told;
    dry_run.problems.extend(problems);
    dry_run.problems.extend(unread.map(|error| error.to_string()));
    dry_run.bundle = bundle.map(|packed| packed.manifest);
    for (field, service) in unresolved_services(&spec) {
        let is_brought = assumed_node && service == STUB_SERVICE;
        if !is_brought && !is_routed(bus.as_ref(), &service).await? {
            let problem = format!("{field}: service `{service}` is neither in `services` nor in a routing table here");
            dry_run.problems.push(problem);
        }
    }
    if let Some(bus) = bus {
        let _ = connect::leave(&bus).await;
    }
    match global.json {
        true => print_json(&dry_run)?,
        false => print(&in_words(&dry_run)),
    }
    Ok(if dry_run.problems.is_empty() { 0 } else { exit_code(RunStatus::Failed, None) })
}

/// What is run of a search or a sweep.
struct Study {
    told: Option<String>,
    /// The experiment whose plan is told: any other is its own.
    hardest: ExperimentSpec,
    problems: Vec<String>,
}

fn study(spec: ExperimentSpec) -> Result<Study, SpecError> {
    if let Some(search) = &spec.search {
        let searched = spec.searched_group(search)?;
        let Some((lowest, _, highest)) = search.loads() else { return Ok(Study::none(spec)) };
        let (length, settle) = (search.probe, search.settle);
        let probe = SearchProbe { number: 1, load: highest, length, settle, purpose: SearchPurpose::Bracket };
        let told = format!(
            "search from {lowest} to {highest}: at most {} probes of {} or longer within {}; at the highest load:",
            search.at_most.probes, search.probe, search.at_most.time
        );
        let id = spec.id.as_deref().unwrap_or("s");
        return Ok(Study { told: Some(told), hardest: spec.search_probe(searched, id, &probe), problems: Vec::new() });
    }
    let Some(sweep) = &spec.sweep else { return Ok(Study::none(spec)) };
    let id = spec.id.as_deref().unwrap_or("s");
    let (combinations, repeats) = (sweep.combinations(), sweep.repeats);
    let told = format!(
        "sweep of {combinations} combinations, each {repeats} times: {} experiments; of the first combination:",
        sweep.runs()
    );
    // Each by itself: what only two values together make impossible is seen here.
    let run = |combination: u64| spec.sweep_run(sweep, id, combination, 1);
    let problem = |combination: u64| run(combination).and_then(|run| run.validate()).err().map(|e| e.to_string());
    let problems = (1..=combinations).filter_map(problem).take(PROBLEMS_MAX).collect();
    Ok(Study { told: Some(told), hardest: run(1)?, problems })
}

impl Study {
    fn none(spec: ExperimentSpec) -> Self {
        Self { told: None, hardest: spec, problems: Vec::new() }
    }
}

async fn client_nodes(bus: &Bus) -> Result<Vec<NodeInfo>> {
    // A server that nobody has used yet has no registry.
    let Ok(bucket) = bus.kv(&bus.namespace().bucket_node()).await else { return Ok(Vec::new()) };
    let infos: Vec<NodeInfo> = bucket.decoded(">").await?.into_values();
    Ok(infos.into_iter().filter(|info| info.role == Role::Client).collect())
}

async fn is_routed(bus: Option<&Bus>, service: &str) -> Result<bool> {
    let Some(bus) = bus else { return Ok(false) };
    let Ok(routes) = bus.kv(&bus.namespace().bucket_route()).await else { return Ok(false) };
    Ok(routes.get(service).await?.is_some())
}

/// The node that `nuncius run` would bring along with these options.
fn assumed(args: &NodeArgs) -> Result<NodeInfo> {
    let config = client_config(args, "client-1", None)?;
    Ok(NodeInfo {
        name: config.name,
        role: Role::Client,
        labels: config.labels,
        host: String::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: 0,
        process_id: 0,
        processors: 0,
        memory_bytes: 0,
        capacity: Some(config.capacity),
        allowed_targets: config.allowed_targets,
        experiment: None,
        worker: None,
        started_unix_ms: 0,
        round_trip_ns: 0,
    })
}

fn plan(spec: &ExperimentSpec, nodes: &[NodeInfo], assumed_node: bool) -> DryRun {
    let mut problems = Vec::new();
    let mut groups = Vec::new();
    for (index, group) in spec.groups.iter().enumerate() {
        let scheduled = match scheduled(spec, index, group, nodes) {
            Ok(scheduled) => scheduled,
            Err(problem) => {
                problems.push(format!("groups[{index}]: {problem}"));
                None
            }
        };
        groups.push(GroupPlan {
            name: group.name.clone(),
            target: nuncius_schemas::redact::redact_url(&group.target),
            scheduled,
            users: group.users,
            offered_seconds: group.offered_ns().map(|ns| ns as f64 / 1e9),
            steps: group.step_names(),
        });
    }
    let mut gates: Vec<String> = spec.gates.iter().map(ToString::to_string).collect();
    if !spec.gates.iter().any(|gate| gate.expression.metric == GateMetric::Failures) {
        gates.push("failures < 1% (as no gate looks at failures)".to_owned());
    }
    let mut placed = Vec::new();
    match placement(spec, nodes) {
        Ok(assignments) => {
            for (name, shares) in assignments {
                let capacity = nodes.iter().find(|node| node.name == name).and_then(|node| node.capacity.as_ref());
                if let Some(problem) = capacity.and_then(|capacity| refused(spec, &shares, capacity)) {
                    problems.push(format!("node {name}: {problem}"));
                }
                let named = |share: &GroupAssignment| spec.groups.get(usize::from(share.group)).map(|g| g.name.clone());
                placed.push(NodePlan { name, groups: shares.iter().filter_map(named).collect() });
            }
        }
        Err(problem) => problems.push(problem),
    }
    DryRun { id: spec.id.clone(), study: None, assumed_node, groups, bundle: None, gates, nodes: placed, problems }
}

/// How many iterations the schedule of an open group holds.
fn scheduled(spec: &ExperimentSpec, index: usize, group: &Group, nodes: &[NodeInfo]) -> Result<Option<u64>, String> {
    if !group.is_open() {
        return Ok(None);
    }
    let mut count = 1;
    if group.rate_per_node {
        let alone = ExperimentSpec::of_groups(vec![Group {
            nodes: Some(group.nodes.clone().unwrap_or_else(|| spec.nodes.clone())),
            ..group.clone()
        }]);
        count = u32::try_from(placement(&alone, nodes)?.len()).unwrap_or(u32::MAX);
    }
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    match schedule_of(spec, index, group, count) {
        Ok(schedule) => Ok(Some(schedule.total())),
        // Why it was not read is told already, where there is a bus.
        Err(ProfileError::NotRead { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn refused(spec: &ExperimentSpec, shares: &[GroupAssignment], capacity: &Capacity) -> Option<String> {
    let prepare = Prepare {
        experiment: String::new(),
        token: 0,
        attempt: 1,
        spec: spec.clone(),
        routes: Vec::new(),
        assignments: shares.to_vec(),
        run_key: 0,
        variables: Vec::new(),
    };
    over_caps(&prepare, capacity)
}

fn in_words(dry_run: &DryRun) -> String {
    let mut lines = Vec::new();
    lines.extend(dry_run.study.clone());
    for group in &dry_run.groups {
        let load = match (group.scheduled, group.users) {
            (Some(scheduled), _) => format!("{scheduled} iterations"),
            (None, Some(users)) => format!("{users} users"),
            (None, None) => "no load".to_owned(),
        };
        let length = group.offered_seconds.map_or_else(String::new, |seconds| format!(" in {seconds} s"));
        lines.push(format!("group {}: {load}{length} at {}", group.name, group.target));
        lines.push(format!("  steps: {}", group.steps.join(", ")));
    }
    if let Some(bundle) = &dry_run.bundle {
        let (files, bytes) = (bundle.files.len(), nuncius_report::text::bytes(bundle.unpacked_bytes()));
        lines.push(format!("bundle {}: {files} files, {bytes}", bundle.reference().shown()));
    }
    for gate in &dry_run.gates {
        lines.push(format!("gate {gate}"));
    }
    for node in &dry_run.nodes {
        let assumed =
            if dry_run.assumed_node { " (no client node is there; as `nuncius run` would bring one)" } else { "" };
        lines.push(format!("node {}{assumed}: {}", node.name, node.groups.join(", ")));
    }
    for problem in &dry_run.problems {
        lines.push(format!("would be refused: {problem}"));
    }
    if dry_run.problems.is_empty() {
        lines.push("valid".to_owned());
    }
    lines.join("\n")
}
