//! Network interfaces.

use std::collections::BTreeMap;

use nuncius_schemas::telemetry::{NetworkTelemetry, Omitted, WirelessTelemetry};

use crate::counter::Rates;
use crate::omitted::omit;
use crate::paced::Paced;
use crate::source::{Source, Tree};
use crate::wireless;

/// Name of the loopback.
const LOOPBACK: &str = "lo";

/// Reads interfaces; keeps what rates need.
#[derive(Debug)]
pub(crate) struct Networks {
    rates: Rates,
    slow: Paced,
    speeds: BTreeMap<String, u64>,
    wireless: BTreeMap<String, WirelessTelemetry>,
}

impl Networks {
    pub(crate) fn new() -> Self {
        let (rates, speeds, wireless) = Default::default();
        Self { rates, slow: Paced::one_in(500), speeds, wireless }
    }

    /// All interfaces but the loopback, in the order of the kernel, up to `limit`.
    pub(crate) fn read(
        &mut self,
        source: &mut Source,
        now_ns: u64,
        limit: usize,
        omitted: &mut Vec<Omitted>,
    ) -> Vec<NetworkTelemetry> {
        let file = of_machine(source, "net/dev");
        let Some((mut networks, beyond)) = source.parse(Tree::Proc, &file, |text| parse_dev(text, limit)) else {
            return Vec::new();
        };
        omit(omitted, "networks", beyond, limit);
        if let Some((speeds, wireless)) = self.slow.run(now_ns, || slow_part(source, &networks)) {
            (self.speeds, self.wireless) = (speeds, wireless);
        }
        self.rates.tell(
            now_ns,
            &mut networks,
            |network| (&network.interface, (network.received_bytes, network.sent_bytes)),
            |network, rates| [network.received_bytes_per_second, network.sent_bytes_per_second] = rates,
        );
        for network in &mut networks {
            network.speed_bits_per_second = self.speeds.get(&network.interface).copied();
            network.wireless = self.wireless.get(&network.interface).copied();
        }
        networks
    }
}

/// A file of the network of the machine: below another root, ours is that of a container.
pub(crate) fn of_machine(source: &Source, file: &str) -> String {
    let of_first = format!("1/{file}");
    let is_elsewhere = source.roots().proc.as_path() != std::path::Path::new("/proc");
    if is_elsewhere && source.path(Tree::Proc, &of_first).exists() { of_first } else { file.to_owned() }
}

/// Speeds of links and Wi-Fi connections: questions to drivers.
fn slow_part(
    source: &mut Source,
    networks: &[NetworkTelemetry],
) -> (BTreeMap<String, u64>, BTreeMap<String, WirelessTelemetry>) {
    let mut speeds = BTreeMap::new();
    let mut is_wireless = false;
    for network in networks {
        let directory = format!("class/net/{}", network.interface);
        let speed = source.path(Tree::Sys, &format!("{directory}/speed"));
        // −1 where it is not known.
        if let Some(megabits) = source.signed_at(&speed).and_then(|megabits| u64::try_from(megabits).ok()) {
            speeds.insert(network.interface.clone(), megabits.saturating_mul(1_000_000));
        }
        is_wireless |= source.path(Tree::Sys, &format!("{directory}/phy80211")).exists();
    }
    let wireless = if is_wireless { wireless::read(source) } else { BTreeMap::new() };
    (speeds, wireless)
}

/// Understands /proc/net/dev: interfaces but the loopback, and how many there are beyond the limit.
pub(crate) fn parse_dev(text: &str, limit: usize) -> Result<(Vec<NetworkTelemetry>, u64), String> {
    let mut networks = Vec::new();
    let mut beyond = 0;
    let mut has_head = false;
    for line in text.lines() {
        // The name may touch the first number: `eth0:12`.
        let Some((name, numbers)) = line.rsplit_once(':') else {
            has_head |= line.contains('|');
            continue;
        };
        let name = name.trim();
        if name == LOOPBACK {
            continue;
        }
        if networks.len() >= limit {
            beyond += 1;
            continue;
        }
        let mut fields = [0u64; 16];
        let mut count = 0;
        for (slot, word) in fields.iter_mut().zip(numbers.split_ascii_whitespace()) {
            *slot = word.parse().map_err(|_| format!("`{}` is no counter", word.escape_debug()))?;
            count += 1;
        }
        if count < fields.len() {
            return Err(format!("interface {} has {count} counters, it takes 16", name.escape_debug()));
        }
        let [
            received_bytes,
            received_packets,
            received_errors,
            received_dropped,
            _,
            _,
            _,
            _,
            sent_bytes,
            sent_packets,
            sent_errors,
            sent_dropped,
            ..,
        ] = fields;
        networks.push(NetworkTelemetry {
            interface: name.chars().take(64).collect(),
            received_bytes,
            received_packets,
            received_errors,
            received_dropped,
            sent_bytes,
            sent_packets,
            sent_errors,
            sent_dropped,
            ..NetworkTelemetry::default()
        });
    }
    if has_head || !networks.is_empty() { Ok((networks, beyond)) } else { Err("is no table of interfaces".to_owned()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "Inter-|   Receive                            |  Transmit\n face |bytes    packets errs drop fifo frame \
                        compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

    #[test]
    fn interfaces_are_told_but_for_the_loopback() {
        let text = format!(
            "{HEAD}    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     \
             0       0          0\n  eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n br:0: 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        );
        let (networks, beyond) = parse_dev(&text, 64).unwrap();
        assert_eq!(networks.iter().map(|net| net.interface.as_str()).collect::<Vec<_>>(), ["eth0", "br:0"]);
        let eth0 = &networks[0];
        assert_eq!((eth0.received_bytes, eth0.received_dropped, eth0.sent_bytes, eth0.sent_dropped), (1, 4, 9, 12));
        assert_eq!((networks[1].received_bytes, beyond), (17, 0));
        assert_eq!(parse_dev(HEAD, 64).unwrap(), (vec![], 0));
        for bad in ["", "x", "eth0: 1 2 3", "eth0: a 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"] {
            assert!(parse_dev(bad, 64).is_err(), "{bad}");
        }
    }

    #[test]
    fn of_a_thousand_interfaces_the_first_are_told_and_the_rest_is_counted() {
        let mut text = HEAD.to_owned();
        for number in 0..1_000 {
            text.push_str(&format!("veth{number}: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"));
        }
        let (networks, beyond) = parse_dev(&text, 64).unwrap();
        assert_eq!((networks.len(), beyond), (64, 936));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in "(eth0:|\\||[ 0-9:\n]|\\PC){0,60}") {
            let _ = parse_dev(&text, 4);
        }
    }
}
