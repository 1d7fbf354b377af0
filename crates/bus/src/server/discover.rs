//! Which server to talk to.

use std::path::Path;

use super::probe::info_answers;

/// File in the data directory that names the running server.
pub const URL_FILE: &str = "nats.url";

/// How a server was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It was given by `--nats` or `NATS_URL`.
    Given,
    /// It was left in the data directory, and answers.
    DataDirectory,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its URL.
    pub url: String,
    /// How it was found.
    pub how: How,
}

/// `nats`, as given by `--nats` or `NATS_URL`, unasked whether it answers; else what `data_dir`/nats.url says, if that
/// answers; else none, and the caller starts a private one.
pub async fn discover(nats: Option<&str>, data_dir: &Path) -> Option<Found> {
    if let Some(url) = nats.filter(|url| !url.trim().is_empty()) {
        return Some(Found { url: url.to_owned(), how: How::Given });
    }
    in_directory(data_dir).await
}

async fn in_directory(data_dir: &Path) -> Option<Found> {
    let text = tokio::fs::read_to_string(data_dir.join(URL_FILE)).await.ok()?;
    let url = text.trim().to_owned();
    let address = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let address = address.rsplit_once('@').map_or(address, |(_, host)| host).to_owned();
    let answers = tokio::task::spawn_blocking(move || info_answers(&address)).await.unwrap_or(false);
    answers.then_some(Found { url, how: How::DataDirectory })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_url_left_behind_counts_only_while_it_answers() {
        let dir = nuncius_testkit::TempDir::new("discover").unwrap();
        assert_eq!(in_directory(dir.path()).await, None);
        let mut server = nuncius_testkit::TestServer::start().await.unwrap();
        std::fs::write(dir.path().join(URL_FILE), format!("{}\n", server.url())).unwrap();
        assert_eq!(in_directory(dir.path()).await, Some(Found { url: server.url(), how: How::DataDirectory }));
        server.kill();
        assert_eq!(in_directory(dir.path()).await, None);
        let given = discover(Some("nats://elsewhere:4222"), dir.path()).await;
        assert_eq!(given, Some(Found { url: "nats://elsewhere:4222".to_owned(), how: How::Given }));
    }
}
