//! Folded stacks drawn as flame graphs: of one run, and the difference of two.
//!
//! What is drawn may come from a stranger. The picture holds names as text only; it has limits, each named where it is
//! met; whatever the bytes are, there is a picture or an error.

use std::collections::BTreeMap;
use std::io::{self, Write};

use inferno::flamegraph::{self, Options};

/// Most bytes of folded stacks that are drawn.
pub const FOLDED_MAX_BYTES: usize = 64 << 20;
/// Most frames of a stack that are drawn; what lies above is one frame that says so.
pub const FRAMES_MAX: usize = 512;
/// Most bytes of a picture in a file of its own.
pub const PICTURE_MAX_BYTES: usize = 64 << 20;
/// Most samples of a profile: so far numbers are exact in a picture.
pub const SAMPLES_MAX: u64 = 1 << 53;

/// The frame that stands for those that are not drawn.
const MORE_FRAMES: &str = "[more frames]";
/// Share of the width, in percent, below which a frame is left out.
const WIDTH_MIN_PERCENT: f64 = 0.05;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum FlameError {
    /// It is no text of stacks.
    #[error(
        "these are no folded stacks: no line is frames with `;` between them, a space and a whole number above 0 \
         (the first line is `{first}`)"
    )]
    NoStacks {
        /// The first line, cut.
        first: String,
    },
    /// There is too much of it.
    #[error("{bytes} bytes of folded stacks are more than the {FOLDED_MAX_BYTES} that are drawn")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// More samples than can be counted.
    #[error("more than {SAMPLES_MAX} samples are not drawn")]
    TooMany,
    /// The picture has no room.
    #[error("the flame graph would have more than {limit} bytes")]
    NoRoom {
        /// What was allowed.
        limit: usize,
    },
    /// It could not be drawn.
    #[error("the flame graph cannot be drawn: {0}")]
    Draw(io::Error),
}

/// Stacks with how often each was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folded {
    stacks: BTreeMap<String, u64>,
    samples: u64,
    lines_left_out: u64,
}

impl Folded {
    /// Reads stacks, a line each; lines that are none are counted and left out.
    ///
    /// # Errors
    /// [`FlameError`], when no line is a stack, or there is too much of it.
    pub fn parse(bytes: &[u8]) -> Result<Self, FlameError> {
        if bytes.len() > FOLDED_MAX_BYTES {
            return Err(FlameError::TooLarge { bytes: bytes.len() });
        }
        let text = String::from_utf8_lossy(bytes);
        let mut folded = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("# ")) {
            match stack_of(line) {
                Some((stack, count)) => folded.note(stack, count)?,
                None => folded.lines_left_out += 1,
            }
        }
        if folded.stacks.is_empty() {
            let first: String = text.lines().next().unwrap_or_default().chars().take(80).map(drawable).collect();
            return Err(FlameError::NoStacks { first });
        }
        Ok(folded)
    }

    /// Adds the stacks of another profile, as of another node of the same run.
    ///
    /// # Errors
    /// [`FlameError::TooMany`].
    pub fn add(&mut self, other: Self) -> Result<(), FlameError> {
        self.lines_left_out += other.lines_left_out;
        other.stacks.into_iter().try_for_each(|(stack, count)| self.note(stack, count))
    }

    /// Samples of all stacks.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Lines that were no stacks.
    pub fn lines_left_out(&self) -> u64 {
        self.lines_left_out
    }

    fn note(&mut self, stack: String, count: u64) -> Result<(), FlameError> {
        self.samples = self.samples.saturating_add(count);
        if self.samples > SAMPLES_MAX {
            return Err(FlameError::TooMany);
        }
        *self.stacks.entry(stack).or_default() += count;
        Ok(())
    }
}

/// The stack of a line, as it is drawn, and its count.
fn stack_of(line: &str) -> Option<(String, u64)> {
    let (frames, count) = line.rsplit_once(' ')?;
    // Programs that weigh samples write fractions.
    let (whole, fraction) = count.split_once('.').unwrap_or((count, ""));
    let is_number = !whole.is_empty() && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let count: u64 = whole.parse().ok().filter(|count| is_number && *count > 0)?;
    let frames = frames.trim();
    if frames.is_empty() {
        return None;
    }
    let mut stack: String = frames.chars().map(drawable).collect();
    if let Some((end, _)) = stack.match_indices(';').nth(FRAMES_MAX - 1) {
        stack.truncate(end + 1);
        stack.push_str(MORE_FRAMES);
    }
    // A last frame that ends like a number would be taken for one.
    if let Some((at, _)) = stack.match_indices(' ').next_back() {
        let ends_like_one = stack.get(at + 1..).is_some_and(|end| end.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
        if ends_like_one {
            stack.replace_range(at..=at, "\u{a0}");
        }
    }
    Some((stack, count))
}

/// A character that may stand in a picture.
fn drawable(c: char) -> char {
    if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { char::REPLACEMENT_CHARACTER } else { c }
}

/// The flame graph of stacks as an SVG picture of at most `most_bytes`. The same stacks are the same picture.
///
/// # Errors
/// [`FlameError`].
pub fn graph(folded: &Folded, title: &str, most_bytes: usize) -> Result<String, FlameError> {
    let lines: Vec<String> = folded.stacks.iter().map(|(stack, count)| format!("{stack} {count}")).collect();
    draw(&lines, title, most_bytes)
}

/// The flame graph of `after`, coloured by what has changed since `before`: red has become more, blue less. Where the
/// runs have different numbers of samples, shares are compared. What is in `before` alone has no width.
///
/// # Errors
/// [`FlameError`].
pub fn difference(before: &Folded, after: &Folded, title: &str, most_bytes: usize) -> Result<String, FlameError> {
    let scale = after.samples as f64 / before.samples.max(1) as f64;
    let line = |(stack, count): (&String, &u64)| {
        let then = before.stacks.get(stack).copied().unwrap_or(0) as f64 * scale;
        // A float becomes the nearest integer there is.
        format!("{stack} {} {count}", then.round() as u64)
    };
    let lines: Vec<String> = after.stacks.iter().map(line).collect();
    draw(&lines, title, most_bytes)
}

fn draw(lines: &[String], title: &str, most_bytes: usize) -> Result<String, FlameError> {
    let mut options = Options::default();
    options.title = title.chars().take(200).map(drawable).collect();
    options.deterministic = true;
    options.min_width = WIDTH_MIN_PERCENT;
    let mut picture = Bounded { bytes: Vec::new(), most: most_bytes };
    match flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut picture) {
        Ok(()) => Ok(String::from_utf8_lossy(&picture.bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(FlameError::NoRoom { limit: most_bytes }),
        Err(error) => Err(FlameError::Draw(error)),
    }
}

/// Memory with a limit.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > self.most {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
