//! What a daemon's database has, for whoever asks over the bus: exports in pieces, removal.

use std::collections::BTreeMap;
use std::io::{BufWriter, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nuncius_bus::{Bus, Message, Subscription};
use nuncius_schemas::archive::{ArchiveFile, ArchiveFormat, ArchiveRefusal, ArchiveReply, ArchiveRequest};
use nuncius_schemas::codec;
use nuncius_schemas::head::{ExperimentFilter, ExperimentHead, HeadPlace};
use nuncius_schemas::names::check_token;
use nuncius_store::{Store, StoreError, export};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::daemon::Daemon;

/// Exports that are kept at a time.
const EXPORTS_MAX: usize = 4;
/// How long an export is kept after the last request for it.
const EXPORT_PATIENCE: Duration = Duration::from_secs(60);
/// Most bytes of a piece; half of what the server takes where that is less.
const PIECE_BYTES_MAX: usize = 128 * 1024;
/// How long a daemon that does not have an experiment leaves the word to one that has it.
const UNKNOWN_PAUSE: Duration = Duration::from_millis(500);
/// Most experiments of a list.
const FOUND_MAX: usize = 100;
/// Most bytes of a list, and what an experiment takes at most in it beside its tags.
const FOUND_MAX_BYTES: usize = 256 * 1024;
const HEAD_MAX_BYTES: usize = 2 * 1024;
/// Rows that are looked at together.
const ROWS_AT_ONCE: u32 = 200;

/// Everything that is being exported.
#[derive(Clone)]
struct Archive {
    daemon: Daemon,
    exports: Arc<Mutex<BTreeMap<u64, Export>>>,
}

/// An export; its files go with it.
struct Export {
    experiment: String,
    directory: PathBuf,
    /// `None` while it is written.
    outcome: Option<Result<Vec<ArchiveFile>, Refusal>>,
    asked: Instant,
}

impl Drop for Export {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.directory)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            warn!(%error, directory = %self.directory.display(), "an export cannot be removed");
        }
    }
}

/// Why something is not done.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
struct Refusal {
    code: ArchiveRefusal,
    reason: String,
}

impl Refusal {
    fn new(code: ArchiveRefusal, reason: impl ToString) -> Self {
        Self { code, reason: reason.to_string() }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let is_unknown = matches!(&error, StoreError::NotFound { .. });
        Self::new(if is_unknown { ArchiveRefusal::Unknown } else { ArchiveRefusal::Failed }, error)
    }
}

/// Answers until the daemon ends; a task for each request, so that a long export holds up nobody.
pub(crate) async fn serve(daemon: Daemon, mut requests: Subscription) {
    let shutdown: CancellationToken = daemon.shutdown.clone();
    let tasks: TaskTracker = daemon.tasks.clone();
    let archive = Archive { daemon, exports: Arc::default() };
    let mut sweep = tokio::time::interval(EXPORT_PATIENCE / 4);
    loop {
        tokio::select! {
            message = requests.next() => {
                let Some(message) = message else { return };
                let archive = archive.clone();
                tasks.spawn(async move { archive.answer(&message).await });
            }
            _ = sweep.tick() => archive.sweep(),
            () = shutdown.cancelled() => return,
        }
    }
}

/// The experiment that a request is about.
fn experiment_of(bus: &Bus, subject: &str) -> Option<String> {
    let everything = bus.namespace().experiment_archive("*");
    let (before, after) = everything.split_once('*')?;
    let id = subject.strip_prefix(before)?.strip_suffix(after)?;
    check_token("experiment", id).is_ok().then(|| id.to_owned())
}

impl Archive {
    async fn answer(&self, message: &Message) {
        if message.subject == self.daemon.bus.namespace().experiments_archive() {
            return self.answer_all(message).await;
        }
        let Some(id) = experiment_of(&self.daemon.bus, &message.subject) else { return };
        let reply = match message.decode::<ArchiveRequest>() {
            Ok(request) => match self.obey(&id, request).await {
                Ok(Some(reply)) => reply,
                // Another daemon's export.
                Ok(None) => return,
                Err(Refusal { code, reason }) => {
                    if code == ArchiveRefusal::Unknown {
                        tokio::time::sleep(UNKNOWN_PAUSE).await;
                    }
                    ArchiveReply::Refused { code, reason }
                }
            },
            Err(error) => ArchiveReply::Refused { code: ArchiveRefusal::Unreadable, reason: error.to_string() },
        };
        if let Err(error) = message.respond_message("archive-reply.v1", &reply).await {
            warn!(%error, experiment = %id, "archive request not answered");
        }
    }

