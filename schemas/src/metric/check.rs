//! Checks: what a test expects of an answer beside its being the one that was expected. A check that fails is told
//! apart from a request that does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most checks of a step that are told by name; the others are told together, as [`CHECKS_OTHERS`].
pub const CHECKS_MAX: usize = 64;

/// Longest name of a check, in bytes; what is longer is cut.
pub const CHECK_NAME_MAX_BYTES: usize = 128;

/// The name that checks without room are told under.
pub const CHECKS_OTHERS: &str = "(others)";

/// Checks of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckCount {
    /// Name.
    pub name: String,
    /// How many passed.
    pub passed: u64,
    /// How many failed.
    pub failed: u64,
}

/// Adds checks of one name. There are never more than [`CHECKS_MAX`] names and [`CHECKS_OTHERS`].
pub fn add_check(checks: &mut Vec<CheckCount>, name: &str, passed: u64, failed: u64) {
    let name = name.get(..name.floor_char_boundary(CHECK_NAME_MAX_BYTES)).unwrap_or(name);
    let find = |checks: &mut Vec<CheckCount>, name: &str| checks.iter().position(|check| check.name == name);
    let name = match find(checks, name) {
        None if checks.len() >= CHECKS_MAX => CHECKS_OTHERS,
        Some(_) | None => name,
    };
    match find(checks, name).and_then(|at| checks.get_mut(at)) {
        Some(check) => {
            check.passed = check.passed.saturating_add(passed);
            check.failed = check.failed.saturating_add(failed);
        }
        None => checks.push(CheckCount { name: name.to_owned(), passed, failed }),
    }
}

/// Adds others, name by name.
pub fn add_checks(checks: &mut Vec<CheckCount>, more: &[CheckCount]) {
    for check in more {
        add_check(checks, &check.name, check.passed, check.failed);
    }
}

/// How many passed and how many failed, over all names.
pub fn sum_checks(checks: &[CheckCount]) -> (u64, u64) {
    checks.iter().fold((0, 0), |(passed, failed), check| {
        (passed.saturating_add(check.passed), failed.saturating_add(check.failed))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_bounded_in_length_and_number() {
        let mut checks = Vec::new();
        for index in 0..CHECKS_MAX + 2 {
            add_check(&mut checks, &format!("check {index}"), 1, 0);
        }
        add_check(&mut checks, "check 0", 0, 1);
        assert_eq!(checks.len(), CHECKS_MAX + 1);
        assert_eq!(checks[0], CheckCount { name: "check 0".to_owned(), passed: 1, failed: 1 });
        assert_eq!(checks[CHECKS_MAX], CheckCount { name: CHECKS_OTHERS.to_owned(), passed: 2, failed: 0 });
        let mut long = Vec::new();
        add_check(&mut long, &"ä".repeat(CHECK_NAME_MAX_BYTES), 1, 0);
        assert_eq!(long[0].name.len(), CHECK_NAME_MAX_BYTES);
    }

    proptest! {
        #[test]
        fn no_check_is_lost_however_many_names_are_added_and_in_whatever_pieces(
            made in proptest::collection::vec((0u8..120, any::<bool>()), 0..400),
            cut in 0usize..400,
        ) {
            let add = |made: &[(u8, bool)]| {
                let mut checks = Vec::new();
                for (name, has_passed) in made {
                    add_check(&mut checks, &name.to_string(), u64::from(*has_passed), u64::from(!has_passed));
                }
                checks
            };
            let (first, second) = made.split_at(cut.min(made.len()));
            let mut both = add(first);
            add_checks(&mut both, &add(second));
            prop_assert!(both.len() <= CHECKS_MAX + 1);
            let passed = made.iter().filter(|(_, has_passed)| *has_passed).count() as u64;
            prop_assert_eq!(sum_checks(&both), (passed, made.len() as u64 - passed));
        }
    }
}
