//! Dev only: what tests need from the outside world, real wherever possible: one nats-server per test, a link that can
//! be cut, a network with one way out, a RabbitMQ and who uses it, servers of PostgreSQL and MariaDB, a receiver of
//! OTLP, a browser, free ports, temporary directories, polling with a deadline.
//!
//! It must never be a dependency of anything that ships, and never depend on `nuncius-bus`, whose tests use it.

pub mod amqp;
mod booking;
mod browser;
mod cluster;
mod database;
mod island;
mod node;
mod otlp;
mod proxy;
mod rabbitmq;
mod recorder;
mod relay;
mod server;
mod temp;
mod wait;

pub use booking::{Booking, SOCKETIO_PATH, SocketIoVersion};
pub use browser::{Browser, Scheme};
pub use cluster::TestCluster;
pub use database::{SqlKind, SqlServer};
pub use island::Island;
pub use node::package_file;
pub use otlp::{LogLine, Manner, OtlpReceiver, Span, spans_in, spans_message};
pub use proxy::Proxy;
pub use rabbitmq::RabbitMq;
pub use recorder::Recorder;
pub use relay::Relay;
pub use server::{TestServer, TestkitError, find_binary};
pub use temp::TempDir;
pub use wait::{eventually, free_port};
