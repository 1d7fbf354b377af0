//! What is done once for a whole experiment, by this node: the same engine as under load, within the same allow-list
//! and caps. Blocks.

use std::sync::Arc;
use std::time::Duration;

use nuncius_bundle::Held;
use nuncius_bus::Bus;
use nuncius_engine::{Control, EngineError, EngineOptions, GroupInput, OnceError, run_once};
use nuncius_load::ShardSet;
use nuncius_schemas::node::{GivenVariables, Once, OncePhase, RefusalCode, VariablesError};
use nuncius_schemas::spec::RecordsMode;

use crate::config::ClientConfig;
use crate::engines::{BundleMissing, bundle_of, options_of};

/// Why what is done once was not done, or not well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OnceFailure {
    #[error("{0}")]
    Engine(#[from] OnceError),
    #[error(transparent)]
    Bundle(#[from] BundleMissing),
    #[error("groups[{group}].before: {problem}")]
    Variables { group: u16, problem: VariablesError },
    #[error("groups[{group}].{list}: not done within {limit:?}, the longest that it may take: it was stopped")]
    Slow { group: u16, list: &'static str, limit: Duration },
    #[error("groups[{group}].{list}: failed in this node's own program: see its log")]
    Program { group: u16, list: &'static str },
}

impl OnceFailure {
    /// What the daemon goes by.
    pub(crate) fn code(&self) -> RefusalCode {
        match self {
            Self::Engine(OnceError::Start(EngineError::Start { .. })) | Self::Program { .. } => RefusalCode::System,
            Self::Engine(
                OnceError::Plan(_) | OnceError::Start(EngineError::NoBus { .. } | EngineError::Tls { .. }),
            ) => RefusalCode::Unfit,
            Self::Bundle(missing) => missing.problem.code(),
            Self::Engine(OnceError::Step { .. } | OnceError::Ended { .. })
            | Self::Variables { .. }
            | Self::Slow { .. } => RefusalCode::Failed,
        }
    }
}

/// Does it, until it is done or `control` is stopped. Gives what the sessions of the group are given: nothing after the
/// load.
///
/// # Errors
/// [`OnceFailure`], in the words of the step that failed.
pub(crate) fn perform(
    once: &Once,
    trace_id: u128,
    config: &ClientConfig,
    (control, bus): (&Arc<Control>, &Bus),
) -> Result<GivenVariables, OnceFailure> {
    let spec = &once.spec;
    let bundle = bundle_of(spec, config, bus)?;
    let environment = |name: &str| config.environment.get(name).cloned();
    let input = GroupInput {
        spec,
        group: once.group,
        // One user does it, whoever has which shards.
        shards: ShardSet::all(1),
        nodes: 1,
        routes: &once.routes,
        run_key: once.run_key,
        trace_id,
        threads: 1,
        bundle: bundle.as_deref().map(Held::path),
        variables: Some(once.variables.map()),
    };
    let untold =
        EngineOptions { records: RecordsMode::None, trace_ratio: 0.0, trace_slowest: 0, ..options_of(spec, config) };
    let made = run_once(&input, &config.policy, &environment, (untold, control), once.phase)?;
    match once.phase {
        OncePhase::Before => GivenVariables::try_from(made.unwrap_or_default())
            .map_err(|problem| OnceFailure::Variables { group: once.group, problem }),
        OncePhase::After => Ok(GivenVariables::default()),
    }
}
