//! What real systems do that a textbook's do not, each with a name and a switch.

use std::fmt;

macro_rules! quirks {
    ($($name:ident => $words:literal,)+) => {
        /// Something that a system, the network or the host's own machine does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Quirk {
            $(#[doc = $words] $name,)+
        }

        impl Quirk {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// What it is, for people.
            pub fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)+
                }
            }
        }
    };
}

quirks! {
    // ---- what a system is like ----
    IndexLag => "listings and searches miss the newest changes for a while",
    Normalises => "trims values, lower-cases addresses and reformats phone numbers",
    WholeSeconds => "tells times in whole seconds, so that several changes share one",
    NoRevisions => "has no revisions",
    OpaqueRevisions => "has revisions without an order",
    OrderedRevisions => "has revisions with an order",
    Preconditions => "refuses a write whose precondition no longer holds",
    NoPreconditions => "ignores preconditions",
    DeletesByListing => "does not report deletes",
    DeletesReported => "reports deletes",
    HiddenChanges => "makes some changes that no feed and no time tells of",
    MergedAnswersSurvivor => "answers for a merged record with the one that it was merged into",
    MergedIsGone => "says of a merged record that it was merged",
    UniqueAddress => "refuses two records with one address",
    DuplicatesAllowed => "lets two records have one address",
    DuplicateUnnamed => "does not name the record that has the address already",
    IdempotentCreate => "knows a create again by its key",
    ForgetsConsent => "forgets what a person agreed to when the address changes",
    ComplianceState => "does not let anybody but the person lift an opt-out",
    BumpsUnchanged => "changes the revision and the time although nothing changed",
    PageOverlap => "repeats records of the page before",
    MovingPages => "moves a record that changes to a later page of a listing under way",
    PartialAnswer => "answers a write with only what was written",
    NoConsentDate => "does not tell when somebody opted in or out",
    StampsConsent => "stamps what it is told about consent with its own time",
    // ---- what happens to a call ----
    ItemRejected => "rejects one item of a batch that succeeds, now and later",
    ItemDeferred => "puts off one item of a batch that succeeds",
    ThrottledFor => "asks for patience and says how long",
    ThrottledBare => "asks for patience without saying how long",
    TimeoutApplied => "applies a call and answers too late",
    TimeoutNotApplied => "does not answer, and applied nothing",
    UnknownItem => "does not know what became of one item",
    Unavailable => "is away for a while",
    Trap => "ends in the middle of a batch",
    HalfCreate => "makes a record and stops before what its person agreed to",
    ExpiredCursor => "does not know the cursor any more",
    FetchFailed => "cannot read one of the records that are asked for",
    SnapshotCut => "does not say that its listing is complete",
    // ---- what the machine does ----
    HintsRepeated => "the same record is hinted at twice",
    HintsReordered => "hints arrive out of order",
    HintsOfValues => "a hint is about values, and what the person said is not told with them",
    HintsStale => "a hint tells of nothing new, or of nothing at all",
    HotSwap => "the connector is replaced by one with other cursors",
    ClockForward => "the host's clock jumps ahead by hours",
    ClockBackward => "the host's clock jumps back by minutes",
    StoreError => "the store fails and nothing is stored",
    Stall => "the process stands still for longer than its lease",
    SwapBack => "the connector is replaced by the one before, which does not read the cursors of this one",
}

impl fmt::Display for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// Some quirks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Quirks(u64);

impl Quirks {
    /// Whether one is among them.
    pub fn has(self, quirk: Quirk) -> bool {
        self.0 & (1 << quirk as u64) != 0
    }

    /// With this one.
    pub fn with(&mut self, quirk: Quirk) {
        self.0 |= 1 << quirk as u64;
    }

    /// Without this one.
    pub fn without(&mut self, quirk: Quirk) {
        self.0 &= !(1 << quirk as u64);
    }

    /// With those of another.
    pub fn join(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = Quirk> {
        Quirk::ALL
            .iter()
            .copied()
            .filter(move |quirk| self.has(*quirk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quirks_fit_the_set_and_each_is_its_own() {
        assert!(Quirk::ALL.len() <= 64);
        for quirk in Quirk::ALL {
            let mut set = Quirks::default();
            set.with(*quirk);
            assert_eq!(set.iter().collect::<Vec<_>>(), [*quirk]);
            set.without(*quirk);
            assert_eq!(set, Quirks::default());
        }
    }
}
