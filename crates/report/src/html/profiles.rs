//! Commands beside the load: what became of them, and their pictures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nuncius_schemas::profile::ProfileReport;
use nuncius_schemas::report::Report;

use super::escape::escape;
use super::shown::TEXT_CHARACTERS;
use super::tables::{NAME_CHARACTERS, ROWS_MAX, left_out, table};
use crate::format::{ABSENT, bytes};

/// Most pictures in a page.
pub const PICTURES_MAX: usize = 12;
/// Most bytes of a picture in a page.
pub const PICTURE_MAX_BYTES: usize = 2 << 20;

/// A picture of a profile: an SVG, which a page shows as an image, so that no script in it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The object that it was made of.
    pub object: String,
    /// The picture.
    pub svg: Vec<u8>,
}

/// The section; nothing where there was no command.
pub(crate) fn section(report: &Report, pictures: &[Picture]) -> String {
    if report.profiles.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = report.profiles.iter().take(ROWS_MAX).map(row).collect();
    let heading = ["profile", "node", "outcome", "format", "size", "object or reason"];
    let mut out = format!(
        "<section>\n<h2>Profiles</h2>\n{}{}",
        left_out(report.profiles.len(), ROWS_MAX, "profiles"),
        table(&heading, &rows, &[1, 2, 3, 5])
    );
    let id = escape(&report.id, NAME_CHARACTERS);
    if report.profiles.iter().any(ProfileReport::is_collected) {
        out.push_str(&format!("<p class=\"note\">To fetch or draw them: <code>nuncius profile {id}</code></p>\n"));
    }
    for (profile, picture) in drawn(report, pictures) {
        let name = format!("{} on {}", escape(&profile.name, NAME_CHARACTERS), escape(&profile.node, NAME_CHARACTERS));
        out.push_str(&format!(
            "<details open>\n<summary>{name}</summary>\n<img class=\"profile\" alt=\"profile {name}\" \
             src=\"data:image/svg+xml;base64,{}\">\n</details>\n",
            STANDARD.encode(&picture.svg)
        ));
    }
    out.push_str("</section>\n");
    out
}

/// Profiles with a picture that there is room for.
fn drawn<'a>(
    report: &'a Report,
    pictures: &'a [Picture],
) -> impl Iterator<Item = (&'a ProfileReport, &'a Picture)> + 'a {
    let of = |profile: &ProfileReport| {
        pictures
            .iter()
            .find(|picture| profile.object.as_ref() == Some(&picture.object) && picture.svg.len() <= PICTURE_MAX_BYTES)
    };
    report.profiles.iter().filter_map(move |profile| Some((profile, of(profile)?))).take(PICTURES_MAX)
}

fn row(profile: &ProfileReport) -> Vec<String> {
    let tone = if profile.is_collected() { "pass" } else { "undetermined" };
    let last = match (&profile.reason, &profile.object) {
        (Some(reason), _) => escape(reason, TEXT_CHARACTERS),
        (None, Some(object)) => format!("<code>{}</code>", escape(object, NAME_CHARACTERS * 2)),
        (None, None) => ABSENT.to_owned(),
    };
    vec![
        escape(&profile.name, NAME_CHARACTERS),
        if profile.node.is_empty() { ABSENT.to_owned() } else { escape(&profile.node, NAME_CHARACTERS) },
        format!("<span class=\"badge small {tone}\">{}</span>", profile.outcome.name()),
        profile.format.name().to_owned(),
        if profile.is_collected() { bytes(profile.size_bytes) } else { ABSENT.to_owned() },
        last,
    ]
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::profile::{ProfileFormat, ProfileOutcome};

    use super::*;

    #[test]
    fn a_picture_is_an_image_in_which_nothing_runs_and_names_are_escaped() {
        let mut report = crate::fixture::checkout();
        let profile = |node: &str, outcome, reason: Option<&str>, object: Option<&str>| ProfileReport {
            name: "cpu".to_owned(),
            node: node.to_owned(),
            outcome,
            reason: reason.map(str::to_owned),
            format: ProfileFormat::Svg,
            size_bytes: 7,
            exit_code: None,
            object: object.map(str::to_owned),
        };
        report.profiles = vec![
            profile("<b>n1", ProfileOutcome::Collected, None, Some("e/cpu/n1")),
            profile("n2", ProfileOutcome::Failed, Some("it said: <script>x</script>"), None),
        ];
        let svg = b"<svg onload='x'><script>alert(1)</script></svg>".to_vec();
        let pictures = [
            Picture { object: "e/cpu/n1".to_owned(), svg },
            Picture { object: "e/cpu/other".to_owned(), svg: b"<svg/>".to_vec() },
        ];
        let page = crate::html::page_with(&report, None, &pictures);
        assert_eq!(page.matches("<img class=\"profile\"").count(), 1);
        assert!(page.contains("alt=\"profile cpu on &lt;b&gt;n1\""));
        assert!(!page.contains("alert(1)") && !page.contains("<script>x") && !page.contains("<b>n1"));
        let large = [Picture { object: "e/cpu/n1".to_owned(), svg: vec![b'x'; PICTURE_MAX_BYTES + 1] }];
        assert!(!crate::html::page_with(&report, None, &large).contains("<img class=\"profile\""));
        assert!(!crate::html::page(&report, None).contains("<img class=\"profile\""));
        let text = crate::text::summary(&report, crate::text::TextOptions::default(), None);
        assert!(text.contains("collected") && text.contains("cpu on n2: it said: <script>x</script>"), "{text}");
    }
}
