//! Building programs of the host workspace and finding where they are.

use std::path::PathBuf;

use samspel_provision::step;

use crate::cargo::{self, cargo};
use crate::error::XtaskError;
use crate::workspace::Workspace;

/// The programs of Samspel itself: what a user runs, and the simulated vendors that the demo starts beside it.
pub const HOST: [&str; 2] = ["samspel", "samspel-vendors"];

/// A build profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Cargo's `dev`, as the workspace sets it up: what everything but a measurement uses.
    Dev,
    /// Cargo's `release`.
    Release,
}

/// Builds programs (each in a package of the same name) and gives their paths in the same order.
pub fn build(workspace: &Workspace, programs: &[&str]) -> Result<Vec<PathBuf>, XtaskError> {
    build_in(workspace, Profile::Dev, programs)
}

/// The same, in a profile.
pub fn build_in(
    workspace: &Workspace,
    profile: Profile,
    programs: &[&str],
) -> Result<Vec<PathBuf>, XtaskError> {
    build_with(workspace, profile, &[], programs)
}

/// The same, with features of packages: `package/feature`.
pub fn build_with(
    workspace: &Workspace,
    profile: Profile,
    features: &[&str],
    programs: &[&str],
) -> Result<Vec<PathBuf>, XtaskError> {
    step(&format!("building {}", programs.join(", ")), || {
        let manifest = workspace.root().join("Cargo.toml");
        cargo::fetch(&manifest)?;
        // The whole workspace is named although only programs are built: cargo unites the features of dependencies over
        // the packages that are named, and another selection than that of the tests would compile wasmtime twice.
        let mut tool = cargo()
            .args(["build", "--workspace", "--manifest-path"])
            .arg(&manifest);
        if profile == Profile::Release {
            tool = tool.arg("--release");
        }
        for feature in features {
            tool = tool.args(["--features", feature]);
        }
        for program in programs {
            tool = tool.args(["--bin", program]);
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
