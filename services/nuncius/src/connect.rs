//! Finding the bus: a server that was named, the one that `up` started, or a private child.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nuncius_bus::server::{ChildServer, ServerOptions, discover};
use nuncius_bus::{Bus, ConnectOptions, Credentials, Namespace, Tls, connect};

use crate::Usage;
use crate::args::Global;

/// The directory of the database, the reports and the running server's address.
pub(crate) fn data_directory(global: &Global) -> Result<PathBuf> {
    let directory = match &global.data {
        Some(directory) => directory.clone(),
        None => std::env::var_os("XDG_DATA_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share")))
            .unwrap_or_else(std::env::temp_dir)
            .join("nuncius"),
    };
    std::fs::create_dir_all(&directory).with_context(|| {
        format!("data directory {} cannot be made; choose another with --data", directory.display())
    })?;
    Ok(directory)
}

/// The namespace of the command line.
pub(crate) fn namespace(global: &Global) -> Result<Namespace> {
    Namespace::new(&global.namespace).map_err(|error| Usage(format!("--namespace: {error}")).into())
}

/// Connects to servers by URL.
pub(crate) async fn connect_to(global: &Global, url: &str, name: &str, retry: bool) -> Result<Bus> {
    let options = ConnectOptions {
        urls: vec![url.to_owned()],
        namespace: namespace(global)?,
        name: name.to_owned(),
        credentials: global.nats_credentials.clone().map_or(Credentials::None, Credentials::File),
        tls: Tls { ca_file: global.nats_ca.clone(), ..Tls::default() },
        retry_initial_connect: retry,
        ..ConnectOptions::default()
    };
    Ok(connect(options).await?)
}

/// The server that was named, or that `up` runs; `None` when there is neither.
pub(crate) async fn find(global: &Global) -> Result<Option<String>> {
    let directory = data_directory(global)?;
    Ok(discover(global.nats.as_deref(), &directory).await.map(|found| found.url))
}

/// Connects to a server that must be there already.
pub(crate) async fn existing(global: &Global, name: &str) -> Result<Bus> {
    let Some(url) = find(global).await? else {
        let text = "no NATS server found: start one with `nuncius up`, or name one with --nats";
        return Err(anyhow::anyhow!(text));
    };
    connect_to(global, &url, name, false).await
}

/// A child server with its store in `directory`.
pub(crate) async fn child(directory: &Path, listen: std::net::SocketAddr) -> Result<ChildServer> {
    let options = ServerOptions { host: listen.ip(), port: listen.port(), ..ServerOptions::new(directory) };
    Ok(ChildServer::start(options).await?)
}
