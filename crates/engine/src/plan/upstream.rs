//! The hosts behind one target, and how requests are shared over them, while the routing table may change both.
//!
//! Whoever sends looks for a change before each request: a change holds from the next request on, and what is under way
//! ends where it began. A host keeps its index for as long as the plan is, so that connections, which are kept by it,
//! stay good: one that was taken out of the route stands without weight.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nuncius_schemas::route::Route;

use super::spread::Spread;
use super::target::{self, Target};
use crate::error::PlanError;
use crate::host::Host;
use crate::policy::TargetPolicy;

/// Most addresses that may stand behind one target in the course of a run.
const HOSTS_EVER_MAX: usize = 4_096;

/// The hosts at one time.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    hosts: Vec<Arc<Host>>,
    /// Of each; 0 for one that gets nothing any more.
    weights: Vec<u64>,
    /// How requests are shared over them.
    pub(crate) spread: Spread,
    /// They go by a route of the table, which may say otherwise later.
    is_routed: bool,
}

impl Hosts {
    /// Of hosts that all have a weight.
    fn new(hosts: Vec<Host>, is_routed: bool) -> Result<Self, String> {
        Self { is_routed, ..Self::default() }.followed_by(hosts)
    }

    /// The hosts that come after these; where there is one already it keeps its index.
    fn followed_by(&self, hosts: Vec<Host>) -> Result<Self, String> {
        let mut after = self.hosts.clone();
        let mut weights = vec![0; after.len()];
        for host in hosts {
            let weight = host.weight;
            match after.iter().position(|known| known.address == host.address) {
                Some(index) => {
                    if let Some(known) = after.get_mut(index).filter(|known| known.alternates != host.alternates) {
                        *known = Arc::new(host);
                    }
                    if let Some(place) = weights.get_mut(index) {
                        *place = weight;
                    }
                }
                None => {
                    after.push(Arc::new(host));
                    weights.push(weight);
                }
            }
        }
        if after.len() > HOSTS_EVER_MAX {
            return Err(format!(
                "{} addresses have stood behind it in the course of the run, at most {HOSTS_EVER_MAX} may",
                after.len()
            ));
        }
        Ok(Self { spread: Spread::new(&weights)?, hosts: after, weights, is_routed: self.is_routed })
    }

    /// How many indices there are.
    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Arc<Host>> {
        self.hosts.get(index)
    }

    /// Whether requests go to the host of this index.
    pub(crate) fn is_used(&self, index: usize) -> bool {
        self.weights.get(index).is_some_and(|weight| *weight > 0)
    }

    /// Whether they are told apart: where there are several, or may be.
    #[inline]
    pub(crate) fn are_told(&self) -> bool {
        self.is_routed || self.len() > 1
    }

    /// Those that requests go to.
    pub(crate) fn used(&self) -> impl Iterator<Item = &Arc<Host>> {
        self.hosts.iter().zip(&self.weights).filter(|(_, weight)| **weight > 0).map(|(host, _)| host)
    }

    /// The same addresses with the same weights.
    fn is_alike(&self, other: &Self) -> bool {
        let alternates = |hosts: &Self| hosts.hosts.iter().map(|host| host.alternates.clone()).collect::<Vec<_>>();
        self.weights == other.weights && alternates(self) == alternates(other)
    }
}

/// What stands behind one target now.
#[derive(Debug, Default)]
pub(crate) struct Upstream {
    /// The field that names the target, for errors.
    field: String,
    /// The service of the routing table that it is; none where an address or the experiment itself says it.
    service: Option<String>,
    /// Counts the changes.
    version: AtomicU64,
    now: Mutex<Arc<Hosts>>,
}

impl Upstream {
    /// Of a target, as the services of the experiment and the routing table have it. May block on DNS.
    ///
    /// # Errors
    /// It has no address, or one that this node may not be aimed at.
    pub(crate) fn of(
        field: &str,
        target: &Target,
        services: &BTreeMap<String, Vec<String>>,
        routes: &[Route],
        policy: &TargetPolicy,
    ) -> Result<Self, PlanError> {
        let hosts = target::resolve(field, target, services, routes, policy)?;
        let service = target::route_of(target, services, routes).map(|route| route.service.clone());
        let hosts = Hosts::new(hosts, service.is_some())
            .map_err(|problem| PlanError::Field { field: field.to_owned(), problem })?;
        Ok(Self { field: field.to_owned(), service, version: AtomicU64::new(0), now: Mutex::new(Arc::new(hosts)) })
    }

