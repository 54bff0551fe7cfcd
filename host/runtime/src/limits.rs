//! Every limit of the sandbox, in one place.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a connector may use. Every value can be set by the operator, per account; the defaults suit connectors written
/// in Rust. Times are in milliseconds, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// Memory of one instance, summed over its memories. JavaScript and Python connectors need 256 MiB.
    pub memory_bytes: usize,
    /// Elements of all tables of one instance.
    pub table_elements: usize,
    /// Computing time of one call, without the time spent waiting for HTTP.
    pub cpu_ms: u64,
    /// Computing time of `describe`.
    pub describe_cpu_ms: u64,
    /// Time of one call, waiting included.
    pub wall_ms: u64,
    /// What one host call, or the result, may carry from the guest.
    pub transfer_bytes: usize,
    /// What all host calls of one call may carry from the guest. The result comes on top: one more transfer, which may
    /// not have more either.
    pub transfer_total_bytes: usize,
    /// Records, tombstones, outcomes and the like in one result.
    pub items: usize,
    /// Nesting of JSON in one result.
    pub json_depth: usize,
    /// Length of one identifier.
    pub identifier_bytes: usize,
    /// Requests of one call, redirects and retries included.
    pub requests: u32,
    /// Requests of the account in flight at once.
    pub concurrent_requests: usize,
    /// One response after decompression.
    pub response_bytes: usize,
    /// All responses of one `send-all`.
    pub responses_total_bytes: usize,
    /// One request, from connecting to the end of the answer.
    pub request_ms: u64,
    /// The longest wait for a budget or a `Retry-After` inside a call; a longer one ends the call as throttled.
    pub wait_ms: u64,
    /// Log lines of one call.
    pub log_lines: usize,
    /// One log line.
    pub log_line_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            table_elements: 100_000,
            cpu_ms: 2_000,
            describe_cpu_ms: 500,
            wall_ms: 30_000,
            transfer_bytes: 8 << 20,
            transfer_total_bytes: 128 << 20,
            items: 20_000,
            json_depth: 64,
            identifier_bytes: 512,
            requests: 2_000,
            concurrent_requests: 8,
            response_bytes: 10 << 20,
            responses_total_bytes: 32 << 20,
            request_ms: 30_000,
            wait_ms: 2_000,
            log_lines: 1_000,
            log_line_bytes: 4 << 10,
        }
    }
}
