//! `config.phases`: who begins, and when.

use nuncius_schemas::spec::Arrivals;

use super::human;
use super::phases::{self, Load, Phase, Schedule};
use super::state::State;
use super::view::{View, shown};

const KNOWN: [&str; 8] = ["name", "duration", "arrivalRate", "rampTo", "arrivalCount", "pause", "maxVusers", "mode"];

/// Most users at once of a group whose phases have no cap, on one node: what a node takes unless it is told otherwise.
const IN_FLIGHT_MAX: u64 = 100_000;

/// Who begins, when, and how many may be there at once.
#[derive(Debug)]
pub(crate) struct Arriving {
    pub(crate) schedule: Schedule,
    pub(crate) arrivals: Arrivals,
    pub(crate) max_in_flight: u32,
    pub(crate) max_users: Option<u32>,
}

/// A phase as it is written.
struct Written {
    name: Option<String>,
    load: Load,
    max_vusers: Option<u64>,
    /// Whether its arrivals are spaced by chance.
    is_poisson: Option<bool>,
}

/// Reads the phases; `None` where one is refused.
pub(crate) fn read(state: &mut State<'_, '_>, config: &View<'_>) -> Option<Arriving> {
    let default_mode = config.get("mode").and_then(|view| {
        state.ledger.supported(view.spot());
        state.known(&view)
    });
    let list = config.get("phases").filter(|phases| !phases.is_nothing() && !state.options.solo);
    let Some(list) = list else {
        if let Some(view) = config.get("phases") {
            state.ledger.approximated(view.spot(), "with --solo there is one user, once");
        }
        let schedule = phases::schedule(&[(None, Load::Count { duration_s: 1.0, users: 1.0 }, None)]).ok()?;
        return Some(Arriving { schedule, arrivals: Arrivals::Constant, max_in_flight: 1, max_users: None });
    };
    if !list.is_list() {
        state.ledger.fatal(list.spot(), format!("{} stands where a list of phases is wanted", list.kind()));
        return None;
    }
    state.ledger.supported(list.spot());
    let mut views = list.items();
    let mut written = Vec::new();
    // A phase that is refused is left out, where that is wanted at all.
    views.retain(|view| phase(state, view, default_mode.as_deref()).map(|phase| written.push(phase)).is_some());
    let schedule = loop {
        let loads: Vec<_> =
            written.iter().map(|phase: &Written| (phase.name.clone(), phase.load, phase.max_vusers)).collect();
        match phases::schedule(&loads) {
            Ok(schedule) => break schedule,
            Err((index, problem)) => {
                state.ledger.refused(views.get(index).map_or_else(|| list.spot(), View::spot), problem);
                if index >= views.len() {
                    state.ledger.fatal(list.spot(), "there is nothing to do");
                    return None;
                }
                views.remove(index);
                written.remove(index);
            }
        }
    };
    if schedule.phases.iter().all(|phase| phase.users == 0) {
        state.ledger.fatal(list.spot(), "its phases create nobody");
        return None;
    }
    let arrivals = spacing(state, &list, &written);
    let max_users = cap(state, &list, &written, &schedule);
    let max_in_flight = room(&schedule);
    Some(Arriving { schedule, arrivals, max_in_flight, max_users })
}

