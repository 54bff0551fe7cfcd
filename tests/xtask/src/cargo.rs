//! Running cargo, for either workspace.

use std::env;
use std::ffi::OsString;
use std::io::BufReader;
use std::path::Path;

use cargo_metadata::{Artifact, Message};
use samspel_provision::{CommandError, Tool, download, note};

use crate::error::XtaskError;

/// The cargo that runs this program.
pub fn cargo() -> Tool {
    Tool::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Downloads what a workspace's lock file names. A no-op where everything is in cargo's cache already.
pub fn fetch(manifest: &Path) -> Result<(), XtaskError> {
    download("crates from crates.io", || {
        cargo()
            .args(["fetch", "--quiet", "--manifest-path"])
            .arg(manifest)
            .run()
    })?;
    Ok(())
}

/// Runs a prepared `cargo build`, shows its diagnostics, and gives the artifacts that it made or found fresh.
pub fn build(tool: Tool) -> Result<Vec<Artifact>, XtaskError> {
    let tool = tool.arg("--message-format=json-render-diagnostics");
    let line = tool.line();
    let unreadable = |source| CommandError::Output {
        line: line.clone(),
        source,
    };
    let mut child = tool.spawn_with_stdout()?;
    let mut artifacts = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for message in Message::parse_stream(BufReader::new(stdout)) {
            match message.map_err(unreadable)? {
                Message::CompilerArtifact(artifact) => artifacts.push(artifact),
                Message::TextLine(text) => note(&text),
                _ => {}
            }
        }
    }
    let status = child.wait().map_err(unreadable)?;
    if status.success() {
        Ok(artifacts)
    } else {
        Err(CommandError::Failed {
            line,
            status,
            output: String::new(),
            log: None,
        }
        .into())
    }
}
