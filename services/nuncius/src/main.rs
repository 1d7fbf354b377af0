//! The `nuncius` command: every service and everything a person types. It only wires: what it starts are the libraries
//! of the services, and what it asks it asks over the bus.

mod args;
mod commands;
mod connect;
mod environment;
mod exit;
mod host;
mod live;
mod local;
mod observe;
mod output;
mod registration;
mod signals;
mod telling;
mod way_out;

use std::process::ExitCode;
use std::time::Duration;

use crate::args::{Command, EmulatorCommand, TelemetryArgs};
use crate::exit::{EXIT_FAILED, EXIT_USAGE, exit_code_of};
use crate::output::note;

/// Jobs and messages are made of many small pieces, which glibc's allocator spends a third of a worker's time on.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long spans may take to leave at the end.
const TELEMETRY_PATIENCE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let (cli, hint) = match args::parse(std::env::args_os().collect()) {
        Ok(parsed) => parsed,
        Err(error) => return ExitCode::from(explain(&error)),
    };
    if let Some(hint) = hint {
        note(&format!("nuncius: {hint}"));
    }
    local::raise_open_files_limit();
    let telemetry = nuncius_telemetry::init(nuncius_telemetry::TelemetryOptions {
        service_name: service_name(&cli.command).to_owned(),
        log_format: if cli.global.log_json {
            nuncius_telemetry::LogFormat::Json
        } else {
            nuncius_telemetry::LogFormat::Human
        },
        colour: output::is_coloured(&std::io::stderr()),
        log_filter: cli.global.log.clone().or_else(|| default_filter(&cli.command)),
        resource: resource(&cli.global.namespace),
        environment: &environment::variable,
    });
    let telemetry = match telemetry {
        Ok(telemetry) => telemetry,
        Err(error) => {
            note(&format!("nuncius: {error}"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let runtime = match runtime_for(&cli.command).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            note(&format!("nuncius: the runtime cannot be started: {}", output::plain(&error)));
            return ExitCode::from(EXIT_FAILED);
        }
    };
    let service = service_name(&cli.command);
    let done = runtime.block_on(async {
        let _telling = telling::begin(service);
        let done = commands::dispatch(cli).await;
        way_out::flush().await;
        done
    });
    let mut code = match done {
        Ok(code) => code,
        Err(error) => {
            note(&format!("nuncius: {}", told(&error)));
            exit_code_of(&error)
        }
    };
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Err(error) = telemetry.flush_and_shutdown(TELEMETRY_PATIENCE) {
        note(&format!("nuncius: {error}"));
    }
    if let Some(problem) = output::failure() {
        note(&format!("nuncius: standard output: {problem}"));
        // A verdict that is bad already says more.
        code = if code == 0 { EXIT_FAILED } else { code };
    }
    ExitCode::from(code)
}

/// Help, the version, or what is wrong with the command line.
fn explain(error: &clap::Error) -> u8 {
    let written = error.print().and_then(|()| std::io::Write::flush(&mut std::io::stdout()));
    if error.use_stderr() {
        return EXIT_USAGE;
    }
    output::note_failure(written);
    match output::failure() {
        None => 0,
        Some(problem) => {
            note(&format!("nuncius: standard output: {problem}"));
            EXIT_FAILED
        }
    }
}

/// An error with its causes, but for those that the text before them tells already.
fn told(error: &anyhow::Error) -> String {
    let mut text = output::plain(error);
    for cause in error.chain().skip(1).map(|cause| output::plain(&cause)) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// What only passes messages on is quicker, and smaller, on one thread: nothing has to be handed from one to another.
/// The rest works on all processors.
fn runtime_for(command: &Command) -> tokio::runtime::Builder {
    let threads = match command {
        Command::Worker(_) | Command::Queue(_) | Command::Telemetry(_) | Command::NvmlSampler => Some(1),
        Command::Client(args) if args.jobs.queue.is_some() => Some(1),
        Command::Emulator(EmulatorCommand::Oco(args)) => Some(args.threads),
        _ => None,
    };
    let mut builder = match threads {
        Some(1) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if let Some(threads) = threads {
        builder.worker_threads(threads.into());
    }
    builder
}

/// What this process says of itself beside its name. The instance is the epoch of its entry in the registry.
fn resource(namespace: &str) -> Vec<(String, String)> {
    let instance = format!("{:016x}", nuncius_bus::registry::process_epoch());
    [
        ("service.namespace", namespace.to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", instance),
        ("host.name", host::host_name()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn service_name(command: &Command) -> &'static str {
    match command {
        Command::Up(_) => "nuncius-up",
        Command::Client(_) => "nuncius-client",
        Command::Frontend(_) => "nuncius-frontend",
        Command::Worker(_) => "nuncius-worker",
        Command::Experimentd(_) => "nuncius-experimentd",
        Command::Telemetry(args) if args.command.is_none() => "nuncius-telemetry",
        Command::Emulator(_) => "nuncius-emulator",
        Command::Gateway(_) => "nuncius-gateway",
        Command::Bridge(_) => "nuncius-bridge",
        _ => "nuncius",
    }
}

/// Tools are silent unless something is wrong; services say what they do.
fn default_filter(command: &Command) -> Option<String> {
    if environment::variable("RUST_LOG").is_some() {
        return None;
    }
    let service = matches!(
        command,
        Command::Up(_)
            | Command::Client(_)
            | Command::Experimentd(_)
            | Command::Emulator(
                EmulatorCommand::Stub(_)
                    | EmulatorCommand::Device(_)
                    | EmulatorCommand::Oco(_)
                    | EmulatorCommand::Resource(_)
            )
            | Command::Frontend(_)
            | Command::Gateway(_)
            | Command::Bridge(_)
            | Command::Worker(_)
            | Command::Telemetry(TelemetryArgs { command: None, .. })
    );
    let verbose = match command {
        Command::Client(args) if args.jobs.verbose => ",nuncius_client=debug",
        Command::Frontend(args) if args.verbose => ",nuncius_frontend=debug,nuncius_jobs=debug",
        Command::Worker(args) if args.verbose => ",nuncius_worker=debug",
        _ => "",
    };
    // lapin tells of every returned message, with its body; async-nats of what the bus tells itself.
    Some(format!("{},lapin=error,async_nats=warn{verbose}", if service { "info" } else { "warn" }))
}
