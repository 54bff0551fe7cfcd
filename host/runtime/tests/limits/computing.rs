//! Time, recursion, and the ways in which a guest can end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use samspel_model::{Connector, Failure};
use samspel_runtime::{AccountConfig, Limits, RuntimeOptions};
use serde_json::{Value, json};

use crate::support::component::{ByHand, REMOTE};
use crate::support::{Sandbox, account, assert_stopped, everything, options};

/// Limits so high that a deed of half a second is far from them, even on a busy machine.
fn patient() -> Limits {
    Limits {
        cpu_ms: 60_000,
        wall_ms: 60_000,
        ..Limits::default()
    }
}

#[tokio::test]
async fn computing_ends_at_cpu_ms() {
    let sandbox = Sandbox::new().await;
    let (endless, deed) = (
        json!({ "mode": "compute" }),
        json!({ "mode": "compute", "amount": 400 }),
    );
    let short = Limits {
        cpu_ms: 100,
        ..patient()
    };
    assert_stopped(&sandbox.deed(endless, short).await, "cpu-ms");
    assert!(sandbox.deed(deed, patient()).await.is_ok());
}

#[tokio::test]
async fn an_endless_loop_ends_at_the_default() {
    let sandbox = Sandbox::new().await;
    let began = Instant::now();
    let result = sandbox
        .deed(json!({ "mode": "compute" }), Limits::default())
        .await;
    assert_stopped(&result, "cpu-ms");
    assert!(began.elapsed() >= Duration::from_millis(Limits::default().cpu_ms / 2));
}

#[tokio::test]
async fn a_loop_of_host_calls_is_computing_too() {
    let sandbox = Sandbox::new().await;
    let (endless, deed) = (
        json!({ "mode": "ask-the-time" }),
        json!({ "mode": "ask-the-time", "amount": 400 }),
    );
    let short = Limits {
        cpu_ms: 100,
        ..patient()
    };
    assert_stopped(&sandbox.deed(endless, short).await, "cpu-ms");
    assert!(sandbox.deed(deed, patient()).await.is_ok());
}

