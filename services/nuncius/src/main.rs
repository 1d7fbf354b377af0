//! The `nuncius` command: every service and everything a person types. It only wires: what it starts are the libraries
//! of the services, and what it asks it asks over the bus.

mod args;
mod commands;
mod connect;
mod live;
mod local;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::args::{Cli, Command, EmulatorCommand};

/// Exit code for a command line, or a file named on it, that makes no sense.
pub(crate) const EXIT_USAGE: u8 = 64;
/// Exit code for everything that went wrong without a verdict.
pub(crate) const EXIT_FAILED: u8 = 5;

/// How long spans may take to leave at the end.
const TELEMETRY_PATIENCE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    local::raise_open_files_limit();
    let environment = |name: &str| std::env::var(name).ok();
    let telemetry = nuncius_telemetry::init(nuncius_telemetry::TelemetryOptions {
        service_name: service_name(&cli.command).to_owned(),
        log_format: if cli.global.log_json {
            nuncius_telemetry::LogFormat::Json
        } else {
            nuncius_telemetry::LogFormat::Human
        },
        log_filter: cli.global.log.clone().or_else(|| default_filter(&cli.command, &environment)),
        resource: vec![("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())],
        environment: &environment,
    });
    let telemetry = match telemetry {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("nuncius: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let runtime = match runtime_for(&cli.command).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("nuncius: the runtime cannot be started: {error}");
            return ExitCode::from(EXIT_FAILED);
        }
    };
    let code = match runtime.block_on(commands::dispatch(cli)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("nuncius: {}", told(&error));
            error.downcast_ref::<Usage>().map_or(EXIT_FAILED, |_| EXIT_USAGE)
        }
    };
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Err(error) = telemetry.flush_and_shutdown(TELEMETRY_PATIENCE) {
        eprintln!("nuncius: {error}");
    }
    ExitCode::from(code)
}

/// An error with its causes, but for those that the text before them tells already.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// What only passes messages on is quicker, and smaller, on one thread: nothing has to be handed from one to another. The rest works on
/// all processors.
fn runtime_for(command: &Command) -> tokio::runtime::Builder {
    let threads = match command {
        Command::Worker(_) | Command::Queue(_) => Some(1),
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

/// A mistake of the person at the keyboard: exit code 64.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

fn service_name(command: &Command) -> &'static str {
    match command {
        Command::Up(_) => "nuncius-up",
        Command::Client(_) => "nuncius-client",
        Command::Frontend(_) => "nuncius-frontend",
        Command::Worker(_) => "nuncius-worker",
        Command::Experimentd(_) => "nuncius-experimentd",
        Command::Emulator(_) => "nuncius-emulator",
        _ => "nuncius",
    }
}

/// Tools are silent unless something is wrong; services say what they do.
fn default_filter(command: &Command, environment: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    if environment("RUST_LOG").is_some() {
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
            | Command::Worker(_)
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
