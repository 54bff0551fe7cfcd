//! What the test that owns the account wants to see done.

use samspel_connector::{JsonSchema, schemars};
use serde::Deserialize;

/// A deed and how much of it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(crate = "schemars")]
pub struct Settings {
    /// The deed.
    pub mode: Mode,
    /// How many, how large, how deep: what the deed counts. Without it the deed has no end.
    #[serde(default)]
    pub amount: Option<u64>,
    /// An origin that the operator lets the connector reach, in addition to those of the descriptor.
    pub url: String,
    /// Where a deed needs a text.
    #[serde(default)]
    pub text: String,
    /// What `ask`, `ask-at-once` and `betray` send.
    #[serde(default)]
    pub requests: Vec<Ask>,
    /// What `search` looks for in the instance's memory. Each byte is masked with [`MASK`], so that the search does
    /// not find these settings.
    #[serde(default)]
    pub needles: Vec<Vec<u8>>,
    /// What `thing` returns.
    #[serde(default)]
    pub thing: Thing,
}

/// See [`Settings::needles`].
pub const MASK: u8 = 0x5a;

/// What to do when the host reads changes (or, where it says so, makes another call).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(crate = "schemars")]
pub enum Mode {
    /// Nothing.
    Idle,
    /// Compute for `amount` milliseconds.
    Compute,
    /// Compute until a clock that is read all the time says that `amount` milliseconds have passed.
    AskTheTime,
    /// Wait, by WASI's means, for `amount` milliseconds.
    Wait,
    /// Use `amount` MiB of memory, and die if they are refused.
    Allocate,
    /// Use `amount` MiB of memory, or as much as there is, and tell how much that was.
    Grab,
    /// Recurse so deep.
    Recurse,
    /// Panic, with `text`.
    Panic,
    /// Exit, by WASI's means.
    Exit,
    /// Write `text` so many times to the log.
    Log,
    /// Write one line of so many bytes to the log.
    LongLine,
    /// Make so many resources of WASI's and keep them.
    Pollables,
    /// Open so many sockets and keep them.
    Sockets,
    /// Ask for so many random bytes at once.
    Random,

    /// Return so many records.
    Records,
    /// Return so many tombstones.
    Tombstones,
    /// Return one record whose field is a text of so many bytes.
    LargeRecord,
    /// Return the record of `thing`.
    Thing,
    /// Return a cursor of so many bytes.
    Cursor,
    /// Answer `fetch`, `find` and `write` with so many items, whatever was asked.
    Count,
    /// Answer `collections` with a field whose schema is `text`.
    Schema,

    /// Send the requests, one after the other, and return the answers.
    Ask,
    /// The same at once.
    AskAtOnce,
    /// Send the requests `amount` times and return how the last of them ended.
    Flood,

    /// Tell what can be seen besides the contract: environment, arguments, files, names, standard input.
    Look,
    /// Send the requests, then count the needles in the instance's whole memory.
    Search,
    /// Ask for the key id of credential `text`, and let it sign and verify chosen messages by every algorithm.
    Sign,
    /// Send the requests, log all that came back, and fail with it.
    Betray,
}

/// A request.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(crate = "schemars")]
pub struct Ask {
    /// Absolute.
    pub url: String,
    #[serde(default = "get")]
    pub method: String,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    #[serde(default)]
    pub body: Option<String>,
    #[serde(default)]
    pub credential: Option<String>,
    /// Whether the host may repeat it.
    #[serde(default)]
    pub safe: bool,
}

fn get() -> String {
    "GET".to_owned()
}

/// A record as the test spells it; texts are returned as they are.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[schemars(crate = "schemars")]
pub struct Thing {
    pub id: String,
    pub fields: String,
    pub token: Option<String>,
    pub modified: Option<String>,
    pub aliases: Vec<String>,
    /// Channel and time of each.
    pub consents: Vec<(String, Option<String>)>,
}

impl Default for Thing {
    fn default() -> Self {
        Self {
            id: "thing".to_owned(),
            fields: "{}".to_owned(),
            token: None,
            modified: None,
            aliases: Vec::new(),
            consents: Vec::new(),
        }
    }
}
