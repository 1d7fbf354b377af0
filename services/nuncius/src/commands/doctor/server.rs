//! The nats-server: what it takes, what it keeps, whether its clock is ours.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use nuncius_bus::server::MINIMUM_VERSION;
use nuncius_bus::streams::{StreamCondition, StreamLimits, ensure_streams, inspect_streams};
use nuncius_bus::{Bus, Difference, Greeting, ServerClock};
use nuncius_schemas::codec::MESSAGE_MAX_BYTES;

use super::Findings;
use crate::args::Global;
use crate::output::plain;

/// Least size of messages with which experiments run at all: what is measured is split to fit it.
const PAYLOAD_LEAST_BYTES: usize = 8 * 1024;
/// With which everything is taken: the largest message that Nuncius makes, with its headers.
const PAYLOAD_WANTED_BYTES: usize = MESSAGE_MAX_BYTES + 4 * 1024;
/// Share of a limit of storage beyond which there may soon be none left, in percent.
const STORAGE_FULL_PERCENT: u64 = 90;
/// How far the clocks may be apart, in nanoseconds: people compare times of one with those of the other.
const CLOCK_APART_NS: u64 = 1_000_000_000;

/// A file with credentials is its owner's alone.
pub(super) fn check_credentials(findings: &mut Findings, global: &Global) {
    let Some(path) = &global.nats_credentials else { return };
    match std::fs::metadata(path) {
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            let text = format!("credentials {} can be read by other users", path.display());
            findings.warn("credentials", &text, &format!("chmod 600 {}", path.display()));
        }
        Ok(_) => findings.good("credentials", &format!("credentials {} are their owner's alone", path.display())),
        // Told when it is connected with them.
        Err(_) => {}
    }
}

/// Whether the rest can be looked at.
pub(super) async fn check(findings: &mut Findings, bus: &Bus, domain: Option<&str>) -> bool {
    let version = bus.server_version();
    match older_than_needed(&version) {
        true => findings.bad(
            "server_version",
            &format!("nats-server {version} answers: too old"),
            &format!(
                "{}.{} or newer is needed: older ones drop settings without a word",
                MINIMUM_VERSION.0, MINIMUM_VERSION.1
            ),
        ),
        false => findings.good("server_version", &format!("nats-server {version} answers")),
    }
    let greetings = bus.greetings().await;
    let limits = greetings.values().flatten().map(|greeting| greeting.max_payload_bytes);
    check_payload(findings, limits.min().unwrap_or(usize::MAX).min(bus.max_payload_bytes()));
    check_cluster(findings, &greetings);
    match bus.account().await {
        Err(error) => {
            let (text, advice) = no_jetstream(domain, bus.server_domain().as_deref(), &plain(&error));
            findings.bad("jetstream", &text, &advice);
            return false;
        }
        Ok(account) => {
            let domain = account.domain.map_or(String::new(), |domain| format!(", domain {domain}"));
            let used = nuncius_report::text::bytes(account.storage_bytes);
            let text = format!("JetStream answers{domain}: {} streams, {used} stored", account.streams);
            findings.good("jetstream", &text);
            if let Some(limit) = account.storage_limit_bytes {
                check_storage(findings, account.storage_bytes.max(account.reserved_storage_bytes), limit);
            }
            if let Some(limit) = account.streams_limit.filter(|limit| account.streams as u64 >= *limit) {
                let text = format!("the account has {} streams and may have {limit}", account.streams);
                findings.warn("jetstream_streams", &text, "queues need three more each: raise the account's limit");
            }
        }
    }
    check_streams(findings, bus).await && check_clock(findings, bus).await
}

