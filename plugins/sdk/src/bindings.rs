//! What `wit-bindgen` makes of `wit/`. Use the names that the crate re-exports; this module is public only because the
//! code of [`export!`](crate::export) refers to it.
#![allow(missing_docs, unsafe_code, clippy::all, unused_qualifications)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "connector",
    pub_export_macro: true,
    export_macro_name: "export_world",
    default_bindings_module: "samspel_connector::bindings",
    additional_derives: [PartialEq, Eq],
});
