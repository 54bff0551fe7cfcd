//! Where the process may die: before and after everything that must survive it, and around each write.

use std::fmt;

use samspel_model::store::Step;

/// On which side of a durable step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    /// It is not done yet.
    Before,
    /// It is done, and nobody heard of it.
    After,
}

/// What is done with a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LeaseStep {
    /// It is taken.
    Acquire,
    /// It is extended.
    Renew,
    /// It is given back.
    Release,
}

/// Where in a write call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WritePoint {
    /// The remote did nothing yet.
    NotApplied,
    /// Some items are applied.
    BetweenItems,
    /// A record is made, and what its person agreed to is not yet.
    WithinCreate,
    /// Everything is applied, and the answer is lost.
    NotAnswered,
}

/// A place where the process may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failpoint {
    /// Around a commit.
    Commit(Step, When),
    /// Around a step of a lease.
    Lease(LeaseStep, When),
    /// Around making a sync known.
    Register(When),
    /// In a write call.
    Write(WritePoint),
}

const WHEN: [When; 2] = [When::Before, When::After];
const LEASE: [LeaseStep; 3] = [LeaseStep::Acquire, LeaseStep::Renew, LeaseStep::Release];
const WRITE: [WritePoint; 4] = [
    WritePoint::NotApplied,
    WritePoint::BetweenItems,
    WritePoint::WithinCreate,
    WritePoint::NotAnswered,
];

impl Failpoint {
    /// Every one of them.
    pub fn all() -> Vec<Self> {
        let commits = Step::ALL
            .into_iter()
            .flat_map(|step| WHEN.map(|when| Self::Commit(step, when)));
        let leases = LEASE
            .into_iter()
            .flat_map(|step| WHEN.map(|when| Self::Lease(step, when)));
        commits
            .chain(leases)
            .chain(WHEN.map(Self::Register))
            .chain(WRITE.map(Self::Write))
            .collect()
    }
}

impl fmt::Display for Failpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = |when: When| match when {
            When::Before => "before",
            When::After => "after",
        };
        match self {
            Self::Commit(step, at) => write!(f, "{} {}", when(*at), step.doing()),
            Self::Lease(step, at) => {
                let what = match step {
                    LeaseStep::Acquire => "taking the lease",
                    LeaseStep::Renew => "extending the lease",
                    LeaseStep::Release => "giving the lease back",
                };
                write!(f, "{} {what}", when(*at))
            }
            Self::Register(at) => write!(f, "{} making the sync known", when(*at)),
            Self::Write(point) => f.write_str(match point {
                WritePoint::NotApplied => "in a write call, before anything is applied",
                WritePoint::BetweenItems => "in a write call, between two items",
                WritePoint::WithinCreate => "in a create, before its consent is applied",
                WritePoint::NotAnswered => "in a write call, applied and not answered",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_durable_step_has_two_failpoints_and_none_is_listed_twice() {
        let all = Failpoint::all();
        let distinct: BTreeSet<_> = all.iter().copied().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(all.len(), 2 * Step::ALL.len() + 2 * 3 + 2 + 4);
        for step in Step::ALL {
            for when in WHEN {
                assert!(distinct.contains(&Failpoint::Commit(step, when)));
            }
        }
    }
}
