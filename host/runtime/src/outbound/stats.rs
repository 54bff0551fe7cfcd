//! Counts what an account uses.

use std::sync::atomic::{AtomicU64, Ordering};

use super::OutboundStats;

/// The live counters behind [`OutboundStats`].
#[derive(Debug, Default)]
pub struct Counters {
    requests: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    throttled: AtomicU64,
    retries: AtomicU64,
    denied: AtomicU64,
}

impl Counters {
    /// A request goes out, with a body of so many bytes.
    pub fn sent(&self, bytes: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        add(&self.bytes_sent, bytes);
    }

    /// A piece of a body came in.
    pub fn received(&self, bytes: usize) {
        add(&self.bytes_received, bytes);
    }

    /// A budget or the remote asked to send later.
    pub fn throttled(&self) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }

    /// A request is sent again.
    pub fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// A request broke a rule.
    pub fn denied(&self) {
        self.denied.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn read(&self) -> OutboundStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OutboundStats {
            requests: read(&self.requests),
            bytes_sent: read(&self.bytes_sent),
            bytes_received: read(&self.bytes_received),
            throttled: read(&self.throttled),
            retries: read(&self.retries),
            denied: read(&self.denied),
            ..OutboundStats::default()
        }
    }
}

fn add(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
}
