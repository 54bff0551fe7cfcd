//! The guards of the sync engine, by name, so that the simulation can take each of them away and show that it then
//! finds what the guard prevents.
//!
//! In a program that people run, [`Guard::stands`] is `true` at compile time. Only the simulation is built with the
//! feature `mutations`, in which one guard of the current thread can be removed without building anything anew.

/// Something that keeps an invariant. Each is asked for in the one place that it guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// Each side is compared with its own image in the base. Without: what A has always holds.
    ThreeWayMerge,
    /// Only patched fields advance the base. Without: everything that the answer to a write shows does.
    OnlyPatchedFieldsAdvance,
    /// The base holds what the remote really holds. Without: what was sent.
    WhatTheRemoteHolds,
    /// A losing value goes to the journal.
    LoserIsJournalled,
    /// Both sides changed: the field's policy decides. Without: the target is left as it is, and the base advances.
    ConflictIsDecided,
    /// An edit beats a delete.
    EditBeatsDelete,
    /// Leaving a filter is not a delete.
    LeavingIsNoDelete,
    /// What is not listed is deleted only if an answer about its id says so.
    DeleteNeedsEvidence,
    /// So many removals a run, and no more.
    DeleteValve,
    /// So many creates a run, once the first sync is done.
    CreateValve,
    /// So many changes of one field a run.
    ChangeValve,
    /// An opt-out stays in force although the remotes forget it.
    OptOutIsRemembered,
    /// An opt-out in one sync is one in all syncs of the person.
    OptOutIsThePersons,
    /// Only newer, dated evidence from an allowed side lifts an opt-out.
    OptInNeedsEvidence,
    /// Without stored evidence of an opt-in, nobody is subscribed by being created.
    ConsentIsNotInvented,
    /// An opt-out goes before other writes to the same person.
    OptOutGoesFirst,
    /// An opt-in is checked against the store again before it is sent.
    OptInIsCheckedAgain,
    /// A bounce does not move with a new address.
    BounceBelongsToAddress,
    /// The position behind a page is stored with the page.
    CursorWithItsPage,
    /// A listing that is older than what is stored is asked again.
    ListingMayLag,
    /// A write is stored before it is sent.
    IntentBeforeWrite,
    /// What became of an unknown write is looked up. Without: it is sent again.
    UnknownIsLookedUp,
    /// A record with writes under way is not planned.
    InFlightIsNotPlanned,
    /// A key that is not unique links nothing and creates nothing.
    KeyMustBeUnique,
    /// Nothing is created before the other side is read to its end.
    CreateAfterReading,
    /// A key that belongs to another record is not written: the two are proposed for a merge.
    MergeIsProposed,
    /// A field whose values go to and fro is left alone.
    OscillationBreaker,
    /// What the remote refused for good is not tried again until it changes.
    ParkedStaysParked,
    /// A commit under a lost lease is refused.
    LeaseFence,
    /// A create that was looked for in vain is looked for again, under the key that it had, before one is made under
    /// another.
    LostCreateIsRemembered,
    /// Every record that leaves the queue is counted once.
    EveryRecordIsCounted,
    /// So many calls at once, and no more.
    CallsAreBounded,
}

impl Guard {
    /// All of them.
    pub const ALL: [Self; 32] = [
        Self::ThreeWayMerge,
        Self::OnlyPatchedFieldsAdvance,
        Self::WhatTheRemoteHolds,
        Self::LoserIsJournalled,
        Self::ConflictIsDecided,
        Self::EditBeatsDelete,
        Self::LeavingIsNoDelete,
        Self::DeleteNeedsEvidence,
        Self::DeleteValve,
        Self::CreateValve,
        Self::ChangeValve,
        Self::OptOutIsRemembered,
        Self::OptOutIsThePersons,
        Self::OptInNeedsEvidence,
        Self::ConsentIsNotInvented,
        Self::OptOutGoesFirst,
        Self::OptInIsCheckedAgain,
        Self::BounceBelongsToAddress,
        Self::CursorWithItsPage,
        Self::ListingMayLag,
        Self::IntentBeforeWrite,
        Self::UnknownIsLookedUp,
        Self::InFlightIsNotPlanned,
        Self::KeyMustBeUnique,
        Self::CreateAfterReading,
        Self::MergeIsProposed,
        Self::OscillationBreaker,
        Self::ParkedStaysParked,
        Self::LeaseFence,
        Self::LostCreateIsRemembered,
        Self::EveryRecordIsCounted,
        Self::CallsAreBounded,
    ];

    /// Whether it is in its place.
    #[cfg(not(feature = "mutations"))]
    #[inline(always)]
    pub const fn stands(self) -> bool {
        true
    }

    /// Whether it is in its place, in this thread.
    #[cfg(feature = "mutations")]
    pub fn stands(self) -> bool {
        removal::removed() != Some(self)
    }
}

#[cfg(feature = "mutations")]
pub use removal::{Removed, remove};

#[cfg(feature = "mutations")]
mod removal {
    use std::cell::Cell;

    use super::Guard;

    thread_local! {
        static REMOVED: Cell<Option<Guard>> = const { Cell::new(None) };
    }

    pub(super) fn removed() -> Option<Guard> {
        REMOVED.get()
    }

    /// A guard of this thread is removed for as long as this value lives.
    #[derive(Debug)]
    pub struct Removed(Option<Guard>);

    /// Removes a guard in this thread. `None` puts all in their places.
    pub fn remove(guard: Option<Guard>) -> Removed {
        Removed(REMOVED.replace(guard))
    }

    impl Drop for Removed {
        fn drop(&mut self) {
            REMOVED.set(self.0);
        }
    }
}
