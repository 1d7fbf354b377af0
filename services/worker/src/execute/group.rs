//! A process group: started, signalled, reaped.
//!
//! The program is its leader. It is reaped last: as long as it is a zombie, its number cannot be given to a stranger,
//! so that a signal to the group never hits one.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, kill_process_group, waitid, waitpgid,
};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::signal::unix::{self, SignalKind};

use super::environment;
use crate::workload::{OutputUse, ProgramTask};

/// How long orphans of the group may take to become zombies after KILL.
const ORPHAN_WAIT: Duration = Duration::from_secs(1);
/// How often they are looked for in that time.
const ORPHAN_INTERVAL: Duration = Duration::from_millis(5);

/// A running process group; killed when dropped before it was reaped.
#[derive(Debug)]
pub(super) struct Group {
    child: Child,
    leader: Pid,
    /// Tells that some child of this process has ended.
    child_ended: unix::Signal,
    reaped: bool,
}

impl Group {
    /// Starts the program as the leader of a group of its own.
    ///
    /// Its input is `/dev/null`, opened for reading, so that it finds the end and not an error.
    pub(super) fn spawn(task: &ProgramTask) -> io::Result<(Self, Option<ChildStdout>, Option<ChildStderr>)> {
        let stdio = || match task.output {
            OutputUse::Null => Stdio::null(),
            OutputUse::Inherited => Stdio::inherit(),
            OutputUse::Captured(_) => Stdio::piped(),
        };
        let mut command = Command::new(&task.path);
        command.args(&task.arguments).stdin(Stdio::null()).stdout(stdio()).stderr(stdio()).process_group(0);
        for name in environment::withheld() {
            command.env_remove(name);
        }
        if let Some(directory) = &task.directory {
            command.current_dir(directory);
        }
        // Listened for before there is a child, so that its end cannot be missed.
        let child_ended = unix::signal(SignalKind::child())?;
        let mut child = command.spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let leader = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let leader = leader.ok_or_else(|| io::Error::other("it has no process number"))?;
        Ok((Self { child, leader, child_ended, reaped: false }, stdout, stderr))
    }

    /// Waits until the leader has ended, and leaves it a zombie. May be dropped, and called again.
    pub(super) async fn ended(&mut self) {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::Pid(self.leader), look) {
                Err(Errno::INTR) => {}
                Ok(None) if self.child_ended.recv().await.is_some() => {}
                // It has ended, or the runtime does.
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Asks all of the group to end.
    pub(super) fn terminate(&self) {
        // There is none left where all have ended just now.
        let _ = kill_process_group(self.leader, Signal::TERM);
    }

    /// Ends all of the group.
    pub(super) fn kill(&self) {
        let _ = kill_process_group(self.leader, Signal::KILL);
        // A leader may have joined another group, and is to go all the same.
        if !self.reaped {
            let _ = kill_process(self.leader, Signal::KILL);
        }
    }

    /// Takes the status of the leader, which has ended, and what else of the group is this process's to reap.
    ///
    /// As the first process of a container the worker inherits orphans, and nobody else reaps them.
    pub(super) async fn reap(&mut self) -> Option<ExitStatus> {
        let status = self.child.wait().await.ok();
        self.reaped = true;
        let until = Instant::now() + ORPHAN_WAIT;
        loop {
            match waitpgid(self.leader, WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) if Instant::now() < until => tokio::time::sleep(ORPHAN_INTERVAL).await,
                Err(Errno::INTR) => {}
                // There is none, or it cannot be killed.
                Ok(None) | Err(_) => return status,
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
        }
    }
}
