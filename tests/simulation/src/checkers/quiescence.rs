//! 2. Quiescence: a further run at rest sends zero writes.

use crate::violation::Findings;

/// A run at rest ended, in which so many writes reached a system.
pub(crate) fn ran_at_rest(writes: u64, findings: &mut Findings) {
    if writes > 0 {
        findings.add(2, format!("a further run at rest sent {writes} writes"));
    }
}

/// So many runs were made since the systems rest, and the last of them still wrote.
pub(crate) fn does_not_rest(runs: u32, writes: u64, findings: &mut Findings) {
    findings.add(
        2,
        format!(
            "nobody acts any more, and the last of {runs} rounds of runs still sent {writes} writes"
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_at_rest_is_found() {
        let mut findings = Findings::default();
        ran_at_rest(0, &mut findings);
        assert!(findings.0.is_empty());
        ran_at_rest(1, &mut findings);
        assert_eq!(findings.0[0].invariant, 2);
    }
}
