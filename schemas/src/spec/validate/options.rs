//! What the options of a group that its scenarios need must keep to.

use std::collections::BTreeSet;

use crate::flow::http::REDIRECTS_MAX;
use crate::flow::rule::check_variable_name;
use crate::flow::value;
use crate::flow::{Auth, ByteSize};
use crate::spec::check::{Reading, SpecError, at_most, refuse};
use crate::spec::limits::{DURATION_MAX_NS, ENTRIES_MAX, USERS_MAX};
use crate::spec::{EngineKind, Group, meters};

/// Most feeders of a group.
const FEEDERS_MAX: usize = 16;
/// Largest `body_limit`, in bytes.
const BODY_LIMIT_MAX_BYTES: u64 = 64 << 20;

pub(super) fn check(path: &str, group: &Group, reading: Reading) -> Result<(), SpecError> {
    check_engine(path, group)?;
    if group.max_connections.is_some_and(|most| most == 0 || most > USERS_MAX) {
        return refuse(format!("{path}.max_connections"), format!("give 1 to {USERS_MAX}"));
    }
    if group.redirects > REDIRECTS_MAX {
        return refuse(format!("{path}.redirects"), format!("more than {REDIRECTS_MAX}"));
    }
    if group.body_limit.is_some_and(|ByteSize(bytes)| bytes == 0 || bytes > BODY_LIMIT_MAX_BYTES) {
        let most = ByteSize(BODY_LIMIT_MAX_BYTES);
        return refuse(format!("{path}.body_limit"), format!("give 1B to {most}: each user may keep so much"));
    }
    if let Some(auth) = &group.auth {
        auth.check(&format!("{path}.auth"), reading)?;
        if let Some(name) = group.headers.keys().find(|name| name.eq_ignore_ascii_case("authorization"))
            && *auth != Auth::None
        {
            return refuse(format!("{path}.headers.{name}"), "is made of `auth`: give one of them");
        }
    }
    check_warm_up(path, group)?;
    check_data(path, group)?;
    meters::check(path, group)?;
    group.script.as_ref().map_or(Ok(()), |script| script.check(&format!("{path}.script")))
}

/// What only sessions over HTTP have.
fn check_engine(path: &str, group: &Group) -> Result<(), SpecError> {
    let written = [
        ("http", group.http.is_some()),
        ("max_connections", group.max_connections.is_some()),
        ("redirects", group.redirects > 0),
        ("cookies", group.cookies.is_some()),
        ("compression", group.compression),
        ("body_limit", group.body_limit.is_some()),
        ("auth", group.auth.is_some()),
        ("variables", !group.variables.is_empty()),
        ("feeders", !group.feeders.is_empty()),
        ("script", group.script.is_some()),
        ("meters", !group.meters.is_empty()),
        ("before", !group.before.is_empty()),
        ("after", !group.after.is_empty()),
        ("scenarios", !group.scenarios.is_empty()),
    ];
    match written.into_iter().find(|(_, is_there)| *is_there) {
        Some((name, _)) if group.engine != EngineKind::Http => {
            refuse(format!("{path}.{name}"), "belongs to `engine: http`")
        }
        Some(_) | None => Ok(()),
    }
}

fn check_warm_up(path: &str, group: &Group) -> Result<(), SpecError> {
    let field = format!("{path}.warm_up");
    if group.warm_up.0 == 0 {
        return Ok(());
    }
    if matches!(group.engine, EngineKind::Servo | EngineKind::Amqp) {
        return refuse(field, "belongs to `engine: http` and jobs: leave it out");
    }
    if group.warm_up.0 > DURATION_MAX_NS {
        return refuse(field, "longer than 30d");
    }
    match group.offered_ns() {
        Some(offered_ns) if group.warm_up.0 >= offered_ns => {
            refuse(field, "as long as the load, of which nothing would be left to count")
        }
        Some(_) | None => Ok(()),
    }
}

/// Variables and rows: all names are different, and no value waits for another.
fn check_data(path: &str, group: &Group) -> Result<(), SpecError> {
    at_most(&format!("{path}.variables"), group.variables.len(), ENTRIES_MAX)?;
    let mut names = BTreeSet::new();
    for (name, value) in &group.variables {
        let field = format!("{path}.variables.{}", name.chars().take(64).collect::<String>());
        check_variable_name(&field, name)?;
        if value::has_template(value) {
            return refuse(field, "templates are not filled in here: a constant is one; `set` works out the rest");
        }
        names.insert(name.as_str());
    }
    at_most(&format!("{path}.feeders"), group.feeders.len(), FEEDERS_MAX)?;
    for (index, feeder) in group.feeders.iter().enumerate() {
        let path = format!("{path}.feeders[{index}]");
        feeder.check(&path)?;
        if !names.insert(feeder.name.as_str()) {
            let problem = format!("`{}` is taken by another feeder or a variable", feeder.name);
            return refuse(format!("{path}.name"), problem);
        }
    }
    Ok(())
}