fn phase(state: &mut State<'_, '_>, view: &View<'_>, default_mode: Option<&str>) -> Option<Written> {
    if !view.is_map() {
        state.ledger.refused(view.spot(), format!("{} stands where a phase is wanted", view.kind()));
        return None;
    }
    for (key, inner) in view.entries() {
        match key {
            key if KNOWN.contains(&key) => state.ledger.supported(inner.spot()),
            other => state.ledger.unknown(inner.spot(), other, &KNOWN),
        }
    }
    let get = |key: &str| view.get(key).filter(|view| !view.is_nothing());
    let number = |state: &mut State<'_, '_>, key: &str| -> Option<Option<f64>> {
        match get(key) {
            None => Some(None),
            Some(view) => Some(Some(state.known_number(&view)?)),
        }
    };
    let rate = number(state, "arrivalRate")?;
    let ramp_to = number(state, "rampTo")?;
    let count = number(state, "arrivalCount")?;
    let max_vusers = number(state, "maxVusers")?;
    let duration = |state: &mut State<'_, '_>, key: &str| -> Option<f64> {
        let Some(inner) = get(key) else {
            state.ledger.refused(view.spot(), format!("it has no `{key}`"));
            return None;
        };
        let text = state.known(&inner)?;
        let seconds =
            human::seconds(&text).filter(|seconds| *seconds > 0.0 && !(inner.is_number() && seconds.fract() != 0.0));
        if seconds.is_none() {
            let note = format!("`{}` is no time: write whole seconds, or 90s, 2m, 1h", shown(&text));
            state.ledger.refused(inner.spot(), note);
        }
        seconds
    };
    let mut load = if get("pause").is_some() {
        Load::Pause { duration_s: duration(state, "pause")? }
    } else if let Some(users) = count {
        Load::Count { duration_s: duration(state, "duration")?, users }
    } else if let Some(to_per_s) = ramp_to {
        let duration_s = if get("duration").is_some() { duration(state, "duration")? } else { 1.0 };
        Load::Ramp { duration_s, from_per_s: rate.unwrap_or(0.0), to_per_s }
    } else if let Some(rate_per_s) = rate {
        Load::Rate { duration_s: duration(state, "duration")?, rate_per_s }
    } else {
        state.ledger.refused(view.spot(), "it creates nobody: give `arrivalRate`, `rampTo`, `arrivalCount` or `pause`");
        return None;
    };
    let mode = match get("mode") {
        Some(inner) => state.known(&inner),
        None => default_mode.map(str::to_owned),
    };
    let is_poisson = match (load, mode.as_deref()) {
        (Load::Rate { .. }, Some("poisson")) => Some(true),
        (Load::Rate { .. }, None | Some("uniform")) => Some(false),
        (Load::Rate { .. }, Some(other)) => {
            state
                .ledger
                .refused(view.spot(), format!("the mode `{}` is none: there are uniform and poisson", shown(other)));
            return None;
        }
        (Load::Pause { .. } | Load::Count { .. } | Load::Ramp { .. }, _) => None,
    };
    // A cap of nothing lets nobody in: who comes is skipped.
    if max_vusers.is_some_and(|most| most <= 0.0) {
        let duration_s = match load {
            Load::Pause { duration_s } | Load::Rate { duration_s, .. } | Load::Count { duration_s, .. } => duration_s,
            Load::Ramp { duration_s, .. } => duration_s.ceil(),
        };
        load = Load::Pause { duration_s };
        let text = "`maxVusers` of 0 skips everybody who comes in this phase: it is a pause";
        state.ledger.warn(view.spot(), text);
    }
    let name = get("name").and_then(|name| {
        let text = name.text()?;
        Some(state.label(&text))
    });
    Some(Written { name, load, max_vusers: max_vusers.map(|most| most.clamp(0.0, 1e15).ceil() as u64), is_poisson })
}

/// How arrivals are spaced: a group has one way for all of its schedule.
fn spacing(state: &mut State<'_, '_>, list: &View<'_>, written: &[Written]) -> Arrivals {
    let modes: Vec<bool> = written.iter().filter_map(|phase| phase.is_poisson).collect();
    let is_chance = modes.contains(&true);
    if is_chance
        && written.iter().any(|phase| phase.is_poisson != Some(true) && !matches!(phase.load, Load::Pause { .. }))
    {
        let note = "arrivals by chance (`mode: poisson`) are those of all phases here, of ramps and counts, too";
        state.ledger.approximated(list.spot(), note);
    }
    if is_chance { Arrivals::Poisson } else { Arrivals::Constant }
}

/// How many users there may be at once over all nodes; absent where no phase has a cap.
///
/// Artillery's cap is that of the present phase. Here it is one for all: the highest, where every phase that creates
/// users has one, or creates fewer than that.
fn cap(state: &mut State<'_, '_>, list: &View<'_>, written: &[Written], schedule: &Schedule) -> Option<u32> {
    let phases = || written.iter().zip(&schedule.phases).filter(|(_, phase)| phase.users > 0);
    let highest = phases().filter_map(|(written, _)| written.max_vusers).max()?;
    let without: u64 = phases().filter(|(written, _)| written.max_vusers.is_none()).map(|(_, phase)| phase.users).sum();
    let most = highest.max(without).clamp(1, IN_FLIGHT_MAX);
    let is_the_same = |(written, phase): (&Written, &Phase)| match written.max_vusers {
        Some(cap) => cap == most,
        None => phase.users <= most,
    };
    let is_exact = phases().all(is_the_same);
    for view in list.items() {
        if let Some(cap) = view.get("maxVusers").filter(|_| !is_exact) {
            let note = format!("there is one cap for all phases: {most} at once, over all nodes");
            state.ledger.approximated(cap.spot(), note);
        }
    }
    u32::try_from(most).ok()
}

/// Room for all users of a schedule.
fn room(schedule: &Schedule) -> u32 {
    let total: u64 = schedule.phases.iter().map(|phase| phase.users).sum();
    u32::try_from(total.clamp(1, IN_FLIGHT_MAX)).unwrap_or(u32::MAX)
}
