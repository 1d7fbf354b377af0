//! A real Chromium without a window, driven over a pipe by its DevTools protocol: pages are opened from disk, measured,
//! pictured and printed.
#![allow(clippy::indexing_slicing, reason = "a field of a JSON value that is not there reads as null")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};

use crate::{TempDir, TestkitError};

/// Messages of the browser that may wait to be read.
const MESSAGES_MAX: usize = 1_024;

/// How long an answer may take, the first start on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Descriptors 3 and 4 are what `--remote-debugging-pipe` reads and writes. Nothing is asked of any network.
const SCRIPT: &str = r#"exec "$1" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
  --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars \
  --user-data-dir="$2" --remote-debugging-pipe about:blank 3<&0 4>&1 0</dev/null 1>/dev/null 2>"$2/log""#;

/// Colours that a page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// A browser with one page; killed and its files removed on drop.
#[derive(Debug)]
pub struct Browser {
    // Declared before the directory: the process must be gone before its files are.
    process: Process,
    messages: Receiver<Value>,
    session: String,
    next_id: u64,
    /// What the page complained of since it was opened.
    complaints: Vec<String>,
    _directory: TempDir,
}

#[derive(Debug)]
struct Process {
    child: Child,
    input: ChildStdin,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn failed(what: &str, error: impl std::fmt::Display) -> TestkitError {
    TestkitError::Start(format!("chromium: {what}: {error}"))
}

impl Browser {
    /// Starts `chromium` from PATH with an empty profile.
    ///
    /// # Errors
    /// [`TestkitError::NoBinary`] where there is none, [`TestkitError::Start`] where it does not answer.
    pub fn start() -> Result<Self, TestkitError> {
        let found = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
        let binary = found.into_iter().find(|path| Path::new(path).exists()).ok_or_else(|| {
            TestkitError::NoBinary("no Chromium: run scripts/setup --test, which installs it".to_owned())
        })?;
        let directory = TempDir::new("browser").map_err(|error| failed("temporary directory", error))?;
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "sh", binary])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed("sh", error))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("start", "no pipes"));
        };
        let (sender, messages) = sync_channel(MESSAGES_MAX);
        std::thread::spawn(move || read(output, &sender));
        let process = Process { child, input };
        let mut browser = Self {
            process,
            messages,
            session: String::new(),
            next_id: 0,
            complaints: Vec::new(),
            _directory: directory,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach)?;
        browser.session = attached["sessionId"].as_str().unwrap_or_default().to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({}))?;
        }
        Ok(browser)
    }

    /// Opens a file in a window of this width and waits until it is loaded; returns what it complained of meanwhile:
    /// errors and warnings of its console, exceptions, refused loads.
    ///
    /// # Errors
    /// [`TestkitError::Start`] when the browser does not answer.
    pub fn open(&mut self, file: &Path, width: u32, scheme: Scheme) -> Result<Vec<String>, TestkitError> {
        self.open_url(&format!("file://{}", file.display()), width, scheme)
    }

    /// The same of an address.
    ///
    /// # Errors
    /// [`TestkitError::Start`] when the browser does not answer.
    pub fn open_url(&mut self, url: &str, width: u32, scheme: Scheme) -> Result<Vec<String>, TestkitError> {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size)?;
        let value = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.call("Emulation.setEmulatedMedia", features)?;
        self.complaints.clear();
        self.call("Page.navigate", json!({ "url": url }))?;
        self.until(|message| message["method"] == "Page.loadEventFired")?;
        // A turn of its own: what the page does after it was loaded has happened then.
        self.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")?;
        Ok(self.complaints.clone())
    }

    /// The value of an expression in the page; of a promise, what it becomes.
    ///
    /// # Errors
    /// [`TestkitError::Start`] with what the page threw, or when it does not answer.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value, TestkitError> {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", asked)?;
        if !answer["exceptionDetails"].is_null() {
            return Err(failed("evaluate", &answer["exceptionDetails"]));
        }
        Ok(answer["result"]["value"].take())
    }

    /// What the page's scripts hold, in bytes, once everything is thrown away that nobody needs.
    ///
    /// # Errors
    /// [`TestkitError::Start`] when the browser does not answer.
    pub fn heap_bytes(&mut self) -> Result<u64, TestkitError> {
        // What the first collection finalises the second one frees.
        for _ in 0..2 {
            self.call("HeapProfiler.collectGarbage", json!({}))?;
        }
        let told = self.call("Runtime.getHeapUsage", json!({}))?;
        told["usedSize"].as_f64().map(|bytes| bytes as u64).ok_or_else(|| failed("heap", &told))
    }

    /// Writes a picture of the whole page as PNG.
    ///
    /// # Errors
    /// [`TestkitError::Start`].
    pub fn screenshot(&mut self, to: &Path) -> Result<(), TestkitError> {
        let answer = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true, "format": "png" }))?;
        write(&answer, to)
    }

    /// Writes a picture of what the window shows as PNG.
    ///
    /// # Errors
    /// [`TestkitError::Start`].
    pub fn screenshot_of_window(&mut self, to: &Path) -> Result<(), TestkitError> {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" }))?;
        write(&answer, to)
    }

    /// Prints the page as PDF, with its backgrounds, on A4.
    ///
    /// # Errors
    /// [`TestkitError::Start`].
    pub fn print(&mut self, to: &Path) -> Result<(), TestkitError> {
        let paper =
            json!({ "printBackground": true, "preferCSSPageSize": true, "paperWidth": 8.27, "paperHeight": 11.7 });
        let answer = self.call("Page.printToPDF", paper)?;
        write(&answer, to)
    }

    fn call(&mut self, method: &str, params: Value) -> Result<Value, TestkitError> {
        self.next_id += 1;
        let id = self.next_id;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty()
            && let Some(message) = message.as_object_mut()
        {
            message.insert("sessionId".to_owned(), self.session.clone().into());
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.process.input.write_all(&bytes).map_err(|error| failed(method, error))?;
        let mut answer = self.until(|message| message["id"] == id)?;
        if !answer["error"].is_null() {
            return Err(failed(method, &answer["error"]));
        }
        Ok(answer["result"].take())
    }

    /// The next message like that; what the page complains of on the way is kept.
    fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value, TestkitError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left).map_err(|error| match error {
                RecvTimeoutError::Timeout => failed("no answer", format!("within {PATIENCE:?}")),
                RecvTimeoutError::Disconnected => failed("no answer", "it has ended"),
            })?;
            self.complaints.extend(complaint(&message));
            if wanted(&message) {
                return Ok(message);
            }
        }
    }
}

/// What a message says of an error or a warning of the page.
fn complaint(message: &Value) -> Option<String> {
    let params = &message["params"];
    match message["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
        "Runtime.consoleAPICalled" => {
            ["error", "warning", "assert"].contains(&params["type"].as_str()?).then(|| params["args"].to_string())
        }
        "Log.entryAdded" => {
            ["error", "warning"].contains(&params["entry"]["level"].as_str()?).then(|| params["entry"].to_string())
        }
        _ => None,
    }
}

/// Messages end with a byte of 0.
fn read(output: ChildStdout, messages: &SyncSender<Value>) {
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    while output.read_until(0, &mut bytes).is_ok_and(|read| read > 0) {
        bytes.pop();
        let Ok(message) = serde_json::from_slice(&bytes) else { return };
        if messages.send(message).is_err() {
            return;
        }
        bytes.clear();
    }
}

fn write(answer: &Value, to: &Path) -> Result<(), TestkitError> {
    let data = answer["data"].as_str().unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD.decode(data).map_err(|error| failed("picture", error))?;
    std::fs::write(to, bytes).map_err(|error| failed(&to.display().to_string(), error))
}
