//! What is asked of nodes while load is offered: beside the watch, each with a deadline, at most one of a kind a node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nuncius_bus::clock::Offset;
use nuncius_bus::{Bus, BusError};
use nuncius_schemas::node::NodeCommand;
use tokio::task::JoinSet;
use tracing::{Instrument, debug};

use super::checkpointing::Stored;
use crate::fleet::{FleetError, command, measure_clock};
use crate::stress::{Pressure, Told};
use crate::timing::Timing;

/// What came of something that was asked.
#[derive(Debug)]
pub(super) enum Answer {
    /// How a node's clock stands, if it answered.
    Clock {
        /// Node.
        node: String,
        /// Its offset.
        offset: Option<Offset>,
    },
    /// Whether a node has heard of its horizon.
    Extended {
        /// Node.
        node: String,
        /// The horizon it was told of.
        horizon_ns: u64,
        /// What it said.
        outcome: Result<(), FleetError>,
    },
    /// Whether a node has heard that it shall stop.
    Stopped {
        /// Node.
        node: String,
        /// Whether it answered.
        is_heard: bool,
    },
    /// The last sequence of this run's deltas in the stream; absent when there is none, or nobody could say.
    LastStored(Result<Option<u64>, ()>),
    /// What there was to tell of pressure that has been released.
    Pressure(Vec<Told>),
    /// Whether a node has taken shards over.
    Taken {
        /// Node.
        node: String,
        /// Number of the move.
        number: u32,
        /// What it said.
        outcome: Result<(), FleetError>,
    },
    /// Whether a node goes by other routes.
    Rerouted {
        /// Node.
        node: String,
        /// Which change of the routes.
        number: u32,
        /// What it said.
        outcome: Result<(), FleetError>,
    },
    /// Whether the books were stored.
    Stored(Result<Stored, BusError>),
}

/// How one node stands with what was asked of it.
#[derive(Debug, Default)]
struct Asked {
    /// Where it listens now, where that is not its name: see [`Asking::readdress`].
    address: Option<String>,
    /// The latest horizon it may have heard of, in nanoseconds of run time.
    horizon_sent_ns: u64,
    /// The latest one it has answered.
    horizon_heard_ns: u64,
    is_extending: bool,
    is_stopping: bool,
    has_stopped: bool,
    is_measuring: bool,
    is_rerouting: bool,
    /// Numbers of moves it is being told of.
    taking: BTreeSet<u32>,
    /// When its clock is to be measured next.
    clock_due: Option<Instant>,
}

impl Asked {
    /// Where a node of this name listens.
    fn address(&self, name: &str) -> String {
        self.address.clone().unwrap_or_else(|| name.to_owned())
    }
}

/// Nodes of a large fleet, whose horizons are moved in larger steps.
const LARGE_FLEET: usize = 256;
/// Such a step is this part of how far ahead a node may offer: it never comes near its horizon by that.
const LARGE_FLEET_STEPS: u64 = 4;

/// Everything that is under way.
pub(super) struct Asking {
    bus: Bus,
    deadline: Duration,
    /// How long a node may take to get ready for what it takes over.
    prepare: Duration,
    clock_period: Duration,
    /// A horizon is moved when it has more to go than this, in nanoseconds.
    horizon_step_ns: u64,
    nodes: BTreeMap<String, Asked>,
    is_asking_stream: bool,
    under_way: JoinSet<Answer>,
}

impl Asking {
    /// Of nodes that the start has told to go on to the first horizon.
    pub(super) fn new(bus: &Bus, timing: &Timing, names: &[String], first_ns: u64) -> Self {
        // Spread over the period, so that they are never measured all at once.
        let apart = timing.clock_period / u32::try_from(names.len().max(1)).unwrap_or(u32::MAX);
        let begun = Instant::now();
        let asked = |number: u32| Asked {
            horizon_sent_ns: first_ns,
            clock_due: begun.checked_add(timing.clock_period / 2 + apart * number),
            ..Asked::default()
        };
        Self {
            bus: bus.clone(),
            deadline: timing.command,
            prepare: timing.prepare,
            clock_period: timing.clock_period,
            horizon_step_ns: if names.len() > LARGE_FLEET { first_ns / LARGE_FLEET_STEPS } else { 0 },
            nodes: (0u32..).zip(names).map(|(number, name)| (name.clone(), asked(number))).collect(),
            is_asking_stream: false,
            under_way: JoinSet::new(),
        }
    }

