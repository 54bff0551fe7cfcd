//! Seeds that everybody plays.

#![allow(clippy::unwrap_used, reason = "a test")]

use samspel_simulation::Tier;
use samspel_simulation::batch::{self, Options, Summary};
use samspel_simulation::replay::replay;

fn play(seeds: u64, from: u64, tier: Tier, without: u16) -> Summary {
    play_on(1, seeds, from, tier, without)
}

fn play_on(threads: usize, seeds: u64, from: u64, tier: Tier, without: u16) -> Summary {
    let options = Options {
        seeds,
        from,
        threads,
        tier,
        enough: 20,
        without,
    };
    batch::run(&options, |_| {}).unwrap()
}

#[test]
fn two_hundred_seeds_break_no_invariant() {
    let summary = play(200, 0, Tier::Memory, 0);
    assert!(summary.found.is_empty(), "{:#?}", summary.found);
    assert_eq!(summary.seeds, 200);
    assert!(summary.fewest_steps >= 100, "{summary:?}");
}

#[test]
fn a_few_seeds_break_no_invariant_on_sqlite() {
    let summary = play(5, 0, Tier::Sqlite, 0);
    assert!(summary.found.is_empty(), "{:#?}", summary.found);
}

/// A create was applied and its answer lost, and the address of its source changed before it was found.
#[test]
fn a_create_whose_answer_was_lost_is_not_made_again_under_another_key() {
    let played = replay(5_427, Tier::Memory, 0).unwrap();
    assert!(played.violation.is_none(), "{:?}", played.violation);
    let looked = |line: &&String| line.contains(" B: find ") && line.contains("\"P2@Example.org\"");
    let last = played.trace.iter().rfind(looked);
    // Its story is still that one: what was made is found under the key that it was made with.
    assert!(
        last.is_some_and(|line| line.contains("b002")),
        "seed 5427 tells another story by now; take another one that breaks without the guard `LostCreateIsRemembered`"
    );
}

#[test]
fn the_same_seed_makes_the_same_trace() {
    for seed in 0..20 {
        let once = replay(seed, Tier::Memory, u16::MAX).unwrap();
        let twice = replay(seed, Tier::Memory, u16::MAX).unwrap();
        assert!(once.trace == twice.trace, "seed {seed}");
        assert!(once.trace.len() > 50, "seed {seed}");
    }
}

#[test]
fn both_stores_make_the_same_trace() {
    for seed in 0..5 {
        let memory = replay(seed, Tier::Memory, u16::MAX).unwrap();
        let sqlite = replay(seed, Tier::Sqlite, u16::MAX).unwrap();
        assert!(memory.trace == sqlite.trace, "seed {seed}");
    }
}

#[test]
fn every_failpoint_and_every_quirk_is_hit_within_10000_seeds() {
    let summary = play_on(2, 10_000, 0, Tier::Memory, u16::MAX);
    let mut missed: Vec<_> = summary.failpoints.missed.iter().collect();
    missed.extend(&summary.quirks.missed);
    assert!(missed.is_empty(), "{missed:?}");
}
