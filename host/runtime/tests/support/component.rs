//! Components that no compiler of a language makes: written by hand in WebAssembly's text format and wrapped as the
//! contract demands, or made from the hostile connector by changing its bytes.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::test_connector;

/// A component in the text format.
pub fn from_text(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// The contract.
pub fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")
}

/// The hostile connector, whose deed is done while it describes itself.
pub fn hostile_describe(deed: &str) -> Vec<u8> {
    const PREFIX: &[u8] = b"samspel-hostile-describe:";
    let mut bytes = std::fs::read(test_connector("hostile")).unwrap();
    let places: Vec<usize> = bytes
        .windows(PREFIX.len())
        .enumerate()
        .filter(|(_, window)| *window == PREFIX)
        .map(|(place, _)| place + PREFIX.len())
        .collect();
    let [place] = places[..] else {
        panic!("the hostile connector holds its deed once, not {places:?}");
    };
    let deed = format!("{deed}.");
    bytes[place..place + deed.len()].copy_from_slice(deed.as_bytes());
    bytes
}

/// A connector by hand. Everything but `describe` and `check` is a trap.
pub struct ByHand {
    /// More of the module: memories, tables, types, functions, a start function.
    pub module: String,
    /// The body of `check`. `(i32.const 4096)` is the address of a good result.
    pub check: String,
    /// The body of `cabi_realloc`, by which the host asks for memory.
    pub realloc: String,
    /// Whether the code of `module` brings a memory that is exported as `memory`.
    pub own_memory: bool,
}

impl Default for ByHand {
    fn default() -> Self {
        Self {
            module: String::new(),
            check: format!("(i32.const {RESULT})"),
            realloc: "(i32.const 32768)".to_owned(),
            own_memory: false,
        }
    }
}

/// Where the result of `check` is.
pub const RESULT: u32 = 4096;

/// Where the descriptor is.
const DESCRIPTOR: u32 = 8192;

impl ByHand {
    /// A connector whose `check` does this.
    pub fn checking(check: &str) -> Self {
        Self {
            check: check.to_owned(),
            ..Self::default()
        }
    }

    /// A connector with these parts, whose `check` does this.
    pub fn with(module: &str, check: &str) -> Self {
        Self {
            module: module.to_owned(),
            ..Self::checking(check)
        }
    }

    /// Makes the component.
    pub fn build(&self) -> Vec<u8> {
        self.build_against(&wit())
    }

    /// Makes the component, for another contract than ours.
    pub fn build_against(&self, wit: &Path) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).unwrap();
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(wit).unwrap();
        let world = resolve.select_world(&[package], Some("connector")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default()
            .module(&module)
            .unwrap()
            .validate(true)
            .encode()
            .unwrap()
    }

    fn text(&self) -> String {
        let Self {
            module,
            check,
            realloc,
            own_memory,
        } = self;
        let memory = if *own_memory {
            ""
        } else {
            "(memory (export \"memory\") 1)"
        };
        let mut data = String::new();
        for (address, bytes) in [(RESULT, identity()), (DESCRIPTOR, descriptor())] {
            let escaped = bytes.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "\\{byte:02x}");
                text
            });
            let _ = writeln!(data, "(data (i32.const {address}) \"{escaped}\")");
        }
        let i32s = |count: usize| " i32".repeat(count);
        let mut others = String::new();
        for (name, parameters) in [
            ("collections", 0),
            ("changes", 10),
            ("fetch", 8),
            ("find", 6),
            ("write", 4),
        ] {
            let _ = writeln!(
                others,
                "(func (export \"{REMOTE}#{name}\") (param{}) (result i32) unreachable)",
                i32s(parameters)
            );
        }
        format!(
            "(module {memory} {module} {data} {others}
               (func (export \"{REMOTE}#describe\") (result i32) (i32.const {DESCRIPTOR}))
               (func (export \"{REMOTE}#check\") (result i32) {check})
               (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) {realloc}))"
        )
    }
}

/// The name of the interface that a connector exports.
pub const REMOTE: &str = "samspel:connector/remote@0.1.0";

/// `ok(identity)` as the canonical ABI lays it out: a discriminant, and aligned to 8 bytes two texts.
fn identity() -> Vec<u8> {
    let mut image = Image::new(RESULT, 24);
    image.put(0, 0);
    image.text(8, "by-hand");
    image.text(16, "A component by hand");
    image.bytes
}

/// A descriptor with one egress rule and no settings.
fn descriptor() -> Vec<u8> {
    let mut image = Image::new(DESCRIPTOR, 84);
    image.text(0, "by-hand");
    image.text(8, "0.1.0");
    image.text(16, "By hand");
    image.text(24, "Written in WebAssembly's text format.");
    image.text(40, "{\"type\":\"object\"}");
    let rule = image.grow(24);
    image.put(56, DESCRIPTOR + rule);
    image.put(60, 1);
    image.text(rule, "https://api.example.com");
    image.text(rule + 16, "/");
    image.put(72, 1);
    image.bytes
}

/// A record in memory, with the texts that it refers to behind it. What is not put is 0: an empty text or list.
struct Image {
    base: u32,
    bytes: Vec<u8>,
}

impl Image {
    fn new(base: u32, size: usize) -> Self {
        Self {
            base,
            bytes: vec![0; size],
        }
    }

    fn put(&mut self, offset: u32, value: u32) {
        let offset = offset as usize;
        self.bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Appends so many bytes, aligned to 4; returns their offset.
    fn grow(&mut self, size: usize) -> u32 {
        let offset = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(offset + size, 0);
        u32::try_from(offset).unwrap()
    }

    fn text(&mut self, offset: u32, text: &str) {
        let place = self.grow(text.len());
        let start = place as usize;
        self.bytes[start..start + text.len()].copy_from_slice(text.as_bytes());
        self.put(offset, self.base + place);
        self.put(offset + 4, u32::try_from(text.len()).unwrap());
    }
}
