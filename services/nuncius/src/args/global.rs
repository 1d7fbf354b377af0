//! Options that every command has.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use nuncius_bus::roles::UserRole;
use nuncius_schemas::units::HumanDuration;

/// Where the bus and the data are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// NATS servers, nats://[user:password@]host:port, several with commas; tls:// refuses to talk without TLS.
    #[arg(long, env = "NATS_URL", global = true)]
    pub(crate) nats: Option<String>,
    /// Prefix of everything on the bus.
    #[arg(long, env = "NUNCIUS_NAMESPACE", default_value = "nuncius", global = true)]
    pub(crate) namespace: String,
    /// Where the database, the reports and the address of a running `up` are kept.
    #[arg(long, env = "NUNCIUS_DATA", global = true)]
    pub(crate) data: Option<PathBuf>,
    /// Where results are kept: an SQLite file, or postgres://, mysql:// or mariadb://user@host/database (default:
    /// nuncius.db in the data directory).
    #[arg(long, env = "NUNCIUS_DATABASE", value_name = "FILE|URL", global = true)]
    pub(crate) database: Option<OsString>,
    /// NATS credentials file.
    #[arg(long, env = "NUNCIUS_NATS_CREDENTIALS", global = true)]
    pub(crate) nats_credentials: Option<PathBuf>,
    /// File with the nkey seed of a NATS user, as `nuncius nats-config` writes it.
    #[arg(long, env = "NUNCIUS_NATS_NKEY", global = true)]
    pub(crate) nats_nkey: Option<PathBuf>,
    /// Role of the credentials, where the server keeps roles apart (docs/roles.md).
    #[arg(long, env = "NUNCIUS_ROLE", value_name = "ROLE", global = true)]
    pub(crate) role: Option<UserRole>,
    /// PEM file with the authority that signed the NATS server's certificate.
    #[arg(long, env = "NUNCIUS_NATS_CA", global = true)]
    pub(crate) nats_ca: Option<PathBuf>,
    /// PEM file with this process's certificate for NATS servers that want one; with --nats-key.
    #[arg(long, env = "NUNCIUS_NATS_CERT", global = true)]
    pub(crate) nats_cert: Option<PathBuf>,
    /// PEM file with the key of --nats-cert.
    #[arg(long, env = "NUNCIUS_NATS_KEY", global = true)]
    pub(crate) nats_key: Option<PathBuf>,
    /// Begin with TLS, for NATS servers with handshake_first.
    #[arg(long, env = "NUNCIUS_NATS_TLS_FIRST", global = true)]
    pub(crate) nats_tls_first: bool,
    /// How long a cluster of NATS servers may take to elect a leader before what waits for it fails.
    #[arg(long, env = "NUNCIUS_NATS_PATIENCE", value_name = "DURATION", default_value = "30s", global = true)]
    pub(crate) nats_patience: HumanDuration,
    /// On how many servers of a cluster streams and buckets are kept (default: 1, and those there are stay as they
    /// are).
    #[arg(long, env = "NUNCIUS_REPLICAS", value_name = "N", global = true)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) replicas: Option<u8>,
    /// Domain of the JetStream that is meant, where there are several (leaf nodes).
    #[arg(long, env = "NUNCIUS_JS_DOMAIN", value_name = "DOMAIN", global = true)]
    pub(crate) js_domain: Option<String>,
    /// Have NATS servers tell how messages of sampled traces go through them; a gateway makes spans of it.
    #[arg(long, env = "NUNCIUS_TRACE_HOPS", global = true)]
    pub(crate) trace_hops: bool,
    /// How long a command waits for the NATS server, and for the nodes that it asks, to be there.
    #[arg(long, value_name = "DURATION", default_value = "0s", global = true)]
    pub(crate) wait: HumanDuration,
    /// Results as JSON on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Logs as lines of JSON.
    #[arg(long, global = true)]
    pub(crate) log_json: bool,
    /// What is logged: a level, or target=level,… (default: warn for tools, info for services).
    #[arg(long, env = "NUNCIUS_LOG", global = true)]
    pub(crate) log: Option<String>,
}
