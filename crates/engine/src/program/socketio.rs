//! Steps over Socket.IO, compiled.

use nuncius_scenario::json_template::JsonTemplate;
use nuncius_schemas::flow::SocketIoTransport;
use nuncius_socketio::Version;

use super::request::HttpAction;
use super::taking::{CheckPlan, Taking};
use super::text::Text;

/// A step over Socket.IO.
#[derive(Debug)]
pub(crate) struct SocketIoPlan {
    /// Number of the step in the table.
    pub(crate) step: u16,
    /// Number of its connection's name in the program.
    pub(crate) channel: u16,
    pub(crate) namespace: Box<str>,
    pub(crate) timeout_ns: u64,
    pub(crate) does: SocketIoDoes,
    pub(crate) taking: Taking,
}

/// What a step over Socket.IO does.
#[derive(Debug)]
pub(crate) enum SocketIoDoes {
    Connect(Box<ConnectPlan>),
    Emit { event: Text, arguments: Box<[ArgumentPlan]>, waits: Waits },
    Wait(EventPlan),
    Disconnect,
}

/// How a connection is opened.
#[derive(Debug)]
pub(crate) struct ConnectPlan {
    /// Without what Engine.IO puts into the query.
    pub(crate) request: HttpAction,
    /// Tried in this order.
    pub(crate) transports: Box<[SocketIoTransport]>,
    pub(crate) version: Version,
    pub(crate) auth: Option<JsonTemplate>,
}

/// An argument of an event.
#[derive(Debug)]
pub(crate) enum ArgumentPlan {
    Json(JsonTemplate),
    /// In base64.
    Binary(Text),
}

/// What an emit waits for.
#[derive(Debug)]
pub(crate) enum Waits {
    Nothing,
    Acknowledgement,
    Event(EventPlan),
}

/// An event that is waited for, and what holds for the list of its arguments.
#[derive(Debug)]
pub(crate) struct EventPlan {
    pub(crate) name: Box<str>,
    pub(crate) conditions: Box<[CheckPlan]>,
}
