//! The bus: everything Nuncius does with NATS. This is the only crate that imports async-nats, and none of its types
//! get out: services see [`Bus`], [`Message`], [`Headers`] and the handles made from them.
//!
//! It must never know what a payload means (that is `nuncius-schemas` and the services): payloads are bytes here.
//!
//! Layout: [`connection`], [`message`], [`headers`] are core NATS; [`streams`], [`publish`], [`work_queue`], [`tail`],
//! [`kv`], [`object`] are JetStream; [`otlp`] is the way out of telemetry; [`lease`], [`registry`], [`expiry`],
//! [`clock`], [`moving`], [`service`], [`apps`] are built on them; [`inventory`] is what there is to be shown of it
//! all; [`roles`] says what each kind of process may do there; [`server`] finds and supervises a nats-server;
//! [`target`] is no part of the bus: clients of servers that are tested.

mod api;
pub mod apps;
mod backoff;
mod peers;
mod pull;
mod refusal;
mod tell;

pub mod clock;
pub mod connection;
pub mod consumer;
pub mod error;
pub mod expiry;
pub mod headers;
mod hops;
pub mod inventory;
pub mod kept;
pub mod kv;
pub mod lease;
pub mod message;
pub mod moving;
pub mod object;
pub mod otlp;
pub mod publish;
pub mod registry;
pub mod roles;
pub mod server;
pub mod server_clock;
pub mod service;
pub mod streams;
pub mod tail;
pub mod target;
pub mod typed;
pub mod user_key;
pub mod work_queue;

pub use connection::{Bus, ConnectOptions, Credentials, Events, Link, Tls, connect};
pub use error::{BusError, Difference};
pub use headers::{Headers, extract, inject, inject_current};
pub use message::{Message, Subscription};
pub use nuncius_schemas::subjects::Namespace;
pub use peers::Greeting;
pub use publish::PubAck;
pub use refusal::{Access, Refusal};
pub use server_clock::ServerClock;
pub use typed::TypedError;
