//! The steps of a group by number, and where its iterations are counted.
//!
//! Everything that is measured of a group is measured by recorder: one for each step, numbered as the steps are, and
//! one past the last for the whole iteration. A group of one step has no recorder for the whole: the step is the
//! iteration, unless the group has sessions. This is the one place that knows.

/// What reports call all steps of an iteration together.
pub const ITERATION: &str = "iteration";

/// Names of the steps of a group, by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTable {
    names: Vec<String>,
    iteration: u16,
}

impl StepTable {
    /// Of steps with these names, in order.
    pub fn new(names: Vec<String>) -> Self {
        let iteration = if names.len() == 1 { 0 } else { number(names.len()) };
        Self { names, iteration }
    }

    /// Of steps with these names, in order, none of which is the iteration, even where it is the only one: a session
    /// may take it several times, or never.
    pub fn apart(names: Vec<String>) -> Self {
        let iteration = number(names.len());
        Self { names, iteration }
    }

    /// Names of the steps, the whole iteration not among them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Numbers and names of the steps, the whole iteration not among them.
    pub fn steps(&self) -> impl Iterator<Item = (u16, &str)> + Clone {
        (0u16..).zip(self.names.iter().map(String::as_str))
    }

    /// Numbers and names of all recorders: the steps, and the whole iteration where it has one of its own.
    pub fn recorders(&self) -> impl Iterator<Item = (u16, &str)> + Clone {
        self.steps().chain(self.whole().map(|whole| (whole, ITERATION)))
    }

    /// Where iterations are counted: the only step, or the recorder of the whole.
    pub const fn iteration(&self) -> u16 {
        self.iteration
    }

    /// The recorder of whole iterations; `None` where a step is the iteration.
    pub fn whole(&self) -> Option<u16> {
        (usize::from(self.iteration) >= self.names.len()).then_some(self.iteration)
    }

    /// How many recorders there are.
    pub fn counted(&self) -> u16 {
        self.iteration.saturating_add(1)
    }

    /// The recorder for the same of iterations that were planned in the warm-up: it comes after all recorders of what
    /// counts, and is there only where the group has a warm-up.
    pub fn warm_up(&self, recorder: u16) -> u16 {
        in_warm_up(recorder, self.iteration)
    }

    /// The name of a recorder, as reports show it; `None` for one that there is not.
    pub fn name(&self, recorder: u16) -> Option<&str> {
        let of_whole = || (self.whole() == Some(recorder)).then_some(ITERATION);
        self.names.get(usize::from(recorder)).map(String::as_str).or_else(of_whole)
    }

    /// The number of the step of this name, or of the first that has it behind that of its scenario (`scenario/step`).
    pub fn named(&self, name: &str) -> Option<u16> {
        let of_scenario = |known: &str| known.strip_suffix(name).is_some_and(|before| before.ends_with('/'));
        self.position(name).or_else(|| self.steps().find(|(_, known)| of_scenario(known)).map(|(step, _)| step))
    }

    /// The number of the step of this name.
    pub fn position(&self, name: &str) -> Option<u16> {
        self.steps().find(|(_, known)| *known == name).map(|(step, _)| step)
    }
}

/// The recorder for the same as at `recorder`, of iterations that were planned in the warm-up; `iteration` is the
/// group's last recorder of what counts.
pub const fn in_warm_up(recorder: u16, iteration: u16) -> u16 {
    recorder.saturating_add(iteration).saturating_add(1)
}

/// Which of so many recorders of one group counts its iterations: the last one, whether it is the only step or the
/// whole. `None` without any.
pub fn iteration_among(recorders: usize) -> Option<u16> {
    recorders.checked_sub(1).map(number)
}

/// Groups have far fewer steps than there are numbers; see [`crate::spec::limits::STEPS_MAX`].
fn number(steps: usize) -> u16 {
    u16::try_from(steps).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(names: &[&str]) -> StepTable {
        StepTable::new(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_group_of_one_step_counts_its_iterations_there() {
        let one = table(&["get"]);
        assert_eq!((one.iteration(), one.whole()), (0, None));
        assert_eq!(one.recorders().collect::<Vec<_>>(), [(0, "get")]);
        assert_eq!((one.name(0), one.name(1)), (Some("get"), None));
    }

    #[test]
    fn a_step_is_found_by_its_name_with_and_without_that_of_its_scenario() {
        let all = table(&["buy/login", "look/login", "login", "look/page"]);
        let found: Vec<_> = ["login", "look/login", "page", "age", ""].map(|name| all.named(name)).to_vec();
        assert_eq!(found, [Some(2), Some(1), Some(3), None, None]);
    }

    #[test]
    fn iterations_may_be_counted_apart_from_their_only_step() {
        let apart = StepTable::apart(vec!["get".to_owned()]);
        assert_eq!((apart.iteration(), apart.whole()), (1, Some(1)));
        assert_eq!(apart.recorders().collect::<Vec<_>>(), [(0, "get"), (1, ITERATION)]);
        assert_eq!(StepTable::apart(Vec::new()).recorders().collect::<Vec<_>>(), [(0, ITERATION)]);
    }

    #[test]
    fn iterations_of_several_steps_are_counted_one_past_the_last() {
        let several = table(&["log in", "pay"]);
        assert_eq!((several.iteration(), several.whole()), (2, Some(2)));
        assert_eq!(several.steps().collect::<Vec<_>>(), [(0, "log in"), (1, "pay")]);
        assert_eq!(several.recorders().last(), Some((2, "iteration")));
        assert_eq!((several.name(2), several.name(3)), (Some("iteration"), None));
    }

    #[test]
    fn the_only_step_of_a_session_is_not_its_iteration() {
        let one = StepTable::apart(vec!["get".to_owned()]);
        assert_eq!((one.iteration(), one.whole()), (1, Some(1)));
        assert_eq!(one.recorders().collect::<Vec<_>>(), [(0, "get"), (1, "iteration")]);
        assert_eq!(iteration_among(one.recorders().count()), Some(1));
    }

    proptest! {
        #[test]
        fn every_recorder_has_one_name_and_one_of_them_counts_iterations(
            names in proptest::collection::btree_set("[a-z]{1,8}", 1..40),
        ) {
            let names: Vec<String> = names.into_iter().filter(|name| name != ITERATION).collect();
            prop_assume!(!names.is_empty());
            let table = StepTable::new(names.clone());
            let recorders: Vec<_> = table.recorders().collect();
            for (number, name) in &recorders {
                prop_assert_eq!(table.name(*number), Some(*name));
            }
            prop_assert_eq!(recorders.iter().filter(|(number, _)| *number == table.iteration()).count(), 1);
            prop_assert_eq!(iteration_among(recorders.len()), Some(table.iteration()));
            for (number, name) in table.steps() {
                prop_assert_eq!(table.position(name), Some(number));
            }
            prop_assert_eq!(table.position(ITERATION), None);
            prop_assert_eq!(table.names(), &names[..]);
        }
    }
}
