//! What the steps and scenarios of a group must keep to, together and one by one.

use std::collections::BTreeSet;

use super::names::check_display_name;
use super::step::check_step;
use crate::flow::walk::{BLOCKS_MAX, Place};
use crate::flow::{HttpVersion, Op, Scenario, Step};
use crate::spec::check::{Reading, SpecError, at_most, refuse};
use crate::spec::limits::{NAME_MAX_CHARACTERS, STEPS_MAX};
use crate::spec::{EngineKind, Group};
use crate::steps::ITERATION;
use crate::target::split_scheme;

/// Most scenarios of a group.
const SCENARIOS_MAX: usize = 32;
/// Largest weight of a scenario.
const WEIGHT_MAX: u32 = 1_000_000;
/// Most steps that are written in a group, those that are not measured among them.
const WRITTEN_MAX: usize = 512;

pub(super) fn check(path: &str, group: &Group, reading: Reading) -> Result<(), SpecError> {
    check_scenarios(path, group)?;
    let list = format!("{path}.{}", if group.scenarios.is_empty() { "steps" } else { "scenarios" });
    let places = group.all_steps();
    at_most(&list, places.len(), WRITTEN_MAX)?;
    for place in &places {
        let name = place.step.name.as_ref();
        name.map_or(Ok(()), |name| check_display_name(&format!("{path}.{}.name", place.path), name))?;
    }
    for place in &places {
        let path = format!("{path}.{}", place.path);
        if place.depth > BLOCKS_MAX {
            return refuse(path, format!("within {} blocks, at most {BLOCKS_MAX} are taken", place.depth));
        }
        check_step(&path, group.engine, place.step, reading)?;
        check_functions(&path, group, place.step)?;
    }
    check_names(path, &list, group)?;
    if group.engine == EngineKind::Http {
        check_places(path, group, &places)?;
    }
    if group.engine == EngineKind::Http && group.target.contains('?') {
        let goes_on = |step: &Step| step.request().is_some_and(|(_, request)| request.url.starts_with('/'));
        if let Some(place) = places.iter().find(|place| goes_on(place.step)) {
            let problem =
                format!("its query would not be sent: {} has a path; write the query into the paths", place.path);
            return refuse(format!("{path}.target"), problem);
        }
    }
    Ok(())
}

