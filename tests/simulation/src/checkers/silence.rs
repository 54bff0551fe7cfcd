//! 11. No silent failure: every record that was observed is accounted for, and what waits is visible.

use crate::violation::Findings;

/// What a run reports of the records that left its queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// Records that were looked at.
    pub observed: u64,
    /// Written.
    pub applied: u64,
    /// Needed nothing.
    pub noop: u64,
    /// Left alone by the policy.
    pub filtered: u64,
    /// Wait for a person.
    pub conflict: u64,
    /// Failed for good.
    pub parked: u64,
    /// Left for the next run.
    pub pending: u64,
}

/// A run ended well.
pub(crate) fn ran(account: &Account, findings: &mut Findings) {
    let Account {
        observed,
        applied,
        noop,
        filtered,
        conflict,
        parked,
        pending,
    } = account;
    let sum = applied + noop + filtered + conflict + parked + pending;
    if *observed != sum {
        findings.add(
            11,
            format!("a run observed {observed} records and accounts for {sum}: {account:?}"),
        );
    }
}

/// Everything rests: nothing is queued, and no write is under way.
pub(crate) fn at_rest(dirty: u64, intents: u64, findings: &mut Findings) {
    if dirty > 0 || intents > 0 {
        findings.add(
            11,
            format!(
                "at rest, {dirty} records wait to be planned and {intents} writes are under way"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_does_not_balance_is_found() {
        let mut account = Account {
            observed: 3,
            applied: 2,
            noop: 1,
            ..Account::default()
        };
        let mut findings = Findings::default();
        ran(&account, &mut findings);
        assert!(findings.0.is_empty());
        account.noop = 0;
        ran(&account, &mut findings);
        assert_eq!(findings.0[0].invariant, 11);
    }

    #[test]
    fn what_waits_at_rest_is_found() {
        let mut findings = Findings::default();
        at_rest(0, 0, &mut findings);
        assert!(findings.0.is_empty());
        at_rest(1, 0, &mut findings);
        assert_eq!(findings.0[0].invariant, 11);
    }
}