fn check_payload(findings: &mut Findings, max_payload_bytes: usize) {
    let text = format!("messages of up to {max_payload_bytes} bytes");
    let advice =
        format!("set `max_payload: {PAYLOAD_WANTED_BYTES}` or more in the server's configuration (1MB is its default)");
    if max_payload_bytes < PAYLOAD_LEAST_BYTES {
        let text = format!("max_payload is {max_payload_bytes} bytes: at least {PAYLOAD_LEAST_BYTES} are needed");
        findings.bad("max_payload", &text, &advice);
    } else if max_payload_bytes < PAYLOAD_WANTED_BYTES {
        let text = format!("{text}: larger experiments and jobs are refused, {PAYLOAD_WANTED_BYTES} are wanted");
        findings.warn("max_payload", &text, &advice);
    } else {
        findings.good("max_payload", &text);
    }
}

/// Whether any server of the cluster takes what was made for another.
fn check_cluster(findings: &mut Findings, greetings: &BTreeMap<String, Result<Greeting, String>>) {
    if greetings.len() < 2 {
        return;
    }
    for (address, problem) in greetings.iter().filter_map(|(address, said)| Some((address, said.as_ref().err()?))) {
        let advice = "start it, or take it out of --nats: what may be tried next is not there";
        findings.warn("servers", &format!("{address} says nothing: {problem}"), advice);
    }
    let limits: BTreeMap<&String, usize> =
        greetings.iter().filter_map(|(address, said)| Some((address, said.as_ref().ok()?.max_payload_bytes))).collect();
    let (least, most) = (limits.values().min(), limits.values().max());
    if least == most {
        findings.good("servers", &format!("{} servers take messages of the same size", limits.len()));
        return;
    }
    let each: Vec<String> = limits.iter().map(|(address, bytes)| format!("{address} {bytes}")).collect();
    let text = format!("max_payload is not the same on all servers: {}", each.join(", "));
    findings.warn("servers", &text, "give all servers of a cluster the same: the smallest counts for everybody");
}

/// What is said where JetStream does not answer, and what to do.
fn no_jetstream(domain: Option<&str>, of_server: Option<&str>, problem: &str) -> (String, String) {
    match (domain, of_server) {
        (None, _) => {
            let advice = "enable it: nats-server -js, or `jetstream {}` in its configuration, also for this account";
            (format!("JetStream does not answer: {problem}"), advice.to_owned())
        }
        (Some(domain), of_server) => {
            let text = format!("JetStream of domain {domain} (--js-domain) does not answer: {problem}");
            let own = match of_server {
                Some(own) => format!("the domain of this server itself is {own}"),
                None => "this server has no domain itself".to_owned(),
            };
            let advice = format!(
                "{own}: leave --js-domain out where its JetStream is meant; else see that the link to domain {domain} is \
                 up (leafnodes)"
            );
            (text, advice)
        }
    }
}

fn check_storage(findings: &mut Findings, taken_bytes: u64, limit_bytes: u64) {
    let shown = |bytes: u64| nuncius_report::text::bytes(bytes);
    let text = format!("{} of the account's {} are stored or reserved", shown(taken_bytes), shown(limit_bytes));
    if taken_bytes.saturating_mul(100) >= limit_bytes.saturating_mul(STORAGE_FULL_PERCENT) {
        findings.warn("jetstream_storage", &text, "raise the account's or the server's limit (max_file_store)");
    } else {
        findings.good("jetstream_storage", &text);
    }
}

/// Whether the streams are there.
async fn check_streams(findings: &mut Findings, bus: &Bus) -> bool {
    let conditions = match inspect_streams(bus, &StreamLimits::default()).await {
        Ok(conditions) => conditions,
        Err(error) => {
            findings.bad("streams", &plain(&error), "look into the server's log");
            return false;
        }
    };
    let mut differing = false;
    for (name, condition) in &conditions {
        if let StreamCondition::Differs(differences) = condition {
            differing = true;
            let field = |one: &Difference| format!("{} should be {} and is {}", one.field, one.asked, one.echoed);
            let fields: Vec<String> = differences.iter().map(field).collect();
            let advice = format!(
                "the next service that starts changes it back; what it cannot change (storage, retention) must be \
                 removed: nats stream rm {name}"
            );
            findings.bad("streams", &format!("stream {name} is not as wanted: {}", fields.join(", ")), &advice);
        }
    }
    if differing {
        return true;
    }
    // As every service does that starts.
    match ensure_streams(bus).await {
        Ok(()) => {
            findings.good("streams", "streams and buckets are as they should be");
            true
        }
        Err(error) => {
            let advice = "give the account or the server more room (max_file_store), or the user more rights";
            findings.bad("streams", &plain(&error), advice);
            false
        }
    }
}

