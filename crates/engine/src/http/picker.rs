//! Which of several addresses is next: smooth weighted round robin, as nginx does it. An address of weight `w` is chosen `w`
//! times in every sum of weights, and never in bursts.

use crate::plan::Host;

#[derive(Debug)]
pub(crate) struct Picker {
    /// Weight, and what has accumulated.
    hosts: Vec<(i128, i128)>,
    total: i128,
}

impl Picker {
    pub(crate) fn new(hosts: &[Host]) -> Self {
        let hosts: Vec<(i128, i128)> = hosts.iter().map(|host| (i128::from(host.weight), 0)).collect();
        Self { total: hosts.iter().map(|(weight, _)| weight).sum(), hosts }
    }

    /// Index of the next address.
    #[inline]
    pub(crate) fn next(&mut self) -> usize {
        if self.hosts.len() < 2 {
            return 0;
        }
        let mut best = 0;
        let mut best_current = i128::MIN;
        for (index, (weight, current)) in self.hosts.iter_mut().enumerate() {
            *current += *weight;
            if *current > best_current {
                best = index;
                best_current = *current;
            }
        }
        if let Some((_, current)) = self.hosts.get_mut(best) {
            *current -= self.total;
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(weights: &[u64], count: usize) -> Vec<usize> {
        let address = "127.0.0.1:1".parse().unwrap();
        let hosts: Vec<Host> = weights.iter().map(|weight| Host { address, weight: *weight }).collect();
        let mut picker = Picker::new(&hosts);
        (0..count).map(|_| picker.next()).collect()
    }

    #[test]
    fn weights_are_kept_exactly_in_every_cycle_and_without_bursts() {
        assert_eq!(picked(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(picked(&[1, 1], 4), [0, 1, 0, 1]);
        assert_eq!(picked(&[9], 3), [0, 0, 0]);
    }
}
