//! What operations of this crate need of the server, as grants.

use nuncius_schemas::subjects::Namespace;

use super::{Grant, Place, Right, matches};

/// Collects the grants of a role.
pub(super) struct Grants<'a> {
    pub(super) names: &'a Namespace,
    place: &'a Place,
    api: String,
    all: Vec<Grant>,
}

impl<'a> Grants<'a> {
    pub(super) fn new(place: &'a Place) -> Self {
        let api = place.domain.as_ref().map_or_else(|| "$JS.API".to_owned(), |domain| format!("$JS.{domain}.API"));
        Self { names: &place.namespace, place, api, all: Vec::new() }
    }

    /// Each once, in order, and none that another covers.
    pub(super) fn done(mut self) -> Vec<Grant> {
        self.all.sort();
        self.all.dedup_by(|a, b| (a.right, &a.subject) == (b.right, &b.subject));
        let covers = |wide: &Grant, narrow: &Grant| {
            wide.right == narrow.right && wide.subject != narrow.subject && matches(&wide.subject, &narrow.subject)
        };
        let is_needed = |grant: &&Grant| !self.all.iter().any(|other| covers(other, grant));
        self.all.iter().filter(is_needed).cloned().collect()
    }

    fn add(&mut self, right: Right, subject: String, purpose: &'static str) {
        self.all.push(Grant { right, subject, purpose });
    }

    pub(super) fn publish(&mut self, subject: String, purpose: &'static str) {
        self.add(Right::Publish, subject, purpose);
    }

    pub(super) fn subscribe(&mut self, subject: String, purpose: &'static str) {
        self.add(Right::Subscribe, subject, purpose);
    }

    pub(super) fn answer(&mut self, purpose: &'static str) {
        self.add(Right::Answer, String::new(), purpose);
    }

    /// An operation of JetStream's interface.
    pub(super) fn api(&mut self, operation: &str, purpose: &'static str) {
        self.publish(format!("{}.{operation}", self.api), purpose);
    }

    /// The queues that were named, or any.
    pub(super) fn queues(&self) -> Vec<String> {
        if self.place.queues.is_empty() { vec!["*".to_owned()] } else { self.place.queues.clone() }
    }

    /// The streams of jobs, records and dead letters; a wildcard stands for a whole name only.
    pub(super) fn stream_of(&self, queue: &str, name: impl Fn(&Namespace, &str) -> String) -> String {
        if queue == "*" { "*".to_owned() } else { name(self.names, queue) }
    }

    /// To look at a stream.
    pub(super) fn look(&mut self, stream: &str, purpose: &'static str) {
        self.api(&format!("STREAM.INFO.{stream}"), purpose);
    }

    /// To make a stream, and to change it.
    pub(super) fn make(&mut self, stream: &str, purpose: &'static str) {
        self.look(stream, purpose);
        self.api(&format!("STREAM.CREATE.{stream}"), purpose);
        self.api(&format!("STREAM.UPDATE.{stream}"), purpose);
    }

    /// To read what matches a filter (empty for all), message by message, and on.
    pub(super) fn tail(&mut self, stream: &str, filter: &str, purpose: &'static str) {
        self.look(stream, purpose);
        // The filter is in the subject; without one everything is read.
        let filter = if filter.is_empty() { String::new() } else { format!(".{filter}") };
        self.api(&format!("CONSUMER.CREATE.{stream}.*{filter}"), purpose);
        self.api(&format!("CONSUMER.MSG.NEXT.{stream}.*"), purpose);
        self.api(&format!("CONSUMER.DELETE.{stream}.*"), purpose);
    }

    /// To read the last message of a subject.
    pub(super) fn last(&mut self, stream: &str, purpose: &'static str) {
        self.api(&format!("STREAM.MSG.GET.{stream}"), purpose);
    }

    /// To open a bucket and read a key.
    pub(super) fn read_key(&mut self, bucket: &str, key: &str, purpose: &'static str) {
        self.look(&format!("KV_{bucket}"), purpose);
        self.api(&format!("DIRECT.GET.KV_{bucket}.$KV.{bucket}.{key}"), purpose);
    }

    /// To write a key, and to read it where the write met another's.
    pub(super) fn write_key(&mut self, bucket: &str, key: &str, purpose: &'static str) {
        self.read_key(bucket, key, purpose);
        let subject = format!("$KV.{bucket}.{key}");
        match self.place.domain {
            Some(_) => self.api(&subject, purpose),
            None => self.publish(subject, purpose),
        }
    }

    /// To follow the keys that match a filter.
    pub(super) fn watch_keys(&mut self, bucket: &str, filter: &str, purpose: &'static str) {
        self.tail(&format!("KV_{bucket}"), &format!("$KV.{bucket}.{filter}"), purpose);
    }

    /// To be seen in the registry, by `nats micro`, and to be answered.
    pub(super) fn member(&mut self) {
        let bucket = self.names.bucket_node();
        self.write_key(&bucket, "*", "its entry in the registry");
        self.api("INFO", "how long the bus takes to answer");
        self.subscribe("$SRV.>".to_owned(), "to be found by `nats micro`");
        self.answer("answers to `nats micro`, and to what else it is asked");
    }
}
