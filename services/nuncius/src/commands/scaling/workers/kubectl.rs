//! Workers as replicas of a deployment, scaled by `kubectl`.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::super::Interrupted;

/// Characters of what `kubectl` says that are shown.
const SAID_CHARACTERS: usize = 300;
/// How long putting the replicas back may take.
const PUT_BACK_PATIENCE: Duration = Duration::from_secs(30);

/// A deployment whose pods are workers.
pub(super) struct Deployment {
    name: String,
    namespace: Option<String>,
    patience: Duration,
    /// Replicas it had before it was scaled.
    found: Option<u32>,
}

impl Deployment {
    pub(super) fn new(name: &str, namespace: Option<&str>, patience: Duration) -> Self {
        Self { name: name.to_owned(), namespace: namespace.map(str::to_owned), patience, found: None }
    }

    /// Asks for this many replicas; returns before they are there.
    pub(super) async fn scale(&mut self, count: u32, interrupted: &CancellationToken) -> Result<()> {
        let asking = async {
            if self.found.is_none() {
                let said = self.kubectl(&["get"], &["-o", "jsonpath={.spec.replicas}"], self.patience).await?;
                let replicas = said.trim().parse();
                self.found = Some(replicas.map_err(|_| {
                    anyhow!("kubectl does not say how many replicas {} has: `{}`", self.resource(), shown(&said))
                })?);
            }
            self.kubectl(&["scale"], &[&format!("--replicas={count}")], self.patience).await
        };
        tokio::select! {
            said = asking => said.map(|_| ()),
            () = interrupted.cancelled() => Err(Interrupted("interrupted".to_owned()).into()),
        }
    }

    /// What tells a person more.
    pub(super) fn describe(&self) -> String {
        let namespace = self.namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
        format!("kubectl describe {}{namespace}", self.resource())
    }

    /// Gives it the replicas that it had.
    pub(super) async fn put_back(self) {
        let Some(found) = self.found else { return };
        if let Err(error) = self.kubectl(&["scale"], &[&format!("--replicas={found}")], PUT_BACK_PATIENCE).await {
            crate::output::note(&format!(
                "{} had {found} replicas, which it does not get back: {error:#}",
                self.resource()
            ));
        }
    }

    fn resource(&self) -> String {
        format!("deployment/{}", self.name)
    }

    /// Runs `kubectl` with the deployment between these arguments; what it printed.
    async fn kubectl(&self, before: &[&str], after: &[&str], patience: Duration) -> Result<String> {
        let mut command = Command::new("kubectl");
        command.args(before).arg(self.resource()).args(after);
        if let Some(namespace) = &self.namespace {
            command.args(["-n", namespace]);
        }
        // Ctrl-C is for this process alone, which has replicas to put back.
        command.stdin(Stdio::null()).kill_on_drop(true).process_group(0);
        let what = before.join(" ");
        let output = match tokio::time::timeout(patience, command.output()).await {
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!("scaling.workers: there is no kubectl on PATH; install it, or use `start: wait`")
            }
            Ok(output) => output.context("kubectl")?,
            Err(_) => bail!("kubectl {what} {} did not end within {patience:?}", self.resource()),
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl {what} {} failed ({}): {}", self.resource(), output.status, shown(&said));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn shown(said: &str) -> String {
    nuncius_report::text::plain(said.trim(), SAID_CHARACTERS)
}