/// What is at the group's target needs one of its own protocol.
fn check_places(path: &str, group: &Group, places: &[Place<'_>]) -> Result<(), SpecError> {
    let Some((scheme, _)) = split_scheme(&group.target) else { return Ok(()) };
    let is_http = matches!(scheme, "http" | "https" | "ws" | "wss");
    if !is_http && group.steps.is_empty() && group.scenarios.is_empty() {
        let problem = format!("without steps a GET is sent, and {scheme}:// takes none: write the steps");
        return refuse(format!("{path}.target"), problem);
    }
    let is_here = |url: &str| url.is_empty() || url.starts_with('/');
    for place in places {
        let field = format!("{path}.{}", place.path);
        let url = match &place.step.op {
            Some(Op::Nats(step)) => {
                let is_there = step.server.is_some() || step.wait.is_some() || matches!(scheme, "nats" | "tls");
                if !is_there {
                    let problem = "no server of NATS: name one, or have a target of nats://";
                    return refuse(format!("{field}.nats.server"), problem);
                }
                continue;
            }
            Some(Op::Ws(step)) => step.connect.as_deref(),
            Some(Op::SocketIo(step)) => step.connect.as_deref(),
            None
            | Some(
                Op::Http(..)
                | Op::Think(_)
                | Op::Set(_)
                | Op::Loop(_)
                | Op::If(_)
                | Op::Parallel(_)
                | Op::Call(_)
                | Op::Log(_),
            ) => None,
        };
        if url.is_some() && group.http == Some(HttpVersion::Http2) {
            return refuse(field, "a WebSocket is opened over HTTP/1.1: leave `http: 2` to another group");
        }
        for (verb, broker) in [
            ("publish", place.step.publish.as_ref().map(|publish| publish.broker.as_ref())),
            ("consume", place.step.consume.as_ref().map(|consume| consume.broker.as_ref())),
        ] {
            if broker == Some(None) && !matches!(scheme, "amqp" | "amqps") {
                let problem = "no broker: name one, or have a target of amqp://";
                return refuse(format!("{field}.{verb}.broker"), problem);
            }
        }
        let request = place.step.request();
        let url = url.or(request.as_ref().map(|(_, request)| request.url.as_str()));
        if !is_http && url.is_some_and(is_here) {
            let problem = format!("the group's target is of {scheme}://, which has no paths: write the whole URL");
            return refuse(field, problem);
        }
    }
    Ok(())
}

fn check_scenarios(path: &str, group: &Group) -> Result<(), SpecError> {
    if group.scenarios.is_empty() {
        return Ok(());
    }
    let path = format!("{path}.scenarios");
    if !group.steps.is_empty() {
        return refuse(path, "give either steps or scenarios");
    }
    at_most(&path, group.scenarios.len(), SCENARIOS_MAX)?;
    let mut names = BTreeSet::new();
    for (index, Scenario { name, weight, steps }) in group.scenarios.iter().enumerate() {
        let path = format!("{path}[{index}]");
        check_display_name(&format!("{path}.name"), name)?;
        if !names.insert(name) {
            return refuse(format!("{path}.name"), format!("`{name}` is taken by another scenario"));
        }
        if *weight == 0 || *weight > WEIGHT_MAX {
            let problem = format!("give 1 to {WEIGHT_MAX}; a scenario that nobody takes is left out");
            return refuse(format!("{path}.weight"), problem);
        }
        if steps.is_empty() {
            return refuse(format!("{path}.steps"), "empty: its users would do nothing");
        }
    }
    Ok(())
}

/// The names of the steps, by which reports and gates know them.
fn check_names(path: &str, list: &str, group: &Group) -> Result<(), SpecError> {
    let measured = group.measured_steps();
    if measured.is_empty() && !(group.steps.is_empty() && group.scenarios.is_empty()) {
        return refuse(list, "nothing of it is measured: write at least one step that sends something");
    }
    at_most(list, measured.len(), STEPS_MAX)?;
    let mut names = BTreeSet::new();
    for step in &measured {
        let field = format!("{path}.{}.name", step.path);
        if step.name.chars().count() > NAME_MAX_CHARACTERS {
            let problem = format!(
                "`{}` is longer than {NAME_MAX_CHARACTERS} characters: reports name a step with its scenario",
                step.name
            );
            return refuse(field, problem);
        }
        if !names.insert(step.name.as_str()) {
            return refuse(field, format!("`{}` is taken by another step", step.name));
        }
        if step.name == ITERATION {
            return refuse(field, "`iteration` is what reports call all steps together");
        }
    }
    Ok(())
}

/// Functions are there only with a script.
fn check_functions(path: &str, group: &Group, step: &Step) -> Result<(), SpecError> {
    if group.script.is_some() {
        return Ok(());
    }
    let field = match &step.op {
        Some(Op::Call(_)) => Some("call".to_owned()),
        Some(Op::Http(verb, request)) => {
            request.functions().next().map(|(field, _)| format!("{}.{field}", verb.name()))
        }
        None
        | Some(
            Op::Ws(_)
            | Op::SocketIo(_)
            | Op::Nats(_)
            | Op::Think(_)
            | Op::Set(_)
            | Op::Loop(_)
            | Op::If(_)
            | Op::Parallel(_)
            | Op::Log(_),
        ) => None,
    };
    match field {
        Some(field) => refuse(format!("{path}.{field}"), "names a function, but the group has no `script`"),
        None => Ok(()),
    }
}
