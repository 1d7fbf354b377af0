//! Steps of a flow: which of them do something of their own (`loop`, `parallel`, `think`, `log`, `function`), and which
//! belong to the engine.

use nuncius_schemas::flow::step::BRANCHES_MAX;
use nuncius_schemas::flow::{Op, Step, Think};
use nuncius_schemas::units::HumanDuration;
use serde_json::{Value, json};

use super::flow::{Engine, Flow};
use super::pieces::value;
use super::state::{State, Sure};
use super::template::has_template;
use super::texts::Place;
use super::view::{View, shown};
use super::{human, request, socketio, ws};

mod loops;

/// Deepest nesting of blocks that a specification takes.
const BLOCKS_MAX: usize = nuncius_schemas::flow::walk::BLOCKS_MAX;

impl Flow<'_> {
    /// Steps in their order. A list within the list is what an alias in YAML makes of several steps: they are steps of
    /// this one.
    pub(crate) fn steps(&mut self, state: &mut State<'_, '_>, list: &View<'_>, sure: &mut Sure) -> Vec<Value> {
        if !list.is_list() {
            state.ledger.refused(list.spot(), format!("{} stands where a list of steps is wanted", list.kind()));
            return Vec::new();
        }
        state.ledger.supported(list.spot());
        let mut made = Vec::new();
        for item in list.items() {
            if item.is_list() {
                let text = "a list within the list (an alias makes one): its steps are taken as steps of the flow";
                state.ledger.warn(item.spot(), text);
                for inner in item.items() {
                    made.extend(self.step(state, &inner, sure));
                }
            } else {
                made.extend(self.step(state, &item, sure));
            }
        }
        made
    }

    fn step(&mut self, state: &mut State<'_, '_>, step: &View<'_>, sure: &mut Sure) -> Vec<Value> {
        let entries = step.entries();
        let Some((first, _)) = entries.first() else {
            state.ledger.refused(step.spot(), format!("{} stands where a step is wanted", step.kind()));
            return Vec::new();
        };
        let first = *first;
        let has = |key: &str| step.get(key);
        if has("loop").is_some() {
            return self.repeat(state, step, sure);
        }
        if let Some(list) = has("parallel") {
            return self.parallel(state, step, &list, sure);
        }
        if let Some(think) = has("think") {
            return self.think(state, step, &think, sure);
        }
        if let Some(log) = has("log") {
            self.only(state, step, &["log"]);
            state.ledger.supported(log.spot());
            let mut text = state.text(&log, Place::Needed, sure);
            if text.is_empty() {
                text = "-".to_owned();
            }
            return vec![value(&Step::of_op(Op::Log(text)))];
        }
        if let Some(function) = has("function") {
            self.only(state, step, &["function"]);
            return self.function(state, &function, &step.path);
        }
        match self.engine {
            Engine::Ws => ws::step(state, self, step, sure),
            Engine::Socketio if has("emit").is_some() => socketio::emit(state, self, step, sure),
            Engine::Http | Engine::Socketio => request::step(state, self, step, first, sure),
        }
    }

    fn think(&mut self, state: &mut State<'_, '_>, step: &View<'_>, think: &View<'_>, sure: &Sure) -> Vec<Value> {
        self.only(state, step, &["think", "jitter"]);
        let own = step.get("jitter");
        if let Some(jitter) = &own {
            state.ledger.supported(jitter.spot());
        }
        let jitter = own.and_then(|jitter| jitter.text()).or_else(|| self.config.jitter.clone());
        let Some(text) = think.text() else {
            state.ledger.refused(think.spot(), format!("{} stands where a time is wanted", think.kind()));
            return Vec::new();
        };
        if has_template(&text) {
            let note = "a pause that depends on variables is made by the script, and has a line of its own in reports";
            state.ledger.approximated(think.spot(), note);
            for piece in super::template::parse(&text) {
                if let super::template::Piece::Variable(path) = piece {
                    drop(state.expression(&path, &think.spot(), sure));
                }
            }
            let export = state.script.think(&text, jitter.as_deref());
            return vec![self.call(&export, "think", &step.path)];
        }
        let seconds = match think.number() {
            // A fraction of a second was one in version 1. Version 2 makes `0.5ms` of it, and waits for nothing.
            Some(seconds) if seconds.fract() != 0.0 => {
                let text = "version 2 of Artillery does not wait here: it takes whole seconds, or a time with its \
                            unit; here it is a fraction of a second, as in version 1";
                state.ledger.warn(think.spot(), text);
                Some(seconds)
            }
            Some(seconds) => Some(seconds),
            None => human::seconds(&text),
        };
        let time = seconds.and_then(human::nanoseconds).map(HumanDuration);
        let Some(time) = time else {
            state.ledger.refused(think.spot(), format!("`{}` is no time: write seconds, or 500ms", shown(&text)));
            return Vec::new();
        };
        if time.0 > nuncius_schemas::flow::rule::THINK_MAX_NS {
            state.ledger.refused(think.spot(), "longer than 1h");
            return Vec::new();
        }
        state.ledger.supported(think.spot());
        match jittered(time, jitter.as_deref()) {
            Some(think) => vec![value(&Step::of_op(Op::Think(think)))],
            None => Vec::new(),
        }
    }

    fn parallel(&mut self, state: &mut State<'_, '_>, step: &View<'_>, list: &View<'_>, sure: &mut Sure) -> Vec<Value> {
        self.only(state, step, &["parallel", "limit"]);
        if !self.may_nest(state, list) {
            return Vec::new();
        }
        if !list.is_list() {
            state.ledger.refused(list.spot(), format!("{} stands where a list of steps is wanted", list.kind()));
            return Vec::new();
        }
        state.ledger.supported(list.spot());
        let limit = step.get("limit").and_then(|limit| {
            let number = state.known_number(&limit)?;
            state.ledger.supported(limit.spot());
            Some(number.clamp(1.0, BRANCHES_MAX as f64) as u32)
        });
        self.depth += 1;
        let mut branches: Vec<Vec<Value>> = Vec::new();
        for item in list.items() {
            // What one branch captures another does not see for certain.
            let mut own = sure.clone();
            branches.push(self.step(state, &item, &mut own));
        }
        self.depth -= 1;
        branches.retain(|branch| !branch.is_empty());
        match branches.len() {
            0 => Vec::new(),
            1 => branches.remove(0),
            count if count > BRANCHES_MAX => {
                state.ledger.refused(list.spot(), format!("{count} steps at once, at most {BRANCHES_MAX} are taken"));
                Vec::new()
            }
            _ => {
                let mut block = json!({ "branches": branches });
                if let (Some(limit), Some(map)) = (limit, block.as_object_mut()) {
                    map.insert("at_most".to_owned(), limit.into());
                }
                vec![json!({ "parallel": block })]
            }
        }
    }

    /// Whether a block may stand here.
    fn may_nest(&self, state: &mut State<'_, '_>, view: &View<'_>) -> bool {
        // One level is for conditions around requests.
        let may = self.depth + 1 < BLOCKS_MAX;
        if !may {
            state.ledger.refused(view.spot(), format!("nested too deep: at most {} blocks are taken", BLOCKS_MAX - 1));
        }
        may
    }
}

