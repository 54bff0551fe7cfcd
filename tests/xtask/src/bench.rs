//! `cargo xtask bench`.

use std::ffi::OsString;
use std::process::ExitCode;

use samspel_provision::Tool;

use crate::bins::Profile;
use crate::demo::exit_code;
use crate::error::XtaskError;
use crate::workspace::Workspace;
use crate::{bins, connectors};

/// What to measure, and in which build.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Measure programs that are built in the release profile
    #[arg(long)]
    release: bool,
    /// Arguments of `samspel-bench`, such as `floor --contacts 10000 --json`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

impl Args {
    /// The same arguments, of one measurement.
    #[must_use]
    pub fn of(mut self, what: &str) -> Self {
        self.args.insert(0, what.into());
        self
    }
}

/// Builds everything in one profile, then hands the terminal to `samspel-bench`, which finds the others beside itself.
pub fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode, XtaskError> {
    connectors::build(workspace)?;
    let profile = if args.release {
        Profile::Release
    } else {
        Profile::Dev
    };
    let programs = bins::build_in(
        workspace,
        profile,
        &["samspel-bench", "samspel", "samspel-vendors"],
    )?;
    let status = Tool::new(&programs[0])
        .args(&args.args)
        .env("SAMSPEL_CONNECTORS", workspace.components())
        .status_attached()?;
    Ok(exit_code(status))
}
