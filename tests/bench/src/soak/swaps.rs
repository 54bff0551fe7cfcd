//! Connectors that are swapped while everything goes on: two builds of each, by turns.

use serde_json::Value;
use tempfile::TempDir;

use super::jobs::Jobs;
use crate::error::BenchError;
use crate::stage::{CONNECTORS, Program, component};

/// A swap that did not work out is tried so often: what it asks the vendor first may meet a fault.
const ATTEMPTS: u32 = 3;

/// Builds, and how often they were swapped.
pub struct Swaps {
    begun: u64,
    jobs: Jobs,
    directory: TempDir,
}

impl Swaps {
    /// Makes a second build of each connector: the same, with a section of its own that nobody reads.
    ///
    /// # Errors
    /// A component cannot be read.
    pub fn prepare() -> Result<Self, BenchError> {
        let failed = || BenchError::system("make another build of a connector");
        let directory = TempDir::with_prefix("samspel-soak-builds-").map_err(failed())?;
        for name in CONNECTORS {
            let mut bytes = std::fs::read(component(name)).map_err(failed())?;
            std::fs::write(directory.path().join(format!("{name}-0.wasm")), &bytes)
                .map_err(failed())?;
            bytes.extend(section("samspel-soak", b"another build"));
            std::fs::write(directory.path().join(format!("{name}-1.wasm")), &bytes)
                .map_err(failed())?;
        }
        Ok(Self {
            begun: 0,
            jobs: Jobs::default(),
            directory,
        })
    }

    /// The next swap begins, unless the last one is not over.
    pub fn begin(&mut self, program: Program) {
        if !self.jobs.is_idle() {
            return;
        }
        let connectors = CONNECTORS.len() as u64;
        let name = CONNECTORS[usize::try_from(self.begun % connectors).unwrap_or_default()];
        // The first build of each is what everything began with.
        let build = (self.begun / connectors + 1) % 2;
        let file = self.directory.path().join(format!("{name}-{build}.wasm"));
        self.begun += 1;
        self.jobs.begin(async move {
            let file = file.to_string_lossy().into_owned();
            let line = ["connector", "upgrade", name, &file, "--dev", "--json"];
            let mut why = String::new();
            for _ in 0..ATTEMPTS {
                match program.output(&line).await {
                    Ok(said) => return active(name, &said),
                    Err(error) => why = error.to_string(),
                }
            }
            Err(format!("connector {name} could not be swapped: {why}"))
        });
    }

    /// Those that were begun.
    pub fn jobs(&mut self) -> &mut Jobs {
        &mut self.jobs
    }
}

fn active(name: &str, said: &[u8]) -> Result<(), String> {
    let said: Value = serde_json::from_slice(said).unwrap_or(Value::Null);
    match said["outcome"].as_str() {
        Some("active") => Ok(()),
        _ => Err(format!("connector {name} is not active: {said}")),
    }
}

/// A custom section of a component (WebAssembly core specification, 5.5.3; components have the same): it changes what
/// the component is called by its digest, and nothing else.
fn section(name: &str, content: &[u8]) -> Vec<u8> {
    // All lengths are below 128, so that each is one byte of LEB128.
    let mut bytes = vec![0, (1 + name.len() + content.len()) as u8, name.len() as u8];
    bytes.extend(name.as_bytes());
    bytes.extend(content);
    bytes
}
