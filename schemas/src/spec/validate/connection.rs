//! How a target is connected to: TLS options and whether connections are shared.

use super::{Reading, SpecError, refuse};
use crate::spec::{Connections, EngineKind, Group};

/// Longest certificates or key, in bytes.
const PEM_MAX_BYTES: usize = 128 * 1024;

pub(super) fn check_tls(path: &str, group: &Group, reading: Reading) -> Result<(), SpecError> {
    let Some(tls) = &group.tls else { return Ok(()) };
    for (name, text) in [("ca", &tls.ca), ("cert", &tls.cert), ("key", &tls.key)] {
        let Some(text) = text.as_ref().filter(|text| reading.knows(text)) else { continue };
        let field = format!("{path}.tls.{name}");
        if text.len() > PEM_MAX_BYTES {
            return refuse(field, format!("longer than {PEM_MAX_BYTES} bytes"));
        }
        if !text.contains("-----BEGIN") && text != crate::redact::REDACTED {
            return refuse(
                field,
                "is not PEM text (-----BEGIN ...): a file is read by `nuncius run` and `nuncius submit`, where it is",
            );
        }
    }
    if tls.cert.is_some() != tls.key.is_some() {
        let (missing, there) = if tls.key.is_none() { ("key", "cert") } else { ("cert", "key") };
        return refuse(format!("{path}.tls.{missing}"), format!("is missing beside `{there}`"));
    }
    if !matches!(group.engine, EngineKind::Http | EngineKind::Amqp) {
        return refuse(format!("{path}.tls"), "belongs to `engine: http` and `engine: amqp`");
    }
    Ok(())
}

pub(super) fn check_connections(path: &str, group: &Group) -> Result<(), SpecError> {
    if group.connections != Connections::default() && group.engine != EngineKind::Http {
        return refuse(format!("{path}.connections"), "belongs to `engine: http`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::spec::ExperimentSpec;

    fn problem(tls: &str) -> Option<String> {
        let text = format!("groups: [{{target: 'https://a.test/', rate: 1, duration: 1s, tls: {tls}}}]");
        let spec: ExperimentSpec = crate::codec::from_text(&text).unwrap();
        spec.validate().err().map(|error| error.to_string())
    }

    #[test]
    fn certificates_and_keys_are_pem_or_variables_and_come_in_pairs() {
        assert_eq!(problem("{verify: false}"), None);
        assert_eq!(problem("{ca_pem: '-----BEGIN CERTIFICATE-----', server_name: b.test}"), None);
        assert_eq!(problem("{cert: '-----BEGIN CERTIFICATE-----', key: '${KEY}'}"), None);
        for (tls, field) in [
            ("{ca: ca.pem}", "groups[0].tls.ca"),
            ("{cert: '-----BEGIN CERTIFICATE-----'}", "groups[0].tls.key"),
            ("{key: '${KEY}'}", "groups[0].tls.cert"),
        ] {
            let problem = problem(tls).unwrap();
            assert!(problem.contains(field), "{problem}");
        }
        assert!(problem("{ca: ca.pem}").unwrap().contains("nuncius run"));
    }
}
