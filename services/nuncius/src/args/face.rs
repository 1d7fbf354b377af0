//! The command line of the gateway's pages and its REST interface: who may come in, and where.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nuncius_gateway::Scope;

use super::HostArgs;

#[derive(Debug, Clone, Args)]
pub(crate) struct FaceArgs {
    /// Who may come in: a line each, NAME SCOPE HASH, as `nuncius gateway hash-token` makes them. Needed to listen
    /// beyond this machine.
    #[arg(long, value_name = "FILE", env = "NUNCIUS_GATEWAY_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Serve /metrics, /healthz and /readyz alone.
    #[arg(long, env = "NUNCIUS_GATEWAY_METRICS_ONLY")]
    pub(crate) metrics_only: bool,
    /// Refuse all changes.
    #[arg(long, env = "NUNCIUS_GATEWAY_READ_ONLY")]
    pub(crate) read_only: bool,
    /// Prefix of the pages and the interface, /nuncius, for a proxy that has other pages, too.
    #[arg(long, value_name = "PATH", default_value = "", env = "NUNCIUS_GATEWAY_BASE_PATH")]
    pub(crate) base_path: String,
    /// A proxy in front speaks TLS: cookies are for that alone.
    #[arg(long, env = "NUNCIUS_GATEWAY_BEHIND_TLS")]
    pub(crate) behind_tls: bool,
    #[command(flatten)]
    pub(crate) hosts: HostArgs,
    /// Most requests of one address a second; five times as many at once.
    #[arg(long, value_name = "N", default_value_t = 200)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) requests_per_second: u32,
    /// Most readers of live streams at a time.
    #[arg(long, value_name = "N", default_value_t = 512)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) live_clients: u32,
    /// Where Galileo's REST interface is served, usually 127.0.0.1:5001 (default: nowhere).
    #[arg(long, value_name = "ADDRESS", env = "NUNCIUS_GATEWAY_GALILEO")]
    pub(crate) galileo: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayCommand {
    /// Make a token: its line for --token-file goes to standard output, the token itself to standard error.
    HashToken {
        /// Whose it is.
        name: String,
        /// What it is for: read looks, control submits and cancels as well, admin deletes and changes routes and apps.
        #[arg(long, default_value = "read")]
        scope: Scope,
    },
}
