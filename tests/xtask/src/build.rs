//! `cargo xtask build`.

use samspel_provision::note;

use crate::error::XtaskError;
use crate::workspace::Workspace;
use crate::{bins, connectors};

/// What to build; everything without options.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Build only the host programs
    #[arg(long, conflicts_with = "connectors_only")]
    host_only: bool,
    /// Build only the connectors
    #[arg(long)]
    connectors_only: bool,
}

/// Builds what is asked for and says where it is.
pub fn run(workspace: &Workspace, args: &Args) -> Result<(), XtaskError> {
    if !args.host_only {
        connectors::build(workspace)?;
        note(&format!(
            "connectors are in {}",
            workspace.components().display()
        ));
    }
    if !args.connectors_only {
        for program in bins::build(workspace, &bins::HOST)? {
            note(&program.display().to_string());
        }
    }
    Ok(())
}
