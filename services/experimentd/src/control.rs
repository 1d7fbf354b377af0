//! Requests to a run: answered at once by a task of their own, whatever the run is waiting for.

use nuncius_bus::{Bus, Message, Subscription, TypedError};
use nuncius_schemas::run::{Control, ControlReply};
use tokio::sync::watch;
use tokio::task::JoinHandle;

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
    task: JoinHandle<()>,
}

impl Drop for ControlDesk {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ControlDesk {
    /// Begins to listen.
    ///
    /// # Errors
    /// The bus, when the subject cannot be listened to.
    pub(crate) async fn open(bus: &Bus, experiment: &str) -> Result<Self, nuncius_bus::BusError> {
        let requests = bus.subscribe(&bus.namespace().experiment_control(experiment)).await?;
        let (asked, _) = watch::channel(Asked::Nothing);
        let task = tokio::spawn(answer_all(requests, asked.clone()));
        Ok(Self { asked, task })
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

async fn answer_all(mut requests: Subscription, asked: watch::Sender<Asked>) {
    while let Some(message) = requests.next().await {
        if let Err(error) = answer(&message, &asked).await {
            tracing::warn!(%error, "control request not answered");
        }
    }
}

async fn answer(message: &Message, asked: &watch::Sender<Asked>) -> Result<(), TypedError> {
    let error = match message.decode::<Control>() {
        Ok(Control::Cancel { reason }) => take(asked, reason),
        Err(error) => Some(error.to_string()),
    };
    message.respond_message("control-reply.v1", &ControlReply { accepted: error.is_none(), error }).await
}

/// Takes a cancellation down; the error says why it is too late.
fn take(asked: &watch::Sender<Asked>, reason: String) -> Option<String> {
    let mut error = None;
    asked.send_if_modified(|now| match now {
        Asked::Nothing => {
            let told =
                if reason.is_empty() { "cancelled on request".to_owned() } else { format!("cancelled: {reason}") };
            *now = Asked::Cancel(told);
            true
        }
        Asked::Cancel(_) => false,
        Asked::Closed => {
            error = Some("its load is over, and its report is being written".to_owned());
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
        assert_eq!(take(&asked, "enough".to_owned()), None);
        assert_eq!(take(&asked, "again".to_owned()), None);
        assert_eq!(asked.send_replace(Asked::Closed), Asked::Cancel("cancelled: enough".to_owned()));
        assert!(take(&asked, String::new()).is_some_and(|error| error.contains("report is being written")));
    }
}
