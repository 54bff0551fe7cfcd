//! Memory, tables, and what the host keeps on behalf of a guest.

use samspel_model::{Connector, Failure};
use samspel_runtime::{AccountConfig, Limits};
use serde_json::json;

use crate::support::component::ByHand;
use crate::support::{Sandbox, account, assert_stopped};

const MIB: usize = 1 << 20;

fn memory(mebibytes: usize) -> Limits {
    Limits {
        memory_bytes: mebibytes * MIB,
        cpu_ms: 60_000,
        wall_ms: 60_000,
        ..Limits::default()
    }
}

#[tokio::test]
async fn allocating_ends_at_memory_bytes() {
    let sandbox = Sandbox::new().await;
    let deed = json!({ "mode": "allocate", "amount": 40 });
    let result = sandbox.deed(deed.clone(), memory(32)).await;
    assert_stopped(&result, "memory-bytes");
    assert_eq!(sandbox.deed(deed, memory(64)).await, Ok(json!(40)));
}

#[tokio::test]
async fn allocating_without_end_ends_at_the_default() {
    let sandbox = Sandbox::new().await;
    let deed = json!({ "mode": "allocate" });
    assert_stopped(&sandbox.deed(deed, memory(64)).await, "memory-bytes");
}

#[tokio::test]
async fn who_can_do_with_less_memory_gets_less() {
    let sandbox = Sandbox::new().await;
    for limit in [16, 32] {
        let deed = json!({ "mode": "grab", "amount": 100 });
        let got = sandbox.deed(deed, memory(limit)).await.unwrap();
        let got = got.as_u64().unwrap();
        let limit = limit as u64;
        assert!((limit / 2..limit).contains(&got), "{got} of {limit} MiB");
    }
}

/// The error of `check` of a component by hand.
async fn check(component: &ByHand, limits: &Limits) -> Result<(), Failure> {
    let sandbox = Sandbox::new().await;
    let loaded = sandbox
        .runtime
        .load_bytes("by hand", component.build())
        .await
        .unwrap();
    let account = AccountConfig {
        limits: limits.clone(),
        ..account("by-hand", json!({}))
    };
    let bound = sandbox.runtime.bind(&loaded, &account).unwrap();
    let result = bound.check().await.map(|_| ());
    sandbox.neighbour_works().await;
    result
}

/// Pages that a guest needs from its first moment on are no exception.
#[tokio::test]
async fn memory_of_the_first_moment_counts() {
    // 40 MiB of 64 KiB each.
    let component = ByHand {
        module: "(memory (export \"memory\") 640)".to_owned(),
        own_memory: true,
        ..ByHand::default()
    };
    assert_stopped(&check(&component, &memory(32)).await, "memory-bytes");
    assert_eq!(check(&component, &memory(64)).await, Ok(()));
}

#[tokio::test]
async fn memories_are_summed_up() {
    // Each of the three has 20 MiB in the end: none exceeds a limit that all of them exceed.
    let component = ByHand::with(
        "(memory $second 320) (memory $third 0)",
        "(drop (memory.grow 0 (i32.const 319)))
         (if (i32.eq (memory.grow $third (i32.const 320)) (i32.const -1)) (then unreachable))
         (i32.const 4096)",
    );
    assert_stopped(&check(&component, &memory(50)).await, "memory-bytes");
    assert_eq!(check(&component, &memory(64)).await, Ok(()));
}

/// Each memory reserves addresses and mappings of the process, even where it holds nothing.
#[tokio::test]
async fn memories_are_counted() {
    let component =
        |others: usize| ByHand::with(&"(memory 0)".repeat(others), "(i32.const 4096)").build();
    let sandbox = Sandbox::new().await;
    let load = |bytes| sandbox.runtime.load_bytes("by hand", bytes);
    assert!(load(component(31)).await.is_ok());
    let error = load(component(32)).await.err().expect("it is refused");
    assert!(error.to_string().contains("memory count"), "{error}");
}

