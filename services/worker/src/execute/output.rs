//! Output of a program: everything is read, the end is kept.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};

/// Bytes read at once; what a job's output takes is this and its tail, twice.
const READ_BYTES: usize = 16 * 1024;

/// Both streams of a program.
#[derive(Debug)]
pub(super) struct Output {
    stdout: Stream<ChildStdout>,
    stderr: Stream<ChildStderr>,
}

impl Output {
    /// Of these streams, those that are captured.
    pub(super) fn new(stdout: Option<ChildStdout>, stderr: Option<ChildStderr>, tail_bytes: usize) -> Self {
        Self { stdout: Stream::new(stdout, tail_bytes), stderr: Stream::new(stderr, tail_bytes) }
    }

    /// Reads both to their ends. May be dropped at any moment and called again: nothing is lost.
    pub(super) async fn drain(&mut self) {
        tokio::join!(self.stdout.drain(), self.stderr.drain());
    }

    /// Waits for something else and reads in the meantime, so that the program never waits for its reader.
    pub(super) async fn meanwhile<T>(&mut self, event: impl Future<Output = T>) -> T {
        let reading = async {
            self.drain().await;
            std::future::pending().await
        };
        tokio::select! {
            biased;
            value = event => value,
            value = reading => value,
        }
    }

    /// The ends of both as text.
    pub(super) fn into_tails(self) -> (Option<String>, Option<String>) {
        (self.stdout.tail.into_text(), self.stderr.tail.into_text())
    }
}

#[derive(Debug)]
struct Stream<R> {
    pipe: Option<R>,
    buffer: Vec<u8>,
    tail: Tail,
}

impl<R: AsyncRead + Unpin> Stream<R> {
    fn new(pipe: Option<R>, tail_bytes: usize) -> Self {
        let buffer = if pipe.is_some() { vec![0; READ_BYTES] } else { Vec::new() };
        Self { pipe, buffer, tail: Tail::new(tail_bytes) }
    }

    async fn drain(&mut self) {
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut self.buffer).await {
                Ok(count) if count > 0 => self.tail.push(self.buffer.get(..count).unwrap_or(&[])),
                // A pipe that cannot be read is at its end too.
                _ => self.pipe = None,
            }
        }
    }
}

/// The last bytes of a stream.
#[derive(Debug)]
struct Tail {
    most_bytes: usize,
    kept: VecDeque<u8>,
    cut: bool,
}

impl Tail {
    fn new(most_bytes: usize) -> Self {
        Self { most_bytes, kept: VecDeque::new(), cut: false }
    }

    fn push(&mut self, bytes: &[u8]) {
        let new = bytes.get(bytes.len().saturating_sub(self.most_bytes)..).unwrap_or(&[]);
        let surplus = (self.kept.len() + new.len()).saturating_sub(self.most_bytes);
        self.cut |= surplus > 0 || new.len() < bytes.len();
        self.kept.drain(..surplus);
        self.kept.extend(new);
    }

    /// As text of no more bytes than were to be kept, whatever the stream was; `None` when it was empty.
    fn into_text(mut self) -> Option<String> {
        if self.cut {
            // The middle of a character that was cut off: at most three bytes go on from one before.
            let half = self.kept.iter().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count();
            self.kept.drain(..half);
        }
        let mut text = String::from_utf8_lossy(self.kept.make_contiguous()).into_owned();
        // What stands for a byte that is no text is longer than that byte.
        let surplus = text.len().saturating_sub(self.most_bytes);
        text.drain(..text.ceil_char_boundary(surplus));
        Some(text).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tail(most_bytes: usize, chunks: &[&[u8]]) -> Option<String> {
        let mut tail = Tail::new(most_bytes);
        chunks.iter().for_each(|chunk| tail.push(chunk));
        tail.into_text()
    }

    #[test]
    fn a_tail_begins_with_a_whole_character() {
        assert_eq!(tail(3, &["äöü".as_bytes()]).as_deref(), Some("ü"));
        assert_eq!(tail(4, &["äöü".as_bytes()]).as_deref(), Some("öü"));
        assert_eq!(tail(6, &["äöü".as_bytes()]).as_deref(), Some("äöü"));
        assert_eq!(tail(0, &[b"abc"]), None);
        assert_eq!(tail(4, &[]), None);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_and_do_not_make_the_tail_longer() {
        assert_eq!(tail(100, &[b"a\xffb"]).as_deref(), Some("a\u{fffd}b"));
        assert_eq!(tail(10, &[&[0xff; 10]]).as_deref(), Some("\u{fffd}\u{fffd}\u{fffd}"));
    }

    proptest! {
        #[test]
        fn a_tail_is_the_end_of_what_was_written_however_it_came(
            text in "[a-zäöü€🦀]{0,40}",
            most_bytes in 0usize..60,
            cuts in prop::collection::vec(0usize..60, 0..6),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let mut from = 0;
            let chunks: Vec<&[u8]> = cuts.iter().map(|to| &bytes[std::mem::replace(&mut from, *to)..*to]).collect();
            let kept = tail(most_bytes, &chunks).unwrap_or_default();
            prop_assert!(text.ends_with(&kept));
            prop_assert!(kept.len() <= most_bytes);
            // Only what is left of a character may be missing.
            prop_assert!(kept.len() + 4 > most_bytes.min(bytes.len()));
        }
    }
}
