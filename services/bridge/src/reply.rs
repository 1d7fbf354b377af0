//! Answers: published to the queue that a message names, persistent, and done when the broker has confirmed it.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use nuncius_amqp::{Link, describe};

use crate::figures::Figures;
use crate::hold::{Pauses, Said};

/// `delivery_mode` of a message that the broker writes to disk.
const PERSISTENT: u8 = 2;
/// How long a broker may take to confirm.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(30);
/// Pauses before an answer that the broker did not accept is published again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// What is published.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The queue.
    pub(crate) to: ShortString,
    /// By which the asker knows what it answers.
    pub(crate) correlation_id: Option<ShortString>,
    /// The job or the experiment, the same for the same answer published again; empty where there is none.
    pub(crate) id: String,
    /// Name of the document's type, as in `Nuncius-Schema`.
    pub(crate) kind: &'static str,
    /// The document, as JSON.
    pub(crate) body: Vec<u8>,
}

/// A channel with confirms, on a connection of its own: brokers stop reading from connections that publish too much.
pub(crate) struct Answers {
    _link: Link,
    channel: Channel,
}

impl Answers {
    /// # Errors
    /// Why not, in words.
    pub(crate) async fn open(link: Link) -> Result<Self, String> {
        let channel = link.connection.create_channel().await.map_err(|error| describe(&error))?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default()).await;
        confirms.map_err(|error| format!("ask for confirms: {}", describe(&error)))?;
        Ok(Self { _link: link, channel })
    }

    /// Publishes an answer until the broker has confirmed it. One that no queue takes is counted and done: whoever
    /// asked is gone, and the record is in the books.
    ///
    /// # Errors
    /// The connection has ended, in words.
    pub(crate) async fn publish(&self, answer: &Answer, figures: &Figures, said: &Said) -> Result<(), String> {
        let mut pauses = Pauses::new(PAUSES.0, PAUSES.1);
        loop {
            let mut properties = BasicProperties::default()
                .with_content_type("application/json".into())
                .with_delivery_mode(PERSISTENT)
                .with_type(answer.kind.into())
                .with_app_id("nuncius".into());
            if !answer.id.is_empty() {
                properties = properties.with_message_id(answer.id.as_str().into());
            }
            if let Some(id) = &answer.correlation_id {
                properties = properties.with_correlation_id(id.clone());
            }
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let (exchange, to) = (ShortString::default(), answer.to.clone());
            let publishing =
                async { self.channel.basic_publish(exchange, to, options, &answer.body, properties).await?.await };
            let confirmation = tokio::time::timeout(CONFIRM_PATIENCE, publishing).await;
            match confirmation {
                Ok(Ok(Confirmation::Ack(None))) => {
                    figures.answered.add(1);
                    return Ok(());
                }
                Ok(Ok(Confirmation::Ack(Some(returned)))) => {
                    // The library may give it to another answer's confirm: its own name is what counts.
                    figures.unroutable.add(1);
                    let text = format!("no queue `{}` takes answers", returned.routing_key.as_str().escape_debug());
                    if said.is_news(&text) {
                        tracing::warn!("{text}: they are in the books only");
                    }
                    return Ok(());
                }
                Ok(Ok(Confirmation::Nack(_))) => {
                    let text = format!("the broker does not accept answers to `{}`", answer.to.as_str().escape_debug());
                    if said.is_news(&text) {
                        tracing::warn!("{text}: trying again");
                    }
                    pauses.pause().await;
                }
                Ok(Ok(Confirmation::NotRequested)) => return Err("the channel does not confirm".to_owned()),
                Ok(Err(error)) => return Err(format!("publish an answer: {}", describe(&error))),
                Err(_) => return Err(format!("an answer was not confirmed within {CONFIRM_PATIENCE:?}")),
            }
        }
    }
}
