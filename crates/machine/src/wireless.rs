//! Wi-Fi connections: strength and rates, asked of the kernel's nl80211; the strength alone where that does not answer.

use std::collections::BTreeMap;

use nuncius_schemas::telemetry::WirelessTelemetry;

use crate::network::of_machine;
use crate::source::{Source, Tree};

mod message;
mod socket;

/// Connections by interface.
pub(crate) fn read(source: &mut Source) -> BTreeMap<String, WirelessTelemetry> {
    let file = of_machine(source, "net/wireless");
    let mut all = source.parse(Tree::Proc, &file, |text| Ok(parse_wireless(text))).unwrap_or_default();
    // Sockets know the interfaces of this machine, and of this network namespace, only.
    if source.roots().sys.as_path() != std::path::Path::new("/sys") {
        return all;
    }
    let mut interfaces = Vec::new();
    for name in source.names(Tree::Sys, "class/net") {
        if source.path(Tree::Sys, &format!("class/net/{name}/phy80211")).exists()
            && let Some(index) = source.number(Tree::Sys, &format!("class/net/{name}/ifindex"))
            && let Ok(index) = u32::try_from(index)
        {
            interfaces.push((name, index));
        }
    }
    match socket::stations(&interfaces) {
        Ok(found) => all.extend(found),
        Err(problem) => source.problems().tell("nl80211", || format!("Wi-Fi: nl80211 does not answer: {problem}")),
    }
    all
}

/// Understands /proc/net/wireless, the interface of before nl80211.
fn parse_wireless(text: &str) -> BTreeMap<String, WirelessTelemetry> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        // Status, quality, level: `0000   55.  -55.  -256`.
        let level =
            rest.split_ascii_whitespace().nth(2).and_then(|level| level.trim_end_matches('.').parse::<f64>().ok());
        let Some(level) = level.filter(|level| level.is_finite()) else { continue };
        // Some drivers have eight bits without a sign.
        let signal = if level > 63.0 { level - 256.0 } else { level };
        if (-200.0..0.0).contains(&signal) {
            let signal_dbm = Some(signal);
            found.insert(name.trim().to_owned(), WirelessTelemetry { signal_dbm, ..WirelessTelemetry::default() });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strength_of_a_signal_is_less_than_a_milliwatt() {
        let text = "Inter-| sta-|   Quality        |   Discarded packets\n face | tus | link level noise |  nwid  crypt\n \
                    wlan0: 0000   55.  -55.  -256        0      0\n wlan1: 0000   55.  201.  -256        0      0\n \
                    wlan2: 0000    0.    0.  -256        0      0\n wlan3: 0000\n wlan4: 0000 1. nan\n";
        let found = parse_wireless(text);
        let told: Vec<_> = found.iter().map(|(name, wifi)| (name.as_str(), wifi.signal_dbm)).collect();
        assert_eq!(told, [("wlan0", Some(-55.0)), ("wlan1", Some(-55.0))]);
    }
}
