//! What a specification must keep to beyond its shape; every refusal names the field.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{Reading, SpecError, at_most, refuse};
use super::limits::{
    DURATION_MAX_NS, ENTRIES_MAX, GATES_MAX, GROUPS_MAX, HORIZON_MAX_NS, HORIZON_MIN_NS, NODE_NAMES_MAX_BYTES,
    RATE_MAX, STAGES_MAX, TIMEOUT_MAX_NS, URL_MAX_BYTES, USERS_MAX, VALUE_MAX_BYTES,
};
use super::texts::TextKind;
use super::{EngineKind, ExperimentSpec, Group, NodeSelection, Stage};
use crate::bundle::{BundleReference, check_app_name, check_digest};
use crate::metric::SLOWEST_MAX;
use crate::names::check_token;
use crate::queue::check_queue_name;
use crate::target::{Host, Target, split_scheme};
use crate::variable::{self, has_variables};

mod amendments;
mod clients;
mod connection;
mod gates;
pub(crate) mod headers;
pub(crate) mod names;
mod options;
mod pattern;
mod profile;
mod scaling;
mod search;
mod servo;
mod step;
mod steps;
mod stress;
mod sweep;
mod telemetry;

use headers::check_headers;
use names::{check_display_name, is_host, is_host_name};

impl ExperimentSpec {
    /// Refuses variables that are misspelt, and those that stand where nobody fills them in.
    fn check_variables(&self) -> Result<(), SpecError> {
        self.clone().visit_texts(&mut |text| match text.kind {
            kind if kind.is_filled_in() => {
                variable::check(text.value).map_err(|error| SpecError { field: text.field, problem: error.to_string() })
            }
            TextKind::Name | TextKind::File | TextKind::Label(_) if has_variables(text.value) => {
                refuse(text.field, "variables are not filled in here: it is needed before any node is asked")
            }
            _ => Ok(()),
        })
    }

    /// Whether it is a series of experiments, a search or a sweep, and none by itself.
    pub const fn is_study(&self) -> bool {
        self.search.is_some() || self.sweep.is_some()
    }

    /// Refuses what a daemon does not take; says which field and why: a search, a sweep, or an experiment that runs by
    /// itself.
    ///
    /// # Errors
    /// When a field does not make sense, which the error names.
    pub fn validate_submitted(&self) -> Result<(), SpecError> {
        match (&self.search, &self.sweep) {
            (Some(_), _) => self.validate_search(),
            (None, Some(_)) => self.validate_sweep(),
            (None, None) => self.validate(),
        }
    }

    /// Refuses what is no experiment that runs by itself; says which field and why. What is a series of them is none:
    /// see [`ExperimentSpec::validate_scaling`], [`ExperimentSpec::validate_search`] and
    /// [`ExperimentSpec::validate_sweep`].
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.scaling.is_some() {
            return refuse("scaling", "run it with `nuncius run`: it starts and counts workers");
        }
        for (field, is_given) in [("search", self.search.is_some()), ("sweep", self.sweep.is_some())] {
            if is_given {
                return refuse(field, "it is a series of experiments, of which each runs by itself without this field");
            }
        }
        if let Some(id) = &self.id {
            check_token("experiment", id).map_err(|e| SpecError { field: "id".into(), problem: e.to_string() })?;
        }
        for (field, text) in [("name", &self.name), ("creator", &self.creator)] {
            if text.as_ref().is_some_and(|t| t.len() > 256 || t.chars().any(char::is_control)) {
                return refuse(field, "longer than 256 bytes, or holds control characters");
            }
        }
        self.check_variables()?;
        at_most("metadata", self.metadata.len(), ENTRIES_MAX)?;
        check_values("metadata", self.metadata.iter())?;
        check_services(&self.services, Reading::Written)?;
        check_pinned(&self.pinned_routes, &self.services)?;
        self.bundle.as_ref().map_or(Ok(()), check_bundle)?;
        check_nodes("nodes", &self.nodes)?;
        if !(0.0..=1.0).contains(&self.run_delay_limit) {
            return refuse("run_delay_limit", "not within 0 to 1");
        }
        if !(0.0..=1.0).contains(&self.max_deficit) {
            return refuse("max_deficit", "not within 0 to 1");
        }
        if self.horizon.is_some_and(|horizon| !(HORIZON_MIN_NS..=HORIZON_MAX_NS).contains(&horizon.0)) {
            return refuse("horizon", "not within 2s to 1h: nodes report once a second");
        }
        if !(0.0..=1.0).contains(&self.trace_ratio) {
            return refuse("trace_ratio", "not within 0 to 1");
        }
        if self.trace_slowest as usize > SLOWEST_MAX {
            return refuse("trace_slowest", format!("more than {SLOWEST_MAX}"));
        }
        self.telemetry.as_ref().map_or(Ok(()), telemetry::check)?;
        if self.lag_limit.0 == 0 {
            return refuse("lag_limit", "0 would make every run invalid");
        }
        if self.heartbeat_limit.0 == 0 {
            return refuse("heartbeat_limit", "0 would make every run invalid");
        }
        if self.drain.0 > TIMEOUT_MAX_NS {
            return refuse("drain", "longer than 1h");
        }
        if self.groups.is_empty() {
            return refuse("groups", "empty: an experiment needs at least one group");
        }
        at_most("groups", self.groups.len(), GROUPS_MAX)?;
        let mut names = BTreeSet::new();
        for (index, group) in self.groups.iter().enumerate() {
            let path = format!("groups[{index}]");
            if !names.insert(group.name.as_str()) {
                return refuse(format!("{path}.name"), format!("`{}` is taken by another group", group.name));
            }
            check_group(&path, group, Reading::Written)?;
        }
        let end_ns = Self::load_end_ns(&self.groups);
        stress::check(&self.stress, end_ns, check_nodes)?;
        profile::check(&self.profile, &self.groups, check_nodes)?;
        self.check_amendments()?;
        at_most("gates", self.gates.len(), GATES_MAX)?;
        for (index, gate) in self.gates.iter().enumerate() {
            gates::check(self, &format!("gates[{index}]"), gate)?;
        }
        Ok(())
    }
}

