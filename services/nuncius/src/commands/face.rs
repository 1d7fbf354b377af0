//! The page of an experiment: where it is, and how it is opened.

use std::process::{Command, Stdio};

use nuncius_bus::Bus;
use nuncius_schemas::node::{LABEL_OPEN, Role};

use crate::output::note;

/// What opens a page: the desktop's choice, then that of macOS.
const OPENERS: [&str; 2] = ["xdg-open", "open"];

/// Says where the page of an experiment is, if a gateway is there; opens it where that is wanted.
pub(super) async fn tell(bus: &Bus, id: &str, opens: bool) {
    let Some(page) = page(bus, id).await else {
        if opens {
            note("no gateway is there that could show it: `nuncius up` and `nuncius gateway` start one");
        }
        return;
    };
    note(&format!("open {page}"));
    if opens && !open(&page) {
        note(&format!("nothing here opens pages: there is neither {}", OPENERS.join(" nor ")));
    }
}

/// Its address at the first gateway that says where it is.
async fn page(bus: &Bus, id: &str) -> Option<String> {
    // Where the server keeps roles apart, not every role may read the registry.
    if bus.role().is_some() {
        return None;
    }
    let nodes = nuncius_control::nodes::list(bus).await.ok()?;
    let gateways = nodes.into_iter().filter(|node| node.role == Role::Gateway);
    let at = gateways.filter_map(|node| node.labels.get(LABEL_OPEN).cloned()).next()?;
    Some(format!("{}/runs/{id}", at.trim_end_matches('/')))
}

/// Whether something was started that opens it. It goes on by itself.
fn open(page: &str) -> bool {
    OPENERS.iter().any(|opener| {
        let quiet = || Stdio::null();
        let started = Command::new(opener).arg(page).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
        // Whoever waits for a browser to be closed does so beside the run.
        started.is_ok_and(|mut child| {
            std::thread::spawn(move || child.wait());
            true
        })
    })
}
