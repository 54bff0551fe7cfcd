//! `cargo xtask live`.

use std::ffi::OsString;
use std::process::ExitCode;

use samspel_provision::Tool;

use crate::demo::exit_code;
use crate::error::XtaskError;
use crate::workspace::Workspace;
use crate::{bins, connectors};

/// The live harness.
const HARNESS: &str = "samspel-live";
/// Arguments with which the harness needs neither connectors nor `samspel`.
const WITHOUT_SAMSPEL: [&str; 4] = ["--servers-only", "--facts-only", "--help", "-h"];

/// Builds what the harness needs, then hands the terminal to it.
pub fn run(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode, XtaskError> {
    let mut tool = if args
        .iter()
        .any(|arg| WITHOUT_SAMSPEL.iter().any(|alone| arg == alone))
    {
        Tool::new(&bins::build(workspace, &[HARNESS])?[0])
    } else {
        connectors::build(workspace)?;
        let programs = bins::build(workspace, &[HARNESS, "samspel"])?;
        Tool::new(&programs[0])
            .env("SAMSPEL_PROGRAM", &programs[1])
            .env("SAMSPEL_CONNECTORS", workspace.components())
    };
    tool = tool.env("SAMSPEL_LIVE_DIRECTORY", workspace.target().join("live"));
    Ok(exit_code(tool.args(args).status_attached()?))
}