/// Refuses a group, whose field is `path`, and services whose variables have been filled in, as
/// [`ExperimentSpec::validate`] does before they are.
///
/// # Errors
/// The field and what is wrong with it. The problem may repeat what a variable stands for.
pub fn check_filled_in(path: &str, group: &Group, services: &BTreeMap<String, Vec<String>>) -> Result<(), SpecError> {
    check_services(services, Reading::FilledIn)?;
    check_group(path, group, Reading::FilledIn)
}

/// Refuses pinned routes that no routing table could have.
fn check_pinned(pinned: &BTreeMap<String, u64>, services: &BTreeMap<String, Vec<String>>) -> Result<(), SpecError> {
    at_most("pinned_routes", pinned.len(), ENTRIES_MAX)?;
    for name in pinned.keys() {
        let field = format!("pinned_routes.{}", name.chars().take(64).collect::<String>());
        let refuse = |problem: String| SpecError { field: field.clone(), problem };
        check_token("service", name).map_err(|error| refuse(error.to_string()))?;
        if services.contains_key(name) {
            return Err(refuse(
                "is in `services` as well, which goes before the routing table: leave one out".to_owned(),
            ));
        }
    }
    Ok(())
}

/// Refuses services as somebody wrote them.
pub(crate) fn check_written_services(services: &BTreeMap<String, Vec<String>>) -> Result<(), SpecError> {
    check_services(services, Reading::Written)
}

fn check_services(services: &BTreeMap<String, Vec<String>>, reading: Reading) -> Result<(), SpecError> {
    at_most("services", services.len(), ENTRIES_MAX)?;
    for (name, addresses) in services {
        let field = format!("services.{}", name.chars().take(64).collect::<String>());
        if !is_host_name(name) {
            return refuse(field, "not a service name: use 1 to 255 of A-Z a-z 0-9 . _ -");
        }
        if addresses.is_empty() {
            return refuse(field, "no address: give at least one host:port");
        }
        at_most(&field, addresses.len(), 1_024)?;
        for address in addresses.iter().filter(|address| reading.knows(address)) {
            check_address(&field, address)?;
        }
    }
    Ok(())
}

fn check_bundle(bundle: &BundleReference) -> Result<(), SpecError> {
    if let Err(error) = check_digest(&bundle.digest) {
        return refuse("bundle.digest", error.to_string());
    }
    if let Err(error) = check_app_name(&bundle.name) {
        return refuse("bundle.name", error.to_string());
    }
    if bundle.bytes == 0 { refuse("bundle.bytes", "no bundle is empty") } else { Ok(()) }
}

fn check_values<'a>(field: &str, entries: impl Iterator<Item = (&'a String, &'a String)>) -> Result<(), SpecError> {
    for (name, value) in entries {
        let shown: String = name.chars().take(64).collect();
        if name.is_empty() || name.len() > 256 || value.len() > VALUE_MAX_BYTES {
            let problem = format!("name empty or over 256 bytes, or value over {VALUE_MAX_BYTES} bytes");
            return refuse(format!("{field}.{shown}"), problem);
        }
        if name.chars().any(char::is_control) || value.contains('\0') {
            return refuse(format!("{field}.{}", shown.escape_debug()), "holds control characters");
        }
    }
    Ok(())
}

