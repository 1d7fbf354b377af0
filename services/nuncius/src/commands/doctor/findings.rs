//! What was found.

use serde::Serialize;

use crate::output::print;

/// How a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    Ok,
    Warn,
    Bad,
}

/// One thing that was looked at.
#[derive(Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// What was looked at: the same word in every version.
    check: &'static str,
    pub(super) text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

/// What was found: said at once to people, and at the end to programs.
pub(super) struct Findings {
    json: bool,
    all: Vec<Finding>,
}

impl Findings {
    /// None yet; `json` keeps them for the end.
    pub(super) fn new(json: bool) -> Self {
        Self { json, all: Vec::new() }
    }

    /// All of them, in their order.
    pub(super) fn all(&self) -> &[Finding] {
        &self.all
    }

    pub(super) fn good(&mut self, check: &'static str, text: &str) {
        self.add(Finding { level: Level::Ok, check, text: text.to_owned(), advice: None });
    }

    pub(super) fn warn(&mut self, check: &'static str, text: &str, advice: &str) {
        let advice = (!advice.is_empty()).then(|| advice.to_owned());
        self.add(Finding { level: Level::Warn, check, text: text.to_owned(), advice });
    }

    pub(super) fn bad(&mut self, check: &'static str, text: &str, advice: &str) {
        self.add(Finding { level: Level::Bad, check, text: text.to_owned(), advice: Some(advice.to_owned()) });
    }

    fn add(&mut self, finding: Finding) {
        if !self.json {
            let word = match finding.level {
                Level::Ok => "ok   ",
                Level::Warn => "warn ",
                Level::Bad => "bad  ",
            };
            print(&format!("{word} {}", finding.text));
            if let Some(advice) = &finding.advice {
                print(&format!("      {advice}"));
            }
        }
        self.all.push(finding);
    }

    pub(super) fn is_bad(&self) -> bool {
        self.all.iter().any(|finding| finding.level == Level::Bad)
    }
}
