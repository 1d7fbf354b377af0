//! What a thread has open for all its users together: brokers, servers of NATS, queues.

mod amqp;
mod jobs;
mod nats;

pub(super) use amqp::{AmqpLinks, Consuming};
pub(super) use jobs::Submitters;
pub(super) use nats::NatsClients;
