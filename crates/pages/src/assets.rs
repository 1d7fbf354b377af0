//! The scripts and styles of the pages, as they are served.
//!
//! One of them is not ours: uPlot 1.6.32 (MIT, `assets/uplot-LICENSE`), a chart of time series, as its package on npm
//! has it.

/// One file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Its name, below `/assets/`.
    pub name: &'static str,
    /// What it is.
    pub media_type: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
}

/// All of them.
pub const ASSETS: [Asset; 18] = [
    Asset { name: "report.css", media_type: CSS, bytes: nuncius_report::html::STYLE.as_bytes() },
    Asset { name: "report.js", media_type: SCRIPT, bytes: nuncius_report::html::SCRIPT.as_bytes() },
    Asset { name: "pages.css", media_type: CSS, bytes: include_bytes!("../assets/pages.css") },
    Asset { name: "pages.js", media_type: SCRIPT, bytes: include_bytes!("../assets/pages.js") },
    Asset { name: "chart.js", media_type: SCRIPT, bytes: include_bytes!("../assets/chart.js") },
    Asset { name: "curve.js", media_type: SCRIPT, bytes: include_bytes!("../assets/curve.js") },
    Asset { name: "file.js", media_type: SCRIPT, bytes: include_bytes!("../assets/file.js") },
    Asset { name: "live.js", media_type: SCRIPT, bytes: include_bytes!("../assets/live.js") },
    Asset { name: "marks.js", media_type: SCRIPT, bytes: include_bytes!("../assets/marks.js") },
    Asset { name: "refresh.js", media_type: SCRIPT, bytes: include_bytes!("../assets/refresh.js") },
    Asset { name: "rows.js", media_type: SCRIPT, bytes: include_bytes!("../assets/rows.js") },
    Asset { name: "run.js", media_type: SCRIPT, bytes: include_bytes!("../assets/run.js") },
    Asset { name: "text.js", media_type: SCRIPT, bytes: include_bytes!("../assets/text.js") },
    Asset { name: "trend.js", media_type: SCRIPT, bytes: include_bytes!("../assets/trend.js") },
    Asset { name: "icon.svg", media_type: "image/svg+xml", bytes: include_bytes!("../assets/icon.svg") },
    Asset { name: "uplot.min.js", media_type: SCRIPT, bytes: include_bytes!("../assets/uplot.min.js") },
    Asset { name: "uplot.min.css", media_type: CSS, bytes: include_bytes!("../assets/uplot.min.css") },
    Asset { name: "uplot-LICENSE", media_type: "text/plain; charset=utf-8", bytes: LICENSE },
];

/// Modules that the script of pages asks for: a page says so at once, so that they come together.
pub const MODULES: [&str; 10] = [
    "chart.js",
    "curve.js",
    "file.js",
    "live.js",
    "marks.js",
    "refresh.js",
    "rows.js",
    "run.js",
    "text.js",
    "trend.js",
];

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const LICENSE: &[u8] = include_bytes!("../assets/uplot-LICENSE");

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// Of uplot@1.6.32 on npm: `dist/uPlot.iife.min.js`, `dist/uPlot.min.css`, `LICENSE`.
    const DIGESTS: [(&str, &str); 3] = [
        ("uplot.min.js", "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"),
        ("uplot.min.css", "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"),
        ("uplot-LICENSE", "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd"),
    ];

    #[test]
    fn what_is_not_ours_is_as_its_makers_published_it() {
        for (name, digest) in DIGESTS {
            let asset = ASSETS.iter().find(|asset| asset.name == name).unwrap();
            let found: String = Sha256::digest(asset.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, digest, "{name}");
        }
    }

    #[test]
    fn every_module_that_another_asks_for_is_there_and_is_told_in_the_head_of_pages() {
        let scripts = ASSETS.iter().filter(|asset| asset.name == "pages.js" || MODULES.contains(&asset.name));
        let mut wanted = std::collections::BTreeSet::new();
        for script in scripts.clone() {
            let text = std::str::from_utf8(script.bytes).unwrap();
            assert!(text.lines().count() < 300, "{} is long", script.name);
            let imports = text.lines().filter(|line| line.starts_with("import "));
            wanted.extend(imports.map(|line| line.split("\"./").nth(1).unwrap().trim_end_matches("\";").to_owned()));
        }
        assert_eq!(scripts.count(), MODULES.len() + 1);
        assert_eq!(wanted, MODULES.iter().map(|name| (*name).to_owned()).collect());
    }

    #[test]
    fn the_first_page_is_small() {
        let bytes: usize = ASSETS.iter().map(|asset| asset.bytes.len()).sum();
        assert!(bytes < 150_000, "{bytes}");
    }
}
