//! The tick configuration: rates per service, one per interval.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::words::{group_name, in_flight_of, parse_time, push_stage, shown, target_of};
use crate::spec::limits::{GROUPS_MAX, STAGES_MAX};
use crate::spec::{Arrivals, ExperimentSpec, Group, Method, RecordsMode, SpecError, Step, TelemetrySpec};
use crate::units::{HumanDuration, Rate};

/// An experiment as a tick configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TickExperiment {
    /// Who and what.
    #[serde(default)]
    pub experiment: TickIdentity,
    /// The load.
    pub configuration: TickConfiguration,
    /// Service names and their `host:port` addresses, as in an experiment of Nuncius; the original has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, Vec<String>>,
}

/// Who and what.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TickIdentity {
    /// Identifier, a token; made from the message when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What people call it; the id when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<String>,
}

/// The load of all services.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TickConfiguration {
    /// How long load is offered.
    pub duration: Seconds,
    /// How long each tick lasts.
    pub interval: Seconds,
    /// The services.
    pub workloads: Vec<Workload>,
}

/// The load of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Service name or `host:port`.
    pub service: String,
    /// Requests per second over all nodes, one per interval.
    pub ticks: Vec<Rate>,
    /// Clients on each node, 50 requests under way each.
    #[serde(default = "default_clients_per_host")]
    pub clients_per_host: u32,
    /// `constant`, `poisson` or `expovariate` (another word for it); constant when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival_pattern: Option<String>,
    /// Custom client app: not available yet, refused when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The request; one GET of `/` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_parameters: Option<ClientParameters>,
}

fn default_clients_per_host() -> u32 {
    3
}

/// The request of the default client.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientParameters {
    /// Method in any case; get when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Path and query; `/` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The rest of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kwargs: Option<RequestArguments>,
}

/// Arguments of Python's `requests.request` that have a meaning here; others are refused by name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestArguments {
    /// Headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// Body as JSON, with its content type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// Body as text, or a map that is sent as a form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Form>,
    /// Query parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<BTreeMap<String, String>>,
    /// Time after which the request has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Seconds>,
}

/// A body.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Form {
    /// Sent as it is.
    Text(String),
    /// Sent as `application/x-www-form-urlencoded`.
    Fields(BTreeMap<String, String>),
}

impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FormVisitor;
        impl<'de> serde::de::Visitor<'de> for FormVisitor {
            type Value = Form;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text, or a map of form fields")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Form, E> {
                Ok(Form::Text(text.to_owned()))
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Form, D::Error> {
                deserializer.deserialize_any(self)
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Form, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    fields.insert(name, value);
                }
                Ok(Form::Fields(fields))
            }
        }
        deserializer.deserialize_newtype_struct(crate::tree::OWN_TEXT, FormVisitor)
    }
}

/// A length of time; a bare number is seconds, text may have units: `10`, `"1m30s"`, `"500ms"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub HumanDuration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = crate::units::text_or_number(deserializer)?;
        parse_time(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Seconds {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GalileoTime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Seconds (a bare number), or with units: 10s, 1m30s, 500ms.",
            "oneOf": [
                { "type": "number", "minimum": 0 },
                { "type": "string", "pattern": r"^[0-9]*\.?[0-9]+$|^([0-9]*\.?[0-9]+ ?(ns|us|µs|μs|ms|s|m|h|d))+$" }
            ]
        })
    }
}

fn refuse<T>(field: impl Into<String>, problem: impl Into<String>) -> Result<T, SpecError> {
    Err(SpecError { field: field.into(), problem: problem.into() })
}

fn at<T>(field: impl Into<String>, result: Result<T, String>) -> Result<T, SpecError> {
    result.or_else(|problem| refuse(field, problem))
}

impl TickExperiment {
    /// The specification this configuration means; it is the same for all nodes.
    pub(super) fn translate(&self) -> Result<ExperimentSpec, SpecError> {
        let configuration = &self.configuration;
        let (duration_ns, interval_ns) = (configuration.duration.0.0, configuration.interval.0.0);
        if interval_ns == 0 {
            return refuse("configuration.interval", "0s: a tick must last some time");
        }
        if duration_ns == 0 {
            return refuse("configuration.duration", "0s offers nothing");
        }
        if configuration.workloads.is_empty() || configuration.workloads.len() > GROUPS_MAX {
            let count = configuration.workloads.len();
            return refuse("configuration.workloads", format!("{count} entries: give 1 to {GROUPS_MAX}"));
        }
        let needed = duration_ns.div_ceil(interval_ns);
        if needed > STAGES_MAX as u64 {
            let problem = format!("{needed} intervals in the duration, at most {STAGES_MAX} are taken");
            return refuse("configuration.interval", problem);
        }
        let mut groups = Vec::new();
        for (index, workload) in configuration.workloads.iter().enumerate() {
            let field = format!("configuration.workloads[{index}]");
            let group = workload.group(&field, configuration, needed, &groups)?;
            groups.push(group);
        }
        if groups.iter().all(|group| group.stages.iter().all(|stage| stage.rate.0 == 0)) {
            return refuse("configuration.workloads", "offer nothing: every tick is 0");
        }
        // A service that is never asked anything needs no clients.
        groups.retain(|group| group.stages.iter().any(|stage| stage.rate.0 > 0));
        let spec = ExperimentSpec {
            id: self.experiment.id.clone(),
            name: self.experiment.name.clone(),
            creator: self.experiment.creator.clone(),
            services: self.services.clone(),
            records: RecordsMode::All,
            telemetry: Some(TelemetrySpec::all()),
            ..ExperimentSpec::of_groups(groups)
        };
        spec.validate().map_err(|error| match error.field.as_str() {
            field if field.starts_with("services") => error,
            "id" | "name" | "creator" => SpecError { field: format!("experiment.{}", error.field), ..error },
            _ => SpecError { field: format!("configuration (translated: {})", error.field), ..error },
        })?;
        Ok(spec)
    }
}

