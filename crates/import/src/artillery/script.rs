//! The script that a specification gets: the processor with what Artillery gives to one (`shim.js`), and a function for
//! each thing that steps call.
//!
//! The processor is what it was, in the loose language that its file is written in; each of its files is a function of
//! the script. What needs JavaScript without a processor (a condition that only `filtrex` can say, a pause that depends
//! on variables) is in it, too.

use std::collections::{BTreeMap, BTreeSet};

use nuncius_schemas::flow::rule::VARIABLE_MAX_BYTES;
use serde_json::{Map, Value, json};

use super::meters::Meters;
use super::names::Names;

/// What every script begins with: a function each.
const TEMPLATE: &str = include_str!("shim/template.js");
const NODE: &str = include_str!("shim/node.js");
const SHIM: &str = include_str!("shim.js");

/// Where it is in the bundle.
pub const SCRIPT_PATH: &str = "artillery/processor.js";

/// The variable with the environment of the processor.
pub(crate) const ENVIRONMENT: &str = "artillery_environment";
/// The variable with what hooks have put beside the variables.
const CONTEXT: &str = "artillery_context";
/// The variable with the name of the scenario.
pub(crate) const SCENARIO: &str = "artillery_scenario";

/// What a script is made of.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// The files of the processor as CommonJS, by path.
    modules: Vec<(String, String)>,
    main: Option<String>,
    /// Variables of the environment that it reads.
    pub(crate) environment: BTreeSet<String>,
    /// What it counts and measures.
    pub(crate) meters: Meters,
    /// What is exported: name and expression.
    exports: Vec<(String, String)>,
    /// Requests with hooks, as Artillery has them.
    requests: Vec<Value>,
    /// Variables that belong to the specification alone.
    hidden: BTreeSet<String>,
    pub(crate) timeout_s: f64,
}

/// A request that hooks see.
#[derive(Debug)]
pub(crate) struct HookedRequest {
    pub(crate) method: String,
    /// As it is written, without what belongs to the answer.
    pub(crate) params: Map<String, Value>,
    pub(crate) is_multipart: bool,
    pub(crate) before: Vec<String>,
    pub(crate) after: Vec<String>,
}

impl Script {
    /// Sets the processor: its files, the main one of them last or not.
    pub(crate) fn set_processor(&mut self, main: String, modules: Vec<(String, String)>) {
        self.main = Some(main);
        self.modules = modules;
    }

    /// Whether the processor may make requests of its own, as far as its text says.
    pub(crate) fn may_fetch(&self) -> bool {
        self.modules.iter().any(|(_, text)| text.contains("fetch"))
    }

    /// Whether the file has a processor, which may set variables that nobody else does.
    pub(crate) fn has_processor(&self) -> bool {
        self.main.is_some()
    }

    /// The sources of the processor.
    pub(crate) fn sources_mut(&mut self) -> impl Iterator<Item = &mut String> {
        self.modules.iter_mut().map(|(_, source)| source)
    }

    /// Whether the processor has a function of this name.
    pub(crate) fn defines(&self, name: &str) -> bool {
        self.modules.iter().any(|(_, source)| super::javascript::hooks::find(source, name).is_some())
    }

    /// Whether anything calls it.
    pub(crate) fn is_used(&self) -> bool {
        !self.exports.is_empty()
    }

    pub(crate) fn hide(&mut self, variable: &str) {
        self.hidden.insert(variable.to_owned());
    }

