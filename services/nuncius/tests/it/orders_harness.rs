//! The test in a daemon's place: it tells nodes what to do, and reads what they publish.

use nuncius_bus::{Bus, TypedError};
use nuncius_clock::{monotonic_ns, unix_ns};
use nuncius_load::assign;
use nuncius_schemas::codec;
use nuncius_schemas::metric::MetricDelta;
use nuncius_schemas::node::{
    Extend, GroupAssignment, Inquire, NodeCommand, NodeReply, Prepare, RefusalCode, Start, Stop, Take,
};
use nuncius_schemas::record::RecordBatch;
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::submission::{Submission, from_bytes};

use crate::harness::{PATIENCE, System, until};

pub(crate) const SECOND_NS: u64 = 1_000_000_000;

/// An experiment that the test holds in a daemon's place.
pub(crate) struct Orders {
    bus: Bus,
    pub(crate) experiment: String,
    pub(crate) spec: ExperimentSpec,
    pub(crate) token: u64,
    /// Instant zero, once it was told.
    pub(crate) start_at_ns: u64,
}

/// Nodes `n1`… with these arguments, and a target and its address; no daemon.
pub(crate) async fn nodes_alone(nodes: usize, arguments: &[&str]) -> (System, String) {
    let mut system = System::start(0).await;
    system.daemon = None;
    let address = system.start_stub(&[]);
    for number in 1..=nodes {
        system.start_client(&format!("n{number}"), arguments);
    }
    until("all nodes have joined", async || {
        let clients = system.nodes().await.into_iter().filter(|node| node.name.starts_with('n'));
        (clients.count() == nodes).then_some(())
    })
    .await;
    (system, address)
}

impl Orders {
    /// `groups` are lines of the specification.
    pub(crate) fn new(system: &System, id: &str, address: &str, groups: &str) -> Self {
        let text =
            format!("id: {id}\nrecords: all\ndrain: 60s\nservices: {{target: ['{address}']}}\ngroups:\n{groups}");
        let Submission::Spec(spec) = from_bytes(text.as_bytes()).unwrap() else { panic!("a specification is wanted") };
        Self { bus: system.bus.clone(), experiment: id.to_owned(), spec: *spec, token: 5, start_at_ns: 0 }
    }

    /// What node `number` of `nodes` equal nodes has of every group.
    pub(crate) fn assignments(&self, number: usize, nodes: usize) -> Vec<GroupAssignment> {
        let assigned = assign(&vec![1; nodes]).unwrap();
        let (shards, owned, nodes) = (assigned.shards, &assigned.owned[number - 1], u32::try_from(nodes).unwrap());
        let groups = 0..u16::try_from(self.spec.groups.len()).unwrap();
        groups.map(|group| GroupAssignment { group, shards, owned: owned.clone(), nodes }).collect()
    }

    pub(crate) async fn order(&self, node: usize, command: &NodeCommand) -> NodeReply {
        self.ask(node, command).await.unwrap()
    }

    async fn ask(&self, node: usize, command: &NodeCommand) -> Result<NodeReply, TypedError> {
        let subject = self.bus.namespace().node_command(&format!("n{node}"));
        self.bus.request_message(&subject, "node-command.v2", command, PATIENCE).await
    }

    /// Waits until a node is connected again after an outage: everybody comes back in their own time.
    pub(crate) async fn wait_for_answer(&self, node: usize) {
        until("the node answers", async || self.ask(node, &self.inquire()).await.ok()).await;
    }

    pub(crate) async fn obeyed(&self, node: usize, command: &NodeCommand) {
        let reply = self.order(node, command).await;
        assert!(matches!(reply, NodeReply::Accepted { .. }), "{command:?}: {reply:?}");
    }

    pub(crate) fn prepare(&self, assignments: Vec<GroupAssignment>) -> NodeCommand {
        NodeCommand::Prepare(Box::new(Prepare {
            experiment: self.experiment.clone(),
            token: self.token,
            attempt: 1,
            spec: self.spec.clone(),
            routes: Vec::new(),
            assignments,
            run_key: 7,
            variables: Vec::new(),
        }))
    }

    pub(crate) fn start(&self, horizon_ns: u64) -> NodeCommand {
        NodeCommand::Start(Start {
            experiment: self.experiment.clone(),
            token: self.token,
            attempt: 1,
            start_at_ns: self.start_at_ns,
            start_unix_ns: unix_ns(),
            horizon_ns,
        })
    }

