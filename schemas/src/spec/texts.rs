//! Every text of a specification, with what it is: the one list that redaction, variables and checks go through.
//!
//! Each type is taken apart without `..`, so that a new field does not compile until somebody has said what it is.

use serde_json::Value;

use super::{Arrivals, ExperimentSpec, Group, NodeSelection, RecordedArrivals, Stage, TelemetrySpec, TlsOptions};
use crate::amendment::Amendment;
use crate::bundle::BundleReference;
use crate::flow::texts::visit_values;
use crate::gate::Gate;
use crate::profile::ProfileSpec;
use crate::scaling::{EmulatedDevice, ScalingSpec, ScalingWorkers};
use crate::search::SearchSpec;
use crate::servo::{ServoFaults, ServoOptions};
use crate::stress::StressStep;
use crate::sweep::{Factor, SweepSpec};

pub use super::text::{Text, TextKind};
use super::text::{Visit, maybe, one};

impl ExperimentSpec {
    /// Goes through every text, in the order of the fields, until `visit` fails.
    ///
    /// # Errors
    /// That of `visit`.
    pub fn visit_texts<E>(&mut self, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self {
            id,
            name,
            creator,
            metadata,
            seed: _,
            services,
            pinned_routes: _,
            bundle,
            nodes,
            groups,
            stress,
            profile,
            amendments,
            gates,
            records: _,
            telemetry,
            trace_ratio: _,
            trace_slowest: _,
            lag_limit: _,
            heartbeat_limit: _,
            run_delay_limit: _,
            drain: _,
            horizon: _,
            on_node_loss: _,
            max_deficit: _,
            scaling,
            search,
            sweep,
        } = self;
        maybe("id".to_owned(), TextKind::Name, id, visit)?;
        maybe("name".to_owned(), TextKind::Name, name, visit)?;
        maybe("creator".to_owned(), TextKind::Name, creator, visit)?;
        for (name, value) in metadata {
            one(format!("metadata.{name}"), TextKind::Note(name), value, visit)?;
        }
        for (name, addresses) in services {
            for (index, address) in addresses.iter_mut().enumerate() {
                one(format!("services.{name}[{index}]"), TextKind::Address, address, visit)?;
            }
        }
        if let Some(BundleReference { digest, name, bytes: _ }) = bundle {
            one("bundle.digest".to_owned(), TextKind::Name, digest, visit)?;
            one("bundle.name".to_owned(), TextKind::Name, name, visit)?;
        }
        visit_nodes("nodes", nodes, visit)?;
        for (index, group) in groups.iter_mut().enumerate() {
            group.visit_texts(&format!("groups[{index}]"), visit)?;
        }
        for (index, step) in stress.iter_mut().enumerate() {
            let StressStep { nodes, at: _, duration: _, ramp: _, memory: _, disk: _, cpu: _ } = step;
            visit_nodes(&format!("stress[{index}].nodes"), nodes, visit)?;
        }
        for (index, profile) in profile.iter_mut().enumerate() {
            visit_profile(&format!("profile[{index}]"), profile, visit)?;
        }
        for (index, amendment) in amendments.iter_mut().enumerate() {
            let path = format!("amendments[{index}]");
            let Amendment { at: _, group, change: _, reason, who } = amendment;
            maybe(format!("{path}.group"), TextKind::Name, group, visit)?;
            one(format!("{path}.reason"), TextKind::Note("reason"), reason, visit)?;
            maybe(format!("{path}.who"), TextKind::Name, who, visit)?;
        }
        for (index, gate) in gates.iter_mut().enumerate() {
            let Gate { expression: _, group, step, over: _, abort: _ } = gate;
            maybe(format!("gates[{index}].group"), TextKind::Name, group, visit)?;
            maybe(format!("gates[{index}].step"), TextKind::Name, step, visit)?;
        }
        if let Some(TelemetrySpec { nodes, period: _ }) = telemetry {
            for (index, pattern) in nodes.0.iter_mut().enumerate() {
                one(format!("telemetry.nodes[{index}]"), TextKind::Name, pattern, visit)?;
            }
        }
        scaling.as_mut().map_or(Ok(()), |scaling| visit_scaling(scaling, visit))?;
        search.as_mut().map_or(Ok(()), |search| visit_search(search, visit))?;
        sweep.as_mut().map_or(Ok(()), |sweep| visit_sweep(sweep, visit))
    }
}

