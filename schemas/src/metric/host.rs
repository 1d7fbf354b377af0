//! What each host behind a target did, where there are several or a route says which.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most hosts of a step that are told by address; the others are told together, as [`HOSTS_OTHERS`].
pub const HOSTS_MAX: usize = 64;

/// The address that hosts without room are told under.
pub const HOSTS_OTHERS: &str = "(others)";

/// Requests that went to one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostCount {
    /// `address:port`.
    pub host: String,
    /// How many succeeded.
    pub succeeded: u64,
    /// How many failed, those that found no connection there included.
    pub failed: u64,
    /// Done − sent of those that succeeded, added up, in nanoseconds: by their number it is the mean.
    pub service_ns: u64,
}

impl HostCount {
    /// Mean of done − sent of those that succeeded, in nanoseconds.
    pub fn mean_service_ns(&self) -> Option<f64> {
        (self.succeeded > 0).then(|| self.service_ns as f64 / self.succeeded as f64)
    }
}

/// Adds others, host by host. There are never more than [`HOSTS_MAX`] hosts and [`HOSTS_OTHERS`].
pub fn add_hosts(hosts: &mut Vec<HostCount>, more: &[HostCount]) {
    for one in more {
        let place = |hosts: &[HostCount], name: &str| hosts.iter().position(|known| known.host == name);
        let name = match place(hosts, &one.host) {
            None if hosts.len() >= HOSTS_MAX => HOSTS_OTHERS,
            Some(_) | None => &one.host,
        };
        match place(hosts, name).and_then(|at| hosts.get_mut(at)) {
            Some(known) => {
                known.succeeded = known.succeeded.saturating_add(one.succeeded);
                known.failed = known.failed.saturating_add(one.failed);
                known.service_ns = known.service_ns.saturating_add(one.service_ns);
            }
            None => hosts.push(HostCount { host: name.to_owned(), ..one.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_added_by_address_and_bounded_in_number() {
        let one = |host: &str| HostCount { host: host.to_owned(), succeeded: 2, failed: 1, service_ns: 10 };
        let many: Vec<HostCount> = (0..HOSTS_MAX + 5).map(|port| one(&format!("127.0.0.1:{port}"))).collect();
        let mut hosts = Vec::new();
        add_hosts(&mut hosts, &many);
        add_hosts(&mut hosts, &many);
        assert_eq!(hosts.len(), HOSTS_MAX + 1);
        assert_eq!(hosts[0], HostCount { succeeded: 4, failed: 2, service_ns: 20, ..one("127.0.0.1:0") });
        assert_eq!(hosts[HOSTS_MAX], HostCount { succeeded: 20, failed: 10, service_ns: 100, ..one(HOSTS_OTHERS) });
        assert_eq!((hosts[0].mean_service_ns(), hosts.iter().map(|host| host.failed).sum::<u64>()), (Some(5.0), 138));
    }
}
