//! What a bridge is to do: its mappings, from flags or a file.

use std::path::Path;

use nuncius_schemas::codec;
use nuncius_schemas::names::{check_token, token_from_host};
use nuncius_schemas::queue::check_queue_name;
use serde::Deserialize;

use crate::broker::{AddressError, Broker, filled};
use crate::message::client_of;

/// Most mappings of one bridge: each has two connections to its broker, and series of its own.
pub const MAPPINGS_MAX: usize = 64;
/// Longest name of a queue of AMQP, in bytes (AMQP 0-9-1, 4.2.5.3: a short string).
pub const AMQP_NAME_MAX_BYTES: usize = 255;
/// Messages that a mapping to a job queue has under way at most, unless it says otherwise.
pub const PREFETCH_JOBS: u16 = 256;
/// The same of one to experiments, which run one after the other where they share nodes.
pub const PREFETCH_EXPERIMENTS: u16 = 8;

/// Settings of a bridge.
#[derive(Debug, Clone)]
pub struct BridgeConfig {
    /// Name to register under; a taken one gets a suffix.
    pub name: String,
    /// Host name as the host gives it.
    pub host: String,
    /// What is handed on, from where to where.
    pub mappings: Vec<Mapping>,
}

/// One queue of AMQP, and what its messages become.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// Its name in metrics and logs, a token.
    pub name: String,
    /// The broker.
    pub broker: Broker,
    /// The queue whose messages are handed on.
    pub from: String,
    /// What they become.
    pub to: Destination,
    /// Where results of messages go that do not say so themselves: a queue of the same virtual host.
    pub results: Option<String>,
    /// Messages that may be under way, unacknowledged.
    pub prefetch: u16,
    /// What becomes of messages without an id.
    pub without_id: WithoutId,
    /// Client that jobs are submitted as, a token.
    pub client: String,
}

/// What the messages of a queue become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Jobs of this queue.
    Queue(String),
    /// Experiments.
    Experiments,
}

/// What becomes of messages without an id: when one of them is delivered again, it cannot be known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutId {
    /// Each delivery is a job of its own: none is lost, some may be run twice.
    #[default]
    Accept,
    /// They are refused.
    Refuse,
}

impl std::str::FromStr for WithoutId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "accept" => Ok(Self::Accept),
            "refuse" => Ok(Self::Refuse),
            _ => Err("write accept or refuse".to_owned()),
        }
    }
}

/// What makes no sense, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// Flag, or field of the file.
    pub place: String,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

fn error(place: impl Into<String>, problem: impl ToString) -> ConfigError {
    ConfigError { place: place.into(), problem: problem.to_string() }
}

/// Settings that a mapping may leave out.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// See [`Mapping::name`]; made of the queue's where it is absent.
    pub name: Option<String>,
    /// See [`Mapping::results`].
    pub results: Option<String>,
    /// See [`Mapping::prefetch`].
    pub prefetch: Option<u16>,
    /// See [`Mapping::without_id`].
    pub without_id: WithoutId,
    /// See [`Mapping::client`]; made of the names of virtual host and queue where it is absent.
    pub client: Option<String>,
}

