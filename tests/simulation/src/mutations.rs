//! Takes away one guard after the other, and plays seeds until an invariant breaks that holds with the guard.

use std::collections::BTreeMap;
use std::io;

use samspel_model::guard::{self, Guard};
use serde::Serialize;

use crate::simulate::{Stage, Tier};
use crate::story::Story;
use crate::trace::Watch;

/// What became of one guard.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The guard.
    pub guard: String,
    /// Whether taking it away was noticed.
    pub found: bool,
    /// How many seeds it took, or how many were played in vain.
    pub seeds: u64,
    /// The seed.
    pub seed: Option<u64>,
    /// The invariant that broke.
    pub invariant: Option<u8>,
    /// What happened.
    pub what: Option<String>,
}

/// What became of all.
#[derive(Debug, Clone, Serialize)]
pub struct Mutations {
    /// How many guards were taken away.
    pub mutations: usize,
    /// How many of them were missed.
    pub found: usize,
    /// A row for each.
    pub rows: Vec<Row>,
}

/// Takes away each guard in turn, and plays at most so many seeds without it. `tell` is called for each row.
///
/// # Errors
/// There is no place to play them.
pub fn run(
    seeds: u64,
    from: u64,
    without: u16,
    mut tell: impl FnMut(&Row),
) -> io::Result<Mutations> {
    let stage = Stage::new(Tier::Memory)?;
    let watch = Watch {
        trace: false,
        without,
    };
    // Whether a seed breaks nothing with all guards in their places: what breaks anyway says nothing about a guard.
    let mut sound: BTreeMap<u64, bool> = BTreeMap::new();
    let mut rows = Vec::with_capacity(Guard::ALL.len());
    for removed in Guard::ALL {
        let mut row = Row {
            guard: format!("{removed:?}"),
            found: false,
            seeds: 0,
            seed: None,
            invariant: None,
            what: None,
        };
        for seed in from..from + seeds {
            row.seeds += 1;
            let story = Story::draw(seed);
            let violation = {
                let _removed = guard::remove(Some(removed));
                stage.play(&story, watch)?.violation
            };
            let Some(violation) = violation else { continue };
            let holds = match sound.get(&seed) {
                Some(holds) => *holds,
                None => {
                    let holds = stage.play(&story, watch)?.violation.is_none();
                    sound.insert(seed, holds);
                    holds
                }
            };
            if holds {
                row.found = true;
                row.seed = Some(seed);
                row.invariant = Some(violation.invariant);
                row.what = Some(violation.what);
                break;
            }
        }
        tell(&row);
        rows.push(row);
    }
    Ok(Mutations {
        mutations: rows.len(),
        found: rows.iter().filter(|row| row.found).count(),
        rows,
    })
}
