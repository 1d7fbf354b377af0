//! `nuncius gateway`.

use std::time::Duration;

use anyhow::Result;
use nuncius_bus::Credentials;
use nuncius_gateway::{
    AccessSettings, Addresses, ApiSettings, ExportConfig, GatewayConfig, MetricsSettings, Scope, new_token,
};
use nuncius_schemas::names::check_token;
use nuncius_schemas::subjects::Signal;
use nuncius_serve::HttpLimits;
use nuncius_telemetry::otlp::Endpoint;

use crate::args::{Compression, FaceArgs, GatewayArgs, GatewayCommand, Global};
use crate::connect;
use crate::exit::Usage;
use crate::host::host_name;
use crate::output::{note, print_json};
use crate::signals::stop_on_signal;

/// Shortest time after which another gateway takes over: its messages must be told to be in work more often.
const TAKEOVER_MIN: Duration = Duration::from_secs(1);

/// `nuncius gateway`.
pub(super) async fn gateway(global: &Global, args: GatewayArgs) -> Result<u8> {
    if let Some(GatewayCommand::HashToken { name, scope }) = &args.command {
        return hash_token(global, name, *scope);
    }
    check_token("node", &args.name).map_err(|error| Usage(format!("--name: {error}")))?;
    let export = export(&args)?;
    let (metrics, system) = (metrics(&args), system_credentials(&args)?);
    let usual = GatewayConfig::new(&args.name, &host_name());
    let limits = HttpLimits { allowed_hosts: args.face.hosts.allow_hosts.clone(), ..usual.limits.clone() };
    let (api, access) = (api(&args.face), access(&args.face));
    let config = GatewayConfig { listen: args.listen, limits, export, metrics, api, access, ..usual };
    config.check().map_err(|error| Usage(error.to_string()))?;
    let shutdown = stop_on_signal()?;
    let announce = |at: Addresses| announce(&at, &args.face);
    let run = async |bus, ready| {
        let mut config = config.clone();
        if let Some(credentials) = &system {
            config.metrics.system = connect::to_system(global, credentials.clone()).await?;
        }
        Ok(nuncius_gateway::run(config, bus, shutdown.clone(), Some(ready)).await?)
    };
    connect::serve(global, "gateway", &shutdown, announce, run).await?;
    Ok(0)
}

/// Says where to look.
fn announce(at: &Addresses, face: &FaceArgs) {
    super::print(&format!("metrics at http://{}/metrics", at.http));
    if !face.metrics_only {
        super::print(&format!("open http://{}{}/", at.http, face.base_path));
    }
    if let Some(galileo) = at.galileo {
        super::print(&format!("Galileo's interface at http://{galileo}/api"));
    }
}

/// `nuncius gateway hash-token`: the line can be redirected into the file, and the token is seen all the same.
fn hash_token(global: &Global, name: &str, scope: Scope) -> Result<u8> {
    let made = new_token(name, scope).map_err(|error| Usage(error.to_string()))?;
    if global.json {
        print_json(&serde_json::json!({ "token": made.token, "line": made.line }))?;
        return Ok(0);
    }
    super::print(&made.line);
    note(&format!("the token, which is shown this once: {}", made.token));
    Ok(0)
}

fn api(face: &FaceArgs) -> ApiSettings {
    ApiSettings {
        live_clients_max: usize::try_from(face.live_clients).unwrap_or(usize::MAX),
        base_path: face.base_path.clone(),
        metrics_only: face.metrics_only,
        galileo_listen: face.galileo.clone(),
        ..ApiSettings::default()
    }
}

fn access(face: &FaceArgs) -> AccessSettings {
    AccessSettings {
        token_file: face.token_file.clone(),
        read_only: face.read_only,
        secure_cookies: face.behind_tls,
        requests_per_second: face.requests_per_second,
        ..AccessSettings::default()
    }
}

/// What is shown.
fn metrics(args: &GatewayArgs) -> MetricsSettings {
    let most = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    MetricsSettings {
        ended_for: args.metrics_ended_for.to_std(),
        runs_max: most(args.metrics_runs),
        family_series_max: most(args.metrics_series),
        processes_max: most(args.metrics_processes),
        nats_period: args.nats_period.to_std(),
        ..MetricsSettings::default()
    }
}

/// What the servers' system account is spoken to with, if it is.
fn system_credentials(args: &GatewayArgs) -> Result<Option<Credentials>> {
    let (flag, file, credentials) = match (&args.system_credentials, &args.system_nkey) {
        (Some(file), _) => ("--system-credentials", file, Credentials::File(file.clone())),
        (None, Some(file)) => ("--system-nkey", file, Credentials::NkeyFile(file.clone())),
        (None, None) => return Ok(None),
    };
    match std::fs::File::open(file) {
        Ok(_) => Ok(Some(credentials)),
        Err(error) => Err(Usage(format!("{flag} {}: {}", file.display(), crate::output::plain(&error))).into()),
    }
}

/// Where telemetry goes.
fn export(args: &GatewayArgs) -> Result<ExportConfig> {
    let headers = nuncius_telemetry::pairs(args.otlp_headers.as_deref().unwrap_or_default())
        .map_err(|problem| Usage(format!("--otlp-headers: {problem}")))?;
    let mut endpoints = Vec::new();
    for (signal, flag, own) in [
        (Signal::Traces, "--otlp-traces-endpoint", &args.otlp_traces_endpoint),
        (Signal::Metrics, "--otlp-metrics-endpoint", &args.otlp_metrics_endpoint),
        (Signal::Logs, "--otlp-logs-endpoint", &args.otlp_logs_endpoint),
    ] {
        if !args.otlp_signals.contains(&signal) {
            continue;
        }
        let base = args.otlp_endpoint.as_ref().map(|base| ("--otlp-endpoint", base));
        let Some((flag, url)) = own.as_ref().map(|url| (flag, url)).or(base) else { continue };
        nuncius_telemetry::check_endpoint(flag, url).map_err(|error| Usage(error.to_string()))?;
        let usual = Endpoint::of_base(url, signal, args.otlp_protocol);
        endpoints.push(Endpoint {
            url: if own.is_some() { url.clone() } else { usual.url.clone() },
            headers: headers.clone(),
            timeout: args.otlp_timeout.to_std(),
            gzip: args.otlp_compression == Compression::Gzip,
            ..usual
        });
    }
    if args.takeover.to_std() < TAKEOVER_MIN {
        return Err(Usage(format!("--takeover {}: give at least {TAKEOVER_MIN:?}", args.takeover)).into());
    }
    Ok(ExportConfig {
        endpoints,
        spool_bytes: usize::try_from(args.spool).unwrap_or(usize::MAX),
        spool_messages: usize::try_from(args.spool_messages).unwrap_or(usize::MAX),
        spool_directory: args.spool_directory.clone(),
        spool_directory_bytes: args.spool_directory_max,
        batch_bytes: usize::try_from(args.otlp_batch).unwrap_or(usize::MAX),
        retry_pause: args.retry_pause.to_std(),
        retry_pause_max: args.retry_pause_max.to_std(),
        ack_wait: args.takeover.to_std(),
    })
}
