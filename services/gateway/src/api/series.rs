//! Figures over time, with as many points as are wanted: of counts the sums, of levels the least, the greatest and the
//! last, so that no peak is lost.

use nuncius_bus::tail::Start;
use nuncius_control::ControlError;
use nuncius_schemas::codec;
use nuncius_schemas::report::{GateReport, Report};
use nuncius_schemas::run::RunRecord;
use nuncius_schemas::second::ExperimentSecond;
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::steps::ITERATION;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::OwnedMutexGuard;

use super::asked::Asked;
use super::state::ApiState;
use crate::live::Place;
use crate::problem::Problem;

pub(super) mod cache;
mod decimated;
mod fared;
mod folded;
mod heated;
mod row;
mod standing;
mod track;

use decimated::Decimated;
pub(super) use fared::NodesOverTime;
use folded::Folded;
use track::Track;

/// Points of a series where nobody says.
const POINTS_USUAL: usize = 600;
/// Most points of all series of an answer together.
const POINTS_ALL_MAX: usize = 20_000;
/// Most cells of all heat maps of an answer together: those of iterations come first, and a series whose map finds no
/// room has none. Asked for alone it has.
const CELLS_ALL_MAX: usize = 20_000;

/// The figures of an experiment over time.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Series {
    /// Its id.
    experiment: String,
    /// `seconds` while it runs, `report` afterwards.
    source: &'static str,
    /// Where to go on with the live stream: `live?after=…`; absent with a report.
    after: Option<String>,
    /// Seconds of load in all, when that is known.
    seconds_total: Option<u32>,
    /// The daemon's wall clock at second 0, in milliseconds since the Unix epoch: where events are.
    zero_unix_ms: Option<u64>,
    /// Most points that each series has here.
    points: usize,
    /// Series that are not among these.
    left_out: u32,
    series: Vec<Decimated>,
}

/// What is wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    from: u32,
    to: u32,
    points: usize,
    group: Option<String>,
    step: Option<String>,
}

impl Wanted {
    /// Of a request.
    ///
    /// # Errors
    /// Times that make no sense, more points than there may be.
    pub(super) fn of(asked: &Asked, most: usize) -> Result<Self, Problem> {
        let second = |name: &str, usual: u32| match asked.number(name) {
            None => Ok(usual),
            Some(value) if (0.0..=f64::from(u32::MAX)).contains(&value) => Ok(value as u32),
            Some(_) => Err(Problem::parameter(name, "seconds of run time, from 0")),
        };
        let (from, to) = (second("from", 0)?, second("to", u32::MAX)?);
        if from >= to {
            return Err(Problem::parameter("to", "must be later than `from`"));
        }
        let points = points_of(asked, most)?;
        let [group, step] = ["group", "step"].map(|name| asked.text(name).map(str::to_owned));
        Ok(Self { from, to, points, group, step })
    }

    fn takes(&self, group: &str, step: Option<&str>) -> bool {
        self.group.as_deref().is_none_or(|wanted| wanted == group)
            && self.step.as_deref().is_none_or(|wanted| wanted == step.unwrap_or(ITERATION))
    }

    /// Of a report.
    pub(super) fn of_report(&self, report: &Report) -> Series {
        let chosen = report.series.iter().filter(|series| self.takes(&series.group, series.step.as_deref()));
        let tracks: Vec<Track> = chosen.map(Track::of_report).collect();
        let (series, points) = self.decimate(&tracks);
        Series {
            experiment: report.id.clone(),
            source: "report",
            after: None,
            seconds_total: None,
            zero_unix_ms: report.started_unix_ms,
            points,
            left_out: report.series_left_out,
            series,
        }
    }