impl Workload {
    fn group(
        &self,
        field: &str,
        configuration: &TickConfiguration,
        needed: u64,
        taken: &[Group],
    ) -> Result<Group, SpecError> {
        let target = at(format!("{field}.service"), target_of(&self.service))?;
        if let Some(app) = &self.client {
            let problem = format!("`{}`: custom client apps are not available yet; leave it out", shown(app));
            return refuse(format!("{field}.client"), problem);
        }
        let given = self.ticks.len() as u64;
        if given < needed {
            let problem = format!(
                "{given} ticks of {} end before the duration of {}: give {needed}",
                configuration.interval.0, configuration.duration.0
            );
            return refuse(format!("{field}.ticks"), problem);
        }
        let max_in_flight = at(format!("{field}.clients_per_host"), in_flight_of(self.clients_per_host))?;
        let arrivals = match self.arrival_pattern.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("constant") => Arrivals::Constant,
            Some("poisson" | "expovariate") => Arrivals::Poisson,
            Some(other) => {
                let problem = format!("`{}` is unknown: constant, poisson or expovariate", shown(other));
                return refuse(format!("{field}.arrival_pattern"), problem);
            }
        };
        let mut stages = Vec::new();
        let mut left_ns = configuration.duration.0.0;
        for rate in &self.ticks {
            let length_ns = configuration.interval.0.0.min(left_ns);
            push_stage(&mut stages, *rate, length_ns);
            left_ns -= length_ns;
        }
        let name = group_name(&self.service, taken);
        let mut group = Group { name, stages, arrivals, max_in_flight, ..Group::of_target(target) };
        if let Some(parameters) = &self.client_parameters {
            let field = format!("{field}.client_parameters");
            parameters.set(&mut group, &field)?;
        }
        Ok(group)
    }
}

impl ClientParameters {
    /// Gives a group this request; `field` is where the parameters stand, for errors.
    ///
    /// # Errors
    /// The field that cannot be, and why.
    pub fn set(&self, group: &mut Group, field: &str) -> Result<(), SpecError> {
        if let Some(timeout) = self.kwargs.as_ref().and_then(|kwargs| kwargs.timeout) {
            if timeout.0.0 == 0 {
                return refuse(format!("{field}.kwargs.timeout"), "0s would let nothing through");
            }
            group.timeout = timeout.0;
        }
        group.steps = vec![self.step(field)?];
        Ok(())
    }

    fn step(&self, field: &str) -> Result<Step, SpecError> {
        let mut path = self.path.clone().unwrap_or_else(|| "/".to_owned());
        if !path.starts_with('/') {
            return refuse(format!("{field}.path"), format!("`{}` does not start with /", shown(&path)));
        }
        let method = Method::registered(&self.method.as_deref().unwrap_or("get").to_ascii_uppercase());
        let method = at(format!("{field}.method"), method)?;
        let no_arguments = RequestArguments::default();
        let arguments = self.kwargs.as_ref().unwrap_or(&no_arguments);
        let mut headers = arguments.headers.clone().unwrap_or_default();
        let body = match (&arguments.json, &arguments.data) {
            (Some(_), Some(_)) => return refuse(format!("{field}.kwargs.data"), "give either json or data"),
            (Some(json), None) => {
                set_content_type(&mut headers, "application/json");
                Some(json.to_string())
            }
            (None, Some(Form::Text(text))) => Some(text.clone()),
            (None, Some(Form::Fields(fields))) => {
                set_content_type(&mut headers, "application/x-www-form-urlencoded");
                Some(form_encode(fields))
            }
            (None, None) => None,
        };
        if let Some(parameters) = arguments.params.as_ref().filter(|parameters| !parameters.is_empty()) {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&form_encode(parameters));
        }
        Ok(Step { method: Some(method), path: Some(path), headers, body, ..Step::default() })
    }
}

fn set_content_type(headers: &mut BTreeMap<String, String>, value: &str) {
    if !headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
        headers.insert("Content-Type".to_owned(), value.to_owned());
    }
}

/// `application/x-www-form-urlencoded` as the WHATWG URL standard has it, except that all but unreserved characters
/// are escaped.
fn form_encode(fields: &BTreeMap<String, String>) -> String {
    let escape = |text: &str| {
        text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
                b' ' => escaped.push('+'),
                _ => escaped.push_str(&format!("%{byte:02X}")),
            }
            escaped
        })
    };
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.join("&")
}
