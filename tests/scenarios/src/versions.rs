//! Versions of a connector: the one that only tests load, made into others by a few bytes.

use crate::connectors;

/// A component that only tests load, with other bytes instead of these.
///
/// # Panics
/// It was not built, or does not hold the bytes once.
pub fn patched(name: &str, old: &str, new: &str) -> Vec<u8> {
    let file = connectors().join("test").join(format!("{name}.wasm"));
    let mut bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) => panic!("{}: {error}; `cargo xtask build` makes it", file.display()),
    };
    let places: Vec<usize> = bytes
        .windows(old.len())
        .enumerate()
        .filter(|(_, window)| *window == old.as_bytes())
        .map(|(place, _)| place)
        .collect();
    let [place] = places[..] else {
        panic!("{name} holds `{old}` once, not {places:?}");
    };
    bytes[place..place + new.len()].copy_from_slice(new.as_bytes());
    bytes
}

/// A version of the fickle connector; see `plugins/fickle` for the deeds.
pub fn fickle(version: &str, deed: &str) -> Vec<u8> {
    patched(
        "fickle",
        "samspel-fickle:1.0.0;plain",
        &format!("samspel-fickle:{version};{deed};"),
    )
}
