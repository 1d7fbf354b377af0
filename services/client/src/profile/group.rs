//! A command in a process group of its own.
//!
//! Its leader is reaped last: as long as it is a zombie its number is nobody else's, so that a signal to the group
//! never hits a stranger.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How long processes may take to be gone after KILL; one that hangs in a driver may take for ever.
pub(super) const KILL_WAIT: Duration = Duration::from_secs(5);
/// How often it is looked whether they are.
const LOOK: Duration = Duration::from_millis(5);

/// A running command; killed when dropped.
#[derive(Debug)]
pub(super) struct Group {
    child: Child,
    leader: Pid,
    is_over: bool,
}

impl Group {
    /// Starts the command as the leader of a group of its own.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        use std::os::unix::process::CommandExt;
        let child = command.process_group(0).spawn()?;
        let leader = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let leader = leader.ok_or_else(|| io::Error::other("it has no process number"))?;
        Ok(Self { child, leader, is_over: false })
    }

    /// Whether the leader has ended; it stays a zombie.
    pub(super) fn has_ended(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(self.leader), look) {
            Ok(found) => found.is_some(),
            Err(error) => error != Errno::INTR,
        }
    }

    /// Asks all of the group to end, as Ctrl-C does.
    pub(super) fn interrupt(&self) {
        // There is none left where all have ended just now.
        let _ = kill_process_group(self.leader, Signal::INT);
    }

    /// Kills what is left of the group. Gives the status of its leader; none where that does not go.
    pub(super) fn end(mut self) -> Option<ExitStatus> {
        self.kill()
    }

    fn kill(&mut self) -> Option<ExitStatus> {
        if std::mem::replace(&mut self.is_over, true) {
            return None;
        }
        let _ = kill_process_group(self.leader, Signal::KILL);
        let until = Instant::now() + KILL_WAIT;
        while !self.has_ended() {
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(LOOK);
        }
        self.child.wait().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