    /// Answers what is asked of all experiments.
    async fn answer_all(&self, message: &Message) {
        let reply = match message.decode::<ArchiveRequest>() {
            Ok(ArchiveRequest::Find { filter, after, limit }) => self
                .find(&filter, after, limit)
                .await
                .unwrap_or_else(|Refusal { code, reason }| ArchiveReply::Refused { code, reason }),
            Ok(
                ArchiveRequest::Open { .. }
                | ArchiveRequest::List { .. }
                | ArchiveRequest::Read { .. }
                | ArchiveRequest::Close { .. }
                | ArchiveRequest::Remove,
            ) => {
                let reason = "that is asked of one experiment".to_owned();
                ArchiveReply::Refused { code: ArchiveRefusal::Unreadable, reason }
            }
            Err(error) => ArchiveReply::Refused { code: ArchiveRefusal::Unreadable, reason: error.to_string() },
        };
        if let Err(error) = message.respond_message("archive-reply.v1", &reply).await {
            warn!(%error, "archive request not answered");
        }
    }

    /// The experiments that are meant, as many as fit into a message.
    async fn find(
        &self,
        filter: &ExperimentFilter,
        mut after: Option<HeadPlace>,
        limit: u32,
    ) -> Result<ArchiveReply, Refusal> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).clamp(1, FOUND_MAX);
        let mut experiments = Vec::new();
        let mut room_bytes = FOUND_MAX_BYTES;
        loop {
            let rows = self.daemon.store.heads(after.as_ref(), ROWS_AT_ONCE).await?;
            let is_last = rows.len() < ROWS_AT_ONCE as usize;
            after = rows.last().map(ExperimentHead::place);
            for head in rows.into_iter().filter(|head| filter.takes(head)) {
                let tags_bytes: usize = head.tags.iter().map(|(name, value)| name.len() + value.len()).sum();
                let rest = room_bytes.checked_sub(HEAD_MAX_BYTES + tags_bytes);
                let Some(rest) = rest.filter(|_| experiments.len() < limit) else {
                    return Ok(ArchiveReply::Found { experiments, more: true });
                };
                room_bytes = rest;
                experiments.push(head);
            }
            if is_last {
                return Ok(ArchiveReply::Found { experiments, more: false });
            }
        }
    }

    async fn obey(&self, id: &str, request: ArchiveRequest) -> Result<Option<ArchiveReply>, Refusal> {
        match request {
            ArchiveRequest::Open { format } => self.open(id, format).await.map(Some),
            ArchiveRequest::List { export } => {
                let outcome = self.with(id, export, |export| export.outcome.clone());
                Ok(match outcome {
                    Some(Some(outcome)) => Some(ArchiveReply::Files { files: outcome? }),
                    Some(None) => Some(ArchiveReply::Writing),
                    None => None,
                })
            }
            ArchiveRequest::Read { export, file, offset_bytes } => self.read(id, export, file, offset_bytes).await,
            ArchiveRequest::Close { export } => {
                let is_ours = self.with(id, export, |_| ()).is_some();
                let closed = self.lock().remove(&export).filter(|_| is_ours);
                Ok(closed.map(|_| ArchiveReply::Done))
            }
            ArchiveRequest::Find { .. } => {
                Err(Refusal::new(ArchiveRefusal::Unreadable, "that is asked of all experiments"))
            }
            ArchiveRequest::Remove => {
                if self.daemon.is_ours(id) {
                    return Err(Refusal::new(ArchiveRefusal::Running, format!("experiment {id} has not ended")));
                }
                self.daemon.remember_removed(id);
                let removed = self.daemon.store.remove(id).await?;
                let unknown = || Refusal::new(ArchiveRefusal::Unknown, format!("there is no experiment {id}"));
                removed.then_some(Some(ArchiveReply::Done)).ok_or_else(unknown)
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Export>> {
        self.exports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at an export of an experiment, and keeps it for longer.
    fn with<T>(&self, id: &str, export: u64, look: impl FnOnce(&Export) -> T) -> Option<T> {
        let mut exports = self.lock();
        let export = exports.get_mut(&export).filter(|export| export.experiment == id)?;
        export.asked = Instant::now();
        Some(look(export))
    }

    /// Removes what nobody asks for any more; what is still written stays.
    fn sweep(&self) {
        self.lock().retain(|_, export| export.outcome.is_none() || export.asked.elapsed() < EXPORT_PATIENCE);
    }

    async fn open(&self, id: &str, format: ArchiveFormat) -> Result<ArchiveReply, Refusal> {
        let store = self.daemon.store.clone();
        store.experiment(id).await?;
        if format == ArchiveFormat::Report && store.report(id).await?.is_none() {
            return Err(no_report(id));
        }
        self.sweep();
        let export = fastrand::u64(..);
        let directory = std::env::temp_dir().join(format!("nuncius-export-{}-{export:016x}", std::process::id()));
        {
            let mut exports = self.lock();
            if exports.len() >= EXPORTS_MAX {
                let reason = format!("{EXPORTS_MAX} exports are under way or were not fetched: try again in a minute");
                return Err(Refusal::new(ArchiveRefusal::Busy, reason));
            }
            let failed = |error| Refusal::new(ArchiveRefusal::Failed, format!("{}: {error}", directory.display()));
            std::fs::DirBuilder::new().mode(0o700).create(&directory).map_err(failed)?;
            let (experiment, directory) = (id.to_owned(), directory.clone());
            exports.insert(export, Export { experiment, directory, outcome: None, asked: Instant::now() });
        }
        let (archive, id) = (self.clone(), id.to_owned());
        self.daemon.tasks.spawn(async move {
            let shutdown = archive.daemon.shutdown.clone();
            let outcome = tokio::select! {
                outcome = write(&store, &id, format, &directory) => outcome,
                () = shutdown.cancelled() => Err(Refusal::new(ArchiveRefusal::Failed, "the daemon is shutting down")),
            };
            if let Some(export) = archive.lock().get_mut(&export) {
                export.outcome = Some(outcome);
                export.asked = Instant::now();
            }
        });
        Ok(ArchiveReply::Opened { export })
    }

    async fn read(&self, id: &str, export: u64, file: u32, offset_bytes: u64) -> Result<Option<ArchiveReply>, Refusal> {
        let found = self.with(id, export, |export| {
            let files = export.outcome.as_ref().and_then(|outcome| outcome.as_ref().ok());
            let file = files.and_then(|files| files.get(usize::try_from(file).unwrap_or(usize::MAX)));
            file.map(|file| export.directory.join(&file.name))
        });
        let Some(path) = found else { return Ok(None) };
        let path = path.ok_or_else(|| Refusal::new(ArchiveRefusal::Gone, "there is no such file in the export"))?;
        let length = PIECE_BYTES_MAX.min(self.daemon.bus.max_payload_bytes() / 2);
        let read = move || piece(&path, offset_bytes, length);
        let bytes = tokio::task::spawn_blocking(read).await.map_err(|e| Refusal::new(ArchiveRefusal::Failed, e))?;
        Ok(Some(ArchiveReply::Piece { bytes: bytes.map_err(|e| Refusal::new(ArchiveRefusal::Failed, e))? }))
    }
}

fn piece(path: &Path, offset_bytes: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(offset_bytes))?;
    let mut bytes = Vec::new();
    file.take(length as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn no_report(id: &str) -> Refusal {
    Refusal::new(ArchiveRefusal::Unknown, format!("there is no report of {id}"))
}

/// Writes an export into its directory.
async fn write(store: &Store, id: &str, format: ArchiveFormat, directory: &Path) -> Result<Vec<ArchiveFile>, Refusal> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| {
        Refusal::new(ArchiveRefusal::Failed, format!("{}: {error}", path.display()))
    };
    let paths = match format {
        ArchiveFormat::Csv => export::csv(store, id, directory).await?,
        ArchiveFormat::Parquet => export::parquet(store, id, directory).await?,
        ArchiveFormat::Galileo => export::galileo(store, id, directory).await?,
        ArchiveFormat::Json => {
            let path = directory.join(format!("{id}.json"));
            let file = std::fs::File::create(&path).map_err(|error| failed(&path, &error))?;
            export::json(store, id, BufWriter::new(file)).await?;
            vec![path]
        }
        ArchiveFormat::Comparable => {
            let path = directory.join(format!("{id}-comparable.msgpack"));
            let run = store.comparable(id).await?;
            let bytes = codec::encode(&run).map_err(|error| failed(&path, &error))?;
            std::fs::write(&path, bytes).map_err(|error| failed(&path, &error))?;
            vec![path]
        }
        ArchiveFormat::Report => {
            let path = directory.join(format!("{id}-report.json"));
            let report = store.report(id).await?.ok_or_else(|| no_report(id))?;
            let bytes = serde_json::to_vec(&report).map_err(|error| failed(&path, &error))?;
            std::fs::write(&path, bytes).map_err(|error| failed(&path, &error))?;
            vec![path]
        }
    };
    let file = |path: &PathBuf| {
        let name = path.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default().to_owned();
        let metadata = std::fs::metadata(path).map_err(|error| failed(path, &error))?;
        Ok(ArchiveFile { name, size_bytes: metadata.len() })
    };
    paths.iter().map(file).collect()
}
