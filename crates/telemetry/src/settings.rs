//! Reading the `OTEL_*` variables. Pure: the environment is a function.

use std::time::Duration;

use crate::TelemetryError;

/// A way to read the environment.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Default of `OTEL_EXPORTER_OTLP_TIMEOUT` in the OpenTelemetry specification.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where spans go, always as OTLP over HTTP with protobuf: the transport that OpenTelemetry's specification prefers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExportSettings {
    /// Complete, with the path.
    pub(crate) endpoint: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) timeout: Duration,
    pub(crate) gzip: bool,
}

/// The first of `names` that is set to something, with its name. An empty variable counts as unset, as OpenTelemetry
/// has it.
fn first(environment: Environment<'_>, names: &[&'static str]) -> Option<(&'static str, String)> {
    names.iter().find_map(|name| {
        environment(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
            .map(|value| (*name, value))
    })
}

fn wrong(variable: &'static str, value: &str, problem: impl Into<String>) -> TelemetryError {
    TelemetryError::Variable { variable, value: value.to_owned(), problem: problem.into() }
}

impl ExportSettings {
    /// `None` when nothing asks for an export.
    ///
    /// # Errors
    /// [`TelemetryError::Variable`] naming the variable.
    pub(crate) fn read(environment: Environment<'_>) -> Result<Option<Self>, TelemetryError> {
        if first(environment, &["OTEL_SDK_DISABLED"]).is_some_and(|(_, value)| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let exporter = first(environment, &["OTEL_TRACES_EXPORTER"]);
        match &exporter {
            Some((_, value)) if value.eq_ignore_ascii_case("none") => return Ok(None),
            Some((_, value)) if value.eq_ignore_ascii_case("otlp") => {}
            Some((variable, value)) => return Err(wrong(variable, value, "only otlp and none are known")),
            None => {}
        }
        let endpoint = first(environment, &["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]);
        if endpoint.is_none() && exporter.is_none() {
            return Ok(None);
        }
        let protocol = first(environment, &["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
        if let Some((variable, value)) = protocol
            && !value.eq_ignore_ascii_case("http/protobuf")
        {
            return Err(wrong(
                variable,
                &value,
                "only http/protobuf is spoken; leave it out, and name the receiver's HTTP port, which is usually 4318",
            ));
        }
        let endpoint = match endpoint {
            Some((variable, value)) => {
                check_endpoint(variable, &value)?;
                // The variable for traces alone is the whole address; the common one is the base of all signals.
                if variable == "OTEL_EXPORTER_OTLP_ENDPOINT" {
                    format!("{}/v1/traces", value.trim_end_matches('/'))
                } else {
                    value
                }
            }
            None => "http://localhost:4318/v1/traces".to_owned(),
        };
        let timeout = match first(environment, &["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]) {
            None => DEFAULT_TIMEOUT,
            Some((variable, value)) => match value.parse::<u64>() {
                Ok(milliseconds @ 1..=3_600_000) => Duration::from_millis(milliseconds),
                _ => return Err(wrong(variable, &value, "write milliseconds, 1 to 3600000")),
            },
        };
        let headers = match first(environment, &["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]) {
            None => Vec::new(),
            // Headers carry tokens: the value is not shown.
            Some((variable, value)) => pairs(&value).map_err(|problem| wrong(variable, "…", problem))?,
        };
        let gzip =
            match first(environment, &["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"]) {
                None => false,
                Some((_, value)) if value.eq_ignore_ascii_case("none") => false,
                Some((_, value)) if value.eq_ignore_ascii_case("gzip") => true,
                Some((variable, value)) => return Err(wrong(variable, &value, "only gzip and none are known")),
            };
        Ok(Some(Self { endpoint, headers, timeout, gzip }))
    }
}

fn check_endpoint(variable: &'static str, value: &str) -> Result<(), TelemetryError> {
    let bad =
        |problem: &str| Err(wrong(variable, value, format!("{problem}; write an address like http://localhost:4318")));
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
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
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

    fn read(variables: &[(&str, &str)]) -> Result<Option<ExportSettings>, TelemetryError> {
        ExportSettings::read(&|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_is_exported_unless_the_environment_asks_for_it() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).unwrap(), None);
        assert_eq!(read(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]).unwrap(), None);
        assert_eq!(read(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).unwrap(), None);
        let settings = read(&[endpoint]).unwrap().unwrap();
        assert_eq!(settings.endpoint, "http://collector:4318/v1/traces");
        let settings = read(&[("OTEL_TRACES_EXPORTER", "otlp")]).unwrap().unwrap();
        assert_eq!(settings.endpoint, "http://localhost:4318/v1/traces");
    }

    #[test]
    fn the_variables_for_traces_win_and_http_gets_its_path() {
        let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "HTTP/protobuf");
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1]:4318/");
        assert_eq!(read(&[http, base]).unwrap().unwrap().endpoint, "http://[::1]:4318/v1/traces");
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://user@host/custom");
        assert_eq!(read(&[http, base, traces]).unwrap().unwrap().endpoint, "https://user@host/custom");
        let settings = read(&[
            base,
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x, tenant=1"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ]);
        let settings = settings.unwrap().unwrap();
        assert_eq!(settings.timeout, Duration::from_millis(250));
        assert!(settings.gzip);
        assert_eq!(settings.headers[0], ("authorization".to_owned(), "Bearer x".to_owned()));
        assert_eq!(settings.headers[1], ("tenant".to_owned(), "1".to_owned()));
    }

    #[test]
    fn a_bad_variable_is_an_error_that_names_it_and_shows_no_token() {
        for (variable, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://host:99999"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a b"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
        ] {
            let error = read(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.starts_with(variable), "{error}");
        }
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        for (variable, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
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
