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
mod book;
pub mod caps;
mod clock;
mod connect;
pub mod control;
mod dispatch;
mod feed;
mod flights;
mod http;
pub mod plan;
pub mod policy;
mod queue;
mod row;
pub mod run;
mod servo;
pub mod sink;
mod slowest;
mod stand;
mod tls;
mod trouble;
mod wake;

pub use caps::Caps;
pub use clock::monotonic_ns;
pub use control::Control;
pub use plan::{GroupInput, GroupPlan, PlanError, plan_group};
pub use policy::TargetPolicy;
pub use run::{EngineError, EngineOptions, EngineThread, spawn_group};
pub use sink::{EngineMessage, Failure, FinishReason, Row, SecondReport, SlowRow, StepRecorder};
