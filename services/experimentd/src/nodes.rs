//! The daemon's view of the registry, and which nodes are spoken for.
//!
//! Experiments that wait for nodes get them in the order in which they were submitted. One that has too few yet keeps
//! the free ones that it needs, so that many small experiments never hold up a large one for ever; one that wants
//! nodes which are not there keeps nothing. The order is that of one daemon: two of them take turns as nodes come free.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::spec::ExperimentSpec;
use tokio::sync::watch;

use crate::plan::{Plan, PlanError, plan};

/// Who is here, and who is spoken for. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Nodes {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct State {
    present: BTreeMap<String, NodeInfo>,
    /// Nodes that work for an experiment, or will.
    reserved: BTreeMap<String, String>,
    /// Experiments that wait, by the sequence of their submission.
    waiting: BTreeMap<(u64, String), Waiting>,
    /// Something has changed since nodes were given out.
    is_stale: bool,
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// In the registry under its name.
    Here,
    /// Under another one: somebody took its own while the bus was away.
    Renamed(String),
    /// Another incarnation has its name, and it is not there.
    Replaced,
    /// Nobody has its name.
    Gone,
}

/// What an experiment waits for.
#[derive(Debug)]
struct Waiting {
    spec: Arc<ExperimentSpec>,
    excluded: BTreeSet<String>,
    /// What came of it when nodes were last given out.
    outcome: Option<Result<Plan, PlanError>>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { state: Arc::default(), changed: Arc::new(watch::channel(0).0) }
    }
}

/// An incarnation of a node that had this name, whatever its name is now.
fn find<'a>(state: &'a State, name: &str, epoch: u64) -> Option<&'a NodeInfo> {
    let is_it = |node: &&NodeInfo| node.epoch == epoch;
    state.present.get(name).filter(is_it).or_else(|| state.present.values().find(is_it))
}

impl Nodes {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    /// Changes something, and tells whoever waits if it did.
    fn change(&self, act: impl FnOnce(&mut State) -> bool) {
        let has_changed = self.with(|state| {
            let has_changed = act(state);
            state.is_stale |= has_changed;
            has_changed
        });
        if has_changed {
            self.tell();
        }
    }

    /// Told whenever somebody comes, goes or becomes free.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A node joined, changed, or said the same again.
    pub(crate) fn put(&self, info: NodeInfo) {
        self.change(|state| match state.present.get_mut(&info.name) {
            Some(known) => {
                // Most of what the registry says are heartbeats, and nobody waits for a round trip.
                known.round_trip_ns = info.round_trip_ns;
                let is_news = *known != info;
                *known = info;
                is_news
            }
            None => state.present.insert(info.name.clone(), info).is_none(),
        });
    }

    /// A node left, or its key expired.
    pub(crate) fn remove(&self, name: &str) {
        self.change(|state| state.present.remove(name).is_some());
    }

    /// Everybody who is here.
    pub(crate) fn present(&self) -> Vec<NodeInfo> {
        self.with(|state| state.present.values().cloned().collect())
    }

    /// One of them.
    pub(crate) fn get(&self, name: &str) -> Option<NodeInfo> {
        self.with(|state| state.present.get(name).cloned())
    }

    /// What an incarnation of a node says that had this name when it was planned with, whatever its name is now.
    pub(crate) fn incarnation(&self, name: &str, epoch: u64) -> Option<NodeInfo> {
        self.with(|state| find(state, name, epoch).cloned())
    }

    /// Where an incarnation of a node is that had this name when it was planned with.
    pub(crate) fn whereabouts(&self, name: &str, epoch: u64) -> Whereabouts {
        self.with(|state| match find(state, name, epoch) {
            Some(node) if node.name == name => Whereabouts::Here,
            Some(node) => Whereabouts::Renamed(node.name.clone()),
            None if state.present.contains_key(name) => Whereabouts::Replaced,
            None => Whereabouts::Gone,
        })
    }

