//! What happens beside the load, one after the other: how often it went well, and why it did not.

use tokio::task::{JoinError, JoinSet};

/// Jobs of one kind.
#[derive(Default)]
pub struct Jobs {
    done: u64,
    failures: Vec<String>,
    under_way: JoinSet<Result<(), String>>,
}

impl Jobs {
    /// Whether none is under way.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Begins one.
    pub fn begin(&mut self, job: impl Future<Output = Result<(), String>> + Send + 'static) {
        self.under_way.spawn(job);
    }

    /// What became of them so far.
    pub fn look(&mut self) {
        while let Some(ended) = self.under_way.try_join_next() {
            self.ended(ended);
        }
    }

    /// Waits for the last one.
    pub async fn finish(&mut self) {
        while let Some(ended) = self.under_way.join_next().await {
            self.ended(ended);
        }
    }

    fn ended(&mut self, ended: Result<Result<(), String>, JoinError>) {
        match ended.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(()) => self.done += 1,
            Err(why) => self.failures.push(why),
        }
    }

    /// How many went well.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Why the others did not.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }
}
