//! Several notifications about one record in a short time: the first one counts at once, the others together.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use samspel_model::RecordId;
use samspel_model::store::Endpoint;

/// Records that are remembered before old ones are forgotten.
const REMEMBERED: usize = 20_000;

/// When records were last looked at, or will be.
#[derive(Default)]
pub(crate) struct Debounce(HashMap<(Endpoint, RecordId), Timestamp>);

impl Debounce {
    /// In how much time the records are to be looked at: at once if one of them was not looked at within `window`.
    pub fn within(
        &mut self,
        endpoint: &Endpoint,
        ids: &[RecordId],
        now: Timestamp,
        window: Duration,
    ) -> Duration {
        if self.0.len() > REMEMBERED {
            self.0.retain(|_, at| add(*at, window) > now);
        }
        let mut soonest = window;
        for id in ids {
            let key = (endpoint.clone(), id.clone());
            let at = match self.0.get(&key) {
                // It will be looked at then anyway.
                Some(&at) if at > now => at,
                Some(&at) => add(at, window).max(now),
                None => now,
            };
            self.0.insert(key, at);
            let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            soonest = soonest.min(wait);
        }
        soonest
    }
}

fn add(at: Timestamp, window: Duration) -> Timestamp {
    at.saturating_add(window).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_millis(200);

    fn at(millis: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_millis(millis)
    }

    #[test]
    fn the_first_counts_at_once_and_the_others_together() {
        let mut debounce = Debounce::default();
        let endpoint = Endpoint {
            account: "crm".to_owned(),
            collection: "contacts".to_owned(),
        };
        let mut told =
            |id: &str, millis| debounce.within(&endpoint, &[RecordId::new(id)], at(millis), WINDOW);
        assert_eq!(told("1", 1_000), Duration::ZERO);
        assert_eq!(told("1", 1_050), Duration::from_millis(150));
        assert_eq!(told("1", 1_100), Duration::from_millis(100));
        assert_eq!(told("2", 1_100), Duration::ZERO, "another record");
        assert_eq!(
            told("1", 1_250),
            Duration::from_millis(150),
            "after the one at 1,200"
        );
        assert_eq!(told("1", 5_000), Duration::ZERO, "long after");
    }
}
