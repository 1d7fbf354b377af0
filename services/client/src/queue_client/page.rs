//! What the control page answers, as plain text, JSON or HTML.
//!
//! Scripts read the plain and JSON answers of `/fails`, `/reqs-per-sec`, `/parallel` and `/reset`: those stay as they
//! are.

use serde::Serialize;
use serde_json::Value;

use super::statistics::{Counted, NodesReport, Overall};

mod html;
#[cfg(test)]
mod tests;
pub(super) mod text;

/// What a refusal begins with in plain text and HTML, and the result it has in JSON.
const ERROR: &str = "ERROR";

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Output {
    Plain,
    Json,
    #[default]
    Html,
}

impl Output {
    /// What `type=` asks for.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "plain" => Some(Self::Plain),
            "json" => Some(Self::Json),
            "html" => Some(Self::Html),
            _ => None,
        }
    }

    /// The value of the header `content-type`.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; charset=utf-8",
            Self::Json => "application/json",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

/// The answer of `/fails`.
pub(super) fn fails(output: Output, failed: u64) -> String {
    single(output, &failed.to_string(), &failed, "request failures")
}

/// The answer of `/reqs-per-sec`.
pub(super) fn requests_per_second(output: Output, rate: f64) -> String {
    single(output, &format!("{rate:.6}"), &rate, "requests per second")
}

/// The answer of `/parallel`: what is in force.
pub(super) fn parallel(output: Output, parallel: u32) -> String {
    single(output, &parallel.to_string(), &parallel, "requests in parallel")
}

/// The answer of `/reset`. Scripts compare the word, misspelt as it always was.
pub(super) fn reset(output: Output) -> String {
    single(output, "Reseted", &"Reseted", "")
}

/// The answer to what is refused.
pub(super) fn error(output: Output, problem: &str) -> String {
    match output {
        Output::Plain => format!("{ERROR}: {problem}\n"),
        Output::Json => envelope(&ERROR, problem),
        Output::Html => html::sentence(&format!("{ERROR}: {problem}")),
    }
}

/// The answer of `/stats`; in HTML the page by which people steer.
pub(super) fn stats(output: Output, overall: &Overall, parallel_max: u32) -> String {
    match output {
        Output::Plain => text::overall(overall),
        Output::Json => envelope(overall, "request statistics"),
        Output::Html => html::control(overall, parallel_max),
    }
}

/// The answer of `/nodes`.
pub(super) fn nodes(output: Output, nodes: &NodesReport) -> String {
    match output {
        Output::Plain => text::nodes(nodes),
        Output::Json => envelope(nodes, "node statistics"),
        Output::Html => html::report("Nodes", &text::nodes(nodes)),
    }
}

/// The answer of `/pods`.
pub(super) fn pods(output: Output, nodes: &NodesReport) -> String {
    match output {
        Output::Plain => text::pods(nodes),
        Output::Json => envelope(&PodsReport::of(nodes), "pod statistics"),
        Output::Html => html::report("Pods", &text::pods(nodes)),
    }
}

fn single(output: Output, plain: &str, number: &impl Serialize, info: &str) -> String {
    match output {
        Output::Plain => format!("{plain}\n"),
        Output::Json => envelope(number, info),
        Output::Html => html::sentence(format!("{plain} {info}").trim_end()),
    }
}

/// The form that scripts know: `{"result": …, "info": "…"}`.
fn envelope(result: &impl Serialize, info: &str) -> String {
    // All that is rendered here has text for keys, which is the one thing that could fail.
    let result = serde_json::to_string(result).unwrap_or_else(|_| Value::Null.to_string());
    format!("{{\"result\": {result}, \"info\": {}}}\n", Value::from(info))
}

/// Pods by node.
#[derive(Debug, Serialize)]
struct PodsReport<'a> {
    nodes: Vec<NodePods<'a>>,
    other_nodes: Option<&'a Counted>,
    without_node: Option<&'a Counted>,
}

#[derive(Debug, Serialize)]
struct NodePods<'a> {
    name: &'a str,
    pods: &'a Counted,
}

impl<'a> PodsReport<'a> {
    fn of(nodes: &'a NodesReport) -> Self {
        Self {
            nodes: nodes.nodes.iter().map(|node| NodePods { name: &node.name, pods: &node.pods }).collect(),
            other_nodes: nodes.other_nodes.as_ref().map(|node| &node.pods),
            without_node: nodes.without_node.as_ref().map(|node| &node.pods),
        }
    }
}
