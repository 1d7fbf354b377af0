//! Gates that could never be decided, whatever is measured, are refused; what could be judged instead is named.

use crate::gate::{Gate, GateMetric, Quantity};
use crate::spec::check::{SpecError, refuse};
use crate::spec::limits::WINDOW_MAX_NS;
use crate::spec::{Arrivals, EngineKind, ExperimentSpec, Group};
use crate::units::{HumanDuration, SECOND_NS};

/// Least events by which an exact 95 % bound says that there are any but none: −ln 0.05.
const POISSON_UPPER_OF_NONE: f64 = 2.9957;

/// Lower 95 % bounds of a Poisson mean by what was counted, 0, 1, 2 … (Garwood, Biometrika 28, 1936).
const POISSON_LOWER: [f64; 8] = [0.0, 0.0513, 0.3554, 0.8177, 1.3663, 1.9701, 2.6130, 3.2853];

pub(super) fn check(spec: &ExperimentSpec, path: &str, gate: &Gate) -> Result<(), SpecError> {
    if let Some(name) = &gate.group
        && !spec.groups.iter().any(|group| group.name == *name)
    {
        return refuse(format!("{path}.group"), format!("no group is named `{}`", shown(name)));
    }
    let named = |group: &&Group| gate.group.as_ref().is_none_or(|name| group.name == *name);
    let has_step = |group: &&Group| gate.step.as_ref().is_none_or(|step| group.step_names().contains(step));
    let scope: Vec<&Group> = spec.groups.iter().filter(named).filter(has_step).collect();
    if let Some(step) = gate.step.as_ref().filter(|_| scope.is_empty()) {
        return refuse(format!("{path}.step"), format!("no step is named `{}`", shown(step)));
    }
    check_quantity(path, gate, &scope)?;
    let Some(over) = gate.over else { return Ok(()) };
    if over.0 < SECOND_NS || over.0 % SECOND_NS != 0 || over.0 > WINDOW_MAX_NS {
        return refuse(format!("{path}.over"), "a window is a whole number of seconds, 1s to 1h");
    }
    check_extent(path, over, &scope)?;
    check_rate(path, gate, over, &scope)
}

fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

/// Whether a quantity is measured in a group, at one of its steps when that is named.
fn is_measured(quantity: Quantity, group: &Group, step: Option<&str>) -> bool {
    let steps = group.measured_steps();
    let consumes = |name: &str| steps.iter().any(|known| known.name == name && known.step.consume.is_some());
    // In a session each step is planned: at the end of the one before, and the pause between them.
    let is_planned = |is_first: bool| is_first || (group.engine == EngineKind::Http && !group.is_static());
    let first = group.step_names().into_iter().find(|name| !consumes(name));
    let is_first = step.is_none_or(|step| first.as_deref() == Some(step));
    let is_consumed = step.is_some_and(consumes);
    match (group.engine, quantity) {
        // Servos plan each of their events themselves.
        (EngineKind::Servo, _) => true,
        (_, Quantity::Service) => true,
        (_, Quantity::Blocked) => !is_consumed,
        // A message says when it was planned.
        (_, Quantity::Response) => group.is_open() && (is_planned(is_first) || is_consumed),
        (_, Quantity::Lag) => group.is_open() && is_planned(is_first),
    }
}

/// A quantity that no group of the scope measures.
fn check_quantity(path: &str, gate: &Gate, scope: &[&Group]) -> Result<(), SpecError> {
    let step = gate.step.as_deref();
    let measured = |quantity: Quantity| scope.iter().any(|group| is_measured(quantity, group, step));
    let Some(quantity) = gate.expression.metric.quantity().filter(|quantity| !measured(*quantity)) else {
        return Ok(());
    };
    let why = if scope.iter().any(|group| group.is_open()) {
        "is measured from the planned instant, and only the first step of an iteration has one"
    } else {
        "is measured from the planned instant, and users who wait for their answers (closed model) have none"
    };
    let there: Vec<&str> =
        Quantity::ALL.into_iter().filter(|quantity| measured(*quantity)).map(Quantity::name).collect();
    let instead = match gate.expression.metric {
        GateMetric::Quantile { quantile, .. } => GateMetric::Quantile { quantity: Quantity::Service, quantile },
        GateMetric::Max(_) => GateMetric::Max(Quantity::Service),
        other @ (GateMetric::Failures | GateMetric::Censored | GateMetric::Rate) => other,
    };
    let problem = format!("`{}` {why}: write `{instead}`, or judge {} here", quantity.name(), there.join(" or "));
    refuse(format!("{path}.expression"), problem)
}

