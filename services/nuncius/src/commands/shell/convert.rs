//! Values of the shell as parts of an experiment.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use nuncius_schemas::codec::{self, CodecError};
use nuncius_schemas::galileo::ClientParameters;
use nuncius_schemas::interarrival::{Clients, Interarrival};
use nuncius_schemas::spec::{ExperimentSpec, Group as SpecGroup, RecordsMode, TelemetrySpec};
use nuncius_schemas::units::HumanDuration;
use nuncius_shell::{ShellError, Value};
use serde_json::{Map, Value as Json, json};

use super::state::{Group, Naming};

/// How far ahead nodes may offer load: a change takes as long to begin.
const HORIZON: HumanDuration = HumanDuration::from_secs(2);
/// How long a group that nobody closes goes on.
const DURATION: HumanDuration = HumanDuration::from_secs(24 * 3_600);
/// What the environment variables that Galileo takes for labels begin with.
const LABEL_PREFIX: &str = "galileo_";

/// What each client of a group does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Load {
    /// Waits before each request, and sends so many of them at most.
    Times(Interarrival, Option<u64>),
    /// Sends as fast as answers come, so many requests each.
    Fast(u64),
}

/// The experiment of a group that is given work.
pub(super) fn spec(
    id: &str,
    group: &Group,
    load: Load,
    naming: Option<&Naming>,
    keeps_records: bool,
) -> ExperimentSpec {
    let mut made = group.wanted.clone();
    made.name.clone_from(&group.name);
    made.duration = Some(DURATION);
    match load {
        Load::Times(interarrival, requests) => {
            made.clients = Some(Clients { count: group.count, interarrival, requests });
        }
        Load::Fast(requests) => {
            made.users = Some(group.count);
            made.iterations = Some(requests.saturating_mul(u64::from(group.count)));
        }
    }
    let mut spec = ExperimentSpec::of_groups(vec![made]);
    spec.id = Some(id.to_owned());
    spec.horizon = Some(HORIZON);
    spec.nodes.labels.clone_from(&group.labels);
    if keeps_records {
        spec.records = RecordsMode::All;
    }
    if let Some(Naming { name, creator, metadata, .. }) = naming.cloned() {
        (spec.name, spec.creator, spec.metadata) = (name, creator, metadata);
        spec.telemetry = Some(TelemetrySpec::all());
    }
    spec
}

/// Labels as we have them: those that were environment variables of Galileo's lose its prefix.
pub(super) fn labels(entries: Vec<(String, Value)>) -> BTreeMap<String, String> {
    let plain = |name: String| name.strip_prefix(LABEL_PREFIX).map(str::to_owned).unwrap_or(name);
    entries.into_iter().map(|(name, value)| (plain(name), value.plain())).collect()
}

/// A time between requests: seconds, `('expovariate', 5)`, or a list of seconds.
pub(super) fn interarrival(value: &Value) -> Result<Interarrival> {
    let written = json(value)?;
    serde_json::from_value(written).map_err(|error| ShellError::Arguments(format!("ia: {error}")).into())
}

