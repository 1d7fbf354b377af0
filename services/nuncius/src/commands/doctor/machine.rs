//! What this machine gives a process: files, ports, figures of its own.

use super::Findings;
use crate::local::{open_files_limit, open_files_warning};

/// Fewest ports for connections to one target: each that was closed is not used again for a minute.
const PORTS_MIN: u32 = 16_000;
/// Where `up` listens unless told otherwise.
const UP_ADDRESS: &str = "127.0.0.1:4222";

pub(super) fn check(findings: &mut Findings) {
    let limit = open_files_limit();
    match (open_files_warning(limit, u32::MAX), limit) {
        (Some(warning), _) => {
            findings.warn("open_files", &warning, "each connection is one: raise the limit (ulimit -n)")
        }
        (None, Some(files)) => findings.good("open_files", &format!("{files} open files")),
        (None, None) => findings.good("open_files", "open files are not limited"),
    }
    match std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok().as_deref().and_then(ports) {
        Some(ports) if ports < PORTS_MIN => findings.warn(
            "ports",
            &format!("only {ports} ports for connections to one target"),
            "widen the range: sysctl -w net.ipv4.ip_local_port_range='10240 65535'",
        ),
        Some(ports) => findings.good("ports", &format!("{ports} ports for connections to one target")),
        None => findings.warn("ports", "the range of ports for connections is not known", ""),
    }
    if std::fs::metadata("/proc/self/schedstat").is_ok() {
        findings.good("run_delay", "run-queue delay can be measured");
    } else {
        let text = "no /proc/self/schedstat: a starved node is seen by its lag only";
        findings.warn("run_delay", text, "use a kernel with CONFIG_SCHED_INFO where that matters");
    }
}

/// Whether `up` could listen where it does by default.
pub(super) fn check_port(findings: &mut Findings) {
    match std::net::TcpListener::bind(UP_ADDRESS) {
        Ok(_) => findings.good("up_port", &format!("{UP_ADDRESS} is free for `nuncius up`")),
        Err(error) => findings.warn(
            "up_port",
            &format!("`nuncius up` cannot listen on {UP_ADDRESS}: {}", crate::output::plain(&error)),
            "choose another with `nuncius up --listen HOST:PORT`",
        ),
    }
}

/// How many ports a range like `32768\t60999` has.
fn ports(text: &str) -> Option<u32> {
    let mut bounds = text.split_whitespace().map(str::parse::<u32>);
    let (first, last) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    Some((last + 1).saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_counted_with_both_ends() {
        assert_eq!(ports("32768\t60999\n"), Some(28_232));
        assert_eq!(ports("hello"), None);
    }
}
