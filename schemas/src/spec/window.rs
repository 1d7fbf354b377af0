//! When, of a run, something is wanted.

use super::{ExperimentSpec, Group};
use crate::profile::ProfileSpec;

impl ProfileSpec {
    /// When it begins, and for how long it is wanted, in nanoseconds of run time; `None` where it is wanted to the end
    /// of the load, and nobody knows when that is.
    pub fn window_ns(&self, groups: &[Group]) -> Option<(u64, u64)> {
        let warmed_up = || groups.iter().map(|group| group.warm_up.0).max().unwrap_or(0);
        let from_ns = self.from.map_or_else(warmed_up, |from| from.0);
        let to_the_end = || Some(ExperimentSpec::load_end_ns(groups)?.saturating_sub(from_ns));
        Some((from_ns, self.duration.map_or_else(to_the_end, |duration| Some(duration.0))?))
    }
}

impl ExperimentSpec {
    /// When the load of all groups is over, in nanoseconds of run time; `None` where one goes on until it is stopped,
    /// or until it has done a number of iterations.
    pub fn load_end_ns(groups: &[Group]) -> Option<u64> {
        let ends: Option<Vec<u64>> = groups.iter().map(Group::offered_ns).collect();
        ends?.into_iter().max()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::units::SECOND_NS;

    fn read<T: serde::de::DeserializeOwned>(text: &str) -> T {
        let mut one: BTreeMap<String, T> = crate::codec::from_text(&format!("it: {text}")).unwrap();
        one.remove("it").unwrap()
    }

    fn profile(text: &str) -> ProfileSpec {
        read(text)
    }

    fn group(text: &str) -> Group {
        read(text)
    }

    #[test]
    fn a_profile_lasts_from_the_warm_up_to_the_end_of_the_load_unless_it_says_otherwise() {
        let groups = [
            group("{target: http://a/, rate: 1, duration: 10s, warm_up: 2s}"),
            group("{name: b, target: http://a/, users: 1, duration: 20s}"),
        ];
        for (more, window) in [
            ("", Some((2, 18))),
            (", from: 5s", Some((5, 15))),
            (", for: 3s", Some((2, 3))),
            (", from: 0s, for: 1s", Some((0, 1))),
        ] {
            let profile = profile(&format!("{{name: cpu, command: [perf]{more}}}"));
            let wanted = window.map(|(from, length)| (from * SECOND_NS, length * SECOND_NS));
            assert_eq!(profile.window_ns(&groups), wanted, "{more}");
        }
        let endless = [group("{target: http://a/, users: 1, iterations: 5}")];
        assert_eq!(profile("{name: cpu, command: [perf]}").window_ns(&endless), None);
        assert_eq!(profile("{name: cpu, command: [perf], for: 1s}").window_ns(&endless), Some((0, SECOND_NS)));
    }
}
