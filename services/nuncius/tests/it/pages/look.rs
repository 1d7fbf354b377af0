//! Opening pages, and reading them.

use std::path::PathBuf;

use nuncius_testkit::{Browser, Scheme, package_file};
use serde_json::Value;

/// Where pictures go, for whoever wants to look at them.
pub(super) fn pictures() -> Option<PathBuf> {
    std::env::var_os("NUNCIUS_PAGES").map(PathBuf::from)
}

/// Opens a page, which must complain of nothing and fit into its window.
pub(super) fn look(browser: &mut Browser, address: &str, path: &str, width: u32, scheme: Scheme, name: &str) {
    let complaints = browser.open_url(&format!("http://{address}{path}"), width, scheme).unwrap();
    assert_eq!(complaints, Vec::<String>::new(), "{path} at {width}");
    let wide = browser.evaluate("document.documentElement.scrollWidth - innerWidth").unwrap();
    assert!(wide.as_i64().unwrap() <= 0, "{path} is wider than its window of {width}: by {wide}");
    if let Some(directory) = pictures() {
        std::fs::create_dir_all(&directory).unwrap();
        let file = |what: &str| directory.join(format!("{name}-{width}-{scheme:?}{what}.png").to_lowercase());
        browser.screenshot(&file("")).unwrap();
        browser.screenshot_of_window(&file("-window")).unwrap();
    }
}

/// Text of the first element that a selector finds.
pub(super) fn text(browser: &mut Browser, selector: &str) -> String {
    let found = read(browser, &format!("document.querySelector({selector:?})?.textContent ?? ''"));
    found.as_str().unwrap_or_default().trim().to_owned()
}

/// What a page says that may be giving way to the next one: then it is that one's answer.
pub(super) fn read(browser: &mut Browser, expression: &str) -> Value {
    loop {
        match browser.evaluate(expression) {
            Err(error) if error.to_string().contains("navigated") => {}
            found => return found.unwrap(),
        }
    }
}

/// The number that an element shows.
pub(super) fn number(browser: &mut Browser, selector: &str) -> Option<u64> {
    text(browser, selector).replace(',', "").parse().ok()
}

/// Opens the table of the last minute, and gives its rows: second, succeeded.
pub(super) fn last_minute(browser: &mut Browser) -> Vec<(u64, u64)> {
    let script = "(() => { const last = document.querySelector('[data-last]'); last.open = true; \
                  return [...last.querySelectorAll('tbody tr')].map((row) => \
                  [row.cells[0].textContent, row.cells[2].textContent.replaceAll(',', '')].map(Number)); })()";
    let rows = browser.evaluate(script).unwrap();
    let cell = |row: &Value, at: usize| row[at].as_f64().unwrap_or(-1.0) as u64;
    let mut rows: Vec<(u64, u64)> = rows.as_array().unwrap().iter().map(|row| (cell(row, 0), cell(row, 1))).collect();
    rows.reverse();
    rows
}

/// What keeps people from using the page that is open, seriously or worse, as axe-core finds it.
pub(super) fn barriers(browser: &mut Browser) -> Vec<String> {
    browser.evaluate(&package_file("axe-core/axe.min.js").unwrap()).unwrap();
    let script = "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations \
                  .filter(({ impact }) => ['serious', 'critical'].includes(impact)) \
                  .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map(({ html }) => html).join(' ')}`))";
    let found = browser.evaluate(script).unwrap();
    found.as_array().unwrap().iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect()
}
