//! Steps of messages, compiled: connections, what is sent on them, what is waited for.

use nuncius_scenario::json_template::JsonTemplate;

use super::request::HttpAction;
use super::taking::{CheckPlan, Taking};
use super::text::Text;

/// A step over WebSocket.
#[derive(Debug)]
pub(crate) struct WsPlan {
    /// Number of the step in the table.
    pub(crate) step: u16,
    /// Number of its connection's name in the program.
    pub(crate) channel: u16,
    pub(crate) timeout_ns: u64,
    pub(crate) does: WsDoes,
    pub(crate) taking: Taking,
}

/// What a step over WebSocket does.
#[derive(Debug)]
pub(crate) enum WsDoes {
    /// Opens a connection by a request, with these subprotocols, as the header has them.
    Connect(Box<HttpAction>, Option<Box<str>>),
    /// Sends a message; waits for one of which all of this holds, if it waits.
    Send(MessagePlan, Option<Box<[CheckPlan]>>),
    /// Waits for such a message.
    Wait(Box<[CheckPlan]>),
    Close(u16),
}

/// A message to send.
#[derive(Debug)]
pub(crate) enum MessagePlan {
    Text(Text),
    Json(JsonTemplate),
    /// In base64.
    Binary(Text),
}

/// Names of the connections that users have open, each once.
#[derive(Debug, Default)]
pub(crate) struct ChannelNames {
    names: Vec<String>,
}

impl ChannelNames {
    /// The number of a name.
    pub(super) fn number(&mut self, name: &str) -> u16 {
        let index = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        // There are at most as many as steps.
        u16::try_from(index).unwrap_or(u16::MAX)
    }
}