    /// The next answer; cancel-safe, and never when nothing is asked.
    pub(super) async fn next(&mut self) -> Answer {
        loop {
            match self.under_way.join_next().await {
                Some(Ok(answer)) => return answer,
                Some(Err(error)) => debug!(%error, "a question was lost"),
                None => std::future::pending().await,
            }
        }
    }

    /// The latest horizon that a node may have heard of, in nanoseconds of run time.
    pub(super) fn horizon_ns(&self, node: &str) -> u64 {
        self.nodes.get(node).map_or(0, |asked| asked.horizon_sent_ns)
    }

    /// The latest horizon that a node has answered, in nanoseconds of run time; 0 before the first.
    pub(super) fn heard_horizon_ns(&self, node: &str) -> u64 {
        self.nodes.get(node).map_or(0, |asked| asked.horizon_heard_ns)
    }

    /// Horizons that nodes may have heard of from whoever asked before.
    pub(super) fn restore(&mut self, horizons_ns: &BTreeMap<String, u64>) {
        for (node, horizon_ns) in horizons_ns {
            if let Some(asked) = self.nodes.get_mut(node) {
                asked.horizon_sent_ns = asked.horizon_sent_ns.max(*horizon_ns);
            }
        }
    }

    /// A node listens under another name than that which it was planned with: somebody else took that in an outage.
    pub(super) fn readdress(&mut self, node: &str, address: &str) {
        if let Some(asked) = self.nodes.get_mut(node)
            && asked.address.as_deref() != Some(address)
        {
            asked.address = Some(address.to_owned());
        }
    }

    /// Has something done beside the watch.
    pub(super) fn beside(&mut self, work: impl Future<Output = Answer> + Send + 'static) {
        self.under_way.spawn(work);
    }

    /// Tells a node what it takes over, unless it is being told.
    pub(super) fn take(&mut self, node: &str, number: u32, order: impl FnOnce() -> NodeCommand) {
        let Some(asked) = self.nodes.get_mut(node) else { return };
        if !asked.taking.insert(number) {
            return;
        }
        let (bus, node, address) = (self.bus.clone(), node.to_owned(), asked.address(node));
        let (order, prepare) = (order(), self.prepare);
        let told = async move {
            let outcome = command(&bus, &address, &order, prepare).await;
            Answer::Taken { node, number, outcome }
        };
        self.under_way.spawn(told.in_current_span());
    }

    /// What came of it.
    pub(super) fn taken(&mut self, node: &str, number: u32) {
        if let Some(asked) = self.nodes.get_mut(node) {
            asked.taking.remove(&number);
        }
    }

    /// Tells a node of other routes, unless it is being told of any.
    pub(super) fn reroute(&mut self, node: &str, number: u32, order: impl FnOnce() -> NodeCommand) {
        let Some(asked) = self.nodes.get_mut(node) else { return };
        if std::mem::replace(&mut asked.is_rerouting, true) {
            return;
        }
        let (bus, node, address) = (self.bus.clone(), node.to_owned(), asked.address(node));
        // Names may have to be looked up, as when it got ready.
        let (order, prepare) = (order(), self.prepare);
        self.under_way.spawn(async move {
            let outcome = command(&bus, &address, &order, prepare).await;
            Answer::Rerouted { node, number, outcome }
        });
    }

    /// What came of it.
    pub(super) fn rerouted(&mut self, node: &str) {
        if let Some(asked) = self.nodes.get_mut(node) {
            asked.is_rerouting = false;
        }
    }

    /// Tells a node of its horizon, unless it knows it or is being told.
    pub(super) fn extend(&mut self, node: &str, horizon_ns: u64, order: impl FnOnce() -> NodeCommand) {
        let Some(asked) = self.nodes.get_mut(node) else { return };
        if asked.is_extending || horizon_ns <= asked.horizon_heard_ns.saturating_add(self.horizon_step_ns) {
            return;
        }
        asked.is_extending = true;
        asked.horizon_sent_ns = asked.horizon_sent_ns.max(horizon_ns);
        let (bus, node, address) = (self.bus.clone(), node.to_owned(), asked.address(node));
        let (order, deadline) = (order(), self.deadline);
        self.under_way.spawn(async move {
            let outcome = command(&bus, &address, &order, deadline).await;
            if let Err(error) = &outcome {
                debug!(%error, "horizon not extended");
            }
            Answer::Extended { node, horizon_ns, outcome }
        });
    }

