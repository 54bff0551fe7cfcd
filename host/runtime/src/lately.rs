//! Records that an account was made to write lately: most of what a remote tells about them is our own doing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use samspel_model::{Outcome, RecordId};

/// For how long a notification about a record may be an echo of our own write.
const WINDOW: Duration = Duration::from_secs(10);
/// Records that are remembered before old ones are forgotten.
const REMEMBERED: usize = 10_000;

/// See the module.
#[derive(Default)]
pub struct Lately(Mutex<HashMap<(String, RecordId), Instant>>);

impl Lately {
    /// Notes what a call wrote.
    pub fn wrote(&self, collection: &str, outcomes: &[Outcome]) {
        let now = Instant::now();
        let mut known = self.0.lock();
        if known.len() > REMEMBERED {
            known.retain(|_, at| now.duration_since(*at) < WINDOW);
        }
        for outcome in outcomes {
            if let Outcome::Written(entity) = outcome {
                known.insert((collection.to_owned(), entity.id.clone()), now);
            }
        }
    }

    /// Whether a record was written within the window.
    pub fn includes(&self, collection: &str, id: &RecordId) -> bool {
        let known = self.0.lock();
        known
            .get(&(collection.to_owned(), id.clone()))
            .is_some_and(|at| at.elapsed() < WINDOW)
    }
}
