//! The contract as Rust: generated from `wit/`, the one source of it.
#![allow(missing_docs, clippy::all, clippy::unwrap_used, clippy::expect_used)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "connector",
    imports: {
        "samspel:connector/http": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});
