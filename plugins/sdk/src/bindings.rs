//! What `wit-bindgen` makes of `wit/`. Use the names that the crate re-exports; this module is public only because the
//! code of [`export!`](crate::export) and [`export_hooked!`](crate::export_hooked) refers to it.
#![allow(missing_docs, unsafe_code, clippy::all, unused_qualifications)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "connector",
    pub_export_macro: true,
    export_macro_name: "export_world",
    default_bindings_module: "samspel_connector::bindings",
    additional_derives: [PartialEq, Eq],
});

/// What the world `hooked-connector` has beyond the world `connector`. A component that exports both worlds' parts is
/// of that world; generated in one piece, there would be two of each type of `remote`.
pub mod hooks {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package samspel:connector-sdk;

            world hooks {
                export samspel:connector/hooks@0.1.0;
            }
        ",
        pub_export_macro: true,
        export_macro_name: "export_hooks",
        default_bindings_module: "samspel_connector::bindings::hooks",
        additional_derives: [PartialEq, Eq],
        with: {
            "samspel:connector/types@0.1.0": crate::bindings::samspel::connector::types,
            "samspel:connector/http@0.1.0": crate::bindings::samspel::connector::http,
        },
    });
}