    #[inline]
    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The hosts now.
    pub(crate) fn now(&self) -> Arc<Hosts> {
        Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes by another route, if it goes by that service's. May block on DNS.
    ///
    /// # Errors
    /// The route has no address that can be used, or one that this node may not be aimed at: nothing has changed then.
    pub(crate) fn reroute(&self, route: &Route, policy: &TargetPolicy) -> Result<(), PlanError> {
        if self.service.as_ref() != Some(&route.service) {
            return Ok(());
        }
        let hosts = target::hosts_of_route(&self.field, route, policy)?;
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let next = now.followed_by(hosts).map_err(|problem| PlanError::Field { field: self.field.clone(), problem })?;
        if !now.is_alike(&next) {
            *now = Arc::new(next);
            self.version.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }
}

/// An upstream as somebody has seen it last, who looks again before each request.
#[derive(Debug)]
pub(crate) struct Followed {
    upstream: Arc<Upstream>,
    version: u64,
    hosts: Arc<Hosts>,
}

impl Followed {
    pub(crate) fn new(upstream: &Arc<Upstream>) -> Self {
        // In this order: what changes in between is seen the next time.
        let version = upstream.version();
        Self { upstream: Arc::clone(upstream), version, hosts: upstream.now() }
    }

    /// Whether it has changed since, which costs next to nothing to ask.
    #[inline]
    pub(crate) fn is_behind(&self) -> bool {
        self.version != self.upstream.version()
    }

    /// Looks again; whether it has changed.
    #[inline]
    pub(crate) fn look(&mut self) -> bool {
        let is_behind = self.is_behind();
        if is_behind {
            *self = Self::new(&self.upstream);
        }
        is_behind
    }

    /// The hosts as they were seen last.
    #[inline]
    pub(crate) fn hosts(&self) -> &Arc<Hosts> {
        &self.hosts
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::route::{RouteHost, Weight};

    use super::*;

    fn route(hosts: &[(u16, &str)]) -> Route {
        let host = |(port, weight): &(u16, &str)| RouteHost {
            address: format!("127.0.0.1:{port}"),
            weight: weight.parse().unwrap(),
        };
        Route { service: "shop".to_owned(), hosts: hosts.iter().map(host).collect(), owner: None }
    }

    fn upstream(hosts: &[(u16, &str)]) -> Upstream {
        let target = target::parse("target", "http://shop/").unwrap();
        Upstream::of("target", &target, &BTreeMap::new(), &[route(hosts)], &TargetPolicy::default()).unwrap()
    }

    fn ports(upstream: &Upstream, positions: std::ops::Range<u64>) -> Vec<u16> {
        let hosts = upstream.now();
        positions.map(|position| hosts.get(hosts.spread.host(position)).unwrap().address.port()).collect()
    }

    #[test]
    fn a_change_keeps_the_indices_of_hosts_and_sends_nothing_to_those_that_are_out() {
        let upstream = upstream(&[(1, "1"), (2, "2")]);
        let policy = TargetPolicy::default();
        upstream.reroute(&route(&[(3, "1"), (2, "1")]), &policy).unwrap();
        let hosts = upstream.now();
        let all: Vec<u16> = (0..hosts.len()).map(|index| hosts.get(index).unwrap().address.port()).collect();
        assert_eq!((all, upstream.version()), (vec![1, 2, 3], 1));
        assert_eq!([0, 1, 2].map(|index| hosts.is_used(index)), [false, true, true]);
        let mut sent = ports(&upstream, 0..100);
        sent.sort_unstable();
        assert_eq!(sent.iter().filter(|port| **port == 2).count(), 50);
        assert!(!sent.contains(&1));
        // All to one that is not the first.
        upstream.reroute(&route(&[(3, "5"), (1, "0")]), &policy).unwrap();
        assert_eq!(ports(&upstream, 0..3), [3, 3, 3]);
        upstream.reroute(&route(&[(1, "7")]), &policy).unwrap();
        assert_eq!((ports(&upstream, 0..3), upstream.now().len()), (vec![1, 1, 1], 3));
    }

    #[test]
    fn what_changes_nothing_or_another_service_is_no_change_and_what_is_refused_neither() {
        let upstream = upstream(&[(1, "1"), (2, "2")]);
        let policy = TargetPolicy::default();
        upstream.reroute(&route(&[(1, "2"), (2, "4")]), &policy).unwrap();
        upstream.reroute(&Route { service: "cart".to_owned(), ..route(&[(9, "1")]) }, &policy).unwrap();
        let far = Route {
            hosts: vec![RouteHost { address: "192.0.2.1:80".to_owned(), weight: Weight::default() }],
            ..route(&[])
        };
        let refused = upstream.reroute(&far, &policy).unwrap_err().to_string();
        assert!(refused.starts_with("target: ") && refused.contains("--allow-target"), "{refused}");
        let none = upstream.reroute(&route(&[(1, "0")]), &policy).unwrap_err().to_string();
        assert!(none.contains("no address with a weight over 0"), "{none}");
        assert_eq!((upstream.version(), ports(&upstream, 0..3)), (0, vec![2, 1, 2]));
    }
}
