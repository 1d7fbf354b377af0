//! `nuncius emulator oco`, `servo` and `resource`.

use std::collections::BTreeMap;

use anyhow::Result;
use nuncius_bus::Bus;
use nuncius_emulator::oco::{self, OcoConfig, StateStore};
use nuncius_emulator::resource::{self, ResourceConfig};
use nuncius_machine::publish::TelemetryConfig;
use nuncius_schemas::codec::CodecError;
use nuncius_schemas::names::{check_token, with_suffix};
use nuncius_schemas::resource::Amount;
use nuncius_schemas::submission;
use nuncius_serve::HttpLimits;
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::bundle::Prepared;
use super::run;
use super::telemetry;
use crate::args::{
    ArtilleryArgs, ArtilleryOutputArgs, Global, HostArgs, NodeArgs, OcoArgs, ResourceArgs, RunArgs, SamplerArgs,
    ServoArgs, SubmissionArgs,
};
use crate::connect::{self, Fallback};
use crate::exit::Usage;
use crate::host::{host_name, host_token};
use crate::local::labels;
use crate::registration::register;
use crate::signals::stop_on_signal;

/// How long an emulator tries to leave the bus in order.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(1);

/// `nuncius emulator oco`.
pub(super) async fn oco(global: &Global, args: OcoArgs) -> Result<u8> {
    check_token("node", &args.name).map_err(|error| Usage(format!("--name: {error}")))?;
    if let Some(service) = &args.register {
        check_token("service", service).map_err(|error| Usage(format!("--register: {error}")))?;
    }
    let mut accounts = BTreeMap::new();
    for flag in &args.accounts {
        let wrong = || Usage(format!("--account {flag}: write it as ACCOUNT=strict or ACCOUNT=service"));
        let (account, mode) = flag.split_once('=').ok_or_else(wrong)?;
        accounts.insert(account.to_owned(), mode.parse().map_err(|_| wrong())?);
    }
    let config = OcoConfig {
        http: args.http,
        config_file: args.config,
        state: args.state,
        name: args.name,
        host: host_name(),
        mode: args.mode,
        accounts,
        resync: args.resync,
        apps: args.apps,
        name_template: args.name_template,
        apps_max: args.apps_max,
        wrapped: args.wrapped,
        limits: oco_limits(&args.hosts, args.connections_max),
        ..OcoConfig::default()
    };
    config.check().map_err(Usage)?;
    let sampler = telemetry::sampler(&args.sampler, "emulator")?;
    let shutdown = stop_on_signal()?;
    let name = "emulator oco";
    let first = if config.state == StateStore::Kv {
        // What it knows is there.
        match connect::join(global, name, Fallback::DefaultAddress, &shutdown).await? {
            Some(bus) => Some(bus),
            None => return Ok(0),
        }
    } else {
        connect::at_once(global, name).await?
    };
    let (arrived, buses) = watch::channel(first);
    let (told, ready) = oneshot::channel();
    let (tell_address, address_known) = oneshot::channel();
    let announced = async {
        if let Ok(oco::Ready { address, node }) = ready.await {
            super::print(&where_it_is("OCO emulator", &address.to_string(), node.as_deref()));
            let _ = tell_address.send(address.to_string());
        }
    };
    let mut registered = None;
    let on_bus = async |bus: Bus| {
        if let (Some(service), Ok(address)) = (&args.register, address_known.await) {
            registered = Some(register(&bus, service, &address).await?);
        }
        Ok(())
    };
    let running = async {
        let (ended, ()) = tokio::join!(oco::run(config, buses, shutdown.clone(), Some(told)), announced);
        Ok(ended?)
    };
    let ended = beside_search(global, name, &shutdown, &arrived, sampler, running, on_bus).await;
    let bus = arrived.borrow().clone();
    if let Some(registration) = registered {
        // Where it is now nobody listens. A server that is away is not waited for.
        let _ = tokio::time::timeout(FAREWELL, registration.remove()).await;
    }
    leave(bus).await;
    ended.map(|()| 0)
}

