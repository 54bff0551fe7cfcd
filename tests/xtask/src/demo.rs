//! `cargo xtask demo`.

use std::ffi::OsString;
use std::process::ExitCode;

use samspel_provision::Tool;

use crate::error::XtaskError;
use crate::workspace::Workspace;
use crate::{bins, connectors};

/// Builds everything, then hands the terminal to `samspel demo`. The simulated vendors are found beside the program.
pub fn run(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode, XtaskError> {
    connectors::build(workspace)?;
    let programs = bins::build(workspace, &bins::HOST)?;
    let samspel = &programs[0];
    let status = Tool::new(samspel)
        .arg("demo")
        .args(args)
        .env("SAMSPEL_CONNECTORS", workspace.components())
        .status_attached()?;
    Ok(exit_code(status))
}

/// Another program's exit code as our own; 1 where a signal ended it.
pub fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    ExitCode::from(
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
    )
}