    /// Prepares all and starts them together.
    pub(crate) async fn run(&mut self, nodes: usize, horizon_ns: u64) {
        for node in 1..=nodes {
            self.obeyed(node, &self.prepare(self.assignments(node, nodes))).await;
        }
        self.start_at_ns = monotonic_ns() + SECOND_NS / 2;
        for node in 1..=nodes {
            self.obeyed(node, &self.start(horizon_ns)).await;
        }
    }

    pub(crate) fn run_ns(&self) -> u64 {
        monotonic_ns().saturating_sub(self.start_at_ns)
    }

    pub(crate) fn extend(&self, horizon_ns: u64) -> NodeCommand {
        NodeCommand::Extend(Extend {
            experiment: self.experiment.clone(),
            token: self.token,
            attempt: 1,
            horizon_ns,
            acknowledged_sequence: 0,
            amendments: Vec::new(),
        })
    }

    pub(crate) fn stop(&self) -> NodeCommand {
        NodeCommand::Stop(Stop {
            experiment: self.experiment.clone(),
            token: self.token,
            attempt: 1,
            drain_ns: SECOND_NS,
            reason: "the test has seen enough".into(),
        })
    }

    pub(crate) fn take(&self, number: u32, from_ns: u64, assignments: Vec<GroupAssignment>) -> NodeCommand {
        let (experiment, token) = (self.experiment.clone(), self.token);
        NodeCommand::Take(Box::new(Take {
            experiment,
            token,
            attempt: 1,
            number,
            from_ns,
            assignments,
            amendments: Vec::new(),
        }))
    }

    pub(crate) fn inquire(&self) -> NodeCommand {
        NodeCommand::Inquire(Inquire { experiment: self.experiment.clone(), token: self.token, attempt: 1 })
    }

    pub(crate) async fn wait_for_second(&self, system: &System, node: usize, second: u32) {
        let name = format!("n{node}");
        until("a second of the node is told", async || {
            let deltas = system.stored_deltas(&self.experiment).await;
            deltas.iter().any(|delta| delta.node == name && delta.last_second >= second).then_some(())
        })
        .await;
    }

    /// All deltas of a node, once it has said its last.
    pub(crate) async fn wait_for_end(&self, system: &System, node: usize) -> Vec<MetricDelta> {
        let name = format!("n{node}");
        until("the node has said its last", async || {
            let mut deltas = system.stored_deltas(&self.experiment).await;
            deltas.retain(|delta| delta.node == name);
            deltas.iter().any(|delta| delta.last).then_some(deltas)
        })
        .await
    }

    /// Group, index, instant planned and instant sent of every request that a node has recorded.
    pub(crate) async fn rows(&self, node: usize) -> Vec<(u16, u64, u64, u64)> {
        let namespace = self.bus.namespace().clone();
        let (stream, subject) = (namespace.stream_trace(), namespace.trace(&self.experiment, &format!("n{node}")));
        let mut tail = self.bus.tail(&stream, &subject, nuncius_bus::tail::Start::All).await.unwrap();
        let mut rows = Vec::new();
        loop {
            let stored = tokio::time::timeout(PATIENCE, tail.next()).await.unwrap().unwrap();
            let batch: RecordBatch = codec::decode(&stored.payload).unwrap();
            for (at, index) in batch.index.iter().enumerate() {
                rows.push((batch.group[at], *index, batch.planned_ns[at], batch.sent_ns[at]));
            }
            if batch.last {
                return rows;
            }
        }
    }
}

pub(crate) fn planned(deltas: &[MetricDelta]) -> u64 {
    deltas.iter().flat_map(|delta| &delta.steps).map(|step| step.planned).sum()
}

/// Why the node says that it did not offer all.
pub(crate) fn told(deltas: &[MetricDelta]) -> String {
    deltas.iter().find(|delta| delta.last).and_then(|delta| delta.stopped.clone()).unwrap_or_default()
}

pub(crate) fn refusal(reply: NodeReply) -> (RefusalCode, String) {
    match reply {
        NodeReply::Refused { code, reason, .. } => (code, reason),
        NodeReply::Accepted { .. }
        | NodeReply::Standing { .. }
        | NodeReply::Done { .. }
        | NodeReply::Profiled { .. } => {
            panic!("it is to be refused: {reply:?}")
        }
    }
}
