//! A group's scenarios compiled: flat instructions, what they send and to whom, one table of steps.
//!
//! Everything that can be known before the load is worked out here: names are slots, texts are templates in parts,
//! targets have addresses that the node may be aimed at. Nothing here sends anything or waits, but for the look-up of
//! names.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use nuncius_scenario::draw::DrawKey;
use nuncius_scenario::names::Names;
use nuncius_schemas::flow::{HttpVersion, Step};
use nuncius_schemas::route::Route;
use nuncius_schemas::spec::{BODY_LIMIT_DEFAULT_BYTES, Group};
use serde_json::{Map, Value};

use crate::error::PlanError;
use crate::policy::TargetPolicy;

pub(crate) mod action;
pub(crate) mod amqp;
pub(crate) mod auth;
pub(crate) mod compile;
mod compiled;
mod environment;
pub(crate) mod feeder;
mod files;
mod http;
pub(crate) mod instruction;
pub(crate) mod machine;
pub(crate) mod message;
pub(crate) mod nats;
pub(crate) mod render;
pub(crate) mod request;
pub(crate) mod script;
pub(crate) mod socketio;
pub(crate) mod taking;
pub(crate) mod target;
pub(crate) mod text;
mod workshop;

use compiled::Made;
pub(crate) use compiled::Program;

use self::http::Workshop;
use amqp::Brokers;
use auth::{AuthPlan, Identities, Tokens};
use compile::Compiler;
use feeder::FeederPlan;
use message::ChannelNames;
use nats::NatsServers;
use target::{Resolver, Targets};

/// The variable of the innermost loop.
pub(crate) const LOOP: &str = "loop";

/// What a program is made from, beside the group.
#[derive(Clone, Copy)]
pub(crate) struct ProgramInput<'a> {
    /// Path of the group in the specification.
    pub(crate) path: &'a str,
    pub(crate) number: u16,
    pub(crate) seed: u64,
    pub(crate) routes: &'a [Route],
    pub(crate) services: &'a std::collections::BTreeMap<String, Vec<String>>,
    pub(crate) policy: &'a TargetPolicy,
    pub(crate) bundle: Option<&'a Path>,
    /// What was made before the load.
    pub(crate) given: Option<&'a Map<String, Value>>,
    pub(crate) environment: &'a dyn Fn(&str) -> Option<String>,
    /// Whose steps it does.
    pub(crate) part: Part,
}

/// Which steps of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Those of its users.
    Load,
    /// What is done once before the load.
    Before,
    /// What is done once after it.
    After,
}

/// Names of the steps of a part that reports may have a line of, in the order of their numbers.
pub(crate) fn step_names(group: &Group, part: Part) -> Vec<String> {
    match part {
        Part::Load => group.step_names(),
        Part::Before | Part::After => {
            let lists = lists(group, part);
            let places = lists.iter().flat_map(|(path, steps, _)| nuncius_schemas::flow::walk::walk(path, steps));
            let measured = places.filter(|place| place.step.is_measured());
            measured.map(|place| place.step.name.clone().unwrap_or(place.path)).collect()
        }
    }
}

/// Lists of steps, each with its path below that of the group and its weight.
type Lists<'g> = Vec<(String, &'g [Step], f64)>;

fn lists(group: &Group, part: Part) -> Lists<'_> {
    match part {
        Part::Before => vec![("before".to_owned(), group.before.as_slice(), 1.0)],
        Part::After => vec![("after".to_owned(), group.after.as_slice(), 1.0)],
        Part::Load if group.scenarios.is_empty() => vec![("steps".to_owned(), group.steps.as_slice(), 1.0)],
        Part::Load => (0..)
            .zip(&group.scenarios)
            .map(|(index, scenario): (usize, _)| {
                (format!("scenarios[{index}].steps"), scenario.steps.as_slice(), f64::from(scenario.weight))
            })
            .collect(),
    }
}

