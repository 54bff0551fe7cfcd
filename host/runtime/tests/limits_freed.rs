//! What a call used is free again when it has ended, however it ended. A test program of its own: it watches the whole
//! process.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops at the first surprise"
)]

mod support;

use samspel_runtime::Limits;
use serde_json::json;

use support::Sandbox;

/// Memory of this process that is in use, in MiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes / 1_024
}

/// Open files of this process.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn calls_leave_nothing_behind() {
    let sandbox = Sandbox::new().await;
    let limits = Limits {
        memory_bytes: 48 << 20,
        cpu_ms: 60_000,
        wall_ms: 200,
        ..Limits::default()
    };
    let deeds = [
        // Ends well, at memory-bytes, at wall-ms, and in a panic.
        json!({ "mode": "allocate", "amount": 40 }),
        json!({ "mode": "allocate" }),
        json!({ "mode": "compute" }),
        json!({ "mode": "panic" }),
        json!({ "mode": "recurse" }),
        json!({ "mode": "pollables", "amount": 5_000 }),
        json!({ "mode": "sockets", "amount": 100 }),
    ];
    let round = async || {
        for deed in &deeds {
            let _ = sandbox.deed(deed.clone(), limits.clone()).await;
        }
    };
    // The first rounds fill what is kept on purpose: allocators, stacks, tables of the runtime.
    for _ in 0..3 {
        round().await;
    }
    let (memory, files) = (resident(), open_files());
    for _ in 0..20 {
        round().await;
    }
    // Each round uses more than 80 MiB; one instance that stayed would show.
    let grown = resident().saturating_sub(memory);
    assert!(grown < 30, "{grown} MiB stayed");
    assert!(
        open_files() <= files,
        "{} files stayed open",
        open_files() - files
    );
}
