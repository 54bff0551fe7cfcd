//! Chance, from one seed, in named streams: a stream's draws do not shift those of another, so that a change in one
//! part of a seed leaves the others as they were.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream of chance decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// What the systems, the policies and the story are.
    Story,
    /// How long the calls on a system take, and what its faults hit.
    System(usize),
    /// How long the store takes.
    Store,
    /// Random numbers that the host asks for.
    Host,
    /// Whether a process stands still while another one takes its place.
    Meeting,
}

impl Stream {
    fn number(self) -> u64 {
        match self {
            Self::Story => 1,
            Self::Store => 2,
            Self::Host => 3,
            Self::Meeting => 4,
            Self::System(index) => 16 + index as u64,
        }
    }
}

/// One stream of chance.
#[derive(Debug, Clone)]
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream of a seed.
    pub fn new(seed: u64, stream: Stream) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream.number());
        Self(rng)
    }

    /// A number from 0 to `end`, without `end`; 0 if there is none.
    pub fn below(&mut self, end: u32) -> u32 {
        if end == 0 {
            return 0;
        }
        // The bias of the remainder does not matter here.
        self.0.next_u32() % end
    }

    /// A number between two, both included.
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True so many times of a hundred.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// One of some.
    pub fn of<'a, T>(&mut self, some: &'a [T]) -> &'a T {
        let index = self.below(u32::try_from(some.len()).unwrap_or(u32::MAX)) as usize;
        &some[index]
    }

    /// An index, by weights.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut draw = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if draw < *weight {
                return index;
            }
            draw -= weight;
        }
        0
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_independent_and_repeat() {
        let draw = |stream| {
            let mut chance = Chance::new(7, stream);
            (0..8).map(|_| chance.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(Stream::Story), draw(Stream::Story));
        assert_ne!(draw(Stream::Story), draw(Stream::Store));
        assert_ne!(draw(Stream::System(0)), draw(Stream::System(1)));
    }
}
