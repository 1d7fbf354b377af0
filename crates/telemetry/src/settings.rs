//! Reading the `OTEL_*` variables, and Nuncius's own for the way out. Pure: the environment is a function.

use std::time::Duration;

use nuncius_schemas::subjects::Signal;

use crate::otlp::{DEFAULT_TIMEOUT, Endpoint, Protocol};
use crate::{OutBoxLimits, TelemetryError};

/// A way to read the environment.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where what is told of one kind goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Nowhere: it is not made at all.
    Nowhere,
    /// Into the out-box, to be carried to the bus.
    OutBox,
    /// To a receiver, from this process.
    Endpoint(Box<Endpoint>),
}

/// Where everything goes, and how much of it may wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) traces: Destination,
    pub(crate) metrics: Destination,
    pub(crate) logs: Destination,
    pub(crate) limits: Limits,
}

/// How much may wait, and how long a message is at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) spans: usize,
    pub(crate) records: usize,
    pub(crate) message_bytes: usize,
    pub(crate) out_box: OutBoxLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self { spans: 65_536, records: 16_384, message_bytes: 256 << 10, out_box: OutBoxLimits::default() }
    }
}

/// The first of `names` that is set to something, with its name. An empty variable counts as unset, as OpenTelemetry
/// has it.
fn first(environment: Environment<'_>, names: &[&str]) -> Option<(String, String)> {
    names.iter().find_map(|name| {
        environment(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
            .map(|value| ((*name).to_owned(), value))
    })
}

fn wrong(variable: impl Into<String>, value: &str, problem: impl Into<String>) -> TelemetryError {
    TelemetryError::Variable { variable: variable.into(), value: value.to_owned(), problem: problem.into() }
}

impl Settings {
    /// # Errors
    /// [`TelemetryError::Variable`] naming the variable.
    pub(crate) fn read(environment: Environment<'_>) -> Result<Self, TelemetryError> {
        let limits = Limits::read(environment)?;
        if first(environment, &["OTEL_SDK_DISABLED"]).is_some_and(|(_, value)| value.eq_ignore_ascii_case("true")) {
            let [traces, metrics, logs] = Signal::ALL.map(|_| Destination::Nowhere);
            return Ok(Self { traces, metrics, logs, limits });
        }
        Ok(Self {
            traces: Destination::read(Signal::Traces, environment)?,
            metrics: Destination::read(Signal::Metrics, environment)?,
            logs: Destination::read(Signal::Logs, environment)?,
            limits,
        })
    }

    pub(crate) const fn of(&self, signal: Signal) -> &Destination {
        match signal {
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
            Signal::Logs => &self.logs,
        }
    }
}

impl Limits {
    fn read(environment: Environment<'_>) -> Result<Self, TelemetryError> {
        let number = |variable: &str, range: std::ops::RangeInclusive<usize>, default: usize| {
            let Some((variable, value)) = first(environment, &[variable]) else { return Ok(default) };
            let read = value.parse().ok().filter(|number| range.contains(number));
            read.ok_or_else(|| {
                wrong(variable, &value, format!("write a number from {} to {}", range.start(), range.end()))
            })
        };
        let usual = Self::default();
        Ok(Self {
            spans: number("OTEL_BSP_MAX_QUEUE_SIZE", 1..=10_000_000, usual.spans)?,
            records: number("OTEL_BLRP_MAX_QUEUE_SIZE", 1..=10_000_000, usual.records)?,
            // Beyond it a nats-server with usual settings refuses.
            message_bytes: number("NUNCIUS_OTLP_MESSAGE_BYTES", 4_096..=1_000_000, usual.message_bytes)?,
            out_box: OutBoxLimits {
                messages: number("NUNCIUS_OTLP_QUEUE_MESSAGES", 1..=1_000_000, usual.out_box.messages)?,
                bytes: number("NUNCIUS_OTLP_QUEUE_BYTES", 4_096..=1 << 32, usual.out_box.bytes)?,
            },
        })
    }
}

impl Destination {
    fn read(signal: Signal, environment: Environment<'_>) -> Result<Self, TelemetryError> {
        let upper = signal.name().to_uppercase();
        let exporter = first(environment, &[&format!("OTEL_{upper}_EXPORTER")]);
        match &exporter {
            Some((_, value)) if value.eq_ignore_ascii_case("none") => return Ok(Self::Nowhere),
            Some((_, value)) if value.eq_ignore_ascii_case("otlp") => {}
            Some((variable, value)) => return Err(wrong(variable, value, "only otlp and none are known")),
            None => {}
        }
        // Each setting has a form for this signal alone, which wins.
        let setting = |name: &str| {
            let own = format!("OTEL_EXPORTER_OTLP_{upper}_{name}");
            first(environment, &[&own, &format!("OTEL_EXPORTER_OTLP_{name}")])
        };
        let endpoint = setting("ENDPOINT");
        if endpoint.is_none() && exporter.is_none() {
            return Ok(Self::OutBox);
        }
        let protocol = match setting("PROTOCOL") {
            None => Protocol::Http,
            Some((variable, value)) => value.parse().map_err(|problem: String| wrong(variable, &value, problem))?,
        };
        let mut to = match endpoint {
            Some((variable, value)) => {
                check_endpoint(&variable, &value)?;
                let mut to = Endpoint::of_base(&value, signal, protocol);
                // The variable for one signal is the whole address; the common one is the base of all signals.
                if variable != "OTEL_EXPORTER_OTLP_ENDPOINT" {
                    to.url = value;
                }
                to
            }
            None => Endpoint::of_base(default_base(protocol), signal, protocol),
        };
        to.timeout = match setting("TIMEOUT") {
            None => DEFAULT_TIMEOUT,
            Some((variable, value)) => match value.parse::<u64>() {
                Ok(milliseconds @ 1..=3_600_000) => Duration::from_millis(milliseconds),
                _ => return Err(wrong(variable, &value, "write milliseconds, 1 to 3600000")),
            },
        };
        if let Some((variable, value)) = setting("HEADERS") {
            // Headers carry tokens: the value is not shown.
            to.headers = pairs(&value).map_err(|problem| wrong(variable, "…", problem))?;
        }
        to.gzip = match setting("COMPRESSION") {
            None => false,
            Some((_, value)) if value.eq_ignore_ascii_case("none") => false,
            Some((_, value)) if value.eq_ignore_ascii_case("gzip") => true,
            Some((variable, value)) => return Err(wrong(variable, &value, "only gzip and none are known")),
        };
        Ok(Self::Endpoint(Box::new(to)))
    }
}

/// Where a receiver on this machine listens.
const fn default_base(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http://localhost:4318",
        Protocol::Grpc => "http://localhost:4317",
    }
}

