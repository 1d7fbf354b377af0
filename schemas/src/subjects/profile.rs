//! Where the outputs of profiles are.

use super::Namespace;

impl Namespace {
    /// Object store: outputs of profiles. Nodes write into it, and so it is not that of the reports.
    pub fn bucket_profile(&self) -> String {
        format!("{}_profile", self.as_str())
    }

    /// The object that holds the output of a profile on a node. Between the strokes are tokens, which hold none.
    pub fn profile_output(&self, experiment: &str, profile: &str, node: &str) -> String {
        format!("{experiment}/{profile}/{node}")
    }

    /// What the names of all outputs of an experiment begin with.
    pub fn profile_outputs(&self, experiment: &str) -> String {
        format!("{experiment}/")
    }
}
