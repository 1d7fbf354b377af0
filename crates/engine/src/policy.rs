//! Which targets a node may be aimed at. No message can widen it: it comes from the node's own configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::plan::PlanError;

/// Most entries of an allow-list.
pub const ENTRIES_MAX: usize = 1_024;

/// An allow-list of targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetPolicy {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Any,
    Network(IpAddr, u8),
    Host(String),
    /// With the leading dot.
    Suffix(String),
}

impl Default for TargetPolicy {
    /// Loopback (127.0.0.0/8, ::1) and private ranges (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7).
    fn default() -> Self {
        Self { entries: private() }
    }
}

fn private() -> Vec<Entry> {
    let four = |a, b, bits| Entry::Network(IpAddr::V4(Ipv4Addr::new(a, b, 0, 0)), bits);
    vec![
        four(127, 0, 8),
        four(10, 0, 8),
        four(172, 16, 12),
        four(192, 168, 16),
        Entry::Network(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        Entry::Network(IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
    ]
}

impl TargetPolicy {
    /// From entries: networks (`10.0.0.0/8`), addresses, host names (`shop.example.org`, `*.example.org` for those
    /// below it), `private` for the default ranges, `any`. The list replaces the default; an empty one is the default.
    pub fn parse(entries: &[String]) -> Result<Self, PlanError> {
        if entries.is_empty() {
            return Ok(Self::default());
        }
        if entries.len() > ENTRIES_MAX {
            return Err(PlanError::Policy {
                entry: format!("{} entries", entries.len()),
                problem: format!("at most {ENTRIES_MAX} are taken"),
            });
        }
        let mut parsed = Vec::new();
        for entry in entries {
            match entry.trim() {
                "any" => parsed.push(Entry::Any),
                "private" => parsed.extend(private()),
                text => parsed.push(parse_entry(text)?),
            }
        }
        Ok(Self { entries: parsed })
    }

    /// Whether load may be offered to `resolved`, which `host` in a target stands for.
    pub fn check(&self, host: &str, resolved: SocketAddr) -> Result<(), PlanError> {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let address = resolved.ip().to_canonical();
        let allowed = self.entries.iter().any(|entry| match entry {
            Entry::Any => true,
            Entry::Network(network, bits) => contains(*network, *bits, address),
            Entry::Host(known) => *known == name,
            Entry::Suffix(suffix) => name.ends_with(suffix.as_str()) && name.len() > suffix.len(),
        });
        if allowed { Ok(()) } else { Err(PlanError::Forbidden { host: host.to_owned(), address: resolved }) }
    }
}

fn parse_entry(text: &str) -> Result<Entry, PlanError> {
    let refuse = |problem: &str| Err(PlanError::Policy { entry: text.to_owned(), problem: problem.to_owned() });
    if let Some((network, bits)) = text.split_once('/') {
        let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u8>()) else {
            return refuse("not a network such as 10.0.0.0/8");
        };
        if bits > if network.is_ipv4() { 32 } else { 128 } {
            return refuse("more bits than the address has");
        }
        return Ok(Entry::Network(network, bits));
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        let address = address.to_canonical();
        return Ok(Entry::Network(address, if address.is_ipv4() { 32 } else { 128 }));
    }
    let (suffix, name) = match text.strip_prefix('*') {
        Some(rest) if rest.starts_with('.') => (true, rest),
        Some(_) => return refuse("a star stands before a dot, as in *.example.org"),
        None => (false, text),
    };
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if !plain || name.trim_matches('.').is_empty() || name.len() > 253 {
        return refuse("not a network, an address, a host name (without a port), `private` or `any`");
    }
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    Ok(if suffix { Entry::Suffix(name) } else { Entry::Host(name) })
}

fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            (network.to_bits() ^ address.to_bits()) & mask == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            (network.to_bits() ^ address.to_bits()) & mask == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(policy: &TargetPolicy, host: &str, address: &str) -> bool {
        policy.check(host, address.parse().unwrap()).is_ok()
    }

    fn parse(entries: &[&str]) -> Result<TargetPolicy, PlanError> {
        TargetPolicy::parse(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn by_default_only_loopback_and_private_ranges_may_be_targets() {
        let policy = TargetPolicy::default();
        for inside in ["127.9.0.1:80", "10.255.0.1:1", "172.31.0.1:1", "192.168.1.1:1", "[::1]:1", "[fd00::1]:1"] {
            assert!(allows(&policy, "x", inside), "{inside}");
        }
        for outside in
            ["8.8.8.8:80", "172.32.0.1:1", "169.254.169.254:80", "0.0.0.0:80", "[2001:db8::1]:1", "[::ffff:8.8.8.8]:1"]
        {
            assert!(!allows(&policy, "localhost", outside), "{outside}");
        }
        assert!(allows(&policy, "x", "[::ffff:10.0.0.1]:1"));
    }

    #[test]
    fn a_refusal_names_the_target_and_the_flag() {
        let error =
            TargetPolicy::default().check("example.org", "8.8.8.8:80".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("example.org") && error.contains("8.8.8.8:80") && error.contains("--allow-target"));
    }

    #[test]
    fn entries_are_networks_addresses_names_suffixes_and_any() {
        let policy = parse(&["203.0.113.0/24", "198.51.100.7", "shop.example.org", "*.test", "2001:db8::/32"]).unwrap();
        assert!(allows(&policy, "a", "203.0.113.9:1") && !allows(&policy, "a", "203.0.114.9:1"));
        assert!(allows(&policy, "a", "198.51.100.7:1") && !allows(&policy, "a", "198.51.100.8:1"));
        assert!(
            allows(&policy, "Shop.Example.Org.", "8.8.8.8:1") && !allows(&policy, "x.shop.example.org", "8.8.8.8:1")
        );
        assert!(allows(&policy, "a.b.test", "8.8.8.8:1") && !allows(&policy, "test", "8.8.8.8:1"));
        assert!(allows(&policy, "a", "[2001:db8:9::1]:1") && !allows(&policy, "a", "127.0.0.1:1"));
        assert!(allows(&parse(&["any"]).unwrap(), "a", "8.8.8.8:1"));
        assert!(allows(&parse(&["0.0.0.0/0"]).unwrap(), "a", "8.8.8.8:1"));
        assert!(allows(&parse(&["private", "x.y"]).unwrap(), "a", "10.0.0.1:1"));
        assert_eq!(parse(&[]).unwrap(), TargetPolicy::default());
    }

    #[test]
    fn what_is_no_entry_is_refused_by_name() {
        for entry in ["10.0.0.0/33", "10.0.0/8", "*x", "a:80", "", "http://x", "*.", "..", "::1/129"] {
            let error = parse(&[entry]).unwrap_err().to_string();
            assert!(error.contains(&format!("`{entry}`")), "{error}");
        }
    }
}