impl Group {
    /// Goes through every text of the group, whose field is `path`, until `visit` fails.
    ///
    /// # Errors
    /// That of `visit`.
    pub fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self {
            name,
            engine: _,
            target,
            nodes,
            steps,
            headers,
            rate: _,
            stages,
            rate_per_node: _,
            arrivals,
            // Numbers and words.
            pattern: _,
            clients: _,
            users: _,
            think_time: _,
            backoff: _,
            duration: _,
            iterations: _,
            max_in_flight: _,
            max_users: _,
            timeout: _,
            connections: _,
            tls,
            servo,
            http: _,
            max_connections: _,
            redirects: _,
            cookies: _,
            compression: _,
            body_limit: _,
            auth,
            warm_up: _,
            variables,
            feeders,
            script,
            // Names are keys, and kinds words.
            meters: _,
            before,
            after,
            scenarios,
        } = self;
        one(format!("{path}.name"), TextKind::Name, name, visit)?;
        one(format!("{path}.target"), TextKind::Url, target, visit)?;
        if let Some(nodes) = nodes {
            visit_nodes(&format!("{path}.nodes"), nodes, visit)?;
        }
        for (name, value) in headers {
            one(format!("{path}.headers.{name}"), TextKind::Header(name), value, visit)?;
        }
        for stage in stages {
            let Stage { duration: _, rate: _, to: _ } = stage;
        }
        if let Arrivals::Recorded(RecordedArrivals { file, column, values: _, speed: _, instants: _ }) = arrivals {
            one(format!("{path}.arrivals.file"), TextKind::File, file, visit)?;
            maybe(format!("{path}.arrivals.column"), TextKind::Name, column, visit)?;
        }
        if let Some(tls) = tls {
            let TlsOptions { verify: _, ca, cert, key, server_name } = tls;
            maybe(format!("{path}.tls.ca"), TextKind::Certificate, ca, visit)?;
            maybe(format!("{path}.tls.cert"), TextKind::Certificate, cert, visit)?;
            maybe(format!("{path}.tls.key"), TextKind::Credential, key, visit)?;
            maybe(format!("{path}.tls.server_name"), TextKind::Place, server_name, visit)?;
        }
        if let Some(servo) = servo {
            visit_servo(&format!("{path}.servo"), servo, visit)?;
        }
        if let Some(auth) = auth {
            auth.visit_texts(&format!("{path}.auth"), visit)?;
        }
        visit_values(&format!("{path}.variables"), variables, visit)?;
        for (index, feeder) in feeders.iter_mut().enumerate() {
            feeder.visit_texts(&format!("{path}.feeders[{index}]"), visit)?;
        }
        if let Some(script) = script {
            script.visit_texts(&format!("{path}.script"), visit)?;
        }
        for (list, steps) in [("before", before), ("steps", steps), ("after", after)] {
            for (index, step) in steps.iter_mut().enumerate() {
                step.visit_texts(&format!("{path}.{list}[{index}]"), visit)?;
            }
        }
        let mut numbered = scenarios.iter_mut().enumerate();
        numbered.try_for_each(|(index, scenario)| scenario.visit_texts(&format!("{path}.scenarios[{index}]"), visit))
    }
}

fn visit_nodes<E>(path: &str, nodes: &mut NodeSelection, visit: &mut Visit<'_, E>) -> Result<(), E> {
    let NodeSelection { count: _, labels, names } = nodes;
    for (name, value) in labels {
        one(format!("{path}.labels.{name}"), TextKind::Label(name), value, visit)?;
    }
    maybe(format!("{path}.names"), TextKind::Name, names, visit)
}

