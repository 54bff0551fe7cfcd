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

/// The export that takes notifications, which a component may lack.
pub mod hooked {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package samspel:host;
            world hooks-only {
                export samspel:connector/hooks@0.1.0;
            }
        ",
        world: "samspel:host/hooks-only",
        with: {
            "samspel:connector/types": super::samspel::connector::types,
            "samspel:connector/http": super::samspel::connector::http,
        },
        exports: { default: async },
    });
}
