//! What a virtual user does, step by step: the verbs of steps, and the blocks that hold further steps.
//!
//! A step is a map with one verb (`get: /items`); `name`, `if` and `probability` may stand beside it. A step without a
//! verb is a request as version 1 has it, by `method`, `path`, `headers`, `body` and `expect`. Texts are templates
//! (`{{ users.email }}`); their syntax is read by whoever runs them, not here.

pub mod amount;
pub mod auth;
mod blocks;
pub mod capture;
pub mod check;
pub mod feeder;
pub(crate) mod form;
pub mod http;
mod job;
pub(crate) mod nats;
pub mod plain;
pub(crate) mod received;
pub mod rule;
pub mod script;
mod socketio;
pub mod step;
pub mod template;
pub(crate) mod texts;
pub mod think;
pub(crate) mod value;
pub mod version;
pub mod walk;
mod written;
mod ws;

pub use amount::{ByteSize, Percent};
pub use auth::{Auth, BasicAuth, OAuth2, OAuth2Grant, TokenPer};
pub use capture::{Capture, CaptureFrom};
pub use check::{Bound, Check, Condition, Subject};
pub use feeder::{Feeder, FeederEnd, FeederFormat, FeederOrder};
pub use http::{HttpStep, HttpVerb, OnCheckFailure, Part, Payload};
pub use job::JobStep;
pub use nats::{NATS_DEFAULT_NAME, NatsAction, NatsConsume, NatsStep};
pub use script::ScriptSource;
pub use socketio::{
    DEFAULT_NAMESPACE, SOCKETIO_DEFAULT_NAME, SOCKETIO_DEFAULT_PATH, SocketIoAction, SocketIoEvent, SocketIoProtocol,
    SocketIoStep, SocketIoTransport,
};
pub use step::{Count, If, Loop, Op, Parallel, Rounds, Scenario, Step};
pub use think::Think;
pub use value::Texts;
pub use version::HttpVersion;
pub use walk::MeasuredStep;
pub use ws::{WS_CLOSE_NORMAL, WS_DEFAULT_NAME, WsAction, WsMessage, WsStep};
