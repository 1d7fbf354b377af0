//! What the sessions of one thread share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use nuncius_bus::Bus;
use nuncius_clock::monotonic_ns;
use nuncius_scenario::Row;
use nuncius_schemas::flow::HttpVersion;
use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::spec::Connections;
use nuncius_script::Runtime;
use serde_json::Value;

use super::links::{AmqpLinks, NatsClients, Submitters};
use super::meters::Meters;
use super::pool::http1::Http1Pool;
use super::pool::http2::Http2Pool;
use super::pool::{Key, SHARED};
use super::scenarios::Scenarios;
use super::sleep::Sleepers;
use super::user::User;
use crate::failure::Failure;
use crate::http::outgoing::Outgoing;
use crate::http::received::Received;
use crate::in_flight::{InFlight, Iteration};
use crate::plan::{ClosedLoad, Followed, GroupPlan, Hosts, Load, Picker};
use crate::program::Program;
use crate::program::feeder::RowReader;
use crate::program::instruction::Pc;
use crate::program::machine::Memory;
use crate::program::render::Destination;
use crate::program::target::TargetPlan;

/// Most buffers that are kept for requests to come.
const BUFFERS_KEPT_MAX: usize = 256;

/// Most lines that the sessions of one thread write into the log in a second.
const LINES_PER_SECOND_MAX: u32 = 100;

/// A request and what is kept of its answer.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    pub(super) outgoing: Outgoing,
    pub(super) received: Received,
}

/// The connections of a thread, by the version of HTTP that its group speaks.
pub(super) enum Pool {
    Http1(Http1Pool),
    Http2(Http2Pool),
}

/// A target, and what stood behind it when the thread looked last.
struct Reached {
    target: Arc<TargetPlan>,
    upstream: Followed,
}

impl Reached {
    fn new(target: &Arc<TargetPlan>) -> Self {
        Self { target: Arc::clone(target), upstream: Followed::new(&target.upstream) }
    }
}

pub(super) struct Shared {
    pub(super) in_flight: InFlight,
    pub(super) plan: Arc<GroupPlan>,
    pub(super) pool: Pool,
    pub(super) sleepers: Sleepers,
    pub(super) script: Option<RefCell<Runtime>>,
    pub(super) log: Log,
    /// Those of the program, and others that became known since.
    targets: RefCell<Vec<Reached>>,
    /// Numbers of the latter, by origin.
    found: RefCell<HashMap<String, u32>>,
    picker: RefCell<Picker>,
    /// Of each feeder.
    readers: RefCell<Vec<RowReader>>,
    #[expect(clippy::vec_box, reason = "a session holds a pointer, not what it points to")]
    buffers: RefCell<Vec<Box<Buffers>>>,
    memories: RefCell<Vec<Memory>>,
    /// Of the closed model, those who are between two iterations.
    users: RefCell<HashMap<u32, User>>,
    owners: Cell<u64>,
    is_open: bool,
    scenarios: Scenarios,
    pub(super) meters: Meters,
    pub(super) nats: NatsClients,
    pub(super) amqp: AmqpLinks,
    pub(super) submitters: Submitters,
}

impl Shared {
    /// Of thread `thread` of the group, counted from 0, whose first shard is `first_shard`.
    pub(super) fn new(
        in_flight: InFlight,
        plan: &Arc<GroupPlan>,
        (program, bus): (&Program, Option<Bus>),
        script: Option<Runtime>,
        (first_shard, thread): (u32, usize),
        is_open: bool,
    ) -> Self {
        let threads = plan.threads.max(1);
        let open_max = match program.max_connections {
            usize::MAX => usize::MAX,
            // Each thread has its share.
            most => (most / threads + usize::from(thread < most % threads)).max(1),
        };
        let pool = match program.version {
            HttpVersion::Http1 => Pool::Http1(Http1Pool::new(open_max)),
            HttpVersion::Http2 => Pool::Http2(Http2Pool::new(open_max)),
        };
        let targets = program.targets.iter().map(Reached::new).collect();
        let readers = program.feeders.iter().map(|_| RowReader::default()).collect();
        let picker = plan.picker(first_shard);
        Self {
            in_flight,
            pool,
            sleepers: Sleepers::default(),
            script: script.map(RefCell::new),
            log: Log::default(),
            targets: RefCell::new(targets),
            found: RefCell::default(),
            picker: RefCell::new(picker),
            readers: RefCell::new(readers),
            buffers: RefCell::default(),
            memories: RefCell::default(),
            users: RefCell::default(),
            owners: Cell::new(0),
            is_open,
            scenarios: Scenarios::default(),
            meters: Meters::new(plan),
            nats: NatsClients::new(program.nats_servers.len()),
            amqp: AmqpLinks::new(program.brokers.len()),
            submitters: Submitters::new(bus, program.queues.len()),
            plan: Arc::clone(plan),
        }
    }

