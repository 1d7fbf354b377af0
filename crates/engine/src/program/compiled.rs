//! A group compiled: what executors run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use nuncius_scenario::draw::{DrawKey, pick};
use nuncius_scenario::names::Names;
use nuncius_schemas::flow::HttpVersion;
use nuncius_schemas::spec::Connections;
use serde_json::{Map, Value};

use crate::amqp::Access;

use super::action::{Action, CallPlan};
use super::auth::{Grant, Login, Tokens};
use super::feeder::FeederPlan;
use super::instruction::{Instruction, Pc, Place};
use super::nats::NatsServer;
use super::script::Script;
use super::target::{Resolver, TargetPlan};

/// What an iteration has made.
pub(crate) type Made = Arc<Mutex<Option<Map<String, Value>>>>;

/// A group compiled.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) instructions: Box<[Instruction]>,
    /// Where each instruction comes from.
    pub(crate) places: Box<[Place]>,
    /// Where the scenarios begin, and how often each is taken beside the others.
    pub(super) entries: Box<[Pc]>,
    pub(super) weights: Box<[f64]>,
    /// Their names; none where the group has one list of steps.
    pub(super) scenarios: Box<[String]>,
    pub(super) loops: u16,
    pub(crate) names: Names,
    pub(super) loop_slot: u16,
    /// What all sessions see: constants, and what was made before the load.
    pub(super) shared: Box<[Option<Value>]>,
    pub(crate) actions: Box<[Action]>,
    pub(crate) calls: Box<[CallPlan]>,
    /// The first is that of the group.
    pub(crate) targets: Box<[Arc<TargetPlan>]>,
    /// What the group's target has as its path, without a slash at its end.
    pub(crate) base_path: Box<str>,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) logins: Box<[Login]>,
    pub(crate) grants: Box<[Grant]>,
    /// Servers of NATS that steps go to.
    pub(crate) nats_servers: Box<[NatsServer]>,
    /// Brokers of AMQP that steps go to.
    pub(crate) brokers: Box<[Arc<Access>]>,
    /// Queues that steps submit jobs to.
    pub(crate) queues: Box<[Box<str>]>,
    /// The tokens that all users share.
    pub(crate) tokens: Tokens,
    pub(crate) feeders: Box<[FeederPlan]>,
    pub(crate) script: Option<Script>,
    pub(crate) key: DrawKey,
    pub(crate) seed: u64,
    pub(crate) group: u32,
    pub(super) environment: HashMap<String, String>,
    pub(crate) version: HttpVersion,
    pub(crate) connections: Connections,
    /// Most connections on this node.
    pub(crate) max_connections: usize,
    /// Whether users keep cookies.
    pub(crate) keeps_cookies: bool,
    /// The variables of the iteration that came to its end last, where they are wanted.
    pub(crate) made: Made,
    /// Whether they are.
    pub(crate) is_once: bool,
    /// Most of a body that is kept.
    pub(crate) body_max_bytes: usize,
}

impl Program {
    /// How often each scenario is taken beside the others, as written.
    pub(crate) fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Names of the scenarios; none where the group has one list of steps.
    pub(crate) fn scenarios(&self) -> &[String] {
        &self.scenarios
    }

    /// Where an iteration begins: at the scenario that its number draws, by other weights than as written if there are
    /// any.
    pub(crate) fn entry(&self, iteration: u64, weights: Option<&[f64]>) -> Pc {
        let picked = match self.entries.len() {
            0 | 1 => Some(0),
            _ => pick(weights.unwrap_or(&self.weights), self.seed, self.group, iteration),
        };
        picked.and_then(|picked| self.entries.get(picked)).copied().unwrap_or_default()
    }

    /// A variable of the node's environment, as far as templates name it.
    pub(crate) fn environment(&self, name: &str) -> Option<String> {
        self.environment.get(name).cloned()
    }

    /// Number of the first iteration that is not to be begun, since there is no data for it.
    pub(crate) fn stops_at(&self) -> Option<u64> {
        self.feeders.iter().filter_map(FeederPlan::stops_at).min()
    }

    /// The place of an instruction.
    pub(crate) fn place(&self, pc: Pc) -> Option<&Place> {
        self.places.get(usize::from(pc)).or_else(|| self.places.last())
    }
}
