//! Variables are filled in before anything else is looked at: what is planned has none.

use std::borrow::Cow;
use std::collections::BTreeMap;

use nuncius_schemas::route::Route;
use nuncius_schemas::spec::texts::Text;
use nuncius_schemas::spec::validate::check_filled_in;
use nuncius_schemas::spec::{EngineKind, Group, SpecError};
use nuncius_schemas::variable;

use crate::error::PlanError;

/// Shortest value that is masked in errors, in bytes: to take out a shorter one would spoil the text and hide nothing.
const MASKED_MIN_BYTES: usize = 3;

/// What begins a template, and what stands for that.
const BRACES: &str = "{{";
const ESCAPED_BRACES: &str = "{{{{";

/// A group, the services and the routes, with their variables filled in.
#[derive(Debug)]
pub(super) struct FilledIn<'a> {
    pub(super) group: Group,
    pub(super) services: BTreeMap<String, Vec<String>>,
    pub(super) routes: Cow<'a, [Route]>,
    values: Values,
}

/// What was filled in: name and value, the longest value first.
#[derive(Debug, Default)]
struct Values(Vec<(String, String)>);

impl Values {
    fn of(values: BTreeMap<String, String>) -> Self {
        let mut values: Vec<(String, String)> = values.into_iter().collect();
        values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        Self(values)
    }

    /// A problem as it may be told.
    fn masked_in(&self, error: PlanError) -> PlanError {
        match error {
            PlanError::Field { field, problem } => PlanError::Field { field, problem: self.masked(&problem) },
            PlanError::UnknownService { field, service } => {
                PlanError::UnknownService { field, service: self.masked(&service) }
            }
            PlanError::Resolve { field, host, reason } => {
                PlanError::Resolve { field, host: self.masked(&host), reason: self.masked(&reason) }
            }
            PlanError::Forbidden { host, address } => PlanError::Forbidden { host: self.masked(&host), address },
            other @ (PlanError::NoGroup(_)
            | PlanError::Environment { .. }
            | PlanError::Policy { .. }
            | PlanError::Profile { .. }) => other,
        }
    }

    /// `text` with the variables' names instead of their values: an error must not tell these.
    fn masked(&self, text: &str) -> String {
        self.0
            .iter()
            .filter(|(_, value)| value.len() >= MASKED_MIN_BYTES)
            .fold(text.to_owned(), |text, (name, value)| text.replace(value.as_str(), &format!("${{{name}}}")))
    }
}

impl FilledIn<'_> {
    /// A problem as it may be told.
    pub(super) fn masked(&self, error: PlanError) -> PlanError {
        self.values.masked_in(error)
    }
}

/// A route with its variables filled in.
#[derive(Debug)]
pub(super) struct FilledInRoute {
    pub(super) route: Route,
    values: Values,
}

impl FilledInRoute {
    /// A problem as it may be told.
    pub(super) fn masked(&self, error: PlanError) -> PlanError {
        self.values.masked_in(error)
    }
}

/// Fills in the variables of a route that comes while load is offered.
pub(super) fn fill_in_route(
    route: &Route,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<FilledInRoute, PlanError> {
    let mut route = route.clone();
    let mut values = BTreeMap::new();
    fill_in_addresses(&mut route, &mut |field, text| {
        let mut look_up =
            |name: &str| environment(name).inspect(|value| drop(values.insert(name.to_owned(), value.clone())));
        variable::expand(text, &mut look_up)
            .map_err(|problem| PlanError::Environment { field: field.to_owned(), problem })
    })?;
    Ok(FilledInRoute { route, values: Values::of(values) })
}

fn has_variables(route: &Route) -> bool {
    route.hosts.iter().any(|host| variable::has_variables(&host.address))
}

fn fill_in_addresses(
    route: &mut Route,
    expand: &mut dyn FnMut(&str, &str) -> Result<String, PlanError>,
) -> Result<(), PlanError> {
    for host in &mut route.hosts {
        host.address = expand(&format!("routing table, {}", route.service), &host.address)?;
    }
    Ok(())
}

/// Fills in the variables of a group, of the services and of the routes, and checks the outcome like something written.
pub(super) fn fill_in<'a>(
    path: &str,
    group: &Group,
    services: &BTreeMap<String, Vec<String>>,
    routes: &'a [Route],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<FilledIn<'a>, PlanError> {
    let mut values = BTreeMap::new();
    let mut expand = |field: &str, text: &str, escapes: bool| {
        let mut look_up = |name: &str| {
            let value = environment(name)?;
            values.insert(name.to_owned(), value.clone());
            Some(if escapes { value.replace(BRACES, ESCAPED_BRACES) } else { value })
        };
        variable::expand(text, &mut look_up)
            .map_err(|problem| PlanError::Environment { field: field.to_owned(), problem })
    };
    // What a variable brings is a text, whatever is in it: where texts are templates its braces are kept from being
    // one.
    let has_templates = group.engine == EngineKind::Http && !group.is_static();
    let target = format!("{path}.target");
    let mut group = group.clone();
    group.visit_texts(path, &mut |Text { field, kind, value }| {
        if kind.is_filled_in() {
            let escapes = has_templates && field != target;
            *value = expand(&field, value, escapes)?;
        }
        Ok::<(), PlanError>(())
    })?;
    let mut services = services.clone();
    for (name, addresses) in &mut services {
        for (index, address) in addresses.iter_mut().enumerate() {
            *address = expand(&format!("services.{name}[{index}]"), address, false)?;
        }
    }
    let mut routes = Cow::Borrowed(routes);
    if routes.iter().any(has_variables) {
        for route in routes.to_mut() {
            fill_in_addresses(route, &mut |field, text| expand(field, text, false))?;
        }
    }
    let filled = FilledIn { group, services, routes, values: Values::of(values) };
    check_filled_in(path, &filled.group, &filled.services)
        .map_err(|SpecError { field, problem }| filled.masked(PlanError::Field { field, problem }))?;
    Ok(filled)
}
