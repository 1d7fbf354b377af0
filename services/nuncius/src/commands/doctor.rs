//! `nuncius doctor`: what would keep an experiment from running, or its result from being kept, found before it does.
//! It says what to do about each, and changes nothing but that it makes streams where there are none.

use anyhow::Result;
use nuncius_bus::server::find_binary;

use crate::args::Global;
use crate::connect;
use crate::exit::EXIT_FAILED;
use crate::output::{plain, print_json};

mod findings;
mod machine;
mod nodes;
mod server;
mod store;

use findings::Findings;

/// Checks; exit code 0 when nothing is bad, 5 else.
pub(super) async fn doctor(global: &Global) -> Result<u8> {
    let mut findings = Findings::new(global.json);
    match connect::data_directory(global) {
        Ok(data) => {
            findings.good("data_directory", &format!("data directory {}", data.display()));
            store::check_disk(&mut findings, &data);
        }
        Err(error) => findings.bad("data_directory", &format!("{error:#}"), "name another with --data"),
    }
    match connect::database(global) {
        Ok(place) => store::check(&mut findings, &place).await,
        Err(error) => findings.bad("store", &format!("{error:#}"), "name another with --database"),
    }
    match find_binary() {
        Ok(path) => findings.good("server_binary", &format!("nats-server binary {}", path.display())),
        Err(error) => {
            let text = format!("no nats-server binary: {error}");
            findings.warn("server_binary", &text, "`up` and `run` need one unless a server is named with --nats");
        }
    }
    machine::check(&mut findings);
    server::check_credentials(&mut findings, global);
    match connect::possible(global, "nuncius-doctor").await {
        Ok(Some(bus)) => {
            if server::check(&mut findings, &bus, global.js_domain.as_deref()).await {
                nodes::check(&mut findings, &bus).await?;
            }
        }
        Ok(None) => {
            findings.warn(
                "server",
                "no NATS server is running",
                "`nuncius run` brings its own; `nuncius up` starts one",
            );
            machine::check_port(&mut findings);
        }
        Err(error) => {
            let text = format!("NATS: {}", plain(&format!("{error:#}")));
            findings.bad("server", &text, "start it, or name another with --nats or NATS_URL");
        }
    }
    if global.json {
        print_json(&findings.all())?;
    }
    Ok(if findings.is_bad() { EXIT_FAILED } else { 0 })
}
