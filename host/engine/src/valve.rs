//! Safety valves: how much a run may do before a person has to agree.

/// How many removals a run may make of so many links: 10, or a tenth of them, whichever is more. (sync-engine: more
/// are held.)
pub fn allowed_removals(links: u64) -> u64 {
    (links / 10).max(10)
}
