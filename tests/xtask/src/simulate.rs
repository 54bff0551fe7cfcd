//! `cargo xtask simulate`.

use std::ffi::OsString;
use std::process::ExitCode;

use samspel_provision::Tool;

use crate::bins::{self, Profile};
use crate::demo::exit_code;
use crate::error::XtaskError;
use crate::workspace::Workspace;

/// The simulation.
const SIMULATION: &str = "samspel-simulation";
/// What takes guards away; programs that people run are built without it.
const MUTATIONS: &str = "samspel-simulation/mutations";

/// Builds the simulation, then hands the terminal to it.
pub fn run(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode, XtaskError> {
    let mutates = args.iter().any(|arg| arg == "--mutations");
    let features: &[&str] = if mutates { &[MUTATIONS] } else { &[] };
    let programs = bins::build_with(workspace, Profile::Dev, features, &[SIMULATION])?;
    let status = Tool::new(&programs[0])
        .arg("run")
        .args(args)
        .status_attached()?;
    Ok(exit_code(status))
}