/// A value as JSON.
pub(super) fn json(value: &Value) -> Result<serde_json::Value> {
    Ok(match value {
        Value::None => serde_json::Value::Null,
        Value::Bool(is_true) => json!(is_true),
        Value::Integer(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::List(entries) | Value::Tuple(entries) => {
            serde_json::Value::Array(entries.iter().map(json).collect::<Result<_>>()?)
        }
        Value::Dict(entries) => {
            let pairs = entries.iter().map(|(key, value)| Ok((key.plain(), json(value)?)));
            serde_json::Value::Object(pairs.collect::<Result<_>>()?)
        }
        Value::Object(_) => bail!(ShellError::Arguments(format!("`{value}` is no value that can be sent"))),
    })
}

/// What is requested of a service: `{'method': 'post', 'path': '/', 'kwargs': {'json': …, 'headers': {…}}}`, where what
/// belongs to `kwargs` may stand beside it, too, and `body` is another word for `data`.
pub(super) fn requested(service: &str, parameters: &[(String, Value)]) -> Result<SpecGroup> {
    let mut made = SpecGroup::of_target(format!("http://{service}/"));
    if parameters.is_empty() {
        return Ok(made);
    }
    let (mut top, mut kwargs) = (Map::new(), Map::new());
    for (name, value) in parameters {
        match (name.as_str(), json(value)?) {
            (_, Json::Null) => {}
            ("kwargs", Json::Object(entries)) => kwargs.extend(entries),
            ("method" | "path" | "kwargs", written) => drop(top.insert(name.clone(), written)),
            ("body", written) => drop(kwargs.insert("data".to_owned(), written)),
            (_, written) => drop(kwargs.insert(name.clone(), written)),
        }
    }
    if !kwargs.is_empty() {
        top.entry("kwargs").or_insert(Json::Object(kwargs));
    }
    let refuse = |field: &str, problem: &str| ShellError::Arguments(format!("{field}: {problem}"));
    let read: ClientParameters = codec::from_text(&Json::Object(top).to_string()).map_err(|error| match &error {
        CodecError::Field { field, problem, .. } => refuse(&format!("parameters.{field}"), problem),
        CodecError::Unreadable { .. }
        | CodecError::Foreign { .. }
        | CodecError::TooLarge { .. }
        | CodecError::Encode(_) => refuse("parameters", &error.to_string()),
    })?;
    read.set(&mut made, "parameters").map_err(|error| refuse(&error.field, &error.problem))?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn dict(entries: &[(&str, Value)]) -> Value {
        Value::Dict(entries.iter().map(|(name, value)| (text(name), value.clone())).collect())
    }

    fn written(entries: &[(&str, Value)]) -> Vec<(String, Value)> {
        entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn what_is_requested_is_made_of_galileos_parameters() {
        let body = dict(&[("a", Value::List(vec![Value::Integer(1), Value::None]))]);
        let params = dict(&[("q", text("a b&c")), ("n", Value::Integer(3))]);
        let kwargs = dict(&[
            ("json", body),
            ("headers", dict(&[("x", text("y")), ("n", Value::Integer(1))])),
            ("params", params),
            ("timeout", Value::Float(2.5)),
            ("data", Value::None),
        ]);
        let made = requested("shop", &written(&[("method", text("post")), ("path", text("/p")), ("kwargs", kwargs)]));
        let made = made.unwrap();
        let step = &made.steps[0];
        assert_eq!((made.target.as_str(), made.timeout), ("http://shop/", HumanDuration::from_millis(2_500)));
        assert_eq!(step.method.as_ref().unwrap().name(), "POST");
        assert_eq!(step.path.as_deref(), Some("/p?n=3&q=a+b%26c"));
        assert_eq!(step.body.as_deref(), Some(r#"{"a":[1,null]}"#));
        assert_eq!((step.headers["x"].as_str(), step.headers["n"].as_str()), ("y", "1"));
        assert_eq!(step.headers["Content-Type"], "application/json");
        // What belongs to kwargs may stand beside it.
        let form = requested("shop", &written(&[("data", dict(&[("a", text("b c"))]))])).unwrap();
        assert_eq!(form.steps[0].body.as_deref(), Some("a=b+c"));
        let plain = requested("shop", &written(&[("body", text("a=1"))])).unwrap();
        assert_eq!(plain.steps[0].body.as_deref(), Some("a=1"));
        assert!(requested("shop", &[]).unwrap().steps.is_empty());
        for (name, value, field) in [
            ("method", text("FETCH"), "parameters.method: "),
            ("size", Value::Integer(1), "parameters.kwargs"),
            ("path", text("x"), "parameters.path: "),
            ("kwargs", text("x"), "parameters.kwargs: "),
            ("timeout", Value::Integer(0), "parameters.kwargs.timeout: "),
            ("verify", Value::Bool(false), "parameters.kwargs"),
        ] {
            let error = requested("shop", &written(&[(name, value)])).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }

    #[test]
    fn labels_that_were_environment_variables_lose_their_prefix() {
        let found = labels(vec![("galileo_zone".to_owned(), text("A")), ("rack".to_owned(), Value::Integer(3))]);
        assert_eq!(found, BTreeMap::from([("zone".into(), "A".into()), ("rack".into(), "3".into())]));
    }

    #[test]
    fn times_are_written_as_galileo_has_them_and_what_it_makes_is_an_experiment() {
        let poisson = interarrival(&Value::Tuple(vec![text("expovariate"), Value::Integer(5)])).unwrap();
        assert_eq!(poisson, Interarrival::Exponential { lambda: 5.0 });
        assert!(interarrival(&text("soon")).unwrap_err().to_string().starts_with("ia: "));
        let group = Group {
            name: "c1".to_owned(),
            service: "shop".to_owned(),
            wanted: SpecGroup::of_target("http://shop/".to_owned()),
            parameters: String::new(),
            labels: labels(vec![("zone".to_owned(), text("A"))]),
            count: 3,
            run: None,
        };
        for load in [Load::Times(poisson, Some(9)), Load::Fast(100)] {
            let naming = Naming { name: Some("n".to_owned()), ..Naming::default() };
            let made = spec("one", &group, load.clone(), Some(&naming), true);
            made.validate().unwrap();
            assert_eq!((made.nodes.labels["zone"].as_str(), made.name.as_deref()), ("A", Some("n")));
            assert_eq!((made.records, made.telemetry), (RecordsMode::All, Some(TelemetrySpec::all())));
            let plain = spec("one", &group, load, None, false);
            assert_eq!((plain.records, plain.telemetry), (RecordsMode::None, None));
        }
    }
}