async fn check_clock(findings: &mut Findings, bus: &Bus) -> bool {
    let clock = ServerClock::new(bus, &bus.namespace().stream_event());
    let own = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    match clock.now_unix_ns().await {
        Ok(server_ns) => {
            let own_ns = i64::try_from(own.as_nanos()).unwrap_or(i64::MAX);
            let apart_ns = server_ns.abs_diff(own_ns);
            let shown = nuncius_report::text::duration(apart_ns);
            if apart_ns > CLOCK_APART_NS {
                let text = format!("this machine's clock and the server's are {shown} apart");
                findings.warn(
                    "clock",
                    &text,
                    "set both by NTP: times of runs and of messages do not fit together else",
                );
            } else {
                findings.good("clock", "this machine's clock and the server's are less than a second apart");
            }
            true
        }
        Err(error) => {
            findings.warn("clock", &format!("the server's clock cannot be read: {}", plain(&error)), "");
            true
        }
    }
}

fn older_than_needed(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < MINIMUM_VERSION,
        // Not one that can be told.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(check: impl FnOnce(&mut Findings)) -> (super::super::Level, String) {
        let mut findings = Findings { json: true, all: Vec::new() };
        check(&mut findings);
        let finding = findings.all.pop().unwrap();
        (finding.level, format!("{} {}", finding.text, finding.advice.unwrap_or_default()))
    }

    #[test]
    fn messages_that_are_too_small_are_told_with_the_figure_that_is_needed() {
        use super::super::Level;
        let (level, text) = told(|findings| check_payload(findings, 1_024));
        assert!(level == Level::Bad && text.contains("at least 8192") && text.contains("266240"), "{text}");
        assert!(told(|findings| check_payload(findings, 16 << 10)).0 == Level::Warn);
        assert!(told(|findings| check_payload(findings, 1 << 20)).0 == Level::Ok);
    }

    #[test]
    fn servers_of_a_cluster_that_differ_are_told_and_the_smallest_is_named() {
        use super::super::Level;
        let of = |max_payload_bytes| Ok(Greeting { max_payload_bytes, domain: None, cluster: Some("c".into()) });
        let all = |second| BTreeMap::from([("a:1".to_owned(), of(1 << 20)), ("b:1".to_owned(), second)]);
        let (level, text) = told(|findings| check_cluster(findings, &all(of(9_000))));
        assert!(level == Level::Warn && text.contains("b:1 9000"), "{text}");
        assert!(told(|findings| check_cluster(findings, &all(of(1 << 20)))).0 == Level::Ok);
        let mut findings = Findings { json: true, all: Vec::new() };
        check_cluster(&mut findings, &all(Err("refused".to_owned())));
        let silent = findings.all.first().unwrap();
        assert!(silent.level == Level::Warn && silent.text.contains("b:1 says nothing: refused"), "{}", silent.text);
    }

    #[test]
    fn storage_that_is_nearly_taken_is_told() {
        use super::super::Level;
        assert!(told(|findings| check_storage(findings, 90, 100)).0 == Level::Warn);
        assert!(told(|findings| check_storage(findings, 89, 100)).0 == Level::Ok);
    }

    #[test]
    fn versions_are_compared_by_their_first_two_numbers() {
        assert!(older_than_needed("2.9.10") && older_than_needed("2.10.29"));
        assert!(!older_than_needed("2.11.0-RC.1") && !older_than_needed("3.0.0") && !older_than_needed("dev"));
    }
}
