//! The AMQP bridge: messages of RabbitMQ queues become jobs of job queues, or experiments, and what comes of them goes
//! back to whoever asked.
//!
//! The promise: a message that the broker has confirmed to its publisher is acknowledged by the bridge only when
//! somebody else answers for it: the job queue's stream or, where an answer is wanted, the broker that has confirmed
//! that answer. So whichever of the three is killed, nothing is lost; and since the id of a job is made from the
//! message's, what is delivered again is the same job and has one terminal record. The bridge keeps nothing of its own:
//! any number of them may serve one queue, and any of them may be killed. It must never acknowledge a message before
//! that, never run anything, and never tell a broker's password.
//!
//! Layout: [`config`] is what is wanted, [`broker`] how a broker is reached; [`message`] makes ids, headers and
//! priorities of a message's properties (pure); `relay` is one mapping, from connection to connection; `handle` one
//! message, with `jobs` and `experiments` for what it becomes, `reply` for the answer and `shared` for what they have
//! in common; `settle` what the broker is told of those that ended; `figures` counts; [`service`] starts and joins
//! everything.

pub mod broker;
pub mod config;
mod experiments;
mod figures;
mod handle;
mod hold;
mod jobs;
pub mod message;
mod relay;
mod reply;
pub mod service;
mod settle;
mod shared;

pub use config::{BridgeConfig, ConfigError, Destination, Mapping, WithoutId};
pub use service::{BridgeError, run};
