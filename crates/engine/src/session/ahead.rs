//! Connections that are opened before the load, where users share them.

use std::rc::Rc;
use std::time::Duration;

use nuncius_clock::monotonic_ns;
use nuncius_schemas::spec::Connections;

use super::pool::{Key, SHARED};
use super::send;
use super::shared::{Pool, Shared};
use crate::program::action::Action;

/// Opens so many connections to the group's target.
pub(super) fn open(shared: &Rc<Shared>, count: usize) {
    let Some(program) = shared.plan.program() else { return };
    let is_http = |action: &Action| matches!(action, Action::Http(_));
    if program.connections != Connections::KeepAlive || !program.actions.iter().any(is_http) {
        return;
    }
    let count = match &shared.pool {
        Pool::Http1(pool) => count.min(pool.open_max()),
        Pool::Http2(_) => count.min(1),
    };
    for _ in 0..count {
        let host = shared.host_ahead();
        let shared = Rc::clone(shared);
        tokio::task::spawn_local(async move {
            let Some(target) = shared.target(0).filter(|target| target.is_http) else { return };
            let hosts = shared.hosts(0).unwrap_or_default();
            let Some(address) = hosts.get(host) else { return };
            let key = Key { target: 0, host: u32::try_from(host).unwrap_or(u32::MAX), owner: SHARED };
            let patience = Duration::from_nanos(shared.plan.timeout_ns);
            // Who needs it and gets none will say why.
            match &shared.pool {
                Pool::Http1(pool) => {
                    let mut lease = pool.lease(key).await;
                    lease.opening();
                    if let Ok(client) = send::open(&target, address, host, patience).await {
                        lease.opened(client);
                        lease.unused(monotonic_ns());
                    }
                }
                Pool::Http2(pool) => {
                    let _ = pool.stream(key, || Box::pin(send::open_http2(&target, address, patience))).await;
                }
            }
        });
    }
}
