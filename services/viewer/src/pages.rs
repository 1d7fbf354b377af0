//! Jaeger's pages: where they are, and their files in memory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::ViewerError;

/// The page that all addresses without a file lead to: it looks at the address itself.
const INDEX: &str = "index.html";
/// Most bytes of all files: Jaeger's build has 6 MiB.
const PAGES_MAX_BYTES: u64 = 64 << 20;
/// Directories in directories.
const DEPTH_MAX: usize = 4;

/// A file as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) content_type: &'static str,
    pub(crate) bytes: Bytes,
}

/// The files, by their paths below the directory.
#[derive(Debug)]
pub(crate) struct Pages {
    files: HashMap<String, Page>,
    index: Page,
}

/// Where the pages are: `NUNCIUS_JAEGER_UI`, else `.tools/jaeger-ui` upward from the executable and from the current
/// directory.
///
/// # Errors
/// [`ViewerError::NoPages`], or [`ViewerError::Pages`] where the place that was told has none.
pub fn find_pages() -> Result<PathBuf, ViewerError> {
    if let Some(told) = std::env::var_os("NUNCIUS_JAEGER_UI").filter(|path| !path.is_empty()) {
        let told = PathBuf::from(told);
        return if told.join(INDEX).is_file() { Ok(told) } else { Err(missing(&told)) };
    }
    let starts = [std::env::current_exe().ok(), std::env::current_dir().ok()];
    let mut places =
        starts.iter().flatten().flat_map(|start| start.ancestors().map(|directory| directory.join(".tools/jaeger-ui")));
    places.find(|place| place.join(INDEX).is_file()).ok_or(ViewerError::NoPages)
}

impl Pages {
    /// Reads all files below `directory`; links are not followed.
    pub(crate) fn read(directory: &Path) -> Result<Self, ViewerError> {
        let mut files = HashMap::new();
        let mut bytes_left = PAGES_MAX_BYTES;
        read_into(&mut files, &mut bytes_left, directory, "", DEPTH_MAX)?;
        let index = files.get(INDEX).cloned().ok_or_else(|| missing(directory))?;
        Ok(Self { files, index })
    }

    /// The file of a path, or the index for a path that the page itself knows; none for files that are not there.
    pub(crate) fn get(&self, path: &str) -> Option<&Page> {
        let path = path.trim_start_matches('/');
        match self.files.get(path) {
            Some(page) => Some(page),
            None if path.starts_with("static/") || path.starts_with("api/") => None,
            None => Some(&self.index),
        }
    }
}

fn missing(directory: &Path) -> ViewerError {
    ViewerError::Pages { path: directory.to_owned(), reason: format!("there is no {INDEX}") }
}

fn read_into(
    files: &mut HashMap<String, Page>,
    bytes_left: &mut u64,
    directory: &Path,
    prefix: &str,
    depth: usize,
) -> Result<(), ViewerError> {
    let failed = |path: &Path, reason: String| ViewerError::Pages { path: path.to_owned(), reason };
    let entries = std::fs::read_dir(directory).map_err(|error| failed(directory, error.to_string()))?;
    for entry in entries {
        let entry = entry.map_err(|error| failed(directory, error.to_string()))?;
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else { continue };
        let kind = entry.file_type().map_err(|error| failed(&path, error.to_string()))?;
        if kind.is_dir() && depth > 0 {
            read_into(files, bytes_left, &path, &format!("{prefix}{name}/"), depth - 1)?;
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).map_err(|error| failed(&path, error.to_string()))?;
            let left = bytes_left.checked_sub(bytes.len() as u64);
            *bytes_left = left.ok_or_else(|| failed(&path, format!("more than {PAGES_MAX_BYTES} bytes of pages")))?;
            let page = Page { content_type: content_type(&name), bytes: bytes.into() };
            files.insert(format!("{prefix}{name}"), page);
        }
    }
    Ok(())
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json" | "map") => "application/json",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_page_lead_to_it_and_files_that_are_not_there_to_nothing() {
        let directory = nuncius_testkit::TempDir::new("pages").unwrap();
        std::fs::create_dir(directory.path().join("static")).unwrap();
        std::fs::write(directory.path().join("static/a.js"), "1").unwrap();
        let error = Pages::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("index.html") && error.contains("scripts/setup --observe"), "{error}");
        std::fs::write(directory.path().join("index.html"), "page").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", directory.path().join("static/leak.js")).unwrap();
        let pages = Pages::read(directory.path()).unwrap();
        let get = |path: &str| pages.get(path).map(|page| (page.content_type, page.bytes.clone()));
        assert_eq!(get("/static/a.js"), Some(("text/javascript; charset=utf-8", "1".into())));
        for path in ["/", "/search", "/trace/0123", "/../../etc/passwd"] {
            assert_eq!(get(path), Some(("text/html; charset=utf-8", "page".into())), "{path}");
        }
        for path in ["/static/b.js", "/static/leak.js", "/static/../index.html", "/api/none"] {
            assert_eq!(get(path), None, "{path}");
        }
    }
}
