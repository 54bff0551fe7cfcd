//! Building programs of the host workspace and finding where they are.

use std::path::PathBuf;

use samspel_provision::step;

use crate::cargo::{self, cargo};
use crate::error::XtaskError;
use crate::workspace::Workspace;

/// The programs of Samspel itself: what a user runs, and the simulated vendors that the demo starts beside it.
pub const HOST: [&str; 2] = ["samspel", "samspel-vendors"];

/// Builds programs (each in a package of the same name) and gives their paths in the same order.
pub fn build(workspace: &Workspace, programs: &[&str]) -> Result<Vec<PathBuf>, XtaskError> {
    step(&format!("building {}", programs.join(", ")), || {
        let manifest = workspace.root().join("Cargo.toml");
        cargo::fetch(&manifest)?;
        let mut tool = cargo().arg("build").arg("--manifest-path").arg(&manifest);
        for program in programs {
            tool = tool.args(["--package", program, "--bin", program]);
        }
        let artifacts = cargo::build(tool)?;
        programs
            .iter()
            .map(|program| {
                artifacts
                    .iter()
                    .filter(|artifact| artifact.target.name == *program)
                    .find_map(|artifact| artifact.executable.clone())
                    .map(PathBuf::from)
                    .ok_or_else(|| XtaskError::NoArtifact {
                        package: (*program).to_owned(),
                        expected: "program",
                    })
            })
            .collect()
    })
}
