//! Whom a program sends to: the target of its group, others that its steps name, and those that are known only while it
//! runs. All go through the node's allow-list.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nuncius_schemas::route::Route;
use nuncius_schemas::spec::TlsOptions;
use nuncius_schemas::target::{Target, split_scheme};
use rustls::ClientConfig;

use crate::error::PlanError;
use crate::plan::target;
use crate::plan::upstream::Upstream;
use crate::policy::TargetPolicy;
use crate::tls::{self, Tls};

/// Most targets that become known while a program runs.
pub(crate) const FOUND_MAX: usize = 256;

/// One target: an origin (RFC 6454), and what stands behind it.
#[derive(Debug)]
pub(crate) struct TargetPlan {
    /// Scheme and authority: `http://shop:8080`.
    pub(crate) origin: String,
    /// Host and port as written: the `Host` of requests.
    pub(crate) authority: String,
    /// The host alone.
    pub(crate) host: String,
    /// How its peers are met over TLS.
    pub(crate) tls: Option<Tls>,
    pub(crate) upstream: Arc<Upstream>,
    /// Whether requests over HTTP go there.
    pub(crate) is_http: bool,
}

impl TargetPlan {
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// What it takes to make a target of an origin.
#[derive(Debug)]
pub(crate) struct Resolver {
    services: BTreeMap<String, Vec<String>>,
    routes: Mutex<Vec<Route>>,
    policy: TargetPolicy,
    tls: Option<TlsOptions>,
    /// What is offered in TLS (RFC 7301).
    protocol: &'static str,
    /// Certificates are read once, for the first target that needs them.
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
    found: Mutex<HashMap<String, Arc<TargetPlan>>>,
}

impl Resolver {
    /// `protocol` is the name in TLS of what is spoken.
    pub(crate) fn new(
        services: BTreeMap<String, Vec<String>>,
        routes: Vec<Route>,
        policy: TargetPolicy,
        tls: Option<TlsOptions>,
        protocol: &'static str,
    ) -> Self {
        let (config, found, routes) = (OnceLock::new(), Mutex::new(HashMap::new()), Mutex::new(routes));
        Self { services, routes, policy, tls, protocol, config, found }
    }

    /// The target of an origin, `scheme://authority`. May block on DNS. `path` is that of the group, `field` that of
    /// what names the origin.
    ///
    /// # Errors
    /// It is none, has no address, or one that this node may not be aimed at.
    pub(crate) fn target(&self, path: &str, field: &str, origin: &str) -> Result<TargetPlan, PlanError> {
        let (target, upstream) = self.reach(field, origin)?;
        let is_http = origin.starts_with("http://") || origin.starts_with("https://");
        let refused = |field: String, problem: String| PlanError::Field { field, problem };
        let tls = if target.secure && is_http {
            // The problem begins with the field of the group.
            let tls = self.tls(&target.host).map_err(|problem| match problem.split_once(": ") {
                Some((field, problem)) => refused(format!("{path}.{field}"), problem.to_owned()),
                None => refused(format!("{path}.tls"), problem),
            })?;
            Some(tls)
        } else {
            None
        };
        let (authority, host) = (target.authority, target.host);
        Ok(TargetPlan { origin: origin.to_owned(), authority, host, tls, upstream: Arc::new(upstream), is_http })
    }

    fn routes(&self) -> Vec<Route> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes by a route from now on, and so do the targets that became known. May block on DNS.
    ///
    /// # Errors
    /// As [`Upstream::reroute`].
    pub(crate) fn reroute(&self, route: &Route) -> Result<(), PlanError> {
        // Nothing becomes known between the two.
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for target in found.values() {
            target.upstream.reroute(route, &self.policy)?;
        }
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.iter_mut().filter(|known| known.service == route.service).for_each(|known| *known = route.clone());
        Ok(())
    }