    /// The longest that the bus takes between us and any of these nodes and back, as they say themselves.
    pub(crate) fn round_trip<'a>(&self, us: &str, names: impl Iterator<Item = &'a str>) -> Duration {
        self.with(|state| {
            let of = |name: &str| state.present.get(name).map_or(0, |node| node.round_trip_ns);
            Duration::from_nanos(of(us).saturating_add(names.map(of).max().unwrap_or(0)))
        })
    }

    /// An experiment begins to wait, or waits anew without what it had: for nodes other than those `excluded`.
    pub(crate) fn wait(
        &self,
        sequence: u64,
        experiment: &str,
        spec: &Arc<ExperimentSpec>,
        excluded: &BTreeSet<String>,
    ) {
        self.change(|state| {
            state.leave(experiment);
            let waiting = Waiting { spec: Arc::clone(spec), excluded: excluded.clone(), outcome: None };
            state.waiting.insert((sequence, experiment.to_owned()), waiting);
            true
        });
    }

    /// Takes nodes for an experiment that runs on them already.
    pub(crate) fn hold<'a>(&self, experiment: &str, nodes: impl Iterator<Item = &'a str>) {
        self.change(|state| {
            state.reserved.extend(nodes.map(|node| (node.to_owned(), experiment.to_owned())));
            true
        });
    }

    /// What an experiment that waits has got: its nodes are reserved with the plan, and it waits no longer.
    pub(crate) fn allotted(&self, sequence: u64, experiment: &str) -> Option<Result<Plan, PlanError>> {
        let (outcome, has_given) = self.with(|state| {
            let has_given = state.is_stale && state.allot();
            let key = (sequence, experiment.to_owned());
            let outcome = match state.waiting.get(&key).and_then(|waiting| waiting.outcome.as_ref()) {
                Some(Err(problem)) => Some(Err(problem.clone())),
                Some(Ok(_)) => state.waiting.remove(&key).and_then(|waiting| waiting.outcome),
                None => None,
            };
            (outcome, has_given)
        });
        if has_given {
            // Others may have got theirs, too.
            self.tell();
        }
        outcome
    }

    /// Gives back whatever an experiment had taken, or waited for.
    pub(crate) fn release(&self, experiment: &str) {
        self.change(|state| state.leave(experiment));
    }
}

impl State {
    /// Whether the experiment had or wanted anything.
    fn leave(&mut self, experiment: &str) -> bool {
        let before = self.reserved.len() + self.waiting.len();
        self.reserved.retain(|_, by| by != experiment);
        self.waiting.retain(|(_, id), _| id != experiment);
        before != self.reserved.len() + self.waiting.len()
    }