    /// The export of an expression; the same one gets the same name.
    fn export(&mut self, wanted: &str, expression: String) -> String {
        if let Some((name, _)) = self.exports.iter().find(|(_, known)| *known == expression) {
            return name.clone();
        }
        let is_free = |name: &str, exports: &[(String, String)]| exports.iter().all(|(known, _)| known != name);
        let plain = |c: char| c.is_ascii_alphanumeric() || "_$".contains(c);
        let is_name = !wanted.is_empty()
            && wanted.len() <= VARIABLE_MAX_BYTES - 8
            && wanted.chars().all(plain)
            && !wanted.starts_with(|c: char| c.is_ascii_digit())
            && wanted != "default";
        let base = if is_name { wanted } else { "hook" };
        let mut name = base.to_owned();
        let mut number = 2;
        while !is_free(&name, &self.exports) {
            name = format!("{base}_{number}");
            number += 1;
        }
        self.exports.push((name.clone(), expression));
        name
    }

    /// A function of the processor as a step.
    pub(crate) fn step(&mut self, function: &str) -> String {
        self.export(function, format!("artillery.step({})", text(function)))
    }

    /// The hooks of a request: before it, and after its answer.
    pub(crate) fn hooks(&mut self, request: HookedRequest) -> (Option<String>, Option<String>) {
        let HookedRequest { method, params, is_multipart, before, after } = request;
        let number = self.requests.len();
        self.requests.push(json!({
            "method": method, "params": params, "isMultipart": is_multipart, "hasAfter": !after.is_empty(),
        }));
        let mut export = |kind: &str, hooks: &[String]| {
            let first = hooks.first()?;
            let expression = format!("artillery.{kind}({number}, {})", Value::from(hooks.to_vec()));
            Some(self.export(first, expression))
        };
        (export("before", &before), export("after", &after))
    }

    /// A function of the processor as a condition: it sets `variable`.
    pub(crate) fn if_function(&mut self, function: &str, variable: &str) -> String {
        self.export(function, format!("artillery.ifFunction({}, {})", text(function), text(variable)))
    }

    /// An expression of JavaScript as a condition: it sets `variable`.
    pub(crate) fn if_expression(&mut self, javascript: &str, variable: &str) -> String {
        self.export("condition", format!("artillery.ifExpression((v, F) => {javascript}, {})", text(variable)))
    }

    /// A function of the processor that says whether a loop goes on: it sets `variable`.
    pub(crate) fn while_true(&mut self, function: &str, variable: &str) -> String {
        self.export(function, format!("artillery.whileTrue({}, {})", text(function), text(variable)))
    }

    /// A pause that depends on variables.
    pub(crate) fn think(&mut self, time: &str, jitter: Option<&str>) -> String {
        let jitter = jitter.map_or_else(|| "null".to_owned(), text);
        self.export("think", format!("artillery.think({}, {jitter})", text(time)))
    }

    /// All of it.
    pub(crate) fn render(&self, names: &Names, constants: &BTreeMap<&str, String>) -> String {
        let settings = json!({
            "names": names.changed(),
            "hidden": self.hidden,
            "constants": constants,
            "requests": self.requests,
            "main": self.main,
            "meters": self.meters.by_event(),
            "environment": ENVIRONMENT,
            "context": CONTEXT,
            "scenario": SCENARIO,
            "timeout": self.timeout_s,
        });
        let mut made = String::with_capacity(SHIM.len() + NODE.len() + TEMPLATE.len() + 4_096);
        for (name, function) in [("template", TEMPLATE), ("node", NODE), ("shim", SHIM)] {
            made.push_str(&format!("const artillery_{name} = {};\n", function.trim_end()));
        }
        made.push_str(&format!("const artillery = artillery_shim({settings}, {{\n"));
        for (path, source) in &self.modules {
            let path = text(path);
            made.push_str(&format!("{path}: function (exports, require, module, __filename, __dirname) {{\n"));
            made.push_str(source);
            made.push_str("\n},\n");
        }
        made.push_str("}, artillery_template(), artillery_node);\nmodule.exports = {\n");
        for (name, expression) in &self.exports {
            made.push_str(&format!("  {name}: {expression},\n"));
        }
        made.push_str("};\n");
        made
    }
}

/// A text of JSON is one of JavaScript, too.
fn text(text: &str) -> String {
    Value::from(text).to_string()
}
