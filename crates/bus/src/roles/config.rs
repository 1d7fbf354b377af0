//! Grants as nats-server's configuration has them.

use std::fmt::Write as _;

use super::{Grant, Right};

/// How long an answer may take; whoever has been asked may answer once.
const ANSWER_WITHIN: &str = "1h";

/// The value of `permissions` of a user who has these grants and no others.
pub fn in_server_words(grants: &[Grant]) -> String {
    let mut text = String::from("{\n");
    for (right, word) in [(Right::Publish, "publish"), (Right::Subscribe, "subscribe")] {
        let mut mine = grants.iter().filter(|grant| grant.right == right).peekable();
        if mine.peek().is_none() {
            // An empty list of what is allowed allows everything.
            let _ = writeln!(text, "        {word}: {{ deny: [\">\"] }}");
            continue;
        }
        let _ = writeln!(text, "        {word}: {{ allow: [");
        for grant in mine {
            let _ = writeln!(text, "          {:<72} # {}", format!("\"{}\"", grant.subject), grant.purpose);
        }
        text.push_str("        ] }\n");
    }
    if grants.iter().any(|grant| grant.right == Right::Answer) {
        let _ = writeln!(text, "        allow_responses: {{ max: 1, expires: \"{ANSWER_WITHIN}\" }}");
    }
    text.push_str("      }");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_nothing_is_told_so_for_an_empty_list_allows_everything() {
        let text = in_server_words(&[]);
        assert_eq!(text.matches("deny: [\">\"]").count(), 2, "{text}");
    }
}
