//! Asking the daemon that holds an experiment, whoever that is by now.

use std::time::Duration;

use nuncius_bus::{Bus, BusError, TypedError};
use nuncius_schemas::run::{Control, ControlReply};
use tokio::time::Instant;

use crate::{ControlError, REQUEST_TIMEOUT, experiments};

/// How long a run whose daemon died is waited for to be taken up by another.
const SUCCESSION_PATIENCE: Duration = Duration::from_secs(15);
/// How often it is asked for meanwhile.
const SUCCESSION_POLL: Duration = Duration::from_millis(250);

/// How long a run is waited for that no daemon holds at present: its own died, and another takes it up as soon as its
/// lease has run out.
pub(crate) struct Succession {
    deadline: Instant,
}

impl Succession {
    /// From now on.
    pub(crate) fn begin() -> Self {
        Self { deadline: Instant::now() + SUCCESSION_PATIENCE }
    }

    /// Waits a little, before the run is asked again.
    ///
    /// # Errors
    /// [`ControlError::NobodyHolds`] after too long.
    pub(crate) async fn wait(&self, id: &str) -> Result<(), ControlError> {
        if Instant::now() > self.deadline {
            return Err(ControlError::NobodyHolds { id: id.to_owned() });
        }
        tokio::time::sleep(SUCCESSION_POLL).await;
        Ok(())
    }
}

/// Asks the daemon that holds an experiment; what it says that has done it, and nothing where none holds it.
///
/// # Errors
/// It is not done, and why; the bus.
pub(crate) async fn ask_once(bus: &Bus, id: &str, control: &Control) -> Result<Option<ControlReply>, ControlError> {
    let subject = bus.namespace().experiment_control(id);
    match bus.request_message::<_, ControlReply>(&subject, "control.v1", control, REQUEST_TIMEOUT).await {
        Ok(ControlReply { error: Some(problem), .. }) => Err(ControlError::NotDone { id: id.to_owned(), problem }),
        Ok(reply) => Ok(Some(reply)),
        Err(TypedError::Bus(BusError::NoResponders { .. })) => Ok(None),
        // Its end may have come between the question and the answer: then nobody reads it any more.
        Err(error) => match check_under_way(bus, id).await {
            Err(ended @ ControlError::Ended { .. }) => Err(ended),
            Ok(()) | Err(_) => Err(error.into()),
        },
    }
}

/// The same of an experiment that is under way: where no daemon holds it, one that takes it up is waited for.
///
/// # Errors
/// It is not done, and why; nobody knows the experiment, it has ended already, or no daemon takes it up; the bus.
pub(crate) async fn ask(bus: &Bus, id: &str, control: &Control) -> Result<ControlReply, ControlError> {
    let succession = Succession::begin();
    loop {
        if let Some(reply) = ask_once(bus, id, control).await? {
            return Ok(reply);
        }
        check_under_way(bus, id).await?;
        succession.wait(id).await?;
    }
}

/// Refuses to wait for an experiment that no daemon will take up.
async fn check_under_way(bus: &Bus, id: &str) -> Result<(), ControlError> {
    match experiments::record(bus, id).await? {
        None => Err(ControlError::NoExperiment { id: id.to_owned() }),
        Some((record, _)) if record.status.is_terminal() => {
            Err(ControlError::Ended { id: id.to_owned(), status: record.status.name() })
        }
        Some(_) => Ok(()),
    }
}
