//! A profile, and what became of it.

use nuncius_schemas::codec;
use nuncius_schemas::node::{NodeCommand, NodeReply, Profile, ProfileOrder};
use nuncius_schemas::profile::{ProfileFormat, ProfileOutcome, ProfileReport, ProfileSpec};

fn profile() -> ProfileSpec {
    let text = "name: cpu\nnodes: {labels: {beside: shop}}\npid_of: gunicorn\nfrom: 5s\nfor: 30s\noutput: cpu.txt\n\
                command: [py-spy, record, --pid, '{pid}', --duration, '{seconds}', --output, '{output}']";
    codec::from_text(text).unwrap()
}

pub(crate) fn node_command() -> NodeCommand {
    NodeCommand::Profile(Box::new(Profile {
        experiment: "e-1".into(),
        token: 42,
        attempt: 2,
        start_unix_ns: 1_700_000_000_000_000_000,
        profile: profile(),
        length_ns: 30_000_000_000,
        order: ProfileOrder::Finish,
    }))
}

pub(crate) fn node_reply() -> NodeReply {
    let profile = Box::new(ProfileReport {
        name: "cpu".into(),
        node: "edge-1".into(),
        outcome: ProfileOutcome::Collected,
        reason: None,
        format: ProfileFormat::Folded,
        size_bytes: 12_345,
        exit_code: Some(0),
        object: Some("e-1/cpu/edge-1".into()),
    });
    NodeReply::Profiled { epoch: 3, profile }
}
