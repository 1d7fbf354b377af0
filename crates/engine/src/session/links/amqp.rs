//! Connections to brokers: one for what is published and one for what is consumed, because a broker may stop reading
//! from connections that publish.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use lapin::{Channel, Consumer};
use nuncius_schemas::metric::FailureKind;
use tokio::sync::Mutex;

use crate::amqp::{Access, Link, open};
use crate::failure::Failure;

/// A connection that is opened by whoever first needs it.
type Opened = Mutex<Option<Rc<Link>>>;

/// The connections of a thread to brokers.
pub(in crate::session) struct AmqpLinks {
    /// By the number of the broker: what publishes, and what consumes.
    links: Box<[[Opened; 2]]>,
    /// Of steps that publish: a broker that returns a message does so on its channel.
    pub(in crate::session) publishing: RefCell<HashMap<u16, (Rc<Link>, Channel)>>,
    /// Of steps that consume.
    pub(in crate::session) consuming: RefCell<HashMap<u16, Rc<Mutex<Option<Consuming>>>>>,
}

/// A consumer that users of the thread share.
pub(in crate::session) struct Consuming {
    pub(in crate::session) link: Rc<Link>,
    pub(in crate::session) consumer: Consumer,
}

impl AmqpLinks {
    pub(in crate::session) fn new(brokers: usize) -> Self {
        Self {
            links: (0..brokers).map(|_| [Mutex::new(None), Mutex::new(None)]).collect(),
            publishing: RefCell::default(),
            consuming: RefCell::default(),
        }
    }

    /// The connection, opened anew where it has ended.
    pub(in crate::session) async fn link(
        &self,
        broker: u16,
        access: &Arc<Access>,
        direction: usize,
    ) -> Result<Rc<Link>, Failure> {
        let place = self.links.get(usize::from(broker)).and_then(|links| links.get(direction));
        let Some(place) = place else { return Err(Failure::new(FailureKind::Connect, "there is no such broker")) };
        let mut link = place.lock().await;
        if let Some(link) = link.as_ref().filter(|link| link.is_alive()) {
            return Ok(Rc::clone(link));
        }
        let opened = Rc::new(open(access, 0).await?);
        *link = Some(Rc::clone(&opened));
        Ok(opened)
    }
}
