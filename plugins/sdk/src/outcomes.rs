//! One outcome per write, in order, from requests that were grouped otherwise.

use crate::answers::Attempt;
use crate::{Deferral, Failure, Outcome};

/// Collects what became of each write by its position.
#[derive(Debug)]
pub struct Outcomes(Vec<Option<Attempt>>);

impl Outcomes {
    /// For so many writes.
    pub fn new(writes: usize) -> Self {
        Self(std::iter::repeat_with(|| None).take(writes).collect())
    }

    /// Notes what became of the write at `index`; a later note replaces an earlier one.
    pub fn set(&mut self, index: usize, attempt: Attempt) {
        if let Some(slot) = self.0.get_mut(index) {
            *slot = Some(attempt);
        }
    }

    /// Notes the same for several.
    pub fn set_all(&mut self, indices: impl IntoIterator<Item = usize>, attempt: &Attempt) {
        for index in indices {
            self.set(index, attempt.clone());
        }
    }

    /// What is known so far of the write at `index`.
    pub fn get(&self, index: usize) -> Option<&Attempt> {
        self.0.get(index).and_then(Option::as_ref)
    }

    /// The answer to the host. If not a single write was attempted and each for a reason that concerns the whole
    /// account (a credential, a budget), that is the failure of the call; where anything is known of one item, every
    /// item gets an outcome. A write that nothing was noted for is unknown.
    pub fn finish(self) -> Result<Vec<Outcome>, Failure> {
        let all_refused = !self.0.is_empty()
            && self
                .0
                .iter()
                .all(|slot| matches!(slot, Some(Err(failure)) if certainly_not_applied(failure)));
        if all_refused {
            let gravest = self
                .0
                .into_iter()
                .filter_map(|slot| slot.and_then(Result::err))
                .max_by_key(gravity);
            return Err(gravest.unwrap_or(Failure::Bug("no writes".to_owned())));
        }
        Ok(self
            .0
            .into_iter()
            .map(|slot| match slot {
                Some(Ok(outcome)) => outcome,
                Some(Err(failure)) => outcome_of(failure),
                None => Outcome::Unknown("the remote's answer does not mention it".to_owned()),
            })
            .collect())
    }
}

/// A credential that must be corrected outweighs patience.
fn gravity(failure: &Failure) -> u8 {
    match failure {
        Failure::Unauthorized(_) => 3,
        Failure::Forbidden(_) | Failure::Misconfigured(_) => 2,
        _ => 1,
    }
}

fn certainly_not_applied(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Throttled(_)
            | Failure::Unauthorized(_)
            | Failure::Forbidden(_)
            | Failure::Misconfigured(_)
    )
}

/// A failure that hit one item of several.
fn outcome_of(failure: Failure) -> Outcome {
    if !certainly_not_applied(&failure) {
        return Outcome::Unknown(explain(failure));
    }
    let retry_after = match &failure {
        Failure::Throttled(retry_after) => *retry_after,
        _ => None,
    };
    Outcome::Deferred(Deferral {
        reason: explain(failure),
        retry_after,
    })
}

/// A failure in the remote's words, for the reason of an outcome or a line of the log.
pub fn explain(failure: Failure) -> String {
    match failure {
        Failure::Throttled(_) => "the remote asks for patience".to_owned(),
        Failure::Unauthorized(why)
        | Failure::Forbidden(why)
        | Failure::Unavailable(why)
        | Failure::Bug(why)
        | Failure::Other(why) => why,
        Failure::ExpiredCursor => "the cursor has expired".to_owned(),
        Failure::Misconfigured(what) => format!("setting `{}`: {}", what.setting, what.why),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_hit_every_write_is_the_call_s_failure() {
        let mut outcomes = Outcomes::new(2);
        outcomes.set(0, Err(Failure::Throttled(Some(5))));
        outcomes.set(1, Err(Failure::Unauthorized("expired".into())));
        assert_eq!(
            outcomes.finish(),
            Err(Failure::Unauthorized("expired".into()))
        );
    }

    #[test]
    fn what_hit_some_writes_is_an_outcome_of_each() {
        let mut outcomes = Outcomes::new(4);
        outcomes.set(0, Ok(Outcome::Gone));
        outcomes.set(1, Err(Failure::Throttled(Some(5))));
        outcomes.set(2, Err(Failure::Bug("shape".into())));
        let all = outcomes.finish().unwrap();
        assert_eq!(all[0], Outcome::Gone);
        assert!(matches!(&all[1], Outcome::Deferred(deferral) if deferral.retry_after == Some(5)));
        assert!(matches!(all[2], Outcome::Unknown(_)));
        assert!(matches!(all[3], Outcome::Unknown(_)), "never noted");
    }

    #[test]
    fn an_unreadable_answer_never_claims_that_nothing_was_applied() {
        let mut outcomes = Outcomes::new(1);
        outcomes.set(0, Err(Failure::Bug("shape".into())));
        assert!(matches!(outcomes.finish().unwrap()[0], Outcome::Unknown(_)));
        assert_eq!(Outcomes::new(0).finish(), Ok(Vec::new()));
    }
}
