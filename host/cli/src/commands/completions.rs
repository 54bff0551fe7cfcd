//! `samspel completions`: a script that makes a shell complete our command line.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::CliError;
use crate::output::Output;

/// Prints the script of a shell.
pub fn run(shell: Shell, output: Output) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "samspel", &mut script);
    output.raw(&String::from_utf8_lossy(&script))
}
