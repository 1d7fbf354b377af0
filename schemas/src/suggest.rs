//! What somebody may have meant.

/// Most names that a list of what is known has.
const LISTED_MAX: usize = 32;

/// The known word that is most like `word`; `None` when none is near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 128 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let wanted = plain(word);
    let distance_max = 1 + wanted.chars().count() / 4;
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&wanted, &plain(name)), name))
        .filter(|(distance, name)| *distance <= distance_max && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The end of an error about an unknown word: what was meant, else what there is.
pub fn instead(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(name) => format!("; did you mean `{name}`?"),
        None if known.is_empty() => "; no field is known here".to_owned(),
        None => {
            let more = if known.len() > LISTED_MAX { " …" } else { "" };
            let listed: Vec<&str> = known.iter().copied().take(LISTED_MAX).collect();
            format!("; known here: {}{more}", listed.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_suggested_and_nothing_else() {
        let known = ["rate", "duration", "max_in_flight", "GET", "DELETE"];
        for (word, expected) in [
            ("raet", Some("rate")),
            ("Rate", Some("rate")),
            ("maxInFlight", Some("max_in_flight")),
            ("max-in-flight", Some("max_in_flight")),
            ("GTE", Some("GET")),
            ("get", Some("GET")),
            ("DELTE", Some("DELETE")),
            ("users", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
        assert_eq!(instead("x", &["a", "b"]), "; known here: a, b");
    }
}