/// When a group's load begins and ends at most, in nanoseconds; `None` where nobody knows the end.
fn extent_ns(group: &Group) -> Option<(u64, u64)> {
    if !group.is_open() || group.has_pattern() {
        return group.duration.map(|duration| (0, duration.0));
    }
    let mut at_ns = 0u64;
    let mut left = match group.arrivals {
        // All of a profile without nodes of its own: a rate for each node only makes it end sooner.
        Arrivals::Constant if !group.rate_per_node => group.iterations.map(|iterations| iterations as f64),
        Arrivals::Constant | Arrivals::Poisson | Arrivals::Recorded(_) => None,
    };
    let (mut begin, mut end) = (None, 0);
    for stage in group.effective_stages() {
        let (from, to) = (stage.rate.as_per_second(), stage.to.unwrap_or(stage.rate).as_per_second());
        let stage_end = at_ns.saturating_add(stage.duration.0);
        if from.max(to) > 0.0 && stage.duration.0 > 0 {
            begin.get_or_insert(at_ns);
            end = stage_end;
            if let Some(left) = &mut left {
                let seconds = stage.duration.as_secs_f64();
                let arrivals = f64::midpoint(from, to) * seconds;
                if arrivals >= *left {
                    end = at_ns.saturating_add((time_of(*left, from, to, seconds) * SECOND_NS as f64).ceil() as u64);
                    break;
                }
                *left -= arrivals;
            }
        }
        at_ns = stage_end;
    }
    Some((begin.unwrap_or(0), end))
}

/// Seconds into a stage by which `arrivals` of it have come: the root of from·t + (to − from)·t²/(2·seconds).
fn time_of(arrivals: f64, from: f64, to: f64, seconds: f64) -> f64 {
    let slope = (to - from) / seconds;
    let root = (from * from + 2.0 * slope * arrivals).max(0.0).sqrt();
    (2.0 * arrivals / (from + root)).clamp(0.0, seconds)
}

/// A window that is longer than the load.
fn check_extent(path: &str, over: HumanDuration, scope: &[&Group]) -> Result<(), SpecError> {
    let Some(extents) = scope.iter().map(|group| extent_ns(group)).collect::<Option<Vec<_>>>() else { return Ok(()) };
    let first = extents.iter().map(|(begin, _)| begin.div_ceil(SECOND_NS)).min().unwrap_or(0);
    let after = extents.iter().map(|(_, end)| end / SECOND_NS).max().unwrap_or(0);
    let seconds = after.saturating_sub(first);
    if over.0 / SECOND_NS > seconds {
        let problem = format!(
            "longer than the load that it judges, which has {seconds} whole seconds: shorten the window, or leave \
             `over` out to judge all of it"
        );
        return refuse(format!("{path}.over"), problem);
    }
    Ok(())
}

/// A rate whose windows hold so few requests that none of them can be on either side of the limit for certain.
fn check_rate(path: &str, gate: &Gate, over: HumanDuration, scope: &[&Group]) -> Result<(), SpecError> {
    let limit = gate.expression.limit;
    let expected = limit * over.as_secs_f64();
    // How many users do in a window, and chance, are not known before.
    let is_known = |group: &&Group| group.is_open() && group.arrivals == Arrivals::Constant && !group.rate_per_node;
    if gate.expression.metric != GateMetric::Rate
        || expected <= 0.0
        || expected > POISSON_UPPER_OF_NONE
        || !scope.iter().all(is_known)
    {
        return Ok(());
    }
    let highest = |group: &&Group| group.highest_rate().as_per_second();
    let most = scope.iter().map(|group| (highest(group) * over.as_secs_f64()).ceil() + 1.0).sum::<f64>();
    let proven = POISSON_LOWER.get(most as usize);
    if proven.is_none_or(|proven| *proven > expected) {
        return Ok(());
    }
    let needed = (POISSON_UPPER_OF_NONE / limit).ceil();
    let problem = format!(
        "a window has at most {most} requests, too few to tell its rate from {limit}/s with 95 % confidence: make it \
         {needed}s or longer, or leave `over` out"
    );
    refuse(format!("{path}.over"), problem)
}

#[cfg(test)]
mod tests;
