//! The files of arrivals that an experiment names, read from its bundle: whoever makes a schedule needs what is in
//! them.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use nuncius_bundle::{BundleError, Limits, read_through};
use nuncius_bus::apps::{self, AppError};
use nuncius_bus::{Bus, BusError};
use nuncius_load::recorded::{RecordedError, read};
use nuncius_schemas::spec::{ExperimentSpec, Instants, RecordedArrivals};
use tokio::sync::mpsc;

/// Pieces of a bundle that wait to be read.
const PIECES_AHEAD: usize = 8;
/// How long the next piece may take to come.
const PIECE_PATIENCE: Duration = Duration::from_secs(30);

/// Why it is not known what a file of arrivals holds.
#[derive(Debug, thiserror::Error)]
pub enum ArrivalsError {
    /// The experiment has no bundle that it could be in.
    #[error("{field}: the file {file} travels in a bundle, and the experiment has none")]
    NoBundle {
        /// Path of the field.
        field: String,
        /// The file.
        file: String,
    },
    /// The bundle has no such file.
    #[error("{field}: there is no {file} in the bundle")]
    Absent {
        /// Path of the field.
        field: String,
        /// The file.
        file: String,
    },
    /// What is in it cannot be offered.
    #[error("{field}: {file}: {source}")]
    File {
        /// Path of the field.
        field: String,
        /// The file.
        file: String,
        /// What is wrong with it.
        source: RecordedError,
    },
    /// The bundle is not there.
    #[error("bundle: {bundle}: it is not in the store of bundles: deploy it again")]
    NotStored {
        /// Which.
        bundle: String,
    },
    /// The bundle is damaged, or too large.
    #[error("bundle: {0}")]
    Bundle(#[from] BundleError),
    /// The bus.
    #[error("bundle: {0}")]
    App(#[from] AppError),
    /// A mistake in this program.
    #[error("bundle: reading it failed in this process's own program: see its log")]
    Program,
}

impl ArrivalsError {
    /// The path of the field that is wrong.
    pub fn field(&self) -> &str {
        match self {
            Self::NoBundle { field, .. } | Self::Absent { field, .. } | Self::File { field, .. } => field,
            Self::NotStored { .. } | Self::Bundle(_) | Self::App(_) | Self::Program => "bundle",
        }
    }
}

/// A file that a group wants.
struct Wanted {
    group: usize,
    duration_ns: u64,
    recorded: RecordedArrivals,
}

impl Wanted {
    fn field(&self) -> String {
        format!("groups[{}].arrivals.file", self.group)
    }

    fn read(&self, contents: &mut dyn Read) -> Result<Instants, ArrivalsError> {
        let mut contents = contents;
        read(&mut contents, &self.recorded, self.duration_ns).map_err(|source| ArrivalsError::File {
            field: self.field(),
            file: self.recorded.file.clone(),
            source,
        })
    }
}

/// By the path of the file.
type Files = BTreeMap<String, Vec<Wanted>>;

fn files_of(spec: &mut ExperimentSpec) -> Files {
    let mut files = Files::new();
    for (group, duration_ns, recorded) in spec.recorded_mut() {
        let recorded = recorded.clone();
        files.entry(recorded.file.clone()).or_default().push(Wanted { group, duration_ns, recorded });
    }
    files
}

fn put(spec: &mut ExperimentSpec, mut found: BTreeMap<usize, Instants>) {
    for (group, _, recorded) in spec.recorded_mut() {
        recorded.instants = found.remove(&group);
    }
}

/// Reads the files of arrivals that an experiment names from its bundle, whose bytes these are.
///
/// # Errors
/// A file that is not there, and the first row that cannot be; what no bundle may have.
pub fn fill(spec: &mut ExperimentSpec, packed: impl Read, digest: &str, limits: &Limits) -> Result<(), ArrivalsError> {
    if spec.wants_instants() {
        let found = read_files(&files_of(spec), packed, digest, limits)?;
        put(spec, found);
    }
    Ok(())
}

/// The same from the store of bundles on the bus.
///
/// # Errors
/// As [`fill`], and where the bundle does not come.
pub async fn fetch(bus: &Bus, spec: &mut ExperimentSpec, limits: Limits) -> Result<(), ArrivalsError> {
    if !spec.wants_instants() {
        return Ok(());
    }
    let files = files_of(spec);
    let Some(bundle) = spec.bundle.clone() else {
        let first = files.into_values().flatten().next();
        let (field, file) = first.map(|wanted| (wanted.field(), wanted.recorded.file)).unwrap_or_default();
        return Err(ArrivalsError::NoBundle { field, file });
    };
    if bundle.bytes > limits.packed_bytes() {
        return Err(BundleError::TooLarge { limit_bytes: limits.unpacked_bytes }.into());
    }
    let not_stored = || ArrivalsError::NotStored { bundle: bundle.shown() };
    let mut reader = apps::open(bus, &bundle).await?.ok_or_else(not_stored)?;
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let digest = bundle.digest.clone();
    // It works while more comes in.
    let reading = tokio::task::spawn_blocking(move || {
        let pieces = Pieces { receiver, piece: Bytes::new() };
        read_files(&files, pieces, &digest, &limits)
    });
    loop {
        let stalled = |_| BusError::Timeout { what: format!("bundle {}", bundle.shown()), after: PIECE_PATIENCE };
        let next = tokio::time::timeout(PIECE_PATIENCE, reader.next()).await.map_err(stalled);
        let Some(piece) = next.flatten().map_err(AppError::from)? else { break };
        // Whoever reads has found something wrong: it says what.
        if sender.send(piece).await.is_err() {
            break;
        }
    }
    drop(sender);
    let found = reading.await.map_err(|_| ArrivalsError::Program)??;
    put(spec, found);
    Ok(())
}

fn read_files(
    files: &Files,
    packed: impl Read,
    digest: &str,
    limits: &Limits,
) -> Result<BTreeMap<usize, Instants>, ArrivalsError> {
    let mut found: BTreeMap<usize, Result<Instants, ArrivalsError>> = BTreeMap::new();
    read_through(packed, digest, limits, &mut |path, contents| {
        match files.get(path).map(Vec::as_slice).unwrap_or_default() {
            [] => {}
            [wanted] => drop(found.insert(wanted.group, wanted.read(contents))),
            // It comes once.
            several => {
                let mut bytes = Vec::new();
                let whole = contents.read_to_end(&mut bytes);
                if whole.is_ok() {
                    found.extend(several.iter().map(|wanted| (wanted.group, wanted.read(&mut bytes.as_slice()))));
                }
            }
        }
    })?;
    let mut all = BTreeMap::new();
    for wanted in files.values().flatten() {
        let absent = || ArrivalsError::Absent { field: wanted.field(), file: wanted.recorded.file.clone() };
        all.insert(wanted.group, found.remove(&wanted.group).ok_or_else(absent)??);
    }
    Ok(all)
}

/// What comes over the bus, for whoever reads and waits.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(buffer.len());
        let piece = self.piece.split_to(length);
        if let Some(buffer) = buffer.get_mut(..length) {
            buffer.copy_from_slice(&piece);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use nuncius_bundle::pack_files;

    use super::*;

    fn spec(arrivals: &[&str]) -> ExperimentSpec {
        let group = |(at, arrivals): (usize, &&str)| {
            format!("{{name: g{at}, target: 'http://h/', duration: 10s, arrivals: {arrivals}}}")
        };
        let groups: Vec<String> = arrivals.iter().enumerate().map(group).collect();
        nuncius_schemas::codec::from_text(&format!("groups: [{}]", groups.join(", "))).unwrap()
    }

    fn filled(arrivals: &[&str]) -> Result<Vec<Vec<u64>>, String> {
        let directory = std::env::temp_dir().join(format!("nuncius-arrivals-{}", fastrand::u64(..)));
        std::fs::create_dir_all(&directory).unwrap();
        for (name, text) in [("experiment.yaml", "x"), ("a.csv", "at,gap\n1,1\n3,2\n"), ("b.csv", "0.5\n0.25\n")] {
            std::fs::write(directory.join(name), text).unwrap();
        }
        let paths = ["a.csv".to_owned(), "b.csv".to_owned()];
        let packed = pack_files(&directory, "shop", "experiment.yaml", &paths, &Limits::default()).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        let mut spec = spec(arrivals);
        let digest = packed.manifest.reference().digest;
        fill(&mut spec, packed.bytes.as_slice(), &digest, &Limits::default()).map_err(|error| error.to_string())?;
        assert!(!spec.wants_instants());
        Ok(spec.recorded_mut().map(|(_, _, recorded)| recorded.instants.clone().unwrap().0.to_vec()).collect())
    }

    #[test]
    fn groups_get_what_their_files_hold_each_in_its_own_way() {
        let found = filled(&[
            "{file: a.csv, column: gap, values: gaps}",
            "poisson",
            "{file: a.csv, speed: 2}",
            "{file: b.csv, values: gaps}",
        ]);
        let expected =
            [vec![1_000_000_000, 3_000_000_000], vec![500_000_000, 1_500_000_000], vec![500_000_000, 750_000_000]];
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_field_its_file_and_its_row() {
        for (arrivals, words) in [
            ("{file: c.csv}", "groups[0].arrivals.file: there is no c.csv in the bundle"),
            ("{file: b.csv}", "groups[0].arrivals.file: b.csv: row 2: 0.250000000 is before 0.500000000"),
            (
                "{file: a.csv, column: x}",
                "groups[0].arrivals.file: a.csv: its first line names no column `x`, but at, gap",
            ),
        ] {
            assert!(filled(&[arrivals]).unwrap_err().contains(words), "{arrivals}: {:?}", filled(&[arrivals]));
        }
    }
}
