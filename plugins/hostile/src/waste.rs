//! Deeds that use up what the host has.

use std::hint::black_box;

use samspel_connector::{clock, log};

const MIB: usize = 1 << 20;

/// Computes for so many milliseconds; without a number, for ever.
pub fn compute(milliseconds: Option<u64>) -> u64 {
    let end = milliseconds.map(after);
    let mut state = 1_u64;
    loop {
        for _ in 0..1_000_000 {
            state = black_box(
                state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1),
            );
        }
        if end.is_some_and(|end| clock::now().as_millisecond() >= end) {
            return state;
        }
    }
}

/// The same, in calls of the host instead of computing.
pub fn ask_the_time(milliseconds: Option<u64>) -> u64 {
    let end = milliseconds.map(after);
    let mut calls = 0;
    loop {
        calls += 1;
        let now = clock::now().as_millisecond();
        if end.is_some_and(|end| now >= end) {
            return calls;
        }
    }
}

fn after(milliseconds: u64) -> i64 {
    let wait = i64::try_from(milliseconds).unwrap_or(i64::MAX);
    clock::now().as_millisecond().saturating_add(wait)
}

/// Uses so many MiB, or ends in a trap where they are refused.
pub fn allocate(mebibytes: u64) -> usize {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for _ in 0..mebibytes {
        kept.push(black_box(vec![1; MIB]));
    }
    kept.len()
}

/// Uses so many MiB, or as many as there are: to be refused memory is no reason to stop.
pub fn grab(mebibytes: u64) -> usize {
    let mut kept = Vec::new();
    for _ in 0..mebibytes {
        let mut block: Vec<u8> = Vec::new();
        if block.try_reserve_exact(MIB).is_err() {
            break;
        }
        block.resize(MIB, 1);
        kept.push(black_box(block));
    }
    kept.len()
}

/// Calls itself so many times over. What it computes cannot be turned into a loop.
#[inline(never)]
pub fn recurse(depth: u64) -> u64 {
    if depth == 0 {
        1
    } else {
        recurse(depth - 1).wrapping_mul(3) ^ depth
    }
}

/// Writes a text to the log, so many times.
pub fn log(text: &str, lines: u64) -> u64 {
    for _ in 0..lines {
        log::info(text);
    }
    lines
}

/// Writes one line of so many bytes to the log.
pub fn long_line(bytes: u64) -> usize {
    let line = "x".repeat(usize::try_from(bytes).unwrap_or(usize::MAX));
    log::info(&line);
    line.len()
}
