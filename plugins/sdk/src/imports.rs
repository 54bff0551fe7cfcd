//! The one place where the contract's imports are called. On targets other than WebAssembly there is no host, and the
//! scripted double of [`testing`](crate::testing) answers instead.

#[cfg(target_arch = "wasm32")]
mod real {
    use crate::bindings::samspel::connector as host;

    pub(crate) use host::account::settings;
    pub(crate) use host::clock::now;
    pub(crate) use host::http::{send, send_all};
    pub(crate) use host::log::write as log;
    pub(crate) use host::secrets::{key_id, sign, verify};
}
#[cfg(target_arch = "wasm32")]
pub(crate) use real::*;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::imports::*;