fn visit_servo<E>(path: &str, servo: &mut ServoOptions, visit: &mut Visit<'_, E>) -> Result<(), E> {
    let ServoOptions {
        account,
        app_template,
        measure: _,
        adjust: _,
        progress_interval: _,
        start_spread: _,
        retry: _,
        retry_delay: _,
        connections: _,
        token,
        faults:
            ServoFaults { skip_progress: _, double_whats_next: _, progress_backwards: _, drop_connection: _, crash: _ },
    } = servo;
    one(format!("{path}.account"), TextKind::Place, account, visit)?;
    one(format!("{path}.app_template"), TextKind::Place, app_template, visit)?;
    maybe(format!("{path}.token"), TextKind::Credential, token, visit)
}

fn visit_profile<E>(path: &str, profile: &mut ProfileSpec, visit: &mut Visit<'_, E>) -> Result<(), E> {
    let ProfileSpec { name, nodes, command, pid_of, from: _, duration: _, output, format: _, at_most: _, grace: _ } =
        profile;
    one(format!("{path}.name"), TextKind::Name, name, visit)?;
    visit_nodes(&format!("{path}.nodes"), nodes, visit)?;
    for (index, word) in command.iter_mut().enumerate() {
        one(format!("{path}.command[{index}]"), TextKind::Command(index), word, visit)?;
    }
    maybe(format!("{path}.pid_of"), TextKind::Name, pid_of, visit)?;
    maybe(format!("{path}.output"), TextKind::Name, output, visit)
}

fn visit_scaling<E>(scaling: &mut ScalingSpec, visit: &mut Visit<'_, E>) -> Result<(), E> {
    let ScalingSpec {
        steps: _,
        repeats: _,
        warm_up: _,
        duration: _,
        judge_up_to: _,
        min_efficiency: _,
        jobs_per_slot: _,
        workers,
        patience: _,
        device,
    } = scaling;
    match workers {
        ScalingWorkers::Local { command, slots: _ } => {
            for (index, word) in command.iter_mut().enumerate() {
                one(format!("scaling.workers.command[{index}]"), TextKind::Command(index), word, visit)?;
            }
        }
        ScalingWorkers::Wait { slots: _ } => {}
        ScalingWorkers::Kubectl { deployment, namespace, slots: _ } => {
            one("scaling.workers.deployment".to_owned(), TextKind::Name, deployment, visit)?;
            maybe("scaling.workers.namespace".to_owned(), TextKind::Name, namespace, visit)?;
        }
    }
    if let Some(EmulatedDevice { name, lanes: _, work, alpha: _, beta: _ }) = device {
        one("scaling.device.name".to_owned(), TextKind::Name, name, visit)?;
        one("scaling.device.work".to_owned(), TextKind::Name, work, visit)?;
    }
    Ok(())
}

fn visit_search<E>(search: &mut SearchSpec, visit: &mut Visit<'_, E>) -> Result<(), E> {
    let SearchSpec {
        group,
        rate: _,
        users: _,
        precision: _,
        growth: _,
        spacing: _,
        probe: _,
        longest: _,
        settle: _,
        confirm: _,
        recover: _,
        at_most: _,
    } = search;
    maybe("search.group".to_owned(), TextKind::Name, group, visit)
}

fn visit_sweep<E>(sweep: &mut SweepSpec, visit: &mut Visit<'_, E>) -> Result<(), E> {
    let SweepSpec { factors, repeats: _, order: _, blocks: _, seed: _, load, resource, at_most: _ } = sweep;
    for (name, Factor { fields, values }) in factors {
        for (index, field) in fields.iter_mut().enumerate() {
            one(format!("sweep.factors.{name}.fields[{index}]"), TextKind::Name, field, visit)?;
        }
        for (index, value) in values.iter_mut().enumerate() {
            if let Value::String(text) = value {
                one(format!("sweep.factors.{name}[{index}]"), TextKind::Value(name), text, visit)?;
            }
        }
    }
    maybe("sweep.load".to_owned(), TextKind::Name, load, visit)?;
    maybe("sweep.resource".to_owned(), TextKind::Name, resource, visit)
}
