//! What a session of the shell knows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use nuncius_bus::Bus;
use nuncius_control::mark::Mark;
use nuncius_schemas::spec::Group as SpecGroup;
use nuncius_shell::{Object, Value};

/// Most groups of clients of a session.
pub(super) const GROUPS_MAX: usize = 1_000;
/// Most names that are given to values.
pub(super) const NAMES_MAX: usize = 10_000;

/// Everything.
pub(super) struct State {
    pub(super) bus: Bus,
    /// Where the data directory is.
    pub(super) data: Option<PathBuf>,
    names: BTreeMap<String, Value>,
    /// The names, for whoever completes what is typed.
    shared_names: Arc<Mutex<Vec<String>>>,
    pub(super) groups: Vec<Group>,
    pub(super) works: Vec<Work>,
    /// What experiments are called from now on, between `exp.start` and `exp.stop`.
    pub(super) naming: Option<Naming>,
    /// What `g.start_tracing` and `g.stop_tracing` said last.
    pub(super) tracing: Option<bool>,
    /// How deep scripts are in scripts.
    pub(super) depth: usize,
    pub(super) is_leaving: bool,
}

/// What experiments are called.
#[derive(Debug, Clone, Default)]
pub(super) struct Naming {
    pub(super) name: Option<String>,
    pub(super) creator: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    /// Marks that were set while nothing ran: of every experiment that begins.
    pub(super) kept: Vec<Mark>,
    /// Whether any has begun.
    pub(super) has_begun: bool,
}

/// Clients.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) service: String,
    /// What each request is, as a group that offers nothing yet.
    pub(super) wanted: SpecGroup,
    /// As they were written.
    pub(super) parameters: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) count: u32,
    /// The experiment of the work that it was given.
    pub(super) run: Option<Run>,
}

/// The experiment of a group.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) id: String,
    /// Requests a second of each client, as the specification has it; absent where they send by something else.
    pub(super) rate: Option<f64>,
    /// Clients, as the specification has it.
    pub(super) count: u32,
    pub(super) is_paused: bool,
    /// How often its load was changed.
    pub(super) changes: usize,
    /// Whether it belongs to what `exp.start` began.
    pub(super) is_named: bool,
}

/// Requests that a group was asked for.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) group: usize,
    pub(super) id: String,
    pub(super) told: String,
}

impl State {
    pub(super) fn new(bus: Bus, data: Option<PathBuf>, shared_names: Arc<Mutex<Vec<String>>>) -> Self {
        Self {
            bus,
            data,
            names: BTreeMap::new(),
            shared_names,
            groups: Vec::new(),
            works: Vec::new(),
            naming: None,
            tracing: None,
            depth: 0,
            is_leaving: false,
        }
    }

    /// Whether experiments that begin now keep a record of each request: as was said last, else between `exp.start` and
    /// `exp.stop`, as in Galileo.
    pub(super) fn keeps_records(&self) -> bool {
        self.tracing.unwrap_or(self.naming.is_some())
    }

    /// What has a name.
    pub(super) fn named(&self, name: &str) -> Option<Value> {
        let object = match name {
            "g" => Object::Galileo,
            "show" => Object::Show,
            "exp" => Object::Experiment,
            "rtbl" => Object::Routes,
            "telemd" => Object::Telemetry,
            _ => return self.names.get(name).cloned(),
        };
        Some(Value::Object(object))
    }

    /// Gives a value a name; `false` where there are too many.
    pub(super) fn set_name(&mut self, name: &str, value: Value) -> bool {
        if self.names.len() >= NAMES_MAX && !self.names.contains_key(name) {
            return false;
        }
        self.names.insert(name.to_owned(), value);
        *self.shared_names.lock().unwrap_or_else(PoisonError::into_inner) = self.names.keys().cloned().collect();
        true
    }

    /// A name for the next group that nothing has yet.
    pub(super) fn free_name(&self) -> String {
        let taken = |name: &String| self.names.contains_key(name) || self.groups.iter().any(|one| one.name == *name);
        let mut number = self.groups.len() + 1;
        loop {
            let name = format!("c{number}");
            if !taken(&name) {
                return name;
            }
            number += 1;
        }
    }
}
