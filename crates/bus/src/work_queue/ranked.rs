//! Taking work from several consumers: the most urgent first, or each by its share.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::select_all;

use super::{WorkItem, WorkQueue};
use crate::BusError;
use crate::pull::{Pull, Pulled};

/// How long a server may take to say what there is at once.
const NOW_PATIENCE: Duration = Duration::from_secs(2);

/// Pullers on durable consumers in order of urgency. Best effort: what is delivered is not called back for something
/// more urgent.
///
/// Free hands are filled from the most urgent queue that has anything; only where none has, one message of each is
/// asked for and waited for. With more than one queue a message may so come when there is no hand left: see
/// [`RankedQueues::surplus`].
///
/// With shares (8:4:1) each free hand is offered to the queue whose turn it is, and to the others, the most urgent
/// first, only where that has nothing: no queue waits for ever behind a more urgent one.
#[derive(Debug)]
pub struct RankedQueues {
    ranks: Vec<Rank>,
    ready: VecDeque<(usize, WorkItem)>,
    turns: Option<Turns>,
}

/// Whose turn it is: smooth weighted round robin.
#[derive(Debug)]
struct Turns {
    shares: Vec<i64>,
    credits: Vec<i64>,
}

impl Turns {
    fn new(shares: &[u32]) -> Self {
        let shares: Vec<i64> = shares.iter().map(|share| i64::from((*share).max(1))).collect();
        Self { credits: vec![0; shares.len()], shares }
    }

    /// How many of `hands` each rank is offered.
    fn deal(&mut self, hands: usize) -> Vec<usize> {
        let whole: i64 = self.shares.iter().sum();
        let mut dealt = vec![0; self.shares.len()];
        for _ in 0..hands {
            for (credit, share) in self.credits.iter_mut().zip(&self.shares) {
                *credit += share;
            }
            // Of equals the most urgent.
            let next = self.credits.iter().enumerate().rev().max_by_key(|(_, credit)| **credit).map(|(rank, _)| rank);
            let Some(next) = next else { break };
            if let (Some(credit), Some(count)) = (self.credits.get_mut(next), dealt.get_mut(next)) {
                *credit -= whole;
                *count += 1;
            }
        }
        dealt
    }
}

#[derive(Debug)]
struct Rank {
    waiting: WorkQueue,
    at_once: Option<Pull>,
}

impl RankedQueues {
    /// The most urgent first; with as many shares as queues each gets its own.
    pub fn new(queues: Vec<WorkQueue>, shares: &[u32]) -> Self {
        let ranks: Vec<Rank> = queues.into_iter().map(|waiting| Rank { waiting, at_once: None }).collect();
        let turns = (ranks.len() > 1 && shares.len() == ranks.len()).then(|| Turns::new(shares));
        Self { ranks, ready: VecDeque::new(), turns }
    }

    /// The next message for one of `free` hands, with the rank of its queue, however long that takes. Call it again
    /// with the hands that are left. Cancel-safe.
    ///
    /// # Errors
    /// As [`WorkQueue::next`].
    pub async fn next_of(&mut self, free: usize) -> Result<(usize, WorkItem), BusError> {
        if let [only] = self.ranks.as_mut_slice() {
            return Ok((0, only.waiting.next_of(free).await?));
        }
        loop {
            if let Some(next) = self.at_once(free).await? {
                return Ok(next);
            }
            if self.ready.is_empty() {
                let waiting = self.ranks.iter_mut().enumerate().map(|(rank, queue)| {
                    Box::pin(async move { queue.waiting.next_of(1).await.map(|item| (rank, item)) })
                });
                return select_all(waiting).await.0;
            }
        }
    }

    /// What is here already, for a hand that is free, without waiting and without asking for more.
    pub fn ready(&mut self) -> Option<WorkItem> {
        if let [only] = self.ranks.as_mut_slice() {
            return only.waiting.ready();
        }
        self.ready.pop_front().map(|(_, item)| item)
    }

    /// The same without waiting: `None` where no queue has anything at this moment. Not beside
    /// [`RankedQueues::next_of`] on a single queue, which has asked already.
    pub async fn at_once(&mut self, free: usize) -> Result<Option<(usize, WorkItem)>, BusError> {
        if let Some(next) = self.ready.pop_front() {
            return Ok(Some(next));
        }
        if let Some(turns) = &mut self.turns {
            let dealt = turns.deal(free.max(1));
            for ((rank, queue), wanted) in self.ranks.iter_mut().enumerate().zip(dealt) {
                if wanted > 0 {
                    queue.at_once(wanted, rank, &mut self.ready).await?;
                }
            }
        }
        // Hands that are left, or all of them.
        for (rank, queue) in self.ranks.iter_mut().enumerate() {
            let wanted = free.max(1).saturating_sub(self.ready.len());
            if wanted > 0 {
                queue.at_once(wanted, rank, &mut self.ready).await?;
            }
        }
        Ok(self.ready.pop_front())
    }

    /// A message that came though there is no hand for it: to be handed back. Waits for ever while none can come.
    /// Cancel-safe.
    pub async fn surplus(&mut self) -> WorkItem {
        if let Some((_, item)) = self.ready.pop_front() {
            return item;
        }
        if self.ranks.len() < 2 {
            return std::future::pending().await;
        }
        let waiting = self.ranks.iter_mut().map(|queue| Box::pin(queue.waiting.surplus()));
        select_all(waiting).await.0
    }

    /// Takes no more; gives what came already.
    pub async fn leave(self) -> Vec<WorkItem> {
        let mut items: Vec<WorkItem> = self.ready.into_iter().map(|(_, item)| item).collect();
        for rank in self.ranks {
            items.extend(rank.waiting.leave().await);
        }
        items
    }
}

impl Rank {
    /// Takes at most `wanted` of what is there now.
    async fn at_once(
        &mut self,
        wanted: usize,
        rank: usize,
        ready: &mut VecDeque<(usize, WorkItem)>,
    ) -> Result<(), BusError> {
        let (bus, names) = (self.waiting.bus.clone(), &self.waiting.wanted);
        if self.at_once.is_none() {
            self.at_once = Some(Pull::open(&bus, &names.stream, &names.durable).await?);
        }
        let Some(pull) = self.at_once.as_mut() else { return Ok(()) };
        // A call that was cancelled has asked already.
        let missing = wanted.saturating_sub(pull.outstanding());
        if missing > 0 {
            pull.request_at_once(missing).await?;
        }
        while pull.outstanding() > 0 {
            match tokio::time::timeout(NOW_PATIENCE, pull.next()).await {
                Ok(Pulled::Message(message)) => {
                    ready.extend(WorkItem::new(&bus, message).map(|item| (rank, item)));
                }
                Ok(Pulled::Ended) => {}
                // The waiting pull finds out what is wrong, and mends it.
                Ok(Pulled::Lost(_) | Pulled::Gone(_) | Pulled::Refused(_)) | Err(_) => {
                    self.at_once = None;
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_are_dealt_by_share_however_few_there_are_at_a_time() {
        for at_a_time in [1, 2, 5, 13] {
            let mut turns = Turns::new(&[8, 4, 1]);
            let mut dealt = [0; 3];
            for _ in 0..130 {
                for (sum, count) in dealt.iter_mut().zip(turns.deal(at_a_time)) {
                    *sum += count;
                }
            }
            assert_eq!(dealt, [80, 40, 10].map(|count: usize| count * at_a_time), "{at_a_time} at a time");
        }
        assert_eq!(Turns::new(&[1, 1]).deal(1), [1, 0], "of equals the most urgent first");
    }
}
