//! The daemon's view of the registry, and which nodes its own runs have reserved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use nuncius_schemas::node::NodeInfo;
use tokio::sync::watch;

/// Who is here, and who is spoken for. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Nodes {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct State {
    present: BTreeMap<String, NodeInfo>,
    reserved: BTreeMap<String, String>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { state: Arc::default(), changed: Arc::new(watch::channel(0).0) }
    }
}

impl Nodes {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    /// Told whenever somebody comes, goes or becomes free.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A node joined or changed.
    pub(crate) fn put(&self, info: NodeInfo) {
        self.with(|state| state.present.insert(info.name.clone(), info));
        self.tell();
    }

    /// A node left, or its key expired.
    pub(crate) fn remove(&self, name: &str) {
        self.with(|state| state.present.remove(name));
        self.tell();
    }

    /// Everybody who is here.
    pub(crate) fn present(&self) -> Vec<NodeInfo> {
        self.with(|state| state.present.values().cloned().collect())
    }

    /// One of them.
    pub(crate) fn get(&self, name: &str) -> Option<NodeInfo> {
        self.with(|state| state.present.get(name).cloned())
    }

    /// Nodes that work for an experiment other than `experiment`, by our reservation or by their own word.
    pub(crate) fn busy(&self, experiment: &str) -> BTreeSet<String> {
        self.with(|state| {
            let reserved = state.reserved.iter().filter(|(_, by)| *by != experiment).map(|(node, _)| node.clone());
            let own_word = state
                .present
                .values()
                .filter(|node| node.experiment.as_deref().is_some_and(|other| other != experiment))
                .map(|node| node.name.clone());
            reserved.chain(own_word).collect()
        })
    }

    /// Takes all of `nodes` for an experiment, or none of them.
    pub(crate) fn reserve<'a>(&self, experiment: &str, nodes: impl Iterator<Item = &'a str> + Clone) -> bool {
        let taken = self.with(|state| {
            let free = nodes.clone().all(|node| state.reserved.get(node).is_none_or(|by| by == experiment));
            if free {
                for node in nodes {
                    state.reserved.insert(node.to_owned(), experiment.to_owned());
                }
            }
            free
        });
        self.tell();
        taken
    }

    /// Takes nodes for an experiment that runs on them already.
    pub(crate) fn hold<'a>(&self, experiment: &str, nodes: impl Iterator<Item = &'a str>) {
        self.with(|state| {
            for node in nodes {
                state.reserved.insert(node.to_owned(), experiment.to_owned());
            }
        });
    }

    /// Gives back whatever an experiment had taken.
    pub(crate) fn release(&self, experiment: &str) {
        self.with(|state| state.reserved.retain(|_, by| by != experiment));
        self.tell();
    }
}
