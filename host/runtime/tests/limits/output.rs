//! What comes from a guest besides its result: lines of the log, and bytes.

use samspel_model::Connector;
use samspel_runtime::{AccountConfig, Limits};
use serde_json::json;

use crate::support::{Sandbox, account, assert_stopped, everything, trace};

const MIB: usize = 1 << 20;

fn limits() -> Limits {
    Limits {
        cpu_ms: 60_000,
        wall_ms: 60_000,
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_at_log_lines() {
    let captured = trace::capture();
    let sandbox = Sandbox::new().await;
    let few = Limits {
        log_lines: 10,
        ..limits()
    };
    for (limits, text, written) in [
        (few, "a drop of the small flood", 10),
        (limits(), "a drop of the large flood", 500),
    ] {
        let deed = json!({ "mode": "log", "amount": 500, "text": text });
        // To be silenced is no failure: the records of the call are still good.
        assert_eq!(sandbox.deed(deed, limits).await, Ok(json!(500)));
        assert_eq!(captured.text().matches(text).count(), written);
    }
    assert!(captured.text().contains("more than 10 log lines"));
}

#[tokio::test]
async fn a_long_line_is_cut_at_log_line_bytes() {
    let captured = trace::capture();
    let sandbox = Sandbox::new().await;
    // Cut inside a character of two bytes, of which the host must not make half a one.
    let text = format!("long line {}", "ü".repeat(300));
    let short = Limits {
        log_line_bytes: 101,
        ..limits()
    };
    let deed = json!({ "mode": "log", "amount": 1, "text": text });
    assert!(sandbox.deed(deed.clone(), short).await.is_ok());
    let cut = format!("long line {} [cut]", "ü".repeat(45));
    assert!(captured.text().contains(&cut));
    assert!(!captured.text().contains(&text));
    assert!(sandbox.deed(deed, limits()).await.is_ok());
    assert!(captured.text().contains(&text));
}

#[tokio::test]
async fn what_a_guest_logs_is_one_line_of_its_account() {
    let captured = trace::capture();
    let sandbox = Sandbox::new().await;
    let forged = "harmless\n2026-11-24T05:16:00Z ERROR samspel: forged by a guest \u{1b}[2J";
    let deed = json!({ "mode": "log", "amount": 1, "text": forged });
    assert!(sandbox.deed(deed, limits()).await.is_ok());
    let text = captured.text();
    let line = text
        .lines()
        .find(|line| line.contains("forged by a guest"))
        .expect("it is logged");
    assert!(line.contains("harmless"), "a line of its own: {line}");
    assert!(!line.contains('\u{1b}'), "it speaks to the terminal");
    assert!(line.contains("account=deed"), "{line}");
}

#[tokio::test]
async fn one_transfer_ends_at_transfer_bytes() {
    let sandbox = Sandbox::new().await;
    let deed = json!({ "mode": "long-line", "amount": 2 * MIB });
    let small = Limits {
        transfer_bytes: MIB,
        ..limits()
    };
    let result = sandbox.deed(deed.clone(), small.clone()).await;
    assert_stopped(&result, "transfer-bytes");
    assert_eq!(sandbox.deed(deed, limits()).await, Ok(json!(2 * MIB)));
    // What a call returns is a transfer like any other.
    let deed = json!({ "mode": "large-record", "amount": 2 * MIB });
    let page = |limits| {
        let account = AccountConfig {
            limits,
            ..account("large", deed.clone())
        };
        let bound = sandbox.bind(&account);
        async move { bound.changes(everything()).await }
    };
    assert_stopped(&page(small).await, "transfer-bytes");
    assert!(page(limits()).await.is_ok());
    sandbox.neighbour_works().await;
}

#[tokio::test]
async fn all_transfers_end_at_transfer_total_bytes() {
    let sandbox = Sandbox::new().await;
    // 200 lines of 10 KB: 2 MB.
    let deed = json!({ "mode": "log", "amount": 200, "text": "x".repeat(10_000) });
    let small = Limits {
        transfer_total_bytes: MIB,
        ..limits()
    };
    let result = sandbox.deed(deed.clone(), small.clone()).await;
    assert_stopped(&result, "transfer-total-bytes");
    assert_eq!(sandbox.deed(deed, limits()).await, Ok(json!(200)));
    // The result comes on top, and has no more than they may.
    let deed = json!({ "mode": "large-record", "amount": 2 * MIB });
    let account = AccountConfig {
        limits: small,
        ..account("large", deed)
    };
    assert_stopped(&sandbox.page_on(&account).await, "transfer-total-bytes");
}
