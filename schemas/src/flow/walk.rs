//! The one numbering of steps: who compiles them, checks them or shows them goes through them here.

use super::step::{Op, Scenario, Step};

/// Deepest nesting of blocks.
pub const BLOCKS_MAX: usize = 8;

/// A step and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Place<'a> {
    /// Path of the step: `scenarios[1].steps[2].loop.steps[0]`.
    pub path: String,
    /// How many blocks it is in.
    pub depth: usize,
    /// The step.
    pub step: &'a Step,
}

/// A step that reports have a line of, in the order in which they are written: its number is its place in the table.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredStep<'a> {
    /// Path of the step below that of its group: `scenarios[1].steps[2].loop.steps[0]`.
    pub path: String,
    /// Name in reports: with several scenarios `<scenario>/<step>`.
    pub name: String,
    /// Index of its scenario; `None` where the group has steps.
    pub scenario: Option<usize>,
    /// The step.
    pub step: &'a Step,
}

impl Step {
    /// The steps that are directly in the step's blocks, as they are written, each with its path below the step's:
    /// `.loop.steps[0]`.
    pub fn children(&self) -> Vec<(String, &Self)> {
        fn list<'a>(field: &str, steps: &'a [Step]) -> Vec<(String, &'a Step)> {
            steps.iter().enumerate().map(|(index, step)| (format!(".{field}[{index}]"), step)).collect()
        }
        match &self.op {
            Some(Op::Loop(one)) => list("loop.steps", &one.steps),
            Some(Op::If(branches)) => {
                let mut steps = list("if.then", &branches.then);
                steps.extend(list("if.else", &branches.otherwise));
                steps
            }
            Some(Op::Parallel(parallel)) => {
                let branches = parallel.branches.iter().enumerate();
                let place = |branch, (at, step)| (format!(".parallel{}", parallel.step_path(branch, at)), step);
                branches
                    .flat_map(|(branch, steps)| steps.iter().enumerate().map(move |step| (branch, step)))
                    .map(|(branch, step)| place(branch, step))
                    .collect()
            }
            None
            | Some(
                Op::Http(_, _)
                | Op::Ws(_)
                | Op::SocketIo(_)
                | Op::Nats(_)
                | Op::Think(_)
                | Op::Set(_)
                | Op::Call(_)
                | Op::Log(_),
            ) => Vec::new(),
        }
    }
}

/// Steps with all that are in their blocks, each before those within it, as they are written. `path` is that of the
/// list.
pub fn walk<'a>(path: &str, steps: &'a [Step]) -> Vec<Place<'a>> {
    fn add<'a>(path: String, depth: usize, step: &'a Step, places: &mut Vec<Place<'a>>) {
        let children = step.children();
        places.push(Place { path: path.clone(), depth, step });
        for (below, child) in children {
            add(format!("{path}{below}"), depth + 1, child, places);
        }
    }
    let mut places = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        add(format!("{path}[{index}]"), 0, step, &mut places);
    }
    places
}

/// The measured steps of a group that has these steps, or these scenarios.
pub(crate) fn measured<'a>(steps: &'a [Step], scenarios: &'a [Scenario]) -> Vec<MeasuredStep<'a>> {
    let list = |scenario: Option<usize>, prefix: &str, path: &str, steps: &'a [Step]| -> Vec<MeasuredStep<'a>> {
        let places = walk(path, steps).into_iter().filter(|place| place.step.is_measured());
        let named = |(index, Place { path, depth: _, step }): (usize, Place<'a>)| {
            let own = step.name.clone().unwrap_or_else(|| default_name(step, index + 1));
            MeasuredStep { path, name: format!("{prefix}{own}"), scenario, step }
        };
        places.enumerate().map(named).collect()
    };
    if scenarios.is_empty() {
        return list(None, "", "steps", steps);
    }
    let one = |(index, scenario): (usize, &'a Scenario)| {
        let prefix = if scenarios.len() > 1 { format!("{}/", scenario.name) } else { String::new() };
        list(Some(index), &prefix, &format!("scenarios[{index}].steps"), &scenario.steps)
    };
    scenarios.iter().enumerate().flat_map(one).collect()
}

/// `step-3` as ever; `post-3` of a verb. The number is that of the step among the measured ones of its scenario.
fn default_name(step: &Step, number: usize) -> String {
    format!("{}-{number}", step.op.as_ref().map_or("step", Op::verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(yaml: &str) -> Vec<Step> {
        let node = crate::codec::read_tree(format!("name: s\nsteps: {yaml}\n").as_bytes()).unwrap();
        crate::codec::from_tree::<Scenario>(&node).unwrap().steps
    }

    fn paths_and_names(steps: &[Step], scenarios: &[Scenario]) -> Vec<(String, String)> {
        measured(steps, scenarios).into_iter().map(|step| (step.path, step.name)).collect()
    }

    #[test]
    fn measured_steps_are_numbered_as_they_are_written_through_all_blocks() {
        let steps = steps(
            "[{get: /}, {think: 1s}, {loop: {count: 2, steps: [{post: /a}, {if: {condition: '{{ x }}', \
             then: [{name: buy, put: /b}], else: [{path: /c}]}}]}}, {parallel: [{get: /d}, {get: /e}]}, \
             {parallel: {branches: [[{get: /f}, {set: {a: 1}}], [{call: f}]]}}, {log: x}]",
        );
        let expected = [
            ("steps[0]", "get-1"),
            ("steps[2].loop.steps[0]", "post-2"),
            ("steps[2].loop.steps[1].if.then[0]", "buy"),
            ("steps[2].loop.steps[1].if.else[0]", "step-4"),
            ("steps[3].parallel[0]", "get-5"),
            ("steps[3].parallel[1]", "get-6"),
            ("steps[4].parallel.branches[0][0]", "get-7"),
            ("steps[4].parallel.branches[1][0]", "call-8"),
        ];
        let expected = expected.map(|(path, name)| (path.to_owned(), name.to_owned()));
        assert_eq!(paths_and_names(&steps, &[]), expected);
        assert_eq!(walk("steps", &steps).iter().map(|place| place.depth).max(), Some(2));
    }

    #[test]
    fn with_several_scenarios_each_step_is_named_by_its_own() {
        let scenario =
            |name: &str| Scenario { name: name.to_owned(), weight: 1, steps: steps("[{get: /}, {get: /x}]") };
        let both = [scenario("look"), scenario("buy")];
        let expected = [
            ("scenarios[0].steps[0]", "look/get-1"),
            ("scenarios[0].steps[1]", "look/get-2"),
            ("scenarios[1].steps[0]", "buy/get-1"),
            ("scenarios[1].steps[1]", "buy/get-2"),
        ];
        assert_eq!(paths_and_names(&[], &both), expected.map(|(path, name)| (path.to_owned(), name.to_owned())));
        let alone: Vec<String> = measured(&[], &both[..1]).into_iter().map(|step| step.name).collect();
        assert_eq!(alone, ["get-1", "get-2"]);
    }
}
