//! Control groups: found now and then, read as often as that costs little.

use nuncius_schemas::telemetry::{CgroupTelemetry, CgroupVersion, Omitted};

use crate::config::MachineLimits;
use crate::omitted::omit;
use crate::paced::Paced;
use crate::source::{Source, Tree};

mod files;
mod find;
mod name;
mod network;
mod v1;
mod v2;

use find::Found;

/// Time between two searches, in nanoseconds; a long search is made less often.
const SEARCH_NS: u64 = 5_000_000_000;

/// Reads control groups.
#[derive(Debug)]
pub(crate) struct Cgroups {
    patterns: Vec<String>,
    searching: Paced,
    searched_ns: Option<u64>,
    found: Found,
    reading: Paced,
}

impl Cgroups {
    pub(crate) fn new(patterns: &[String]) -> Self {
        Self {
            patterns: patterns.to_vec(),
            searching: Paced::one_in(500),
            searched_ns: None,
            found: Found::default(),
            reading: Paced::one_in(200),
        }
    }

    /// What the groups say; nothing where reading them was too costly to be done again at this time.
    pub(crate) fn read(
        &mut self,
        source: &mut Source,
        now_ns: u64,
        limits: &MachineLimits,
        omitted: &mut Vec<Omitted>,
    ) -> Vec<CgroupTelemetry> {
        if self.searched_ns.is_none_or(|searched_ns| now_ns.saturating_sub(searched_ns) >= SEARCH_NS)
            && let Some(found) = self.searching.run(now_ns, || find::find(source, &self.patterns, limits))
        {
            (self.found, self.searched_ns) = (found, Some(now_ns));
        }
        let found = &self.found;
        omit(omitted, "cgroups", found.beyond, limits.cgroups);
        omit(omitted, "cgroups not looked at", found.unvisited, limits.cgroups_visited);
        let read = || {
            let own = network::own(source);
            let mut groups = Vec::new();
            for place in &found.places {
                let mut group = CgroupTelemetry {
                    name: place.name.clone(),
                    path: place.path.clone(),
                    version: found.version,
                    runtime: place.container.as_ref().map(|container| container.runtime),
                    container: place.container.as_ref().map(|container| container.id.clone()),
                    pod: place.container.as_ref().and_then(|container| container.pod.clone()),
                    ..CgroupTelemetry::default()
                };
                let is_there = match found.version {
                    CgroupVersion::V1 => v1::read(source, &place.path, &mut group),
                    CgroupVersion::V2 => v2::read(source, &place.path, &mut group),
                };
                if !is_there {
                    continue;
                }
                if place.container.is_some() {
                    let directory = files::directory(found.version, source, &place.path);
                    group.networks = network::read(source, &directory, own.as_deref(), limits.cgroup_networks);
                }
                groups.push(group);
            }
            groups
        };
        self.reading.run(now_ns, read).unwrap_or_default()
    }
}

/// The directory of all groups.
fn root(source: &Source) -> std::path::PathBuf {
    source.path(Tree::Sys, "fs/cgroup")
}
