//! What an experiment would do, as far as that is known without its nodes.

use hyper::StatusCode;
use nuncius_bundle::Limits;
use nuncius_control::recorded;
use nuncius_load::curve::curve_of;
use nuncius_load::schedule_of;
use nuncius_schemas::names::check_token;
use nuncius_schemas::spec::{ExperimentSpec, Group};
use nuncius_schemas::submission::Submission;
use nuncius_schemas::target::Target;
use schemars::JsonSchema;
use serde::Serialize;

use super::state::ApiState;
use super::submission;
use crate::problem::Problem;

/// Most points of the curve of a planned rate.
const POINTS: usize = 200;

/// What an experiment would do, or what is wrong with it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Validated {
    /// Whether a daemon would take it; whether there are nodes for it is seen then.
    pub(crate) valid: bool,
    /// What is wrong.
    pub(crate) problems: Vec<Message>,
    /// What might be.
    pub(crate) warnings: Vec<Message>,
    /// The id it asks for.
    pub(crate) id: Option<String>,
    /// What people call it.
    pub(crate) name: Option<String>,
    /// What each group would do.
    pub(crate) groups: Vec<GroupPlan>,
    /// What must hold, as it was understood.
    pub(crate) gates: Vec<String>,
    /// Client nodes that are here and meet the labels and names that it asks for.
    pub(crate) nodes: Vec<String>,
}

/// Something about a field.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Message {
    /// The path of the field; `.` for the whole.
    pub(crate) field: String,
    /// What is wrong and what to do.
    pub(crate) message: String,
    /// The line on which it was written, from 1.
    pub(crate) line: Option<u64>,
    /// The column, from 1.
    pub(crate) column: Option<u64>,
}

/// What a group would do.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GroupPlan {
    pub(crate) name: String,
    /// Whom it would send to, without secrets.
    pub(crate) target: String,
    /// Iterations its schedule holds (open model).
    pub(crate) scheduled: Option<u64>,
    /// Users over all nodes (closed model).
    pub(crate) users: Option<u32>,
    /// How long load is offered; absent where iterations alone end it.
    pub(crate) offered_seconds: Option<f64>,
    pub(crate) steps: Vec<String>,
    /// The planned rate as it was amended (open model): seconds of run time and iterations per second, with straight
    /// lines between them; of a file, and of what has very many steps, averages.
    pub(crate) curve: Vec<(f64, f64)>,
}

/// Reads an experiment and says what it would do.
///
/// # Errors
/// Only what is no answer about an experiment: the bus.
pub(crate) async fn validate(api: &ApiState, bytes: &[u8]) -> Result<Validated, Problem> {
    let mut validated = Validated {
        valid: false,
        problems: Vec::new(),
        warnings: Vec::new(),
        id: None,
        name: None,
        groups: Vec::new(),
        gates: Vec::new(),
        nodes: Vec::new(),
    };
    let refused = match submission::read(bytes) {
        Ok(submission) => match spec_of(api, submission).await {
            Ok(spec) => {
                validated.tell(api, &spec).await?;
                validated.valid = true;
                return Ok(validated);
            }
            Err(problem) => problem,
        },
        Err(problem) => problem,
    };
    let (line, column) = refused.place();
    let field = refused.field_path().unwrap_or(".").to_owned();
    validated.problems.push(Message { field, message: refused.detail().to_owned(), line, column });
    Ok(validated)
}

async fn spec_of(api: &ApiState, submission: Submission) -> Result<ExperimentSpec, Problem> {
    match submission {
        Submission::Spec(mut spec) => {
            let read = recorded::fetch(api.bus(), &mut spec, Limits::default()).await;
            read.map_err(|error| {
                let text = error.to_string();
                let problem = text.strip_prefix(&format!("{}: ", error.field())).unwrap_or(&text).to_owned();
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-field", problem).field(error.field())
            })?;
            Ok(*spec)
        }
        Submission::Galileo(input) => {
            let names: Vec<String> = clients(api);
            let translated = input.translate(&names);
            translated.map_err(|error| nuncius_schemas::codec::CodecError::from(error).into())
        }
    }
}

fn clients(api: &ApiState) -> Vec<String> {
    let nodes = api.known().nodes();
    let clients = nodes.iter().filter(|node| node.role == nuncius_schemas::node::Role::Client);
    clients.map(|node| node.name.clone()).collect()
}

impl Validated {
    async fn tell(&mut self, api: &ApiState, spec: &ExperimentSpec) -> Result<(), Problem> {
        self.id.clone_from(&spec.id);
        self.name.clone_from(&spec.name);
        self.gates = spec.gates.iter().map(ToString::to_string).collect();
        self.groups = (0..).zip(&spec.groups).map(|(index, group)| plan(spec, index, group)).collect();
        let nodes = api.known().nodes();
        let meets = |labels: &std::collections::BTreeMap<String, String>| {
            spec.nodes.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
        };
        let there = nodes.iter().filter(|node| node.role == nuncius_schemas::node::Role::Client && meets(&node.labels));
        self.nodes = there.map(|node| node.name.clone()).collect();
        if self.nodes.is_empty() {
            self.warn("nodes", "no client node that meets the labels is here: the experiment would wait".to_owned());
        }
        let routes = nuncius_control::routes::list(api.bus()).await?;
        for (index, group) in spec.groups.iter().enumerate() {
            let Some(service) = service_of(&group.target) else { continue };
            let is_known =
                spec.services.contains_key(&service) || routes.iter().any(|known| known.route.service == service);
            if !is_known {
                let text = format!("service `{service}` is neither in `services` nor in the routing table");
                self.warn(&format!("groups[{index}].target"), text);
            }
        }
        Ok(())
    }

    fn warn(&mut self, field: &str, message: String) {
        self.warnings.push(Message { field: field.to_owned(), message, line: None, column: None });
    }
}

fn service_of(target: &str) -> Option<String> {
    let service = Target::parse(target)?.host().ok()?.service()?.to_owned();
    check_token("service", &service).ok()?;
    Some(service)
}

fn plan(spec: &ExperimentSpec, index: u16, group: &Group) -> GroupPlan {
    let offered_ns = group.offered_ns().unwrap_or(0);
    let scheduled = group.is_open().then(|| schedule_of(spec, index, group, 1).ok()).flatten();
    let scheduled = scheduled.map(|schedule| schedule.total());
    GroupPlan {
        name: group.name.clone(),
        target: nuncius_schemas::redact::redact_url(&group.target),
        scheduled,
        users: group.users,
        offered_seconds: (offered_ns > 0).then_some(offered_ns as f64 / 1e9),
        steps: group.step_table().names().to_vec(),
        curve: if group.is_open() { curve_of(spec, index, group, 1, POINTS).unwrap_or_default() } else { Vec::new() },
    }
}
