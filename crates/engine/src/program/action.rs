//! What a program sends, compiled. One variant for each protocol; whoever runs actions matches all of them.

use nuncius_script::FunctionId;

use super::amqp::{AmqpStepPlan, JobPlan};
use super::message::WsPlan;
use super::nats::NatsPlan;
use super::request::HttpAction;
use super::socketio::SocketIoPlan;

/// One thing that a program sends.
#[derive(Debug)]
pub(crate) enum Action {
    /// A request over HTTP.
    Http(Box<HttpAction>),
    /// A step over WebSocket.
    Ws(Box<WsPlan>),
    /// A step over Socket.IO.
    SocketIo(Box<SocketIoPlan>),
    /// A step over AMQP.
    Amqp(Box<AmqpStepPlan>),
    /// A job that is submitted.
    Job(Box<JobPlan>),
    /// A step over NATS.
    Nats(Box<NatsPlan>),
}

/// A function of the script that a step calls.
#[derive(Debug)]
pub(crate) struct CallPlan {
    /// Number of the step in the table: what its requests count at.
    pub(crate) step: u16,
    pub(crate) function: FunctionId,
    pub(crate) timeout_ns: u64,
    pub(crate) redirects: u32,
}