/// Refuses what is no address of a receiver; `variable` is what it was given by.
///
/// # Errors
/// [`TelemetryError::Variable`].
pub fn check_endpoint(variable: &str, value: &str) -> Result<(), TelemetryError> {
    let bad = |problem: &str| {
        let shown = nuncius_schemas::redact::redact_url(value);
        Err(wrong(variable, &shown, format!("{problem}; write an address like http://localhost:4318")))
    };
    let Some(rest) = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://")) else {
        return bad("it does not begin with http:// or https://");
    };
    if value.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return bad("it has a blank in it");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // The colons inside an IPv6 address in brackets separate no port.
    let (host, port) = match authority.rfind(']') {
        Some(end) => authority.split_at(end + 1),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    if host.is_empty() {
        return bad("it has no host");
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok(()),
        Some(digits) if digits.parse::<u16>().is_ok_and(|port| port > 0) => Ok(()),
        _ => bad("its port is no number from 1 to 65535"),
    }
}

/// `key=value,key=value` with percent-encoded values, as in W3C Baggage.
///
/// # Errors
/// What is wrong, for people, without the value.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    text.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').ok_or("write key=value, separated by commas")?;
            let key = key.trim();
            if key.is_empty() {
                return Err("a key is empty; write key=value, separated by commas".to_owned());
            }
            Ok((key.to_owned(), percent_decoded(value.trim())?))
        })
        .collect()
}

fn percent_decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err("a % is not followed by two hexadecimal digits".to_owned());
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    String::from_utf8(bytes).map_err(|_| "a value is not UTF-8".to_owned())
}

