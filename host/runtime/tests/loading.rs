//! What may be loaded as a connector. A file comes from somebody else: whatever it holds, the answer is an error that
//! says what it is and what to do, and the runtime goes on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod support;

use std::time::{Duration, Instant};

use samspel_model::Connector;
use samspel_runtime::{CONTRACT, Limits, LoadError, LoadedConnector, Runtime, RuntimeOptions};
use serde_json::json;

use support::component::{ByHand, from_text, hostile_describe, wit};
use support::{Sandbox, account, options, test_connector, trace};

async fn load(sandbox: &Sandbox, bytes: Vec<u8>) -> Result<LoadedConnector, LoadError> {
    let result = sandbox.runtime.load_bytes("given", bytes).await;
    sandbox.neighbour_works().await;
    result
}

/// Why these bytes are not loaded.
async fn refused(sandbox: &Sandbox, bytes: Vec<u8>) -> LoadError {
    match load(sandbox, bytes).await {
        Err(error) => {
            assert!(error.to_string().contains("connector given"), "{error}");
            error
        }
        Ok(loaded) => panic!("loaded as `{}`", loaded.descriptor.name),
    }
}

#[tokio::test]
async fn a_connector_tells_what_it_is() {
    let sandbox = Sandbox::new().await;
    let bytes = std::fs::read(test_connector("hostile")).unwrap();
    let loaded = load(&sandbox, bytes.clone()).await.unwrap();
    assert_eq!(loaded.descriptor.name, "hostile");
    assert_eq!(loaded.descriptor.authentication.len(), 7);
    assert_eq!(loaded.bytes, bytes.len() as u64);
    assert_eq!(loaded.sha256, sandbox.hostile.sha256);
    assert_eq!(loaded.sha256.len(), 64);
    assert!(loaded.wasi);
    assert!(loaded.hooks.is_none());
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    let sandbox = Sandbox::new().await;
    let whole = std::fs::read(test_connector("hostile")).unwrap();
    let mut scratched = whole.clone();
    let middle = scratched.len() / 2;
    for byte in &mut scratched[middle..middle + 4_096] {
        *byte ^= 0xff;
    }
    for (what, bytes) in [
        ("an empty file", Vec::new()),
        ("a text", b"#!/bin/sh\necho hello\n".to_vec()),
        ("WebAssembly's text format", b"(component)".to_vec()),
        (
            "an ELF file",
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(),
        ),
        (
            "a core module",
            from_text("(module (memory 1) (func (export \"describe\")))"),
        ),
        (
            "an eighth of a component",
            whole[..whole.len() / 8].to_vec(),
        ),
        (
            "all but a byte of a component",
            whole[..whole.len() - 1].to_vec(),
        ),
        (
            "the first bytes of a component",
            whole[..8].to_vec()[..7].to_vec(),
        ),
        ("a component with a scratch", scratched),
        ("zeros", vec![0; 1 << 20]),
    ] {
        let error = refused(&sandbox, bytes).await;
        assert!(
            matches!(error, LoadError::NotAComponent { .. }),
            "{what}: {error}"
        );
        assert!(
            error.to_string().contains("cargo xtask build"),
            "{what}: {error}"
        );
    }
}