/// Compiles a group whose variables are filled in. May block on DNS.
///
/// # Errors
/// Names the field.
pub(crate) fn compile(group: &Group, input: &ProgramInput<'_>) -> Result<Program, PlanError> {
    let ProgramInput { path, .. } = *input;
    let refuse = |field: &str, problem: String| PlanError::Field { field: format!("{path}.{field}"), problem };
    let mut names = Names::new();
    let mut slot = |field: &str, name: &str| names.slot(name).map_err(|error| refuse(field, error.to_string()));
    let loop_slot = slot("steps", LOOP)?;
    let mut constants: Vec<(u16, Value)> = Vec::new();
    for (name, value) in &group.variables {
        constants.push((slot(&format!("variables.{name}"), name)?, value.clone()));
    }
    for (name, value) in input.given.into_iter().flatten() {
        constants.push((slot(&format!("before.{name}"), name)?, value.clone()));
    }
    let mut feeders = Vec::with_capacity(group.feeders.len());
    for (index, feeder) in group.feeders.iter().enumerate() {
        let field = format!("feeders[{index}]");
        let slot = slot(&format!("{field}.name"), &feeder.name)?;
        let plan = FeederPlan::new(feeder, slot, input.bundle);
        feeders.push(plan.map_err(|(name, problem)| refuse(&format!("{field}.{name}"), problem))?);
    }
    let script =
        script::compile(group.script.as_ref(), input.bundle).map_err(|(field, problem)| refuse(field, problem))?;
    let lists = lists(group, input.part);
    let numbers = numbers(group, input.part, &lists);
    // Without any step one request is sent to the target.
    let get = [Step::default()];
    let mut compiler = Compiler::new(path, &numbers, &mut names);
    let (mut entries, mut weights) = (Vec::new(), Vec::new());
    for (list, steps, weight) in &lists {
        let steps = if steps.is_empty() { get.as_slice() } else { *steps };
        entries.push(compiler.iteration(list, steps)?);
        weights.push(*weight);
    }
    let compiled = compiler.finish();
    let version = group.http.unwrap_or_default();
    let protocol = match version {
        HttpVersion::Http1 => "http/1.1",
        HttpVersion::Http2 => crate::http::http2::ALPN,
    };
    let resolver =
        Resolver::new(input.services.clone(), input.routes.to_vec(), input.policy.clone(), group.tls.clone(), protocol);
    let mut targets = Targets::new(path, resolver);
    let target = render::as_http(&group.target);
    let base = base(&target)
        .ok_or_else(|| refuse("target", "templates are not filled in here: give the whole URL in a step".to_owned()))?;
    targets.number(&format!("{path}.target"), base.origin)?;
    let (mut identities, mut channels) = (Identities::default(), ChannelNames::default());
    let (mut nats_servers, mut brokers) = (NatsServers::default(), Brokers::default());
    let mut workshop = Workshop {
        path,
        group,
        base: (base.path.trim_end_matches('/'), base.query),
        names: &mut names,
        targets: &mut targets,
        identities: &mut identities,
        channels: &mut channels,
        nats_servers: &mut nats_servers,
        brokers: &mut brokers,
        auth: AuthPlan::None,
        exports: script.as_ref().map(script::Script::exports),
        bundle: input.bundle,
    };
    if let Some(auth) = &group.auth {
        workshop.auth = workshop.auth("auth", auth, group.timeout.0.max(1))?;
    }
    let mut actions = Vec::with_capacity(compiled.senders.len());
    for sender in &compiled.senders {
        actions.push(workshop.action(sender)?);
    }
    let mut calls = Vec::with_capacity(compiled.calls.len());
    for sender in &compiled.calls {
        calls.push(workshop.call(sender)?);
    }
    let (targets, resolver) = targets.finish();
    let Brokers { brokers, queues, .. } = brokers;
    let mut shared = vec![None; names.len()];
    for (slot, value) in constants {
        if let Some(place) = shared.get_mut(usize::from(slot)) {
            *place = Some(value);
        }
    }
    let limit = group.body_limit.map_or(BODY_LIMIT_DEFAULT_BYTES, |limit| limit.0);
    let max_connections = group.max_connections.unwrap_or(u32::MAX);
    Ok(Program {
        instructions: compiled.instructions.into(),
        places: compiled.places.into(),
        entries: entries.into(),
        weights: weights.into(),
        scenarios: match input.part {
            Part::Load => group.scenarios.iter().map(|scenario| scenario.name.clone()).collect(),
            Part::Before | Part::After => Box::default(),
        },
        loops: compiled.loops,
        names,
        loop_slot,
        shared: shared.into(),
        actions: actions.into(),
        calls: calls.into(),
        targets: targets.into(),
        base_path: base.path.trim_end_matches('/').into(),
        resolver: Arc::new(resolver),
        logins: identities.logins.into(),
        grants: identities.grants.into(),
        nats_servers: nats_servers.finish(),
        brokers: brokers.into(),
        queues: queues.into(),
        tokens: Tokens::default(),
        feeders: feeders.into(),
        script,
        key: DrawKey::new(input.seed, u32::from(input.number)),
        seed: input.seed,
        group: u32::from(input.number),
        environment: environment::look_up(group, input.environment),
        version,
        connections: group.connections,
        max_connections: usize::try_from(max_connections).unwrap_or(usize::MAX),
        keeps_cookies: group.keeps_cookies(),
        made: Made::default(),
        is_once: input.part != Part::Load,
        body_max_bytes: usize::try_from(limit).unwrap_or(usize::MAX),
    })
}

/// The URL of a group's target in parts.
struct Base<'g> {
    origin: &'g str,
    path: &'g str,
    query: &'g str,
}

/// Of the target as that of requests; one of another protocol is an origin alone.
fn base(target: &str) -> Option<Base<'_>> {
    if nuncius_schemas::flow::template::has_template(target) {
        return None;
    }
    let (origin, rest) = render::split_url(target).unwrap_or((target, ""));
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    Some(Base { origin, path, query })
}

/// The numbers of the measured steps, by their paths.
fn numbers(group: &Group, part: Part, lists: &Lists<'_>) -> HashMap<String, u16> {
    let paths: Vec<String> = match part {
        Part::Load => group.measured_steps().into_iter().map(|step| step.path).collect(),
        Part::Before | Part::After => {
            let places = lists.iter().flat_map(|(path, steps, _)| nuncius_schemas::flow::walk::walk(path, steps));
            places.filter(|place| place.step.is_measured()).map(|place| place.path).collect()
        }
    };
    if paths.is_empty() {
        // The one request that stands for none.
        return lists.iter().map(|(path, _, _)| (format!("{path}[0]"), 0)).collect();
    }
    (0u16..).zip(paths).map(|(number, path)| (path, number)).collect()
}

#[cfg(test)]
mod tests;