fn oco_limits(hosts: &HostArgs, connections_max: Option<usize>) -> HttpLimits {
    let usual = oco::servo_limits();
    let connections_max = connections_max.unwrap_or(usual.connections_max);
    HttpLimits { allowed_hosts: hosts.allow_hosts.clone(), connections_max, ..usual }
}

/// `nuncius emulator resource`.
pub(super) async fn resource(global: &Global, args: ResourceArgs) -> Result<u8> {
    let name = args.name.unwrap_or_else(|| with_suffix(&host_token(), "-resource"));
    let bytes = |flag: &str, amount: Amount| match amount {
        Amount::Percent(_) => Err(Usage(format!("{flag} {amount}: write bytes, as 512MiB"))),
        other => other.to_bytes(0).map_err(|error| Usage(format!("{flag}: {error}"))),
    };
    let given = |bytes: u64| (bytes > 0).then_some(bytes);
    let default = ResourceConfig::new(&name, &host_name());
    let mut config = ResourceConfig {
        labels: labels(&args.labels, crate::environment::variables())?,
        http: args.http,
        data_directory: args.directory,
        compat: args.compat,
        token: args.token.filter(|token| !token.is_empty()),
        memory_limit_bytes: given(bytes("--memory-limit", args.memory_limit)?),
        disk_limit_bytes: given(bytes("--disk-limit", args.disk_limit)?),
        floor_bytes: args.floor.map(|floor| bytes("--floor", floor)).transpose()?,
        number_to_factor: args.number_to_factor,
        limits: HttpLimits { allowed_hosts: args.hosts.allow_hosts, ..default.limits.clone() },
        ..default
    };
    if !args.kinds.is_empty() {
        config.kinds = args.kinds.into_iter().collect();
    }
    config.check().map_err(|error| Usage(error.to_string()))?;
    let sampler = telemetry::sampler(&args.sampler, "emulator")?;
    let shutdown = stop_on_signal()?;
    let connection = format!("emulator {name}");
    let (arrived, buses) = watch::channel(connect::at_once(global, &connection).await?);
    let (told, ready) = oneshot::channel();
    let announced = async {
        if let Ok(resource::Ready { address, node }) = ready.await {
            super::print(&where_it_is("resource emulator", &address.to_string(), node.as_deref()));
        }
    };
    let running = async {
        let (ended, ()) = tokio::join!(resource::run(config, buses, shutdown.clone(), Some(told)), announced);
        Ok(ended?)
    };
    let ended = beside_search(global, &connection, &shutdown, &arrived, sampler, running, async |_| Ok(())).await;
    let bus = arrived.borrow().clone();
    leave(bus).await;
    ended.map(|()| 0)
}

/// Runs an emulator to its end. Where its bus is not there yet, it is looked for meanwhile, and told when it comes;
/// then `on_bus` has its turn, and the machine is sampled from then on. What keeps that from being done ends the
/// emulator.
async fn beside_search(
    global: &Global,
    name: &str,
    shutdown: &CancellationToken,
    arrived: &watch::Sender<Option<Bus>>,
    sampler: Option<TelemetryConfig>,
    running: impl Future<Output = Result<()>>,
    on_bus: impl AsyncFnOnce(Bus) -> Result<()>,
) -> Result<()> {
    let searching = async {
        let there = arrived.borrow().clone();
        let found = match there {
            Some(bus) => Some(bus),
            None => connect::join(global, name, Fallback::Nowhere, shutdown).await?,
        };
        let Some(bus) = found else { return Ok(()) };
        arrived.send_if_modified(|known| known.replace(bus.clone()).is_none());
        on_bus(bus.clone()).await?;
        // Until the emulator ends, which ends this.
        telemetry::beside(sampler, &bus, shutdown, std::future::pending()).await
    };
    tokio::pin!(running);
    tokio::select! {
        ended = &mut running => ended,
        Err(error) = searching => {
            shutdown.cancel();
            running.await?;
            Err::<(), anyhow::Error>(error)
        }
    }
}

/// Leaves the bus; a server that is away is not waited for.
async fn leave(bus: Option<Bus>) {
    if let Some(bus) = bus {
        connect::close(bus).await;
    }
}

