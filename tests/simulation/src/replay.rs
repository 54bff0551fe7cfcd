//! One seed, told: its trace, and what is left of its story when everything is taken away that its failure does not
//! need.

use std::io;

use crate::quirk::Quirk;
use crate::simulate::{Stage, Tier};
use crate::story::Story;
use crate::trace::Watch;
use crate::violation::Violation;

/// A seed, told.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// The first invariant that did not hold.
    pub violation: Option<Violation>,
    /// What happened, a line a step.
    pub trace: Vec<String>,
    /// The story in words.
    pub story: String,
}

/// Plays a seed and keeps its trace.
///
/// # Errors
/// There is no place to play it.
pub fn replay(seed: u64, tier: Tier, without: u16) -> io::Result<Replayed> {
    tell(&Stage::new(tier)?, &Story::draw(seed), without)
}

/// Plays the shortest story that can be found of a seed that fails.
///
/// # Errors
/// There is no place to play it.
pub fn shrunk(seed: u64, tier: Tier, without: u16) -> io::Result<Replayed> {
    let story = Story::draw(seed);
    let stage = Stage::new(tier)?;
    match stage.play(&story, quietly(without))?.violation {
        Some(violation) => {
            let short = shrink(&stage, story, violation.invariant, without);
            tell(&stage, &short, without)
        }
        None => tell(&stage, &story, without),
    }
}

fn quietly(without: u16) -> Watch {
    Watch {
        trace: false,
        without,
    }
}

fn tell(stage: &Stage, story: &Story, without: u16) -> io::Result<Replayed> {
    let played = stage.play(
        story,
        Watch {
            trace: true,
            without,
        },
    )?;
    Ok(Replayed {
        violation: played.violation,
        trace: played.trace,
        story: story.to_string(),
    })
}

/// Takes away acts, by halves and then one by one (delta debugging), then quirks, as long as the same invariant is
/// broken.
fn shrink(stage: &Stage, mut story: Story, invariant: u8, without: u16) -> Story {
    let fails = |story: &Story| {
        stage
            .play(story, quietly(without))
            .ok()
            .and_then(|played| played.violation)
            .is_some_and(|violation| violation.invariant == invariant)
    };
    let mut size = story.steps.len() / 2;
    while size > 0 {
        let mut start = 0;
        let mut shorter = false;
        while start < story.steps.len() {
            let end = (start + size).min(story.steps.len());
            let mut candidate = story.clone();
            // Whatever is taken away, the time that it took passes.
            let time: i64 = candidate.steps[start..end]
                .iter()
                .map(|step| step.after)
                .sum();
            candidate.steps.drain(start..end);
            if let Some(next) = candidate.steps.get_mut(start) {
                next.after += time;
            }
            if fails(&candidate) {
                story = candidate;
                shorter = true;
            } else {
                start = end;
            }
        }
        if !shorter || size > 1 {
            size /= 2;
        }
    }
    if story.agreements.len() > 1 {
        let mut candidate = story.clone();
        candidate.agreements.truncate(1);
        if fails(&candidate) {
            story = candidate;
        }
    }
    for system in 0..story.systems.len() {
        for quirk in Quirk::ALL {
            if story.systems[system].quirks.has(*quirk) {
                let mut candidate = story.clone();
                candidate.systems[system].quirks.without(*quirk);
                if fails(&candidate) {
                    story = candidate;
                }
            }
        }
    }
    story
}