/// What the process calls itself: `OTEL_SERVICE_NAME`, then `OTEL_RESOURCE_ATTRIBUTES`, then what the program says.
///
/// # Errors
/// [`TelemetryError::Variable`] when the attributes cannot be read.
pub(crate) fn resource_attributes(
    service_name: &str,
    own: &[(String, String)],
    environment: Environment<'_>,
) -> Result<Vec<(String, String)>, TelemetryError> {
    let mut attributes = vec![
        ("service.name".to_owned(), service_name.to_owned()),
        ("telemetry.sdk.language".to_owned(), "rust".to_owned()),
        ("telemetry.sdk.name".to_owned(), "opentelemetry".to_owned()),
    ];
    let mut set = |key: String, value: String| match attributes.iter_mut().find(|(known, _)| *known == key) {
        Some((_, known)) => *known = value,
        None => attributes.push((key, value)),
    };
    for (key, value) in own {
        set(key.clone(), value.clone());
    }
    if let Some((variable, text)) = first(environment, &["OTEL_RESOURCE_ATTRIBUTES"]) {
        for (key, value) in pairs(&text).map_err(|problem| wrong(variable, &text, problem))? {
            set(key, value);
        }
    }
    if let Some((_, name)) = first(environment, &["OTEL_SERVICE_NAME"]) {
        set("service.name".to_owned(), name);
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, TelemetryError> {
        Settings::read(&|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn endpoint(variables: &[(&str, &str)], signal: Signal) -> Endpoint {
        let settings = read(variables).unwrap();
        let Destination::Endpoint(endpoint) = settings.of(signal) else { panic!("{settings:?}") };
        Endpoint::clone(endpoint)
    }

    #[test]
    fn everything_goes_to_the_bus_unless_the_environment_names_a_receiver_or_forbids_it() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        for signal in Signal::ALL {
            assert_eq!(read(&[]).unwrap().of(signal), &Destination::OutBox);
            assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).unwrap().of(signal), &Destination::OutBox);
            let disabled = read(&[base, ("OTEL_SDK_DISABLED", "TRUE")]).unwrap();
            assert_eq!(disabled.of(signal), &Destination::Nowhere);
            assert_eq!(endpoint(&[base], signal).url, format!("http://collector:4318/v1/{}", signal.name()));
            let exporter = format!("OTEL_{}_EXPORTER", signal.name().to_uppercase());
            let none = read(&[base, (&exporter, "none")]).unwrap();
            for other in Signal::ALL {
                assert_eq!(none.of(other) == &Destination::Nowhere, other == signal, "{other:?}");
            }
            let url = endpoint(&[(&exporter, "otlp")], signal).url;
            assert_eq!(url, format!("http://localhost:4318/v1/{}", signal.name()));
        }
    }

    #[test]
    fn the_variables_for_one_signal_win_and_leave_the_others_alone() {
        let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "HTTP/protobuf");
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1]:4318/");
        assert_eq!(endpoint(&[http, base], Signal::Traces).url, "http://[::1]:4318/v1/traces");
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://user@host/custom");
        assert_eq!(endpoint(&[http, base, traces], Signal::Traces).url, "https://user@host/custom");
        assert_eq!(endpoint(&[http, base, traces], Signal::Logs).url, "http://[::1]:4318/v1/logs");
        assert_eq!(read(&[traces]).unwrap().logs, Destination::OutBox);
        let grpc = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc");
        assert_eq!(endpoint(&[base, grpc], Signal::Metrics).protocol, Protocol::Grpc);
        assert_eq!(endpoint(&[base, grpc], Signal::Traces).protocol, Protocol::Http);
        let settings = [
            base,
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x, tenant=1"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ];
        let settings = endpoint(&settings, Signal::Logs);
        assert_eq!(settings.timeout, Duration::from_millis(250));
        assert!(settings.gzip && !format!("{settings:?}").contains("Bearer"));
        assert_eq!(settings.headers[0], ("authorization".to_owned(), "Bearer x".to_owned()));
        assert_eq!(settings.headers[1], ("tenant".to_owned(), "1".to_owned()));
    }

    #[test]
    fn limits_come_from_the_environment() {
        let limits = read(&[
            ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
            ("OTEL_BLRP_MAX_QUEUE_SIZE", "20"),
            ("NUNCIUS_OTLP_MESSAGE_BYTES", "8192"),
            ("NUNCIUS_OTLP_QUEUE_MESSAGES", "3"),
            ("NUNCIUS_OTLP_QUEUE_BYTES", "65536"),
        ]);
        let out_box = OutBoxLimits { messages: 3, bytes: 65_536 };
        let wanted = Limits { spans: 10, records: 20, message_bytes: 8_192, out_box };
        assert_eq!(limits.unwrap().limits, wanted);
    }

    #[test]
    fn a_bad_variable_is_an_error_that_names_it_and_shows_no_token() {
        for (variable, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://host:99999"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a b"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_METRICS_EXPORTER", "prometheus"),
            ("OTEL_LOGS_EXPORTER", "console"),
            ("NUNCIUS_OTLP_MESSAGE_BYTES", "2MiB"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ] {
            let error = read(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.starts_with(variable), "{error}");
        }
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        for (variable, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret=%zz"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ] {
            let error = read(&[endpoint, (variable, value)]).unwrap_err().to_string();
            assert!(error.starts_with(variable) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_service_name_comes_from_its_variable_then_the_attributes_then_the_program() {
        let own = [("host.name".to_owned(), "h".to_owned())];
        let name = |variables: &[(&str, &str)]| {
            let environment =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            resource_attributes("nuncius-client", &own, &environment).unwrap().remove(0).1
        };
        assert_eq!(name(&[]), "nuncius-client");
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=second,host.name=other");
        assert_eq!(name(&[attributes]), "second");
        assert_eq!(name(&[attributes, ("OTEL_SERVICE_NAME", "first")]), "first");
    }
}
