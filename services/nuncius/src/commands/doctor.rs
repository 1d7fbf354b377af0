//! `nuncius doctor`: what would keep an experiment from running, or its result from being kept, found before it does.
//! It says what to do about each, and changes nothing but that it makes streams where there are none.

use anyhow::Result;
use nuncius_bus::server::find_binary;
use serde::Serialize;

use crate::EXIT_FAILED;
use crate::args::Global;
use crate::connect;
use crate::output::{plain, print_json};

mod machine;
mod nodes;
mod server;
mod store;

/// How a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Ok,
    Warn,
    Bad,
}

/// One thing that was looked at.
#[derive(Serialize)]
struct Finding {
    level: Level,
    /// What was looked at: the same word in every version.
    check: &'static str,
    text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// What was found: said at once to people, and at the end to programs.
struct Findings {
    json: bool,
    all: Vec<Finding>,
}

impl Findings {
    fn good(&mut self, check: &'static str, text: &str) {
        self.add(Finding { level: Level::Ok, check, text: text.to_owned(), advice: None });
    }

    fn warn(&mut self, check: &'static str, text: &str, advice: &str) {
        let advice = (!advice.is_empty()).then(|| advice.to_owned());
        self.add(Finding { level: Level::Warn, check, text: text.to_owned(), advice });
    }

    fn bad(&mut self, check: &'static str, text: &str, advice: &str) {
        self.add(Finding { level: Level::Bad, check, text: text.to_owned(), advice: Some(advice.to_owned()) });
    }

    fn add(&mut self, finding: Finding) {
        if !self.json {
            let word = match finding.level {
                Level::Ok => "ok   ",
                Level::Warn => "warn ",
                Level::Bad => "bad  ",
            };
            super::print(&format!("{word} {}", finding.text));
            if let Some(advice) = &finding.advice {
                super::print(&format!("      {advice}"));
            }
        }
        self.all.push(finding);
    }

    fn is_bad(&self) -> bool {
        self.all.iter().any(|finding| finding.level == Level::Bad)
    }
}

/// Checks; exit code 0 when nothing is bad, 5 else.
pub(super) async fn doctor(global: &Global) -> Result<u8> {
    let mut findings = Findings { json: global.json, all: Vec::new() };
    match connect::data_directory(global) {
        Ok(data) => {
            findings.good("data_directory", &format!("data directory {}", data.display()));
            store::check(&mut findings, &data).await;
        }
        Err(error) => findings.bad("data_directory", &format!("{error:#}"), "name another with --data"),
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
        print_json(&findings.all)?;
    }
    Ok(if findings.is_bad() { EXIT_FAILED } else { 0 })
}