/// A pause with its jitter: milliseconds, or a share with `%`. `None` where there is no pause.
fn jittered(time: HumanDuration, jitter: Option<&str>) -> Option<Think> {
    let digits = |text: &str| text.trim().split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok();
    let spread_ns = match jitter {
        None => 0,
        Some(share) if share.contains('%') => {
            let part = u128::from(time.0) * u128::from(digits(share).unwrap_or(0)) / 100;
            u64::try_from(part).unwrap_or(u64::MAX)
        }
        Some(milliseconds) => digits(milliseconds).unwrap_or(0).saturating_mul(1_000_000),
    };
    let longest = time.0.saturating_add(spread_ns).min(nuncius_schemas::flow::rule::THINK_MAX_NS);
    match (time.0.saturating_sub(spread_ns), longest) {
        (_, 0) => None,
        (shortest, longest) if shortest == longest => Some(Think::Fixed(HumanDuration(longest))),
        (shortest, longest) => Some(Think::Between(HumanDuration(shortest), HumanDuration(longest))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_milliseconds_or_a_share() {
        let second = HumanDuration::from_secs(1);
        let between = |from, to| Some(Think::Between(HumanDuration::from_millis(from), HumanDuration::from_millis(to)));
        assert_eq!(jittered(second, None), Some(Think::Fixed(second)));
        assert_eq!(jittered(second, Some("20%")), between(800, 1_200));
        assert_eq!(jittered(second, Some("300")), between(700, 1_300));
        assert_eq!(jittered(second, Some("5000")), between(0, 6_000));
        assert_eq!(jittered(HumanDuration(0), None), None);
    }
}