    /// What came of it.
    pub(super) fn extended(&mut self, node: &str, horizon_ns: u64, is_heard: bool) {
        let Some(asked) = self.nodes.get_mut(node) else { return };
        asked.is_extending = false;
        if is_heard {
            asked.horizon_heard_ns = asked.horizon_heard_ns.max(horizon_ns);
        }
    }

    /// Tells a node to stop, unless it has heard it or is being told.
    pub(super) fn stop(&mut self, node: &str, order: impl FnOnce() -> NodeCommand) {
        let Some(asked) = self.nodes.get_mut(node) else { return };
        if asked.is_stopping || asked.has_stopped {
            return;
        }
        asked.is_stopping = true;
        let (bus, node, address) = (self.bus.clone(), node.to_owned(), asked.address(node));
        let (order, deadline) = (order(), self.deadline);
        let told = async move {
            let answer = command(&bus, &address, &order, deadline).await;
            if let Err(error) = &answer {
                debug!(%error, "stop had no effect");
            }
            // Whoever has nothing to do with the run any more need not stop.
            let is_heard = answer.as_ref().map_or_else(FleetError::is_estranged, |()| true);
            Answer::Stopped { node, is_heard }
        };
        self.under_way.spawn(told.in_current_span());
    }

    /// What came of it.
    pub(super) fn stopped(&mut self, node: &str, is_heard: bool) {
        let Some(asked) = self.nodes.get_mut(node) else { return };
        asked.is_stopping = false;
        asked.has_stopped |= is_heard;
    }

    /// Measures the clocks that it is time for again.
    pub(super) fn measure_clocks<'a>(&mut self, names: impl Iterator<Item = &'a String>) {
        let now = Instant::now();
        for node in names {
            let Some(asked) = self.nodes.get_mut(node) else { continue };
            if asked.is_measuring || asked.clock_due.is_none_or(|due| now < due) {
                continue;
            }
            asked.is_measuring = true;
            asked.clock_due = now.checked_add(self.clock_period);
            let (bus, address, node, deadline) = (self.bus.clone(), asked.address(node), node.clone(), self.deadline);
            self.under_way.spawn(async move {
                let offset = measure_clock(&bus, &address, deadline).await.ok();
                Answer::Clock { node, offset }
            });
        }
    }

    /// A measurement has ended.
    pub(super) fn measured(&mut self, node: &str) {
        if let Some(asked) = self.nodes.get_mut(node) {
            asked.is_measuring = false;
        }
    }

    /// Asks the stream for the last delta of a run, unless it is being asked.
    pub(super) fn last_stored(&mut self, experiment: &str) {
        if std::mem::replace(&mut self.is_asking_stream, true) {
            return;
        }
        let (bus, namespace) = (self.bus.clone(), self.bus.namespace().clone());
        let filter = namespace.metric_all(experiment);
        self.under_way.spawn(async move {
            let last = bus.last_sequence_of(&namespace.stream_metric(), &filter).await;
            Answer::LastStored(last.map_err(|error| debug!(%error, "the stream of deltas cannot be asked")))
        });
    }

    /// The stream has answered.
    pub(super) fn stream_answered(&mut self) {
        self.is_asking_stream = false;
    }

    /// Releases pressure.
    pub(super) fn release(&mut self, pressure: Pressure) {
        self.under_way.spawn(async move { Answer::Pressure(pressure.end().await) }.in_current_span());
    }

    /// Waits for what is still asked, each to its deadline; gives what there is to tell of pressure.
    pub(super) async fn end(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some(answer) = self.under_way.join_next().await {
            match answer {
                Ok(Answer::Pressure(more)) => told.extend(more),
                Ok(
                    Answer::Clock { .. }
                    | Answer::Extended { .. }
                    | Answer::Stopped { .. }
                    | Answer::LastStored(_)
                    | Answer::Taken { .. }
                    | Answer::Rerouted { .. }
                    | Answer::Stored(_),
                )
                | Err(_) => {}
            }
        }
        told
    }
}