    /// Gives nodes to those who wait, first come first served. Whether anybody got any.
    fn allot(&mut self) -> bool {
        self.is_stale = false;
        let Self { present, reserved, waiting, .. } = self;
        let nodes: Vec<&NodeInfo> = present.values().collect();
        let mut kept: BTreeSet<String> = BTreeSet::new();
        let mut has_given = false;
        for ((_, experiment), waiting) in waiting.iter_mut() {
            if matches!(waiting.outcome, Some(Ok(_))) {
                continue;
            }
            let is_free = |node: &NodeInfo| {
                let other = |by: &String| by != experiment;
                // By our reservation or by their own word.
                !reserved.get(&node.name).is_some_and(other)
                    && !node.experiment.as_ref().is_some_and(other)
                    && !kept.contains(&node.name)
            };
            let outcome = plan(&waiting.spec, &nodes, &is_free, &waiting.excluded);
            match &outcome {
                Ok(plan) => {
                    has_given = true;
                    reserved.extend(plan.nodes.iter().map(|node| (node.name.clone(), experiment.clone())));
                }
                Err(PlanError::Busy { kept: more, .. }) => kept.extend(more.iter().cloned()),
                Err(PlanError::NoNodes { .. } | PlanError::Shards { .. } | PlanError::UnknownService { .. }) => {}
            }
            waiting.outcome = Some(outcome);
        }
        has_given
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::node::Role;

    use super::*;

    fn node(name: &str, experiment: Option<&str>) -> NodeInfo {
        let this = nuncius_bus::registry::this_process(name, Role::Client, "h");
        NodeInfo { experiment: experiment.map(str::to_owned), started_unix_ms: 1, ..this }
    }

    fn nodes(names: &[&str]) -> Nodes {
        let nodes = Nodes::default();
        names.iter().for_each(|name| nodes.put(node(name, None)));
        nodes
    }

    fn wait(nodes: &Nodes, sequence: u64, selection: &str) {
        let text =
            format!(r#"{{"nodes":{selection},"groups":[{{"target":"http://h:1/","rate":"1/s","duration":"1s"}}]}}"#);
        let spec = Arc::new(serde_json::from_str(&text).unwrap());
        nodes.wait(sequence, &format!("e{sequence}"), &spec, &BTreeSet::new());
    }

    /// The nodes that it has got, or why none.
    fn got(nodes: &Nodes, sequence: u64) -> Result<Vec<String>, String> {
        let outcome = nodes.allotted(sequence, &format!("e{sequence}")).unwrap();
        outcome.map(|plan| plan.nodes.into_iter().map(|node| node.name).collect()).map_err(|error| error.to_string())
    }

    fn busy(outcome: Result<Vec<String>, String>) -> bool {
        outcome.unwrap_err().contains("waiting for nodes")
    }

    #[test]
    fn who_was_submitted_first_has_the_nodes_first_whoever_asks_first() {
        let nodes = nodes(&["a"]);
        for sequence in [3, 2, 1] {
            wait(&nodes, sequence, "{}");
        }
        assert!(busy(got(&nodes, 3)) && busy(got(&nodes, 2)));
        assert_eq!(got(&nodes, 1), Ok(vec!["a".to_owned()]));
        nodes.release("e1");
        assert!(busy(got(&nodes, 3)));
        assert_eq!(got(&nodes, 2), Ok(vec!["a".to_owned()]));
        nodes.release("e2");
        assert_eq!(got(&nodes, 3), Ok(vec!["a".to_owned()]));
    }

    #[test]
    fn a_large_experiment_keeps_the_nodes_that_come_free_until_it_has_enough() {
        let nodes = nodes(&["a", "b", "c"]);
        let small = r#"{"count":1}"#;
        (1..=3).for_each(|sequence| wait(&nodes, sequence, small));
        (1..=3).for_each(|sequence| assert!(got(&nodes, sequence).is_ok()));
        wait(&nodes, 4, "{}");
        (5..=9).for_each(|sequence| wait(&nodes, sequence, small));
        for ended in ["e1", "e2"] {
            nodes.release(ended);
            (4..=9).for_each(|sequence| assert!(busy(got(&nodes, sequence)), "{sequence} after {ended}"));
        }
        nodes.release("e3");
        assert!(busy(got(&nodes, 9)));
        assert_eq!(got(&nodes, 4).unwrap().len(), 3);
        nodes.release("e4");
        (5..=7).for_each(|sequence| assert!(got(&nodes, sequence).is_ok()));
        assert!(busy(got(&nodes, 8)));
    }

    #[test]
    fn what_a_waiting_experiment_cannot_use_is_given_to_those_behind_it() {
        let nodes = nodes(&["a", "b", "c"]);
        nodes.put(node("a", Some("foreign")));
        wait(&nodes, 1, r#"{"names":"a|b"}"#);
        wait(&nodes, 2, r#"{"names":"b|c"}"#);
        wait(&nodes, 3, r#"{"names":"c"}"#);
        wait(&nodes, 4, r#"{"names":"b"}"#);
        assert!(busy(got(&nodes, 1)) && busy(got(&nodes, 2)), "b is kept for the first, c for the second");
        assert!(busy(got(&nodes, 3)) && busy(got(&nodes, 4)));
        nodes.put(node("d", None));
        wait(&nodes, 5, r#"{"names":"d"}"#);
        assert_eq!(got(&nodes, 5), Ok(vec!["d".to_owned()]));
        nodes.release("e2");
        assert_eq!(got(&nodes, 3), Ok(vec!["c".to_owned()]));
        nodes.put(node("a", None));
        assert_eq!(got(&nodes, 1), Ok(vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn an_experiment_that_waits_for_nodes_which_are_not_there_keeps_none() {
        let nodes = nodes(&["a", "b"]);
        wait(&nodes, 1, r#"{"count":3}"#);
        wait(&nodes, 2, "{}");
        assert!(got(&nodes, 1).unwrap_err().contains("3 nodes wanted, 2 match"));
        assert_eq!(got(&nodes, 2).unwrap().len(), 2);
        // Once they are there, it is first again.
        nodes.put(node("c", None));
        nodes.release("e2");
        wait(&nodes, 3, r#"{"count":1}"#);
        assert!(busy(got(&nodes, 3)));
        assert_eq!(got(&nodes, 1).unwrap().len(), 3);
    }

    #[test]
    fn an_experiment_that_waits_anew_is_in_its_old_place_and_has_given_back_what_it_had() {
        let nodes = nodes(&["a"]);
        wait(&nodes, 1, "{}");
        wait(&nodes, 2, "{}");
        assert!(got(&nodes, 1).is_ok());
        wait(&nodes, 1, "{}");
        assert!(busy(got(&nodes, 2)));
        assert!(got(&nodes, 1).is_ok());
        assert!(nodes.allotted(1, "e1").is_none(), "it waits no longer");
    }

    #[test]
    fn a_node_that_lost_its_name_to_another_is_found_by_its_epoch() {
        let nodes = nodes(&[]);
        let of = |name: &str, epoch| NodeInfo { epoch, ..node(name, None) };
        nodes.put(of("a", 7));
        assert_eq!(nodes.whereabouts("a", 7), Whereabouts::Here);
        nodes.put(of("a", 8));
        assert_eq!(nodes.whereabouts("a", 7), Whereabouts::Replaced);
        nodes.put(of("a-2", 7));
        assert_eq!(nodes.whereabouts("a", 7), Whereabouts::Renamed("a-2".to_owned()));
        nodes.remove("a-2");
        nodes.remove("a");
        assert_eq!(nodes.whereabouts("a", 7), Whereabouts::Gone);
    }

    #[test]
    fn a_heartbeat_that_says_nothing_new_wakes_nobody() {
        let nodes = nodes(&["a"]);
        let changes = nodes.watch();
        nodes.put(node("a", None));
        nodes.release("nobody");
        nodes.remove("unknown");
        assert!(!changes.has_changed().unwrap());
        nodes.put(node("a", Some("e")));
        assert!(changes.has_changed().unwrap());
    }
}
