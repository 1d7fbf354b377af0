//! What the broker is told of messages that have come to their end: of all before which none is under way any more, in
//! one frame. Pure.

use std::collections::BTreeSet;

use crate::handle::End;

/// One frame to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
    /// These are acknowledged: the one with this tag or, where there are several, all up to it that are not settled.
    Acknowledge { tag: u64, messages: u64 },
    /// The one with this tag is rejected.
    Reject { tag: u64 },
}

/// The messages of a channel that are under way, by their delivery tags.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(BTreeSet<u64>);

impl UnderWay {
    /// A message came.
    pub(crate) fn begin(&mut self, tag: u64) {
        self.0.insert(tag);
    }

    /// What is told of these, in this order: what is rejected comes before what would acknowledge it with others.
    pub(crate) fn end(&mut self, ended: &[(u64, End)]) -> Vec<Frame> {
        for (tag, _) in ended {
            self.0.remove(tag);
        }
        let first = self.0.first().copied().unwrap_or(u64::MAX);
        let tags = |wanted: End| ended.iter().filter(move |(_, end)| *end == wanted).map(|(tag, _)| *tag);
        let mut frames: Vec<Frame> = tags(End::Reject).map(|tag| Frame::Reject { tag }).collect();
        let before = || tags(End::Acknowledge).filter(|tag| *tag < first);
        if let Some(tag) = before().max() {
            frames.push(Frame::Acknowledge { tag, messages: before().count() as u64 });
        }
        let after = tags(End::Acknowledge).filter(|tag| *tag > first);
        frames.extend(after.map(|tag| Frame::Acknowledge { tag, messages: 1 }));
        frames
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// What a broker makes of frames (AMQP 0-9-1, `basic.ack` with `multiple`): how each message that it has delivered
    /// was settled.
    #[derive(Default)]
    struct Broker {
        unsettled: BTreeSet<u64>,
        settled: BTreeMap<u64, End>,
    }

    impl Broker {
        fn take(&mut self, frame: Frame) {
            let (tags, end): (Vec<u64>, End) = match frame {
                Frame::Reject { tag } => (vec![tag], End::Reject),
                Frame::Acknowledge { tag, messages: 1 } => (vec![tag], End::Acknowledge),
                Frame::Acknowledge { tag, messages } => {
                    let tags: Vec<u64> = self.unsettled.range(..=tag).copied().collect();
                    assert_eq!(tags.len() as u64, messages, "{frame:?} of {:?}", self.unsettled);
                    (tags, End::Acknowledge)
                }
            };
            for tag in tags {
                assert!(self.unsettled.remove(&tag), "{frame:?}: {tag} is unknown or settled");
                self.settled.insert(tag, end);
            }
        }
    }

    proptest! {
        #[test]
        fn each_message_is_settled_once_as_it_ended_and_none_before(
            // Of each message: how many others come before it ends, and whether it is rejected.
            messages in prop::collection::vec((0usize..40, prop::bool::weighted(0.1)), 1..200),
            at_once in 1usize..20,
        ) {
            let (mut broker, mut under_way) = (Broker::default(), UnderWay::default());
            let end = |is_rejected: bool| if is_rejected { End::Reject } else { End::Acknowledge };
            let ends: Vec<(u64, End)> =
                (1..).zip(&messages).map(|(tag, (_, is_rejected))| (tag, end(*is_rejected))).collect();
            let mut order: Vec<usize> = (0..messages.len()).collect();
            order.sort_by_key(|at| at + messages[*at].0);
            let mut came = 0;
            for batch in order.chunks(at_once) {
                let needed = batch.iter().max().map_or(0, |last| last + 1);
                for (tag, _) in ends.iter().take(needed.max(came)).skip(came) {
                    under_way.begin(*tag);
                    broker.unsettled.insert(*tag);
                }
                came = came.max(needed);
                let batch: Vec<(u64, End)> = batch.iter().map(|at| ends[*at]).collect();
                let before = broker.settled.len();
                under_way.end(&batch).into_iter().for_each(|frame| broker.take(frame));
                prop_assert_eq!(broker.settled.len(), before + batch.len());
                for (tag, end) in batch {
                    prop_assert_eq!(broker.settled.get(&tag), Some(&end));
                }
            }
            prop_assert!(broker.unsettled.is_empty());
        }
    }

    #[test]
    fn what_ended_in_a_row_is_one_frame() {
        let mut under_way = UnderWay::default();
        (1..=5).for_each(|tag| under_way.begin(tag));
        let ended = [(2, End::Acknowledge), (1, End::Acknowledge), (4, End::Acknowledge)];
        let frames = [Frame::Acknowledge { tag: 2, messages: 2 }, Frame::Acknowledge { tag: 4, messages: 1 }];
        assert_eq!(under_way.end(&ended), frames);
        assert_eq!(under_way.end(&[(3, End::Acknowledge)]), [Frame::Acknowledge { tag: 3, messages: 1 }]);
    }
}
