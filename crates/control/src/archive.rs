//! What the daemons' databases have, over the bus: exports, reports, removal, lists, from any machine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nuncius_bus::{Bus, BusError, TypedError};
use nuncius_schemas::archive::{ArchiveFile, ArchiveFormat, ArchiveRefusal, ArchiveReply, ArchiveRequest};
use nuncius_schemas::codec;
use nuncius_schemas::comparison::ComparableRun;
use nuncius_schemas::head::{ExperimentFilter, ExperimentHead, HeadPlace};
use nuncius_schemas::names::check_token;
use nuncius_schemas::node::Role;
use nuncius_schemas::report::Report;

use crate::{ControlError, REQUEST_TIMEOUT, nodes};

/// How often an export that is being written is asked for.
const POLL: Duration = Duration::from_millis(100);
/// How long an export may take to be written.
const EXPORT_PATIENCE: Duration = Duration::from_secs(600);
/// How long all daemons may take to list what they have.
const LIST_PATIENCE: Duration = Duration::from_secs(3);

/// What the daemons said of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// One of them had it.
    Yes,
    /// None of those that answered has it.
    No,
    /// No daemon runs.
    NobodyAsked,
}

impl Found {
    /// Who was asked in vain.
    pub const fn who(self) -> &'static str {
        match self {
            Self::NobodyAsked => "no daemon runs",
            Self::Yes | Self::No => "no daemon that runs has it",
        }
    }
}

/// Asks the daemons; `None` when none is there.
async fn ask(bus: &Bus, id: &str, request: &ArchiveRequest) -> Result<Option<ArchiveReply>, ControlError> {
    check_token("experiment", id)?;
    let subject = bus.namespace().experiment_archive(id);
    match bus.request_message(&subject, "archive-request.v1", request, REQUEST_TIMEOUT).await {
        Ok(reply) => Ok(Some(reply)),
        Err(TypedError::Bus(BusError::NoResponders { .. })) => Ok(None),
        Err(error) => Err(ControlError::Unanswered(error)),
    }
}

fn refused(code: ArchiveRefusal, reason: String) -> ControlError {
    match code {
        ArchiveRefusal::Busy => ControlError::Busy(reason),
        ArchiveRefusal::Unknown
        | ArchiveRefusal::Running
        | ArchiveRefusal::Gone
        | ArchiveRefusal::Unreadable
        | ArchiveRefusal::Failed => ControlError::ArchiveRefused(reason),
    }
}

/// Removes an experiment from the database of the daemon that has it.
///
/// # Errors
/// The daemon has it and cannot remove it, or does not answer.
pub async fn remove(bus: &Bus, id: &str) -> Result<Found, ControlError> {
    match ask(bus, id, &ArchiveRequest::Remove).await? {
        Some(ArchiveReply::Done) => Ok(Found::Yes),
        Some(ArchiveReply::Refused { code: ArchiveRefusal::Unknown, .. }) => Ok(Found::No),
        Some(ArchiveReply::Refused { code, reason }) => Err(refused(code, reason)),
        Some(_) => Err(ControlError::Unexpected),
        None => Ok(Found::NobodyAsked),
    }
}

/// What was found of an export.
#[derive(Debug)]
pub enum Opened {
    /// It is being written.
    Export(Export),
    /// Nobody has the experiment.
    Nowhere(Found),
}

/// An export that a daemon keeps while it is read.
#[derive(Debug)]
pub struct Export {
    bus: Bus,
    id: String,
    export: u64,
}