    /// The user of an iteration, ready for it.
    pub(super) fn user(&self, iteration: Iteration, program: &Program) -> User {
        let known = if self.is_open { None } else { self.users.borrow_mut().remove(&iteration.user) };
        let user = known.unwrap_or_else(|| {
            let owner = self.owners.get();
            self.owners.set(owner + 1);
            User::new(owner)
        });
        let mut memory = self.memories.borrow_mut().pop().unwrap_or_default();
        memory.reset(program);
        user.memory.replace(memory);
        user.unnamed.borrow_mut().clear();
        user.has_sent.set(false);
        user
    }

    /// The iteration is over: what is the user's own is kept where there will be another, else given back.
    pub(super) fn part(&self, iteration: Iteration, user: User, program: &Program) {
        self.memories.borrow_mut().push(user.memory.take());
        if !self.is_open {
            self.users.borrow_mut().insert(iteration.user, user);
            return;
        }
        if program.connections == Connections::User {
            let owner = user.owner;
            let reached = user.reached.into_inner();
            let keys = reached.into_iter().map(|(target, host)| Key { target, host, owner });
            match &self.pool {
                Pool::Http1(pool) => pool.forget(keys),
                Pool::Http2(pool) => pool.forget(keys),
            }
        }
    }

    /// Number of an iteration's user in the run: in the open model each iteration is somebody else.
    pub(super) fn user_number(&self, iteration: Iteration) -> u64 {
        match &self.plan.load {
            Load::Open { .. } => iteration.index,
            Load::Closed(ClosedLoad { users, users_limit, .. }) => {
                u64::from(nuncius_load::closed::user_of(iteration.index, *users, *users_limit))
            }
        }
    }

    /// Where an iteration begins: at the scenario that it takes.
    pub(super) fn entry(&self, program: &Program, iteration: Iteration) -> Pc {
        if program.scenarios().len() < 2 {
            return program.entry(iteration.index, None);
        }
        let Some((amendments, planned_ns)) = self.in_flight.planned(iteration) else {
            return program.entry(iteration.index, None);
        };
        self.scenarios.entry(program, &self.plan.name, &amendments, (iteration.index, planned_ns))
    }

    /// Which host of each target an iteration goes to.
    pub(super) fn position(&self, index: u64) -> u64 {
        self.picker.borrow_mut().position(index)
    }

    /// The host that the next connection opened ahead of need is to.
    pub(super) fn host_ahead(&self) -> usize {
        self.picker.borrow_mut().next_ahead()
    }

    /// What stands behind a target now. Connections at rest to a host that is out of the route are closed.
    pub(super) fn hosts(&self, number: u32) -> Option<Arc<Hosts>> {
        let mut targets = self.targets.borrow_mut();
        let reached = targets.get_mut(number as usize)?;
        if reached.upstream.look() {
            let hosts = reached.upstream.hosts();
            let is_out = |key: &Key| key.target == number && !hosts.is_used(key.host as usize);
            match &self.pool {
                Pool::Http1(pool) => pool.leave(is_out),
                Pool::Http2(pool) => pool.leave(is_out),
            }
        }
        Some(Arc::clone(reached.upstream.hosts()))
    }

    /// Whether requests go to a host that a connection is to.
    pub(super) fn is_used(&self, key: Key) -> bool {
        self.hosts(key.target).is_some_and(|hosts| hosts.is_used(key.host as usize))
    }