fn where_it_is(what: &str, address: &str, node: Option<&str>) -> String {
    let bus = match node {
        Some(node) => format!("on NATS as node {node}"),
        None => "no NATS found yet: HTTP alone until there is one".to_owned(),
    };
    format!("{what} listens on http://{address}/, {bus}")
}

/// `nuncius emulator servo`: an experiment of one group of servos, on a node in this process where there is none.
pub(super) async fn servo(global: &Global, args: ServoArgs) -> Result<u8> {
    let mut faults = serde_json::Map::new();
    for flag in &args.faults {
        let share = flag.split_once('=').and_then(|(name, share)| Some((name, share.parse::<f64>().ok()?)));
        let Some((name, share)) = share else {
            return Err(Usage(format!("--fault {flag}: write it as FAULT=SHARE, crash=0.01")).into());
        };
        faults.insert(name.to_owned(), json!(share));
    }
    let token = args.token_env.as_ref().map(|name| format!("${{{name}}}"));
    let value = json!({
        "name": format!("{} servos", args.servos),
        "seed": args.seed,
        "groups": [{
            "name": "servos",
            "engine": "servo",
            "target": args.url,
            "users": args.servos,
            "duration": args.duration,
            "servo": {
                "account": args.account,
                "app_template": args.app_template,
                "measure": args.measure,
                "adjust": args.adjust,
                "progress_interval": args.progress_interval,
                "start_spread": args.start_spread,
                "retry": args.retry,
                "retry_delay": args.retry_delay,
                "connections": args.connections,
                "token": token,
                "faults": faults,
            },
        }],
    });
    let text = value.to_string();
    let submission = submission::from_bytes(text.as_bytes()).map_err(|error| Usage(by_flag(&told(&error))))?;
    let run = RunArgs {
        submission: SubmissionArgs { file: "servos".into(), id: None, services: Vec::new() },
        clients: 1,
        html: args.html,
        report_json: args.report_json,
        traces: args.traces,
        quiet: args.quiet,
        open: false,
        sampler: SamplerArgs::default(),
        node: NodeArgs {
            allow_targets: args.allow_targets,
            expose_env: args.token_env.into_iter().collect(),
            ..NodeArgs::default()
        },
        artillery: ArtilleryArgs::default(),
        artillery_output: ArtilleryOutputArgs::default(),
    };
    run::run_prepared(global, run, Prepared { submission, bundle: None }).await
}

/// A problem without its place: nobody wrote this text.
fn told(error: &CodecError) -> String {
    match error {
        CodecError::Field { field, problem, position: _ } => format!("{field}: {problem}"),
        CodecError::Unreadable { .. }
        | CodecError::Foreign { .. }
        | CodecError::TooLarge { .. }
        | CodecError::Encode(_) => error.to_string(),
    }
}

/// A problem with a field of the experiment, by the flag that the field came from.
fn by_flag(problem: &str) -> String {
    let fields = [
        ("groups[0].users", "--servos"),
        ("groups[0].target", "--url"),
        ("groups[0].duration", "--for"),
        ("groups[0].servo.faults", "--fault"),
        ("groups[0].servo.token", "--token-env"),
    ];
    for (field, flag) in fields {
        if let Some(rest) = problem.strip_prefix(field) {
            return format!(
                "{flag}{}",
                rest.strip_prefix('.').map_or_else(|| rest.to_owned(), |rest| format!(" {rest}"))
            );
        }
    }
    match problem.strip_prefix("groups[0].servo.").and_then(|rest| rest.split_once(':')) {
        Some((field, rest)) => format!("--{}:{rest}", field.replace('_', "-")),
        None => problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::by_flag;

    #[test]
    fn problems_are_told_by_the_flag_that_was_typed() {
        for (problem, told) in [
            ("groups[0].users: 0 is too few", "--servos: 0 is too few"),
            ("groups[0].servo.faults.crash: above 1", "--fault crash: above 1"),
            ("groups[0].servo.progress_interval: 0", "--progress-interval: 0"),
            ("seed: none", "seed: none"),
        ] {
            assert_eq!(by_flag(problem), told);
        }
    }
}
