//! One file a command.

mod app;
mod archive;
mod arrivals;
mod artillery;
pub(crate) mod beside;
mod bridge;
mod bundle;
mod certificates;
mod compare;
mod doctor;
mod emulators;
mod experiment_id;
mod face;
mod gateway;
mod import;
mod import_run;
mod jobs;
mod nats_config;
mod nodes;
mod pages;
mod profile;
mod profiles;
mod queue;
mod report;
mod resource;
mod route;
mod run;
mod scaling;
mod services;
mod shell;
mod steering;
mod stored;
mod submission;
pub(crate) mod telemetry;
mod up;
mod validate;
mod written;

pub(crate) use crate::output::print;

use anyhow::Result;
use nuncius_schemas::amendment::Change;

use crate::args::{Cli, Command, EmulatorCommand};

/// Does what was asked; the number is the exit code.
pub(crate) async fn dispatch(cli: Cli) -> Result<u8> {
    let global = cli.global;
    match cli.command {
        Command::Up(args) => up::up(&global, args).await,
        Command::Run(args) => run::run(&global, *args).await,
        Command::Import(args) => import::import(&global, &args),
        Command::Validate(args) => validate::validate(&global, args).await,
        Command::Submit(args) => submission::submit(&global, args).await,
        Command::Ps(args) => stored::ps(&global, args).await,
        Command::Watch(args) => run::watch(&global, args).await,
        Command::Cancel(args) => submission::cancel(&global, args).await,
        Command::Pause(args) => steering::amend(&global, args, Change::Pause).await,
        Command::Resume(args) => steering::amend(&global, args, Change::Resume).await,
        Command::Scale(args) => steering::scale(&global, args).await,
        Command::End(args) => steering::amend(&global, args, Change::End).await,
        Command::Event(args) => submission::event(&global, args).await,
        Command::Report(args) => report::report(&global, args).await,
        Command::Compare(args) => compare::compare(&global, args).await,
        Command::Profile(args) => profile::profile(&global, &args).await,
        Command::Export(args) => stored::export(&global, args).await,
        Command::ImportRun(args) => import_run::import_run(&global, args).await,
        Command::Rm(args) => stored::rm(&global, args).await,
        Command::Nodes => nodes::nodes(&global).await,
        Command::Route(command) => route::route(&global, command).await,
        Command::Shell(args) => shell::shell(&global, args).await,
        Command::App(command) => app::app(&global, command).await,
        Command::Doctor => doctor::doctor(&global).await,
        Command::Queue(command) => queue::queue(&global, command).await,
        Command::Resource(command) => resource::resource(&global, command).await,
        Command::Client(args) if args.jobs.queue.is_some() => jobs::queue_client(&global, args).await,
        Command::Client(args) => services::client(&global, args).await,
        Command::Frontend(args) => jobs::frontend(&global, args).await,
        Command::Worker(args) => jobs::worker(&global, args).await,
        Command::Experimentd(args) => services::experimentd(&global, args).await,
        Command::Gateway(args) => gateway::gateway(&global, *args).await,
        Command::Bridge(args) => bridge::bridge(&global, *args).await,
        Command::Telemetry(args) => telemetry::telemetry(&global, args).await,
        Command::Beside(args) => beside::beside(&args),
        Command::NvmlSampler => telemetry::nvml_sampler().await,
        Command::NatsConfig(args) => nats_config::nats_config(&global, &args),
        Command::Emulator(EmulatorCommand::Stub(args)) => services::stub(&global, args).await,
        Command::Emulator(EmulatorCommand::Device(args)) => jobs::device(&global, args).await,
        Command::Emulator(EmulatorCommand::Oco(args)) => emulators::oco(&global, args).await,
        Command::Emulator(EmulatorCommand::Servo(args)) => emulators::servo(&global, *args).await,
        Command::Emulator(EmulatorCommand::Resource(args)) => emulators::resource(&global, args).await,
        Command::Completions(args) => pages::completions(&args),
        Command::Man(args) => pages::man(&args),
    }
}