fn check_address(field: &str, address: &str) -> Result<(), SpecError> {
    if Host::read(address).is_ok_and(|host| host.port.is_some() && is_host(host)) {
        return Ok(());
    }
    refuse(field, format!("`{}` is not host:port", address.chars().take(80).collect::<String>()))
}

fn check_nodes(path: &str, nodes: &NodeSelection) -> Result<(), SpecError> {
    if nodes.count == Some(0) {
        return refuse(format!("{path}.count"), "0 nodes can do nothing");
    }
    at_most(&format!("{path}.labels"), nodes.labels.len(), ENTRIES_MAX)?;
    check_values(&format!("{path}.labels"), nodes.labels.iter())?;
    if let Some(names) = &nodes.names {
        if names.len() > NODE_NAMES_MAX_BYTES {
            return refuse(format!("{path}.names"), format!("longer than {NODE_NAMES_MAX_BYTES} bytes"));
        }
        if let Err(error) = regex::Regex::new(names) {
            return refuse(format!("{path}.names"), format!("not a regular expression: {error}"));
        }
    }
    Ok(())
}

fn check_group(path: &str, group: &Group, reading: Reading) -> Result<(), SpecError> {
    check_display_name(&format!("{path}.name"), &group.name)?;
    check_target(path, group, reading)?;
    connection::check_tls(path, group, reading)?;
    connection::check_connections(path, group)?;
    if let Some(nodes) = &group.nodes {
        check_nodes(&format!("{path}.nodes"), nodes)?;
    }
    at_most(&format!("{path}.headers"), group.headers.len(), ENTRIES_MAX)?;
    check_headers(&format!("{path}.headers"), group.headers.iter())?;
    options::check(path, group, reading)?;
    steps::check(path, group, reading)?;
    if group.engine == EngineKind::Amqp && group.steps.iter().all(|step| step.publish.is_none()) {
        return refuse(format!("{path}.steps"), "an amqp group needs a step with `publish`");
    }
    servo::check_group(path, group, reading)?;
    check_load(path, group)?;
    if group.max_in_flight == 0 {
        return refuse(format!("{path}.max_in_flight"), "0 would let nothing through");
    }
    if group.max_users == Some(0) {
        return refuse(format!("{path}.max_users"), "0 would let nobody in");
    }
    if group.users.zip(group.max_users).is_some_and(|(users, limit)| limit < users) {
        return refuse(format!("{path}.max_users"), "less than `users`, which amendments could only raise to it");
    }
    if group.timeout.0 == 0 {
        return refuse(format!("{path}.timeout"), "0 would let nothing through");
    }
    if group.timeout.0 > TIMEOUT_MAX_NS {
        return refuse(format!("{path}.timeout"), "longer than 1h");
    }
    Ok(())
}

fn check_target(path: &str, group: &Group, reading: Reading) -> Result<(), SpecError> {
    let field = format!("{path}.target");
    let schemes: &[&str] = match group.engine {
        EngineKind::Http => &["http", "https", "ws", "wss", "nats", "tls", "amqp", "amqps"],
        EngineKind::Amqp => &["amqp", "amqps"],
        EngineKind::Queue => &["queue"],
        EngineKind::Servo => &["http", "nats"],
    };
    if group.target.len() > URL_MAX_BYTES {
        return refuse(field, format!("longer than {URL_MAX_BYTES} bytes"));
    }
    if !reading.knows(&group.target) && group.target.starts_with('$') {
        return Ok(());
    }
    let Some((scheme, rest)) = split_scheme(&group.target).filter(|(scheme, _)| schemes.contains(scheme)) else {
        let shown: String = crate::redact::redact_url(&group.target).chars().take(80).collect();
        let schemes: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
        return refuse(field, format!("`{shown}` does not start with {}", schemes.join(" or ")));
    };
    if group.engine == EngineKind::Queue {
        if !reading.knows(rest) {
            return Ok(());
        }
        return check_queue_name(rest).map_err(|error| SpecError { field, problem: error.problem });
    }
    let plain = !reading.knows(rest) || group.target.bytes().all(|b| b.is_ascii_graphic());
    if !plain || group.target.contains('#') {
        return refuse(field, "holds spaces, control characters, `#` or characters that must be percent-encoded");
    }
    if !reading.knows(rest) {
        return Ok(());
    }
    let target = Target::with_scheme(scheme, rest);
    if target.authority.is_empty() {
        return refuse(field, "no host: name a service or host:port");
    }
    if !target.host().is_ok_and(is_host) {
        return refuse(field, "the host is neither a service nor host:port; a `/` in a password is written %2F");
    }
    Ok(())
}

