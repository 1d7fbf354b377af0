//! Requests to a run. A cancellation is answered at once by a task of its own, whatever the run is waiting for; an
//! amendment by whoever watches the load, as long as there is any; a mark is set at once.

use std::sync::{Arc, Mutex, PoisonError};

use nuncius_bus::{Bus, Message, Subscription, TypedError};
use nuncius_schemas::amendment::Change;
use nuncius_schemas::run::{Control, ControlReply};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::marks::Marks;

/// Why nothing is taken any more.
const TOO_LATE: &str = "its load is over, and its report is being written";

/// Most amendments that wait to be looked at.
const AMENDMENTS_WAITING_MAX: usize = 64;

/// An amendment that somebody asks for.
#[derive(Debug)]
pub(crate) struct Amending {
    /// The group; every group when absent.
    pub(crate) group: Option<String>,
    pub(crate) change: Change,
    pub(crate) reason: String,
    pub(crate) who: Option<String>,
    /// From when on it holds, in nanoseconds of run time, or why it cannot be made.
    pub(crate) answer: oneshot::Sender<Result<u64, String>>,
}

/// Where amendments go while load is offered.
type Steering = Arc<Mutex<Option<mpsc::Sender<Amending>>>>;

/// Whether the run may still be cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    /// Nobody has asked.
    Nothing,
    /// Why it shall end; the first request counts, later ones are the same request.
    Cancel(String),
    /// Its load is over: what is measured stays measured.
    Closed,
}

/// Listens to a run's control subject until dropped.
#[derive(Debug)]
pub(crate) struct ControlDesk {
    asked: watch::Sender<Asked>,
    steering: Steering,
    task: JoinHandle<()>,
}

impl Drop for ControlDesk {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ControlDesk {
    /// Begins to listen; marks are taken to `marks`.
    ///
    /// # Errors
    /// The bus, when the subject cannot be listened to.
    pub(crate) async fn open(bus: &Bus, experiment: &str, marks: Marks) -> Result<Self, nuncius_bus::BusError> {
        let requests = bus.subscribe(&bus.namespace().experiment_control(experiment)).await?;
        let (asked, _) = watch::channel(Asked::Nothing);
        let steering = Steering::default();
        let task = tokio::spawn(answer_all(requests, asked.clone(), Arc::clone(&steering), marks));
        Ok(Self { asked, steering, task })
    }

    /// Takes amendments from now on, as long as the receiver is there.
    pub(crate) fn steer(&self) -> mpsc::Receiver<Amending> {
        let (sender, amendments) = mpsc::channel(AMENDMENTS_WAITING_MAX);
        *self.steering.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        amendments
    }

    /// Why the run shall end, once somebody asked for it; cancel-safe, and the same answer every time.
    pub(crate) async fn cancelled(&self) -> String {
        let mut asked = self.asked.subscribe();
        let reason = match asked.wait_for(|asked| matches!(asked, Asked::Cancel(_))).await.as_deref() {
            Ok(Asked::Cancel(reason)) => Some(reason.clone()),
            Ok(Asked::Nothing | Asked::Closed) | Err(_) => None,
        };
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Takes no more cancellations; the reason of one that was taken.
    pub(crate) fn close(&self) -> Option<String> {
        match self.asked.send_replace(Asked::Closed) {
            Asked::Cancel(reason) => Some(reason),
            Asked::Nothing | Asked::Closed => None,
        }
    }
}

async fn answer_all(mut requests: Subscription, asked: watch::Sender<Asked>, steering: Steering, marks: Marks) {
    while let Some(message) = requests.next().await {
        match message.decode::<Control>() {
            Ok(Control::Cancel { reason, who }) => {
                answer(&message, take(&asked, &reason, who.as_deref()), None).await;
            }
            Ok(Control::Mark { name, value, who, at_unix_ms }) => {
                let is_late = *asked.borrow() == Asked::Closed;
                let error = match is_late {
                    true => Some(TOO_LATE.to_owned()),
                    false => marks.set((&name, value.as_deref()), who.as_deref(), at_unix_ms).await.err(),
                };
                answer(&message, error, None).await;
            }
            Ok(Control::Amend { group, change, reason, who }) => {
                let steering = steering.lock().unwrap_or_else(PoisonError::into_inner).clone();
                tokio::spawn(async move {
                    match amend(steering, (group, change), (reason, who)).await {
                        Ok(at_ns) => answer(&message, None, Some(at_ns)).await,
                        Err(problem) => answer(&message, Some(problem), None).await,
                    }
                });
            }
            Err(error) => answer(&message, Some(error.to_string()), None).await,
        }
    }
}

async fn answer(message: &Message, error: Option<String>, at_ns: Option<u64>) {
    let reply = ControlReply { accepted: error.is_none(), error, at_ns };
    let answered: Result<(), TypedError> = message.respond_message("control-reply.v1", &reply).await;
    if let Err(error) = answered {
        tracing::warn!(%error, "control request not answered");
    }
}

/// Has whoever watches the load amend it; from when on, or why not.
async fn amend(
    steering: Option<mpsc::Sender<Amending>>,
    (group, change): (Option<String>, Change),
    (reason, who): (String, Option<String>),
) -> Result<u64, String> {
    let Some(steering) = steering else { return Err("it does not offer load yet".to_owned()) };
    let over = || "its load is over".to_owned();
    let (answer, answered) = oneshot::channel();
    steering.send(Amending { group, change, reason, who, answer }).await.map_err(|_| over())?;
    answered.await.unwrap_or_else(|_| Err(over()))
}

/// Takes a cancellation down; the error says why it is too late.
fn take(asked: &watch::Sender<Asked>, reason: &str, who: Option<&str>) -> Option<String> {
    let mut error = None;
    asked.send_if_modified(|now| match now {
        Asked::Nothing => {
            let told = match (who, reason) {
                (None, "") => "cancelled on request".to_owned(),
                (None, reason) => format!("cancelled: {reason}"),
                (Some(who), "") => format!("cancelled by {who}"),
                (Some(who), reason) => format!("cancelled by {who}: {reason}"),
            };
            *now = Asked::Cancel(told);
            true
        }
        Asked::Cancel(_) => false,
        Asked::Closed => {
            error = Some(TOO_LATE.to_owned());
            false
        }
    });
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cancellation_counts_and_none_is_taken_after_the_end() {
        let (asked, _) = watch::channel(Asked::Nothing);
        assert_eq!(take(&asked, "enough", Some("ada")), None);
        assert_eq!(take(&asked, "again", None), None);
        assert_eq!(asked.send_replace(Asked::Closed), Asked::Cancel("cancelled by ada: enough".to_owned()));
        assert!(take(&asked, "", None).is_some_and(|error| error.contains("report is being written")));
    }
}
