//! A bridge between a RabbitMQ and a nats-server, each of its test's own.

use std::process::Stdio;

use nuncius_schemas::job::JobResult;
use nuncius_schemas::queue::QueueSettings;
use nuncius_testkit::RabbitMq;
use nuncius_testkit::amqp::{AmqpClient, BasicProperties, Got};

use crate::harness::{PATIENCE, Process, until};
use crate::queue_harness::Queues;

/// One system.
pub(crate) struct Bridged {
    pub(crate) queues: Queues,
    pub(crate) broker: RabbitMq,
    pub(crate) amqp: AmqpClient,
    started: u32,
}

impl Bridged {
    pub(crate) async fn start() -> Self {
        let broker = RabbitMq::start().await.unwrap_or_else(|problem| panic!("{problem}"));
        let amqp = AmqpClient::connect(&broker.url()).await.unwrap();
        Self { queues: Queues::start().await, broker, amqp, started: 0 }
    }

    /// The address of a queue of the broker, percent-encoded already.
    pub(crate) fn address_of(&self, queue: &str) -> String {
        format!("{}/{queue}", self.broker.url())
    }

    /// A bridge, whether or not it has anything to consume yet; its log is in `bridge-<number>.log`.
    pub(crate) fn bridge(&mut self, arguments: &[&str]) -> Process {
        self.started += 1;
        let mut command = self.queues.command(&["bridge"]);
        let log = self.queues.path(&format!("bridge-{}.log", self.started));
        Process::start(command.args(arguments).stdout(Stdio::null()), &log)
    }

    /// What the bridge that was started last has said.
    pub(crate) fn log(&self) -> String {
        self.queues.log(&format!("bridge-{}", self.started))
    }

    /// Waits until it has said this.
    pub(crate) async fn says(&self, words: &str) {
        until(&format!("the bridge says `{words}`"), async || self.log().contains(words).then_some(())).await;
    }

    /// A job queue.
    pub(crate) async fn make(&self, queue: &str, settings: &QueueSettings) {
        self.queues.queues.ensure(queue, settings).await.unwrap();
    }

    /// Publishes a message that the broker confirms.
    pub(crate) async fn publish(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        assert!(self.amqp.publish(queue, body, properties).await.unwrap(), "the broker did not confirm");
    }

    /// The next message of a queue of the broker.
    pub(crate) async fn next(&self, queue: &str) -> Got {
        let got = self.amqp.next(queue, PATIENCE).await.unwrap();
        got.unwrap_or_else(|| panic!("no message in {queue}; the bridge: {}", self.log()))
    }

    /// The next message of a queue, which is a record.
    pub(crate) async fn next_record(&self, queue: &str) -> (JobResult, BasicProperties) {
        let got = self.next(queue).await;
        let record = serde_json::from_slice(&got.body);
        (record.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&got.body))), got.properties)
    }
}

/// Properties of a message with this id that wants an answer.
pub(crate) fn asking(id: &str, reply_to: &str) -> BasicProperties {
    BasicProperties::default().with_message_id(id.into()).with_reply_to(reply_to.into())
}
