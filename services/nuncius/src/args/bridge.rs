//! The command line of the AMQP bridge.

use std::path::PathBuf;

use clap::Args;
use nuncius_bridge::WithoutId;

#[derive(Debug, Args)]
pub(crate) struct BridgeArgs {
    /// Name to register under; a taken one gets a suffix.
    #[arg(long, env = "NUNCIUS_NODE_NAME", default_value = "bridge")]
    pub(crate) name: String,
    /// Queue of a broker whose messages become jobs, amqp://USER:PASSWORD@HOST/VHOST/QUEUE, percent-encoded (%2f is the
    /// virtual host /; ${NAME} stands for a variable of the environment); with a --to each, several times.
    #[arg(long, value_name = "URL", requires = "to")]
    pub(crate) from: Vec<String>,
    /// Job queue that takes them.
    #[arg(long, value_name = "QUEUE", requires = "from")]
    pub(crate) to: Vec<String>,
    /// Queue of a broker whose messages are experiments; several times.
    #[arg(long, value_name = "URL")]
    pub(crate) experiments: Vec<String>,
    /// Queue of the broker that results go to of messages without a reply-to.
    #[arg(long, value_name = "QUEUE")]
    pub(crate) results: Option<String>,
    /// Messages of each queue that may be under way at a time [jobs: 256, experiments: 8].
    #[arg(long, value_name = "N")]
    pub(crate) prefetch: Option<u16>,
    /// What becomes of messages without a message-id, accept or refuse: delivered again, they are not known again, and
    /// become another job.
    #[arg(long, value_name = "accept|refuse", default_value = "accept")]
    pub(crate) without_id: WithoutId,
    /// YAML or JSON file with more mappings.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// PEM file with the authority that signed the certificates of amqps:// brokers (default: those of the system).
    #[arg(long, value_name = "FILE", env = "NUNCIUS_AMQP_CA")]
    pub(crate) amqp_ca: Option<PathBuf>,
}