    fn decimate(&self, tracks: &[Track]) -> (Vec<Decimated>, usize) {
        let points = self.points.min((POINTS_ALL_MAX / tracks.len().max(1)).max(1));
        let mut series: Vec<Decimated> =
            tracks.iter().map(|track| track.decimate(self.from, self.to, points)).collect();
        // Where a group has one step, its iterations are counted there.
        let alone = |track: &Track| tracks.iter().filter(|other| other.group == track.group).count() == 1;
        let wholes: Vec<bool> = tracks.iter().map(|track| track.step.is_none() || alone(track)).collect();
        let mut room = CELLS_ALL_MAX;
        for is_turn_of_wholes in [true, false] {
            let turn = series.iter_mut().zip(&wholes).filter(|(_, is_whole)| **is_whole == is_turn_of_wholes);
            for (one, _) in turn {
                match room.checked_sub(one.heat.as_ref().map_or(0, |heat| heat.cells.len())) {
                    Some(rest) => room = rest,
                    None => one.heat = None,
                }
            }
        }
        (series, points)
    }
}

/// How many points are wanted.
///
/// # Errors
/// More than there may be, or none.
pub(super) fn points_of(asked: &Asked, most: usize) -> Result<usize, Problem> {
    match asked.count("points").map(|count| usize::try_from(count).unwrap_or(usize::MAX)) {
        None => Ok(POINTS_USUAL),
        Some(points) if (1..=most).contains(&points) => Ok(points),
        Some(_) => Err(Problem::parameter("points", format!("1 to {most}"))),
    }
}

/// The seconds of a run as far as they have come: only what came since the last time is read. `spec` is what the run is
/// of, where it is known.
async fn brought_up(
    api: &ApiState,
    id: &str,
    spec: Option<&ExperimentSpec>,
) -> Result<OwnedMutexGuard<Folded>, Problem> {
    let names = api.bus().namespace();
    let (stream, subject) = (names.stream_second(), names.experiment_second(id));
    let mut folded = api.seconds().of(id).lock_owned().await;
    let is_new = folded.through == 0;
    if is_new || api.bus().last_sequence(&stream).await.map_err(ControlError::from)? < folded.through {
        // Another history.
        *folded = Folded::new(spec);
    }
    let start = Start::FromSequence(folded.through + 1);
    let mut tail = api.bus().tail(&stream, &subject, start).await.map_err(ControlError::from)?;
    while tail.pending() > 0 {
        let message = tail.next().await.map_err(ControlError::from)?;
        folded.through = message.sequence;
        if let Ok(second) = codec::decode::<ExperimentSecond>(&message.payload) {
            folded.add(&second);
        }
    }
    tail.close().await;
    Ok(folded)
}

/// From the stream of seconds.
pub(super) async fn of_seconds(api: &ApiState, record: &RunRecord, wanted: &Wanted) -> Result<Series, Problem> {
    let folded = brought_up(api, &record.id, Some(&record.spec)).await?;
    let tracks: Vec<Track> = folded.tracks(|group, step| wanted.takes(group, step));
    let (series, points) = wanted.decimate(&tracks);
    Ok(Series {
        experiment: record.id.clone(),
        source: "seconds",
        after: Some(Place { second: folded.through, event: 0 }.to_string()),
        seconds_total: folded.seconds_total,
        zero_unix_ms: folded.zero_unix_ms,
        points,
        left_out: folded.left_out,
        series,
    })
}

/// How nodes fared, as far as the bus still has the seconds of it.
pub(super) async fn of_nodes(
    api: &ApiState,
    id: &str,
    record: Option<&RunRecord>,
    points: usize,
) -> Result<NodesOverTime, Problem> {
    let folded = brought_up(api, id, record.map(|record| &record.spec)).await?;
    Ok(folded.nodes.told(points))
}

/// Iterations that succeeded in each of the last seconds of a run, all groups together.
///
/// # Errors
/// The bus.
pub(crate) async fn last_rates(api: &ApiState, record: &RunRecord, seconds: u32) -> Result<Vec<f64>, Problem> {
    let folded = brought_up(api, &record.id, Some(&record.spec)).await?;
    Ok(folded.last_rates(seconds))
}

/// How the gates of a run stand while it goes on.
///
/// # Errors
/// The bus.
pub(crate) async fn gates_so_far(api: &ApiState, record: &RunRecord) -> Result<Vec<GateReport>, Problem> {
    let folded = brought_up(api, &record.id, Some(&record.spec)).await?;
    Ok(folded.standing.as_ref().map(standing::Standing::gates).unwrap_or_default())
}