fn check_stages(path: &str, stages: &[Stage]) -> Result<(), SpecError> {
    at_most(&format!("{path}.stages"), stages.len(), STAGES_MAX)?;
    for (index, stage) in stages.iter().enumerate() {
        if stage.rate > RATE_MAX || stage.to.is_some_and(|to| to > RATE_MAX) {
            return refuse(format!("{path}.stages[{index}].rate"), format!("more than {RATE_MAX}"));
        }
    }
    let offers = |stage: &Stage| stage.duration.0 > 0 && stage.rate.0.max(stage.to.map_or(0, |to| to.0)) > 0;
    if !stages.iter().any(offers) {
        return refuse(format!("{path}.stages"), "offer nothing: no stage has a rate above 0 for some time");
    }
    Ok(())
}

fn check_load(path: &str, group: &Group) -> Result<(), SpecError> {
    let duration = |ns: u64| {
        if ns > DURATION_MAX_NS { refuse(format!("{path}.duration"), "longer than 30d") } else { Ok(()) }
    };
    if group.iterations == Some(0) {
        return refuse(format!("{path}.iterations"), "0 iterations do nothing");
    }
    pattern::check_recorded(path, group)?;
    if let Some(users) = group.users {
        let is_open =
            group.rate.is_some() || !group.stages.is_empty() || group.rate_per_node || group.clients.is_some();
        if is_open || group.pattern.is_some() {
            let problem = "closed model: leave out rate, stages, pattern, clients and rate_per_node";
            return refuse(format!("{path}.users"), problem);
        }
        if users == 0 {
            return refuse(format!("{path}.users"), "0 users do nothing");
        }
        if users > USERS_MAX {
            return refuse(format!("{path}.users"), format!("more than {USERS_MAX}"));
        }
        if group.duration.is_some_and(|duration| duration.0 == 0) {
            return refuse(format!("{path}.duration"), "0s offers nothing");
        }
        if group.think_time.0 > TIMEOUT_MAX_NS {
            return refuse(format!("{path}.think_time"), "longer than 1h");
        }
        if let Some((field, problem)) = group.backoff.problem(TIMEOUT_MAX_NS) {
            return refuse(format!("{path}.backoff.{field}"), problem);
        }
        if group.duration.is_none() && group.iterations.is_none() {
            return refuse(format!("{path}.duration"), "missing: a closed group needs duration or iterations");
        }
        return duration(group.duration.map_or(0, |d| d.0));
    }
    if group.think_time.0 > 0 {
        return refuse(format!("{path}.think_time"), "belongs to the closed model (users)");
    }
    if !group.backoff.is_default() {
        return refuse(format!("{path}.backoff"), "belongs to the closed model (users)");
    }
    if let Some(pattern) = &group.pattern {
        pattern::check(path, group, pattern)?;
    }
    if let Some(clients) = &group.clients {
        clients::check(path, group, clients)?;
    }
    if group.has_pattern() || group.clients.is_some() {
        return duration(group.offered_ns().unwrap_or(0));
    }
    match (group.rate, group.stages.is_empty()) {
        (None, true) => {
            let problem = "missing: give rate and duration, stages, a pattern, clients, arrivals of a file, or users";
            return refuse(format!("{path}.rate"), problem);
        }
        (Some(_), false) => return refuse(format!("{path}.stages"), "give either rate or stages"),
        (None, false) => {
            if group.duration.is_some() {
                return refuse(format!("{path}.duration"), "stages have their own durations");
            }
            check_stages(path, &group.stages)?;
        }
        (Some(rate), true) => {
            if rate.0 == 0 {
                return refuse(format!("{path}.rate"), "0 offers nothing; a pause is a stage with rate 0");
            }
            if rate > RATE_MAX {
                return refuse(format!("{path}.rate"), format!("more than {RATE_MAX}"));
            }
            if group.duration.is_none() && group.iterations.is_none() {
                return refuse(format!("{path}.duration"), "missing: say how long the rate is offered");
            }
        }
    }
    let total = group.effective_stages().iter().fold(0u64, |sum, stage| sum.saturating_add(stage.duration.0));
    if total == 0 {
        return refuse(format!("{path}.duration"), "0s offers nothing");
    }
    duration(total)
}