    /// A row of data of an iteration; `None` where it is not to be begun, since there is none left.
    pub(super) fn row(&self, program: &Program, number: u32, iteration: u64) -> Result<Value, Option<String>> {
        let index = number as usize;
        let mut readers = self.readers.borrow_mut();
        let (Some(feeder), Some(reader)) = (program.feeders.get(index), readers.get_mut(index)) else {
            return Err(Some("there is no such feeder".to_owned()));
        };
        match feeder.row_of(program.seed, program.group, number, iteration) {
            Row::At(row) => feeder.read(reader, row).map_err(|error| Some(error.to_string())),
            Row::Exhausted(nuncius_scenario::AtEnd::Stop) => Err(None),
            Row::Exhausted(nuncius_scenario::AtEnd::Fail | nuncius_scenario::AtEnd::Again) => {
                Err(Some(format!("no row is left of {} (order: unique)", feeder.rows())))
            }
        }
    }

    pub(super) fn take_buffers(&self) -> Box<Buffers> {
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn give_back(&self, mut buffers: Box<Buffers>) {
        let mut all = self.buffers.borrow_mut();
        if all.len() < BUFFERS_KEPT_MAX {
            buffers.outgoing.shrink();
            buffers.received.shrink();
            all.push(buffers);
        }
    }

    pub(super) fn target(&self, number: u32) -> Option<Arc<TargetPlan>> {
        self.targets.borrow().get(number as usize).map(|reached| Arc::clone(&reached.target))
    }

    /// The number of the target of a destination. One that became known just now is looked up, and must be allowed.
    ///
    /// # Errors
    /// It has no address, or none that this node may be aimed at: a failure of this kind.
    pub(super) async fn resolve(&self, destination: Destination, kind: FailureKind) -> Result<u32, Failure> {
        let origin = match destination {
            Destination::Target(number) => return Ok(number),
            Destination::Origin(origin) => origin,
        };
        if let Some(known) = self.found.borrow().get(&origin) {
            return Ok(*known);
        }
        let own = self.targets.borrow().iter().position(|reached| reached.target.origin == origin);
        if let Some(own) = own {
            return Ok(u32::try_from(own).unwrap_or(u32::MAX));
        }
        let Some(program) = self.plan.program() else { return Err(Failure::new(kind, "the plan has no program")) };
        let found = if program.resolver.is_near(&origin) {
            program.resolver.found(&origin)
        } else {
            // The system's resolver blocks, and others go on meanwhile.
            let (plan, asked) = (Arc::clone(&self.plan), origin.clone());
            let looked_up =
                tokio::task::spawn_blocking(move || plan.program().map(|program| program.resolver.found(&asked)));
            match looked_up.await {
                Ok(Some(found)) => found,
                Ok(None) => return Err(Failure::new(kind, "the plan has no program")),
                Err(error) => return Err(Failure::new(FailureKind::Resolve, error.to_string())),
            }
        };
        let target = found.map_err(|error| Failure::new(kind, error.to_string()))?;
        let mut targets = self.targets.borrow_mut();
        let number = u32::try_from(targets.len()).unwrap_or(u32::MAX);
        targets.push(Reached::new(&target));
        self.found.borrow_mut().insert(origin, number);
        Ok(number)
    }

    /// Whose connections a user takes.
    pub(super) fn owner(&self, user: &User, program: &Program, target: u32, host: u32) -> u64 {
        match program.connections {
            Connections::KeepAlive | Connections::PerRequest => SHARED,
            Connections::User => {
                user.reached.borrow_mut().insert((target, host));
                user.owner
            }
        }
    }
}

/// The lines that sessions write, as far as there is room for them.
#[derive(Debug, Default)]
pub(super) struct Log {
    second: Cell<u64>,
    lines: Cell<u32>,
    dropped: Cell<u64>,
}

impl Log {
    /// Writes a line, or counts it as dropped.
    pub(super) fn line(&self, group: u32, iteration: u64, text: &str) {
        let second = monotonic_ns() / nuncius_schemas::units::SECOND_NS;
        if self.second.replace(second) != second {
            self.lines.set(0);
            let dropped = self.dropped.take();
            if dropped > 0 {
                tracing::warn!(
                    group,
                    "{dropped} lines of scenarios were dropped: more than {LINES_PER_SECOND_MAX} in a second"
                );
            }
        }
        if self.lines.get() >= LINES_PER_SECOND_MAX {
            self.dropped.set(self.dropped.get() + 1);
            return;
        }
        self.lines.set(self.lines.get() + 1);
        tracing::info!(group, iteration, "{text}");
    }
}
