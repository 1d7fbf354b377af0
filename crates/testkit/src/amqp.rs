//! A program that uses a broker: publishes with confirms, takes messages one by one.

use std::time::Duration;

use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::{Channel, Confirmation, Connection, ConnectionProperties};

pub use lapin::BasicProperties;
pub use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

/// A connection with one channel that confirms.
#[derive(Debug)]
pub struct AmqpClient {
    _connection: Connection,
    channel: Channel,
}

/// A message that was taken.
#[derive(Debug)]
pub struct Got {
    /// Its body.
    pub body: Vec<u8>,
    /// Its properties.
    pub properties: BasicProperties,
}

impl AmqpClient {
    /// # Errors
    /// No connection.
    pub async fn connect(url: &str) -> lapin::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { _connection: connection, channel })
    }

    /// A durable queue of this name; what it rejects goes to the queue `dead`, where one is named.
    ///
    /// # Errors
    /// The broker's.
    pub async fn declare(&self, queue: &str, dead: Option<&str>) -> lapin::Result<()> {
        let mut arguments = FieldTable::default();
        if let Some(dead) = dead {
            arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
            arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(dead.into()));
        }
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.into(), options, arguments).await.map(drop)
    }

    /// Removes a queue.
    ///
    /// # Errors
    /// The broker's.
    pub async fn delete(&self, queue: &str) -> lapin::Result<()> {
        self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.map(drop)
    }

    /// Messages that are ready in a queue.
    ///
    /// # Errors
    /// The broker's.
    pub async fn ready(&self, queue: &str) -> lapin::Result<u32> {
        let options = QueueDeclareOptions { passive: true, durable: true, ..QueueDeclareOptions::default() };
        let found = self.channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
        Ok(found.message_count())
    }

    /// Publishes a persistent message to a queue; whether the broker has confirmed it.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn publish(&self, queue: &str, body: &[u8], properties: BasicProperties) -> lapin::Result<bool> {
        let (options, properties) = (BasicPublishOptions::default(), properties.with_delivery_mode(2));
        let confirm = self.channel.basic_publish("".into(), queue.into(), options, body, properties).await?;
        Ok(matches!(confirm.await?, Confirmation::Ack(None)))
    }

    /// Takes and acknowledges a message, if there is one.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn get(&self, queue: &str) -> lapin::Result<Option<Got>> {
        let found = self.channel.basic_get(queue.into(), BasicGetOptions::default()).await?;
        let Some(BasicGetMessage { delivery, .. }) = found else { return Ok(None) };
        self.channel.basic_ack(delivery.delivery_tag, BasicAckOptions::default()).await?;
        Ok(Some(Got { body: delivery.data, properties: delivery.properties }))
    }

    /// The same, waited for; `None` after `patience`.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn next(&self, queue: &str, patience: Duration) -> lapin::Result<Option<Got>> {
        let until = tokio::time::Instant::now() + patience;
        loop {
            if let Some(got) = self.get(queue).await? {
                return Ok(Some(got));
            }
            if tokio::time::Instant::now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