    fn tls(&self, host: &str) -> Result<Tls, String> {
        let name = self.tls.as_ref().and_then(|tls| tls.server_name.as_deref()).unwrap_or(host);
        let config =
            self.config.get_or_init(|| tls::setup(self.tls.as_ref(), name, Some(self.protocol)).map(|tls| tls.config));
        Ok(Tls { config: Arc::clone(config.as_ref().map_err(Clone::clone)?), server_name: tls::server_name(name)? })
    }

    /// The parts of a URL of any protocol, and what stands behind it. May block on DNS. `field` is that of the URL.
    ///
    /// # Errors
    /// It is none, has no address, or one that this node may not be aimed at.
    pub(crate) fn reach(&self, field: &str, url: &str) -> Result<(target::Target, Upstream), PlanError> {
        let target = target::parse(field, url)?;
        let upstream = Upstream::of(field, &target, &self.services, &self.routes(), &self.policy)?;
        Ok((target, upstream))
    }

    /// How peers of this name are met over TLS by another protocol than HTTP.
    ///
    /// # Errors
    /// Begins with the field below that of the group.
    pub(crate) fn tls_of(&self, host: &str, protocol: Option<&str>) -> Result<Tls, String> {
        let name = self.tls.as_ref().and_then(|tls| tls.server_name.as_deref()).unwrap_or(host);
        tls::setup(self.tls.as_ref(), name, protocol)
    }

    /// Whether the target of an origin is known without asking anybody.
    pub(crate) fn is_near(&self, origin: &str) -> bool {
        let host = split_scheme(origin).map(|(scheme, rest)| Target::with_scheme(scheme, rest));
        let Some(host) = host.and_then(|target| target.host().ok()) else { return true };
        let is_service =
            |name: &str| self.services.contains_key(name) || self.routes().iter().any(|route| route.service == name);
        host.name.parse::<std::net::IpAddr>().is_ok() || host.service().is_some_and(is_service)
    }

    /// The target of an origin that became known while the program runs, made once for all threads. May block on DNS.
    ///
    /// # Errors
    /// As [`Resolver::target`]; also when there are too many of them.
    pub(crate) fn found(&self, origin: &str) -> Result<Arc<TargetPlan>, PlanError> {
        if let Some(known) = self.known(origin) {
            return Ok(known);
        }
        let before = self.routes();
        let target = Arc::new(self.target("", "url", origin)?);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        // What has changed meanwhile; while this is held nothing does.
        for route in self.routes().into_iter().filter(|route| !before.contains(route)) {
            target.upstream.reroute(&route, &self.policy)?;
        }
        if found.len() >= FOUND_MAX {
            let problem = format!("more than {FOUND_MAX} hosts became known while the load went on");
            return Err(PlanError::Field { field: "url".to_owned(), problem });
        }
        Ok(Arc::clone(found.entry(origin.to_owned()).or_insert(target)))
    }

    /// The same, if it is known already.
    pub(crate) fn known(&self, origin: &str) -> Option<Arc<TargetPlan>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).get(origin).cloned()
    }
}

/// The targets that a program names, each origin once; the first is that of its group.
#[derive(Debug)]
pub(crate) struct Targets {
    /// Path of the group.
    path: String,
    resolver: Resolver,
    all: Vec<Arc<TargetPlan>>,
}

impl Targets {
    pub(crate) fn new(path: &str, resolver: Resolver) -> Self {
        Self { path: path.to_owned(), resolver, all: Vec::new() }
    }

    /// The number of the target of an origin. May block on DNS.
    ///
    /// # Errors
    /// As [`Resolver::target`].
    pub(crate) fn number(&mut self, field: &str, origin: &str) -> Result<u32, PlanError> {
        let index = match self.all.iter().position(|target| target.origin == origin) {
            Some(index) => index,
            None => {
                let target = self.resolver.target(&self.path, field, origin)?;
                self.all.push(Arc::new(target));
                self.all.len() - 1
            }
        };
        Ok(u32::try_from(index).unwrap_or(u32::MAX))
    }

    pub(super) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    pub(crate) fn finish(self) -> (Vec<Arc<TargetPlan>>, Resolver) {
        (self.all, self.resolver)
    }
}
