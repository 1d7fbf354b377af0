//! What a job inherits of the worker's environment: everything but what leads to the bus and to Nuncius' own services.

/// Variables that begin so are settings of Nuncius, of NATS' tools, and of where telemetry goes: addresses with their
/// credentials.
const OWN_PREFIXES: [&str; 3] = ["NUNCIUS_", "NATS_", "OTEL_EXPORTER_"];
/// A value with one of these is the address of a bus, whatever its name.
const BUS_SCHEMES: [&str; 3] = ["nats://", "tls://", "nats+tls://"];

/// Whether a variable is kept from jobs.
pub(super) fn is_withheld(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let value = value.to_ascii_lowercase();
    OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || BUS_SCHEMES.iter().any(|scheme| value.contains(scheme))
}

/// The names of those of this process that are.
pub(super) fn withheld() -> impl Iterator<Item = std::ffi::OsString> {
    std::env::vars_os()
        .filter(|(name, value)| is_withheld(&name.to_string_lossy(), &value.to_string_lossy()))
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_the_bus_is_withheld_and_nothing_else() {
        for (name, value) in [
            ("NATS_URL", "nats://user:hunter2@bus:4222"),
            ("NATS_CREDS", "/etc/bus.creds"),
            ("NATS_PASSWORD", "hunter2"),
            ("NUNCIUS_NATS_CREDENTIALS", "/etc/bus.creds"),
            ("NUNCIUS_STORE", "postgres://user:hunter2@db/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer hunter2"),
            ("nats_token", "hunter2"),
            ("MY_BUS", "NATS://user:hunter2@bus"),
            ("SERVERS", "a,tls://user:hunter2@bus"),
        ] {
            assert!(is_withheld(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("PATH", "/usr/bin"),
            ("HF_TOKEN", "the job's own"),
            ("NVIDIA_VISIBLE_DEVICES", "0"),
            ("OTEL_SERVICE_NAME", "render"),
            ("DATABASE_URL", "postgres://db/"),
            ("DONATSU", "1"),
        ] {
            assert!(!is_withheld(name, value), "{name}={value}");
        }
    }
}