/// A single thread runs both: without the yields of the loop nobody else would get a turn.
#[tokio::test(flavor = "current_thread")]
async fn others_go_on_while_one_computes() {
    let sandbox = Sandbox::new().await;
    let bound = sandbox.bind(&account("busy", json!({ "mode": "compute" })));
    let calls = Arc::new(AtomicU32::new(0));
    let neighbour = sandbox.neighbour();
    let counter = Arc::clone(&calls);
    // A task of its own, as syncs have them: what a test itself awaits is looked at less often.
    let others = tokio::spawn(async move {
        loop {
            neighbour.changes(everything()).await.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert_stopped(&bound.changes(everything()).await, "cpu-ms");
    others.abort();
    let calls = calls.load(Ordering::Relaxed);
    assert!(calls >= 5, "{calls} calls in two seconds");
}

#[tokio::test]
async fn waiting_is_not_computing() {
    let sandbox = Sandbox::new().await;
    let limits = Limits {
        cpu_ms: 100,
        ..patient()
    };
    let result = sandbox
        .deed(json!({ "mode": "wait", "amount": 500 }), limits)
        .await;
    assert_eq!(result, Ok(json!("waited")));
}

#[tokio::test]
async fn waiting_ends_at_wall_ms() {
    let sandbox = Sandbox::new().await;
    let deed = json!({ "mode": "wait", "amount": 400 });
    let short = Limits {
        wall_ms: 100,
        ..patient()
    };
    assert_stopped(&sandbox.deed(deed.clone(), short.clone()).await, "wall-ms");
    assert_eq!(sandbox.deed(deed, patient()).await, Ok(json!("waited")));
    let endless = json!({ "mode": "wait" });
    assert_stopped(&sandbox.deed(endless, short).await, "wall-ms");
}

#[tokio::test]
async fn computing_ends_at_wall_ms_too() {
    let sandbox = Sandbox::new().await;
    let limits = Limits {
        wall_ms: 100,
        ..patient()
    };
    let result = sandbox.deed(json!({ "mode": "compute" }), limits).await;
    assert_stopped(&result, "wall-ms");
}

#[tokio::test]
async fn recursion_ends_at_stack_bytes() {
    let deed = json!({ "mode": "recurse", "amount": 20_000 });
    for (stack_bytes, enough) in [(128 << 10, false), (8 << 20, true)] {
        let sandbox = Sandbox::with(RuntimeOptions {
            stack_bytes,
            ..options()
        })
        .await;
        let result = sandbox.deed(deed.clone(), patient()).await;
        if enough {
            assert!(result.is_ok(), "{result:?}");
        } else {
            assert_stopped(&result, "stack-bytes");
        }
    }
}

#[tokio::test]
async fn endless_recursion_ends_at_the_default() {
    let sandbox = Sandbox::new().await;
    let result = sandbox
        .deed(json!({ "mode": "recurse" }), Limits::default())
        .await;
    assert_stopped(&result, "stack-bytes");
}

#[tokio::test]
async fn a_panic_is_an_error_of_its_account() {
    let sandbox = Sandbox::new().await;
    let deed = json!({ "mode": "panic", "text": "such is life" });
    let Err(Failure::Stopped(why)) = sandbox.deed(deed, Limits::default()).await else {
        unreachable!("it panicked");
    };
    assert!(why.contains("panicked"), "{why}");
}

#[tokio::test]
async fn who_exits_ends_the_call_and_not_the_host() {
    let sandbox = Sandbox::new().await;
    let result = sandbox
        .deed(json!({ "mode": "exit" }), Limits::default())
        .await;
    assert!(matches!(result, Err(Failure::Stopped(_))), "{result:?}");
}

#[tokio::test]
async fn calls_that_were_stopped_are_counted() {
    let sandbox = Sandbox::new().await;
    let bound = sandbox.bind(&account("counted", json!({ "mode": "panic" })));
    assert!(bound.changes(everything()).await.is_err());
    assert!(bound.check().await.is_ok());
    let stats = bound.stats();
    assert_eq!((stats.calls, stats.stopped), (2, 1));
}

/// Components by hand, each with a `check` that must end in an error: what a compiler of a language never makes.
async fn check_by_hand(component: &ByHand, limits: Limits) -> Result<(), Failure> {
    let sandbox = Sandbox::new().await;
    let loaded = sandbox
        .runtime
        .load_bytes("by hand", component.build())
        .await
        .unwrap();
    let account = AccountConfig {
        limits,
        ..account("by-hand", json!({}))
    };
    let bound = sandbox.runtime.bind(&loaded, &account).unwrap();
    let result = bound.check().await.map(|_| ());
    sandbox.neighbour_works().await;
    result
}

#[tokio::test]
async fn a_component_by_hand_can_be_honest() {
    assert_eq!(
        check_by_hand(&ByHand::default(), Limits::default()).await,
        Ok(())
    );
}

#[tokio::test]
async fn every_trap_is_an_error_of_its_account() {
    for (check, why) in [
        ("unreachable", "panicked"),
        ("(i32.div_u (i32.const 1) (i32.const 0))", "divide by zero"),
        ("(i32.load (i32.const -4))", "out of bounds"),
        (
            "(i32.trunc_f64_s (f64.const nan))",
            "invalid conversion to integer",
        ),
        // The answer lies outside of the memory, or is not aligned.
        ("(i32.const -32)", "pointer"),
        ("(i32.const 4097)", "pointer not aligned"),
    ] {
        let result = check_by_hand(&ByHand::checking(check), Limits::default()).await;
        let Err(Failure::Stopped(found)) = result else {
            unreachable!("{check}: {result:?}");
        };
        assert!(found.contains(why), "{check}: {found}");
    }
}

#[tokio::test]
async fn a_result_that_is_no_result_is_an_error() {
    // Of the 32 bytes at 16384, which are 0: one that says of itself what cannot be.
    for (what, store) in [
        ("neither ok nor an error", "(i32.store (i32.const 16384) (i32.const 7))"),
        (
            "a text outside of the memory",
            "(i32.store (i32.const 16392) (i32.const -16)) (i32.store (i32.const 16396) (i32.const 8))",
        ),
        (
            "a text longer than the memory",
            "(i32.store (i32.const 16396) (i32.const -1))",
        ),
        (
            "a text that is not UTF-8",
            "(i32.store (i32.const 20000) (i32.const -1)) (i32.store (i32.const 16392) (i32.const 20000))
             (i32.store (i32.const 16396) (i32.const 4))",
        ),
    ] {
        let check = format!("{store} (i32.const 16384)");
        let result = check_by_hand(&ByHand::checking(&check), Limits::default()).await;
        assert!(matches!(result, Err(Failure::Stopped(_))), "{what}: {result:?}");
    }
}

#[tokio::test]
async fn no_code_of_a_guest_escapes_the_clock() {
    let endless = "(loop (br 0))";
    let limits = Limits {
        cpu_ms: 100,
        ..patient()
    };
    for component in [
        ByHand::checking(&format!("{endless} unreachable")),
        // What the host calls after it has read the result.
        ByHand::with(
            &format!("(func (export \"cabi_post_{REMOTE}#check\") (param i32) {endless})"),
            "(i32.const 4096)",
        ),
    ] {
        let result = check_by_hand(&component, limits.clone()).await;
        assert_stopped(&result, "cpu-ms");
    }
}

#[tokio::test]
async fn memory_that_the_host_asks_for_is_computed_under_the_clock() {
    let sandbox = Sandbox::new().await;
    for (realloc, why) in [
        ("(loop (br 0)) unreachable", "(cpu-ms)"),
        ("(i32.const -8)", "realloc"),
        ("unreachable", "panicked"),
    ] {
        let component = ByHand {
            realloc: realloc.to_owned(),
            ..ByHand::default()
        };
        let loaded = sandbox
            .runtime
            .load_bytes("by hand", component.build())
            .await
            .unwrap();
        let account = AccountConfig {
            limits: Limits {
                cpu_ms: 100,
                ..patient()
            },
            ..account("by-hand", json!({}))
        };
        let bound = sandbox.runtime.bind(&loaded, &account).unwrap();
        // The host must place the name of the collection into the guest's memory.
        let result = bound.changes(everything()).await;
        let Err(Failure::Stopped(found)) = result else {
            unreachable!("{realloc}: {result:?}");
        };
        assert!(found.contains(why), "{realloc}: {found}");
        sandbox.neighbour_works().await;
    }
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_ends() {
    let sandbox = Sandbox::new().await;
    let endless = Limits {
        cpu_ms: u64::MAX,
        wall_ms: 3_600_000,
        ..Limits::default()
    };
    let bound = sandbox.bind(&AccountConfig {
        limits: endless,
        ..account("dropped", json!({ "mode": "compute" }))
    });
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let call = bound.changes(everything());
    assert!(
        tokio::time::timeout(Duration::from_millis(100), call)
            .await
            .is_err()
    );
    // The task of the call notices at its next yield, 10 ms later.
    let ended = async {
        while tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .expect("the guest still runs");
    assert_eq!(
        sandbox
            .deed(json!({ "mode": "idle" }), Limits::default())
            .await,
        Ok(Value::Null)
    );
}
