//! Variables of the node's environment that templates ask for while the program runs.

use std::collections::HashMap;
use std::convert::Infallible;

use nuncius_schemas::spec::Group;

/// What stands before the name.
const CALL: &str = "env(";

/// The variables that are named in templates of a group, as far as the node gives them. A name that is worked out
/// while the program runs is not among them.
pub(super) fn look_up(group: &Group, environment: &dyn Fn(&str) -> Option<String>) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut group = group.clone();
    let visited = group.visit_texts::<Infallible>("", &mut |text| {
        for name in names_in(text.value) {
            if !found.contains_key(name)
                && let Some(value) = environment(name)
            {
                found.insert(name.to_owned(), value);
            }
        }
        Ok(())
    });
    match visited {
        Ok(()) => found,
    }
}

/// What follows `env(` in quotes.
fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(CALL).filter_map(|(at, _)| {
        let rest = text.get(at + CALL.len()..)?.trim_start();
        let quote = rest.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
        let name = rest.get(quote.len_utf8()..)?.split(quote).next()?;
        (!name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_a_template_asks_for_them() {
        let text = "{{ env('A') }}{{ default( env( \"B_1\" ), 'env') }} env() {{ env(x) }}";
        assert_eq!(names_in(text).collect::<Vec<_>>(), ["A", "B_1"]);
    }
}
