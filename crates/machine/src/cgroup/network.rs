//! What a container sends and receives: the interfaces that its first process sees.

use std::path::Path;

use nuncius_schemas::telemetry::CgroupNetwork;

use crate::network::parse_dev;
use crate::source::{Source, Tree};

/// The network namespace of the machine.
pub(super) fn own(source: &Source) -> Option<std::path::PathBuf> {
    let of = |process: &str| std::fs::read_link(source.path(Tree::Proc, &format!("{process}/ns/net"))).ok();
    // That of the first process is the machine's; without the right to look there, ours is the nearest.
    of("1").or_else(|| of("self"))
}

/// The interfaces of the processes of a group, unless they are the machine's own, or it cannot be known whose they are.
pub(super) fn read(source: &mut Source, directory: &Path, own: Option<&Path>, limit: usize) -> Vec<CgroupNetwork> {
    let process = source.parse_at(&directory.join("cgroup.procs"), |text| {
        Ok(text.lines().next().and_then(|line| line.trim().parse::<u32>().ok()).filter(|process| *process > 0))
    });
    let Some(process) = process.flatten() else { return Vec::new() };
    let namespace = std::fs::read_link(source.path(Tree::Proc, &format!("{process}/ns/net"))).ok();
    if own.is_none() || namespace.is_none() || namespace.as_deref() == own {
        return Vec::new();
    }
    let read = source.parse(Tree::Proc, &format!("{process}/net/dev"), |text| parse_dev(text, limit));
    let (networks, _) = read.unwrap_or_default();
    networks
        .into_iter()
        .map(|network| CgroupNetwork {
            interface: network.interface,
            received_bytes: network.received_bytes,
            sent_bytes: network.sent_bytes,
        })
        .collect()
}
