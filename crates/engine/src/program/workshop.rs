//! Steps of messages, from what is written to what is done: one file for each protocol.

mod amqp;
mod nats;
mod socketio;
mod ws;