impl Mapping {
    /// A mapping that makes sense; `place` is where it is written.
    ///
    /// # Errors
    /// Which of its names or numbers does not.
    pub fn new(
        place: &str,
        (broker, from): (Broker, String),
        to: Destination,
        options: Options,
    ) -> Result<Self, ConfigError> {
        let Options { name, results, prefetch, without_id, client } = options;
        for (field, queue) in [("from", Some(&from)), ("results", results.as_ref())] {
            let Some(queue) = queue else { continue };
            if !(1..=AMQP_NAME_MAX_BYTES).contains(&queue.len()) {
                let problem = format!("a queue of {} bytes; give 1 to {AMQP_NAME_MAX_BYTES}", queue.len());
                return Err(error(format!("{place}.{field}"), problem));
            }
        }
        if results.as_ref() == Some(&from) {
            return Err(error(
                format!("{place}.results"),
                "results would be taken for new messages: name another queue",
            ));
        }
        if let Destination::Queue(queue) = &to {
            check_queue_name(queue).map_err(|problem| error(format!("{place}.to"), problem))?;
        }
        let name = name.unwrap_or_else(|| token_from_host(&from));
        check_token("mapping", &name).map_err(|problem| error(format!("{place}.name"), problem))?;
        let client = client.unwrap_or_else(|| client_of(broker.vhost(), &from));
        check_token("client", &client).map_err(|problem| error(format!("{place}.client"), problem))?;
        let prefetch = prefetch.unwrap_or(match to {
            Destination::Queue(_) => PREFETCH_JOBS,
            Destination::Experiments => PREFETCH_EXPERIMENTS,
        });
        if prefetch == 0 {
            // To a broker that is no limit at all.
            return Err(error(format!("{place}.prefetch"), format!("0; give 1 to {}", u16::MAX)));
        }
        Ok(Self { name, broker, from, to, results, prefetch, without_id, client })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    broker: Option<String>,
    mappings: Vec<FileMapping>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMapping {
    from: String,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    experiments: bool,
    #[serde(default)]
    broker: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    results: Option<String>,
    #[serde(default)]
    prefetch: Option<u16>,
    #[serde(default)]
    without_id: WithoutId,
    #[serde(default)]
    client: Option<String>,
}

/// The mappings of a file, YAML or JSON.
///
/// # Errors
/// The field that is wrong.
pub fn read(
    text: &str,
    ca: Option<&Path>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Mapping>, ConfigError> {
    let file: File = codec::from_text(text).map_err(|problem| error("not readable", problem))?;
    let broker_of = |place: String, address: &str| -> Result<Broker, ConfigError> {
        let wrong = |problem: AddressError| error(place.clone(), problem);
        Broker::parse(&filled(address, environment).map_err(wrong)?, ca).map_err(wrong)
    };
    let mut mappings = Vec::new();
    for (number, mapping) in file.mappings.into_iter().enumerate() {
        let place = format!("mappings[{number}]");
        let broker = match (&mapping.broker, &file.broker) {
            (Some(address), _) => broker_of(format!("{place}.broker"), address)?,
            (None, Some(address)) => broker_of("broker".to_owned(), address)?,
            (None, None) => return Err(error(format!("{place}.broker"), "is missing, and so is `broker` of the file")),
        };
        let to = match (mapping.to, mapping.experiments) {
            (Some(queue), false) => Destination::Queue(queue),
            (None, true) => Destination::Experiments,
            (Some(_), true) | (None, false) => {
                return Err(error(format!("{place}.to"), "give either `to`, a job queue, or `experiments: true`"));
            }
        };
        let FileMapping { from, name, results, prefetch, without_id, client, .. } = mapping;
        let options = Options { name, results, prefetch, without_id, client };
        mappings.push(Mapping::new(&place, (broker, from), to, options)?);
    }
    Ok(mappings)
}

/// Refuses what mappings are not together.
///
/// # Errors
/// None, or too many of them; two that read the same queue or have the same name.
pub fn checked(mappings: Vec<Mapping>) -> Result<Vec<Mapping>, ConfigError> {
    if mappings.is_empty() || mappings.len() > MAPPINGS_MAX {
        return Err(error("mappings", format!("there are {}; give 1 to {MAPPINGS_MAX}", mappings.len())));
    }
    for (number, mapping) in mappings.iter().enumerate() {
        let mut before = mappings.iter().take(number);
        let place = |mapping: &Mapping| (mapping.broker.shown(), mapping.from.clone());
        if before.clone().any(|other| place(other) == place(mapping)) {
            let problem = format!("two mappings read queue `{}` of one broker", mapping.from.escape_debug());
            return Err(error(format!("mappings[{number}].from"), problem));
        }
        if before.any(|other| other.name == mapping.name) {
            let problem = format!("two mappings are named `{}`: give one of them another name", mapping.name);
            return Err(error(format!("mappings[{number}].name"), problem));
        }
    }
    Ok(mappings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_here(text: &str) -> Result<Vec<Mapping>, ConfigError> {
        read(text, None, &|name| (name == "PASSWORD").then(|| "hunter2".to_owned())).and_then(checked)
    }

    #[test]
    fn a_file_has_mappings_with_a_broker_for_all_or_one_of_their_own() {
        let mappings = read_here(
            "broker: amqp://bridge:${PASSWORD}@rabbit/lab\nmappings:\n\
             - {from: render.jobs, to: render, results: done, prefetch: 10, without_id: refuse}\n\
             - {from: experiments, experiments: true, broker: 'amqp://other:7', name: tests, client: me}\n",
        )
        .unwrap();
        let [jobs, experiments] = mappings.as_slice() else { panic!("{mappings:?}") };
        assert_eq!((jobs.name.as_str(), jobs.broker.shown().as_str()), ("render-jobs", "amqp://rabbit:5672/lab"));
        assert_eq!(jobs.to, Destination::Queue("render".to_owned()));
        assert_eq!((jobs.prefetch, jobs.without_id), (10, WithoutId::Refuse));
        assert_eq!(jobs.client, client_of("lab", "render.jobs"));
        assert_eq!((experiments.name.as_str(), experiments.client.as_str()), ("tests", "me"));
        assert_eq!((experiments.prefetch, &experiments.to), (PREFETCH_EXPERIMENTS, &Destination::Experiments));
        assert!(!format!("{mappings:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_by_its_field() {
        let long = "q".repeat(256);
        for (mapping, place) in [
            ("{from: a}", "mappings[0].to"),
            ("{from: a, to: b, experiments: true}", "mappings[0].to"),
            ("{from: a, to: 'b c'}", "mappings[0].to"),
            ("{from: a, to: b, results: a}", "mappings[0].results"),
            ("{from: '', to: b}", "mappings[0].from"),
            (&format!("{{from: {long}, to: b}}"), "mappings[0].from"),
            ("{from: a, to: b, prefetch: 0}", "mappings[0].prefetch"),
            ("{from: a, to: b, name: 'a b'}", "mappings[0].name"),
            ("{from: a, to: b, client: 'a b'}", "mappings[0].client"),
            ("{from: a, to: b, broker: 'http://x'}", "mappings[0].broker"),
            ("{from: a, to: b, broker: '${NOBODY}'}", "mappings[0].broker"),
            ("{from: a, to: b}\n- {from: a, to: c}", "mappings[1].from"),
            ("{from: a.b, to: b}\n- {from: a-b, to: c}", "mappings[1].name"),
        ] {
            let error = read_here(&format!("broker: amqp://rabbit\nmappings:\n- {mapping}\n")).unwrap_err();
            assert_eq!(error.place, place, "{mapping}: {error}");
        }
        assert_eq!(read_here("mappings:\n- {from: a, to: b}\n").unwrap_err().place, "mappings[0].broker");
        assert_eq!(read_here("broker: amqp://rabbit\nmappings: []\n").unwrap_err().place, "mappings");
        let unknown = read_here("broker: amqp://rabbit\nmappings:\n- {from: a, to: b, prefetched: 1}\n").unwrap_err();
        assert!(unknown.to_string().contains("prefetched"), "{unknown}");
    }
}