/// Has an export of an experiment written by the daemon that has it.
///
/// # Errors
/// The daemon has it and cannot export it, or does not answer.
pub async fn open(bus: &Bus, id: &str, format: ArchiveFormat) -> Result<Opened, ControlError> {
    match ask(bus, id, &ArchiveRequest::Open { format }).await? {
        Some(ArchiveReply::Opened { export }) => {
            Ok(Opened::Export(Export { bus: bus.clone(), id: id.to_owned(), export }))
        }
        Some(ArchiveReply::Refused { code: ArchiveRefusal::Unknown, .. }) => Ok(Opened::Nowhere(Found::No)),
        Some(ArchiveReply::Refused { code, reason }) => Err(refused(code, reason)),
        Some(_) => Err(ControlError::Unexpected),
        None => Ok(Opened::Nowhere(Found::NobodyAsked)),
    }
}

impl Export {
    /// Its files, once they are written.
    ///
    /// # Errors
    /// The daemon cannot write it, or does not answer any more.
    pub async fn files(&self) -> Result<Vec<ArchiveFile>, ControlError> {
        let deadline = Instant::now() + EXPORT_PATIENCE;
        loop {
            match ask(&self.bus, &self.id, &ArchiveRequest::List { export: self.export }).await? {
                Some(ArchiveReply::Files { files }) => return Ok(files),
                Some(ArchiveReply::Writing) if Instant::now() < deadline => tokio::time::sleep(POLL).await,
                Some(ArchiveReply::Writing) => return Err(ControlError::ExportSlow(EXPORT_PATIENCE)),
                Some(ArchiveReply::Refused { code, reason }) => return Err(refused(code, reason)),
                Some(_) => return Err(ControlError::Unexpected),
                None => return Err(ControlError::DaemonGone),
            }
        }
    }

    /// The bytes of a file from an offset on, at least one.
    ///
    /// # Errors
    /// The daemon does not answer any more, or there is no such piece.
    pub async fn piece(&self, index: u32, file: &ArchiveFile, offset_bytes: u64) -> Result<Bytes, ControlError> {
        match ask(&self.bus, &self.id, &ArchiveRequest::Read { export: self.export, file: index, offset_bytes }).await?
        {
            Some(ArchiveReply::Piece { bytes }) if !bytes.is_empty() => Ok(bytes.into()),
            Some(ArchiveReply::Piece { .. }) => {
                Err(ControlError::ExportShort { file: file.name.clone(), offset_bytes })
            }
            Some(ArchiveReply::Refused { code, reason }) => Err(refused(code, reason)),
            Some(_) => Err(ControlError::Unexpected),
            None => Err(ControlError::DaemonGone),
        }
    }

    /// Lets it go; one that is not closed goes by itself after a while.
    pub async fn close(self) {
        let _ = ask(&self.bus, &self.id, &ArchiveRequest::Close { export: self.export }).await;
    }