/// Code that somebody else compiled would run outside of the sandbox.
#[tokio::test]
async fn precompiled_code_is_refused() {
    let sandbox = Sandbox::new().await;
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true);
    let engine = wasmtime::Engine::new(&config).unwrap();
    let bytes = std::fs::read(test_connector("hostile")).unwrap();
    let compiled = engine.precompile_component(&bytes).unwrap();
    let error = refused(&sandbox, compiled.clone()).await;
    assert!(matches!(error, LoadError::NotAComponent { .. }), "{error}");
    // Nor by its name.
    let directory = tempfile::tempdir().unwrap();
    for name in ["hostile.cwasm", "hostile.wasm"] {
        let file = directory.path().join(name);
        std::fs::write(&file, &compiled).unwrap();
        let error = sandbox.runtime.load(&file).await.err().unwrap();
        assert!(matches!(error, LoadError::NotAComponent { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let sandbox = Sandbox::new().await;
    let directory = tempfile::tempdir().unwrap();
    for path in [
        directory.path().join("missing.wasm"),
        directory.path().to_owned(),
    ] {
        let error = sandbox.runtime.load(&path).await.err().unwrap();
        assert!(matches!(error, LoadError::File { .. }), "{error}");
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_component_ends_at_component_bytes() {
    let size = std::fs::metadata(test_connector("hostile")).unwrap().len();
    let with = |component_bytes| {
        Runtime::new(RuntimeOptions {
            component_bytes,
            ..options()
        })
        .unwrap()
    };
    let (small, enough) = (with(size - 1), with(size));
    let path = test_connector("hostile");
    let bytes = std::fs::read(&path).unwrap();
    for error in [
        small.load(&path).await.err().unwrap(),
        small.load_bytes("given", bytes).await.err().unwrap(),
    ] {
        let LoadError::TooLarge { bytes, limit, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((bytes, limit), (size, size - 1));
    }
    assert!(enough.load(&path).await.is_ok());
}

/// A file that is larger than memory is not read to find out.
#[tokio::test]
async fn a_huge_file_is_refused_by_its_size() {
    let sandbox = Sandbox::new().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("huge.wasm");
    // Sparse: it takes no room.
    std::fs::File::create(&path)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let error = sandbox.runtime.load(&path).await.err().unwrap();
    let LoadError::TooLarge { bytes, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(bytes, 1 << 40);
    sandbox.neighbour_works().await;
}

/// A device has no size, and no end.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_without_an_end_is_not_read_to_the_end() {
    let sandbox = Sandbox::new().await;
    let path = std::path::Path::new("/dev/zero");
    let load = sandbox.runtime.load(path);
    let result = tokio::time::timeout(Duration::from_secs(20), load).await;
    let error = result.expect("it ends").err().unwrap();
    let LoadError::TooLarge { bytes, limit, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(bytes, limit + 1, "more was read than must be to know");
}

#[tokio::test]
async fn another_contract_is_refused_with_both_versions() {
    let sandbox = Sandbox::new().await;
    for version in ["0.2.0", "0.1.1", "0.0.9", "1.0.0", "0.1.0-rc.1"] {
        for item in [
            format!("(component (import \"samspel:connector/log@{version}\" (instance)))"),
            format!(
                "(component (instance $remote) (export \"samspel:connector/remote@{version}\" (instance $remote)))"
            ),
        ] {
            let error = refused(&sandbox, from_text(&item)).await;
            let LoadError::Contract {
                found, supported, ..
            } = error
            else {
                panic!("{item}: {error}");
            };
            assert_eq!(found, format!("samspel:connector@{version}"));
            assert_eq!(supported, CONTRACT);
        }
    }
}

#[tokio::test]
async fn foreign_imports_are_refused_by_name() {
    let sandbox = Sandbox::new().await;
    for import in [
        "acme:database/query@1.0.0",
        "wasi:http/outgoing-handler@0.3.0",
        "wasi:cli/environment@0.1.0",
        "wasi:cli/environment",
        "samspel:host/files@0.1.0",
        "environment",
    ] {
        let text = format!("(component (import \"{import}\" (instance)))");
        let error = refused(&sandbox, from_text(&text)).await;
        let LoadError::Import { import: found, .. } = &error else {
            panic!("{import}: {error}");
        };
        assert_eq!(found, import);
    }
}

/// Interfaces that look like the contract's and WASI's, and that the host does not have or has otherwise.
#[tokio::test]
async fn imports_that_do_not_fit_are_refused() {
    let sandbox = Sandbox::new().await;
    let remote =
        "(instance $remote) (export \"samspel:connector/remote@0.1.0\" (instance $remote))";
    for (import, kind) in [
        (
            "samspel:connector/log@0.1.0",
            "(instance (export \"read\" (func)))",
        ),
        (
            "samspel:connector/files@0.1.0",
            "(instance (export \"read\" (func)))",
        ),
        (
            "wasi:http/outgoing-handler@0.2.0",
            "(instance (export \"handle\" (func)))",
        ),
        (
            "wasi:cli/environment@0.2.0",
            "(instance (export \"set-environment\" (func)))",
        ),
        ("samspel:connector/log@0.1.0", "(func)"),
    ] {
        let text = format!("(component (import \"{import}\" {kind}) {remote})");
        let error = refused(&sandbox, from_text(&text)).await.to_string();
        assert!(error.contains(import), "{import}: {error}");
    }
}

#[tokio::test]
async fn a_component_that_is_no_connector_is_refused() {
    let sandbox = Sandbox::new().await;
    for text in [
        "(component)",
        "(component (instance $i) (export \"samspel:connector/hooks@0.1.0\" (instance $i)))",
        "(component (instance $i) (export \"acme:other/remote@0.1.0\" (instance $i)))",
    ] {
        let error = refused(&sandbox, from_text(text)).await;
        let LoadError::Export { export, .. } = &error else {
            panic!("{text}: {error}");
        };
        assert_eq!(export, "samspel:connector/remote");
    }
    // It says that it is one, and has none of its functions.
    let empty =
        "(component (instance $i) (export \"samspel:connector/remote@0.1.0\" (instance $i)))";
    let error = refused(&sandbox, from_text(empty)).await.to_string();
    assert!(error.contains("does not fit the contract"), "{error}");
}

/// Of one version, and not as it is here: before a release the contract may change in place.
#[tokio::test]
async fn a_function_that_does_not_fit_is_a_matter_of_the_contract() {
    let other = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(wit()).unwrap() {
        let file = file.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace("consents: bool", "consents: u8");
        std::fs::write(other.path().join(file.file_name().unwrap()), text).unwrap();
    }
    let sandbox = Sandbox::new().await;
    assert!(load(&sandbox, ByHand::default().build()).await.is_ok());
    let component = ByHand::default().build_against(other.path());
    let error = refused(&sandbox, component).await.to_string();
    assert!(
        error.contains("built against another state of the contract"),
        "{error}"
    );
    assert!(error.contains(CONTRACT), "{error}");
}

#[tokio::test]
async fn describing_ends_at_describe_cpu_ms() {
    let describing = |describe_cpu_ms, deed| async move {
        let sandbox = Sandbox::with(RuntimeOptions {
            limits: Limits {
                describe_cpu_ms,
                ..Limits::default()
            },
            ..options()
        })
        .await;
        load(&sandbox, hostile_describe(deed)).await
    };
    let error = describing(100, "loop").await.err().unwrap().to_string();
    assert!(error.contains("(describe-cpu-ms)"), "{error}");
    assert!(error.contains("more than 100 ms"), "{error}");
    assert!(describing(30_000, "compute").await.is_ok());
}

#[tokio::test]
async fn a_description_that_never_comes_is_not_waited_for() {
    let sandbox = Sandbox::new().await;
    let began = Instant::now();
    let error = refused(&sandbox, hostile_describe("loop")).await;
    assert!(matches!(error, LoadError::Description { .. }), "{error}");
    assert!(error.to_string().contains("(describe-cpu-ms)"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn describing_keeps_to_the_other_limits() {
    let sandbox = Sandbox::new().await;
    for (deed, why) in [
        ("recurse", "(stack-bytes)"),
        ("large", "(transfer-bytes)"),
        ("many", "(transfer-bytes)"),
        ("panic", "panicked"),
    ] {
        let error = refused(&sandbox, hostile_describe(deed)).await.to_string();
        assert!(error.contains(why), "{deed}: {error}");
    }
    let small = Sandbox::with(RuntimeOptions {
        limits: Limits {
            memory_bytes: 32 << 20,
            ..Limits::default()
        },
        ..options()
    })
    .await;
    let error = refused(&small, hostile_describe("allocate")).await;
    assert!(error.to_string().contains("(memory-bytes)"), "{error}");
    assert!(load(&sandbox, hostile_describe("allocate")).await.is_ok());
}

#[tokio::test]
async fn descriptions_that_say_nonsense_are_refused() {
    let sandbox = Sandbox::new().await;
    for (deed, why) in [
        ("name", "name"),
        ("no-name", "name"),
        ("schema", "not a JSON Schema"),
        ("no-json", "not JSON"),
        ("no-egress", "egress"),
    ] {
        let error = refused(&sandbox, hostile_describe(deed)).await;
        assert!(
            matches!(error, LoadError::Description { .. }),
            "{deed}: {error}"
        );
        assert!(error.to_string().contains(why), "{deed}: {error}");
    }
}

#[tokio::test]
async fn nothing_is_granted_while_a_connector_describes_itself() {
    let captured = trace::capture();
    let sandbox = Sandbox::new().await;
    let loaded = load(&sandbox, hostile_describe("reach")).await.unwrap();
    let told = &loaded.descriptor.description;
    assert!(told.contains("Denied"), "{told}");
    assert!(told.contains("Missing"), "{told}");
    // The log and the clock give nothing away.
    assert!(captured.text().contains("described at"));
}

/// A start function runs before anything is called.
#[tokio::test]
async fn code_that_runs_before_describe_is_under_the_same_limits() {
    let sandbox = Sandbox::new().await;
    for (body, why) in [
        ("(loop (br 0))", "(describe-cpu-ms)"),
        ("unreachable", "panicked"),
        ("(call $start)", "(stack-bytes)"),
    ] {
        let module = format!("(func $start {body}) (start $start)");
        let component = ByHand::with(&module, "(i32.const 4096)").build();
        let error = refused(&sandbox, component).await.to_string();
        assert!(error.contains(why), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_component_needs_no_import_at_all() {
    let sandbox = Sandbox::new().await;
    let loaded = load(&sandbox, ByHand::default().build()).await.unwrap();
    assert_eq!(loaded.descriptor.name, "by-hand");
    assert!(!loaded.wasi);
    let account = account("by-hand", json!({}));
    let bound = sandbox.runtime.bind(&loaded, &account).unwrap();
    assert_eq!(bound.check().await.unwrap().label, "A component by hand");
}

/// Compiled code is kept, and what is kept is not trusted blindly: a damaged entry is compiled anew.
#[tokio::test]
async fn a_damaged_cache_costs_time_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = || {
        Runtime::new(RuntimeOptions {
            cache: Some(directory.path().to_owned()),
            ..options()
        })
        .unwrap()
    };
    let component = ByHand::default().build();
    assert!(
        runtime()
            .load_bytes("given", component.clone())
            .await
            .is_ok()
    );
    let mut damaged = 0;
    let mut directories = vec![directory.path().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                std::fs::write(&path, b"damaged").unwrap();
                damaged += 1;
            }
        }
    }
    assert!(damaged > 0, "nothing was kept");
    assert!(runtime().load_bytes("given", component).await.is_ok());
}

/// One slow compilation does not keep those waiting who only run.
#[tokio::test(flavor = "current_thread")]
async fn compiling_keeps_nobody_waiting() {
    let uncached = Sandbox::with(RuntimeOptions {
        cache: None,
        ..options()
    })
    .await;
    let bytes = std::fs::read(test_connector("hostile")).unwrap();
    let compile = uncached.runtime.load_bytes("given", bytes);
    tokio::pin!(compile);
    let mut calls = 0;
    loop {
        tokio::select! {
            biased;
            loaded = &mut compile => {
                loaded.unwrap();
                break;
            }
            () = uncached.neighbour_works() => calls += 1,
        }
    }
    assert!(calls > 0, "nobody else had a turn");
}
