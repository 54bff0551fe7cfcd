//! Cursors and page tokens: a connector's position as JSON with the number of its layout.
//!
//! The host treats them as opaque and keeps a cursor across upgrades of the connector, so the layout has a version. A
//! cursor of a layout that this version cannot read asks for a snapshot; nothing is lost.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Failure, Result};

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    at: T,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// Writes a position in the layout `version`.
pub fn encode<T: Serialize>(version: u32, position: &T) -> Result<String> {
    serde_json::to_string(&Versioned {
        v: version,
        at: position,
    })
    .map_err(|error| Failure::Bug(format!("a position cannot be written: {error}")))
}

/// Reads a position of the layout `version`. Anything else is [`Failure::ExpiredCursor`].
pub fn decode<T: DeserializeOwned>(version: u32, text: &str) -> Result<T> {
    match serde_json::from_str::<Versioned<T>>(text) {
        Ok(position) if position.v == version => Ok(position.at),
        _ => Err(Failure::ExpiredCursor),
    }
}

/// The layout of a cursor, for a connector that reads several.
pub fn version(text: &str) -> Option<u32> {
    serde_json::from_str::<Version>(text)
        .ok()
        .map(|version| version.v)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_as_it_was_written() {
        let text = encode(3, &("2026", 5)).unwrap();
        assert_eq!(version(&text), Some(3));
        assert_eq!(
            decode::<(String, u8)>(3, &text).unwrap(),
            ("2026".to_owned(), 5)
        );
    }

    #[test]
    fn what_cannot_be_read_asks_for_a_snapshot() {
        let older = encode(2, &1).unwrap();
        assert_eq!(decode::<u8>(3, &older), Err(Failure::ExpiredCursor));
        assert_eq!(decode::<u8>(3, "garbage"), Err(Failure::ExpiredCursor));
        assert_eq!(
            decode::<String>(2, &older),
            Err(Failure::ExpiredCursor),
            "right version, wrong layout"
        );
        assert_eq!(version("{}"), None);
    }
}