    /// Gives `put` each piece with its file and its place there, at least one a file.
    async fn each<E: From<ControlError>>(
        &self,
        put: &mut impl FnMut(&ArchiveFile, u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for (file, index) in self.files().await?.iter().zip(0u32..) {
            let mut offset_bytes = 0u64;
            if file.size_bytes == 0 {
                put(file, 0, &[])?;
            }
            while offset_bytes < file.size_bytes {
                let bytes = self.piece(index, file, offset_bytes).await?;
                put(file, offset_bytes, &bytes)?;
                offset_bytes += bytes.len() as u64;
            }
        }
        Ok(())
    }
}

/// Fetches an export piece by piece; `put` is given each piece with its file and its place there, at least one a file.
///
/// # Errors
/// The daemon has the experiment and cannot export it, or does not answer any more; what `put` refuses.
pub async fn export<E: From<ControlError>>(
    bus: &Bus,
    id: &str,
    format: ArchiveFormat,
    put: &mut impl FnMut(&ArchiveFile, u64, &[u8]) -> Result<(), E>,
) -> Result<Found, E> {
    let export = match open(bus, id, format).await? {
        Opened::Export(export) => export,
        Opened::Nowhere(found) => return Ok(found),
    };
    let outcome = export.each(put).await;
    export.close().await;
    outcome.map(|()| Found::Yes)
}

async fn whole(bus: &Bus, id: &str, format: ArchiveFormat) -> Result<Option<Vec<u8>>, ControlError> {
    let mut bytes = Vec::new();
    let mut put = |_: &ArchiveFile, _: u64, piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    match export::<ControlError>(bus, id, format, &mut put).await? {
        Found::Yes => Ok(Some(bytes)),
        Found::No | Found::NobodyAsked => Ok(None),
    }
}

/// The report of an experiment from the database of the daemon that has it; `None` when none has it.
///
/// # Errors
/// The daemon has it and cannot give it, or does not answer.
pub async fn report(bus: &Bus, id: &str) -> Result<Option<Report>, ControlError> {
    let Some(bytes) = whole(bus, id, ArchiveFormat::Report).await? else { return Ok(None) };
    codec::decode(&bytes).map(Some).map_err(|source| ControlError::Document { what: "the report", source })
}

/// What of an experiment is compared with another, from the database of the daemon that has it; `None` when none has
/// it.
///
/// # Errors
/// The daemon has it and cannot give it, or does not answer.
pub async fn comparable(bus: &Bus, id: &str) -> Result<Option<ComparableRun>, ControlError> {
    let Some(bytes) = whole(bus, id, ArchiveFormat::Comparable).await? else { return Ok(None) };
    codec::decode_own(&bytes).map(Some).map_err(|source| ControlError::Document { what: "what is compared", source })
}

/// What daemons have stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    /// In the order of [`HeadPlace`], each once.
    pub experiments: Vec<ExperimentHead>,
    /// Whether there are more after the last one.
    pub more: bool,
    /// Daemons that are there and did not answer, or could not.
    pub silent: usize,
}

/// The experiments that all daemons have stored and that come after a place, at most so many.
///
/// # Errors
/// When nobody can be asked. A daemon that does not answer in time is counted.
pub async fn find(
    bus: &Bus,
    filter: &ExperimentFilter,
    after: Option<&HeadPlace>,
    limit: usize,
) -> Result<Stored, ControlError> {
    let daemons = nodes::list(bus).await?.into_iter().filter(|node| node.role == Role::Experimentd).count();
    if daemons == 0 {
        return Ok(Stored::default());
    }
    let request = ArchiveRequest::Find {
        filter: Box::new(filter.clone()),
        after: after.cloned(),
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
    };
    let question = codec::encode(&request).map_err(|source| ControlError::Document { what: "the question", source })?;
    let subject = bus.namespace().experiments_archive();
    let answers = bus.ask_all(&subject, question.into(), LIST_PATIENCE, daemons).await?;
    let mut stored = Stored { silent: daemons.saturating_sub(answers.len()), ..Stored::default() };
    let mut all: BTreeMap<String, ExperimentHead> = BTreeMap::new();
    // A daemon that has more than it told: nothing beyond its last one is known of it.
    let mut horizon: Option<HeadPlace> = None;
    for answer in &answers {
        match codec::decode::<ArchiveReply>(answer) {
            Ok(ArchiveReply::Found { experiments, more }) => {
                if more && let Some(last) = experiments.last().map(ExperimentHead::place) {
                    stored.more = true;
                    if horizon.as_ref().is_none_or(|known| known.is_after(&last)) {
                        horizon = Some(last);
                    }
                }
                all.extend(experiments.into_iter().map(|head| (head.id.clone(), head)));
            }
            Ok(_) | Err(_) => stored.silent += 1,
        }
    }
    stored.experiments = all.into_values().collect();
    if let Some(horizon) = horizon {
        stored.experiments.retain(|head| !head.place().is_after(&horizon));
    }
    sort(&mut stored.experiments);
    Ok(stored)
}

/// Puts the latest first.
pub(crate) fn sort(heads: &mut [ExperimentHead]) {
    heads.sort_by(|a, b| b.submitted_unix_ms.cmp(&a.submitted_unix_ms).then_with(|| a.id.cmp(&b.id)));
}
