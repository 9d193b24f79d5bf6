//! The random numbers of an agent: the same again in a replay, others after a fork.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{Rng, SeedableRng, TryRng};
use rand_chacha::ChaCha12Rng;

/// Where an agent's random numbers come from: both kinds of WASI's, told apart, and neither a
/// secret of the host's. Cheap to clone; all clones share one state.
#[derive(Clone, Debug)]
pub struct AgentRandom(Arc<Mutex<[ChaCha12Rng; 2]>>);

/// One of the two kinds.
#[derive(Clone, Debug)]
pub(crate) struct Stream(AgentRandom, usize);

impl AgentRandom {
    /// From this seed.
    pub fn of(seed: [u8; 32]) -> Self {
        Self(Arc::new(Mutex::new(streams(seed))))
    }

    /// From another seed from now on.
    pub fn reseed(&self, seed: [u8; 32]) {
        *self.lock() = streams(seed);
    }

    /// The numbers of `wasi:random/random`.
    pub(crate) fn secure(&self) -> Stream {
        Stream(self.clone(), 0)
    }

    /// The numbers of `wasi:random/insecure`.
    pub(crate) fn insecure(&self) -> Stream {
        Stream(self.clone(), 1)
    }

    fn lock(&self) -> MutexGuard<'_, [ChaCha12Rng; 2]> {
        // Whole after every statement: a panic elsewhere harms nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn streams(seed: [u8; 32]) -> [ChaCha12Rng; 2] {
    [0, 1].map(|stream| {
        let mut random = ChaCha12Rng::from_seed(seed);
        random.set_stream(stream);
        random
    })
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.lock()[self.1].next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.lock()[self.1].next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.lock()[self.1].fill_bytes(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_one_others() {
        let (one, other) = (AgentRandom::of([1; 32]), AgentRandom::of([1; 32]));
        let draw =
            |random: &AgentRandom| (random.secure().next_u64(), random.insecure().next_u64());
        let first = draw(&one);
        assert_eq!(first, draw(&other));
        assert_ne!(first.0, first.1);
        let second = draw(&one);
        other.reseed([2; 32]);
        assert_ne!(second, draw(&other));
        other.reseed([1; 32]);
        assert_eq!(first, draw(&other));
    }
}
