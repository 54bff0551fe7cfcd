//! Turns: so many runs at once, shared fairly among accounts.
//!
//! Start-time fair queueing, with accounts as flows and the time of runs as service: who waits gets a turn by how long
//! runs on its accounts took so far, the busier of the two counting. An account that asks for nothing collects no
//! credit. So one that always has something to do waits behind those that seldom do, and starves nobody.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// Accounts whose service is remembered; those that are level with the others are forgotten beyond.
const REMEMBERED: usize = 10_000;

/// See the module.
pub(crate) struct Turns(Mutex<State>);

struct State {
    free: usize,
    waiting: Vec<Waiting>,
    tickets: u64,
    /// Service that accounts had, on a scale that only grows.
    had: HashMap<String, Duration>,
    /// Where the one stood that had the last turn.
    level: Duration,
}

struct Waiting {
    ticket: u64,
    accounts: Vec<String>,
    granted: oneshot::Sender<()>,
}

/// A turn. It ends when this is dropped.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    accounts: Vec<String>,
    took: Duration,
}

impl Turns {
    pub fn new(at_once: usize) -> Self {
        Self(Mutex::new(State {
            free: at_once.max(1),
            waiting: Vec::new(),
            tickets: 0,
            had: HashMap::new(),
            level: Duration::ZERO,
        }))
    }

    /// Waits for a turn. Whoever stops waiting gives its place up.
    pub async fn wait(&self, accounts: &[String]) -> Turn<'_> {
        let granted = {
            let mut state = self.state();
            state.tickets += 1;
            let (sender, receiver) = oneshot::channel();
            let waiting = Waiting {
                ticket: state.tickets,
                accounts: accounts.to_vec(),
                granted: sender,
            };
            state.waiting.push(waiting);
            state.grant();
            receiver
        };
        // Held from here on: if this future is dropped after the grant, the turn is given back.
        let mut claim = Claim {
            turns: self,
            granted,
            taken: false,
        };
        // The sender lives in the queue until it grants.
        let _ = (&mut claim.granted).await;
        claim.taken = true;
        Turn {
            turns: self,
            accounts: accounts.to_vec(),
            took: Duration::ZERO,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Claim<'a> {
    turns: &'a Turns,
    granted: oneshot::Receiver<()>,
    taken: bool,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.taken && self.granted.try_recv().is_ok() {
            let mut state = self.turns.state();
            state.free += 1;
            state.grant();
        }
    }
}

impl State {
    fn grant(&mut self) {
        while self.free > 0 {
            let next = (0..self.waiting.len()).min_by_key(|&index| {
                let waiting = &self.waiting[index];
                (self.start(&waiting.accounts), waiting.ticket)
            });
            let Some(next) = next else {
                break;
            };
            let waiting = self.waiting.swap_remove(next);
            let start = self.start(&waiting.accounts);
            // Nobody waits for it any more.
            if waiting.granted.send(()).is_err() {
                continue;
            }
            self.level = self.level.max(start);
            self.free -= 1;
        }
    }

    /// Where a run on these accounts stands.
    fn start(&self, accounts: &[String]) -> Duration {
        let had = accounts.iter().filter_map(|account| self.had.get(account));
        had.copied().max().unwrap_or_default().max(self.level)
    }

    fn served(&mut self, accounts: &[String], took: Duration) {
        let level = self.level;
        for account in accounts {
            let had = self.had.entry(account.clone()).or_default();
            *had = (*had).max(level) + took;
        }
        if self.had.len() > REMEMBERED {
            self.had.retain(|_, had| *had > level);
        }
    }
}

impl Turn<'_> {
    /// How long it was used.
    pub fn took(&mut self, took: Duration) {
        self.took = took;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        let accounts = std::mem::take(&mut self.accounts);
        state.served(&accounts, self.took);
        state.free += 1;
        state.grant();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::FutureExt;

    use super::*;

    fn accounts(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn whoever_had_less_is_first() {
        let turns = Turns::new(1);
        let (noisy, quiet) = (accounts(&["noisy", "x"]), accounts(&["quiet", "x2"]));
        let mut first = turns.wait(&noisy).now_or_never().unwrap();
        let mut again = Box::pin(turns.wait(&noisy));
        let mut other = Box::pin(turns.wait(&quiet));
        assert!((&mut again).now_or_never().is_none() && (&mut other).now_or_never().is_none());
        first.took(Duration::from_secs(10));
        drop(first);
        assert!(
            (&mut again).now_or_never().is_none(),
            "it had a turn just now"
        );
        let turn = (&mut other).now_or_never().unwrap();
        drop(turn);
        assert!((&mut again).now_or_never().is_some());
    }

    #[test]
    fn one_that_never_asked_has_no_credit() {
        let turns = Turns::new(1);
        let (a, b) = (accounts(&["a"]), accounts(&["b"]));
        for _ in 0..100 {
            let mut turn = turns.wait(&a).now_or_never().unwrap();
            turn.took(Duration::from_secs(1));
        }
        // From now on both ask all the time: they alternate, b does not get a hundred in a row.
        let mut order = Vec::new();
        let mut held = turns.wait(&a).now_or_never().unwrap();
        for _ in 0..10 {
            let mut next_a = Box::pin(turns.wait(&a));
            let mut next_b = Box::pin(turns.wait(&b));
            let _ = (&mut next_a).now_or_never();
            let _ = (&mut next_b).now_or_never();
            held.took(Duration::from_secs(1));
            drop(held);
            if let Some(turn) = (&mut next_a).now_or_never() {
                order.push('a');
                held = turn;
            } else {
                order.push('b');
                held = (&mut next_b).now_or_never().unwrap();
            }
        }
        let b = order.iter().filter(|&&c| c == 'b').count();
        assert!((4..=7).contains(&b), "{order:?}");
    }

    #[test]
    fn a_turn_that_nobody_waits_for_any_more_is_given_on() {
        let turns = Turns::new(1);
        let a = accounts(&["a"]);
        let held = turns.wait(&a).now_or_never().unwrap();
        let mut gone = Box::pin(turns.wait(&a));
        assert!((&mut gone).now_or_never().is_none());
        let mut other = Box::pin(turns.wait(&a));
        assert!((&mut other).now_or_never().is_none());
        // It is granted to the first, which is dropped before it notices.
        drop(held);
        drop(gone);
        assert!((&mut other).now_or_never().is_some());
    }
}