#[tokio::test]
async fn objects_of_the_garbage_collector_count_as_memory() {
    // A list of 400,000 objects of 64 bytes and more, none of which is garbage.
    let component = ByHand::with(
        "(type $cell (struct (field (ref null $cell)) (field i64 i64 i64 i64 i64 i64 i64 i64)))
         (global $list (mut (ref null $cell)) (ref.null $cell))",
        "(local $left i32)
         (local.set $left (i32.const 400000))
         (loop $again
           (global.set $list
             (struct.new $cell (global.get $list) (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1)
               (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1)))
           (local.set $left (i32.sub (local.get $left) (i32.const 1)))
           (br_if $again (local.get $left)))
         (i32.const 4096)",
    );
    assert_stopped(&check(&component, &memory(16)).await, "memory-bytes");
    assert_eq!(check(&component, &memory(256)).await, Ok(()));
}

fn tables(elements: usize) -> Limits {
    Limits {
        table_elements: elements,
        ..Limits::default()
    }
}

#[tokio::test]
async fn tables_grow_to_table_elements() {
    let component = ByHand::with(
        "(table $table 0 externref)",
        "(if (i32.eq (table.grow $table (ref.null extern) (i32.const 50000)) (i32.const -1))
           (then unreachable))
         (i32.const 4096)",
    );
    assert_stopped(&check(&component, &tables(40_000)).await, "table-elements");
    assert_eq!(check(&component, &tables(60_000)).await, Ok(()));
}

#[tokio::test]
async fn tables_of_the_first_moment_count() {
    let component = ByHand::with("(table $table 50000 funcref)", "(i32.const 4096)");
    assert_stopped(&check(&component, &tables(40_000)).await, "table-elements");
    assert_eq!(check(&component, &tables(60_000)).await, Ok(()));
}

#[tokio::test]
async fn tables_are_summed_up() {
    let component = ByHand::with(&"(table 20000 funcref)".repeat(3), "(i32.const 4096)");
    assert_stopped(&check(&component, &tables(50_000)).await, "table-elements");
    assert_eq!(check(&component, &tables(70_000)).await, Ok(()));
}

/// Memory that threads share would be counted by nobody.
#[tokio::test]
async fn shared_memory_is_not_to_be_had() {
    let component = ByHand::with("(memory $shared 1 65536 shared)", "(i32.const 4096)");
    let sandbox = Sandbox::new().await;
    let loaded = sandbox
        .runtime
        .load_bytes("by hand", component.build())
        .await;
    let error = loaded.err().expect("it is refused").to_string();
    assert!(error.contains("shared"), "{error}");
}

#[tokio::test]
async fn resources_of_wasi_that_the_host_keeps_are_limited() {
    let sandbox = Sandbox::new().await;
    let few = json!({ "mode": "pollables", "amount": 100 });
    assert_eq!(sandbox.deed(few, memory(64)).await, Ok(json!(100)));
    let many = json!({ "mode": "pollables", "amount": 100_000 });
    let result = sandbox.deed(many, memory(64)).await;
    assert!(matches!(result, Err(Failure::Stopped(_))), "{result:?}");
}

/// A socket costs the host a file descriptor, whether it may be connected or not.
#[tokio::test]
async fn sockets_of_wasi_are_not_even_opened() {
    let sandbox = Sandbox::new().await;
    let deed = json!({ "mode": "sockets", "amount": 10 });
    assert_eq!(sandbox.deed(deed, memory(64)).await, Ok(json!(0)));
}

#[tokio::test]
async fn the_host_makes_no_more_random_bytes_than_a_transfer_may_have() {
    let sandbox = Sandbox::new().await;
    let deed = |bytes: usize| json!({ "mode": "random", "amount": bytes });
    let result = sandbox.deed(deed(MIB), memory(64)).await;
    assert_eq!(result, Ok(json!(MIB)));
    let result = sandbox.deed(deed(32 * MIB), memory(64)).await;
    assert!(matches!(result, Err(Failure::Stopped(_))), "{result:?}");
}
