//! What a virtual user can do: the load engines, from a group of a specification to requests and what they took.
//!
//! [`plan::plan_group`] turns a group into a [`plan::GroupPlan`] on the node that will run it: names resolved, targets
//! checked against the node's [`policy::TargetPolicy`], requests rendered to bytes. [`run::spawn_group`] starts the
//! threads, [`control::Control`] starts, extends and stops them, and [`sink::EngineMessage`]s come out once a second.
//!
//! It must know NATS for jobs and servos alone, as what they are submitted to, and report to nobody; never aim at a
//! target the policy does not name, never spin while it waits, and never drop an arrival it has taken from the
//! schedule: each ends as succeeded, failed or censored.

mod amqp;
pub mod caps;
mod connect;
pub mod control;
mod counted;
mod error;
mod failure;
mod host;
mod http;
mod in_flight;
mod inbox;
mod once;
mod options;
mod pace;
pub mod plan;
pub mod policy;
mod program;
mod queue;
mod record;
mod row;
pub mod run;
mod sequence;
mod sequencer;
mod servo;
mod session;
pub mod sink;
mod slowest;
mod socket;
mod socketio;
mod start;
#[cfg(test)]
mod testing;
mod tls;
mod wake;

pub use caps::Caps;
pub use control::Control;
pub use error::{EngineError, PlanError};
pub use once::{OnceError, run_once};
pub use options::EngineOptions;
pub use plan::{GroupInput, GroupPlan, plan_group};
pub use policy::TargetPolicy;
pub use run::{EngineThread, spawn_group};
pub use sink::{EngineMessage, FinishReason, HostTally, MeterValue, Row, SecondReport, SlowRow, StepRecorder};
