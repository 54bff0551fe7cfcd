//! `samspel config`: the file, looked at without the network.

use std::path::Path;

use serde::Serialize;

use crate::args::ConfigCommand;
use crate::exit::CliError;
use crate::output::Output;
use samspel_installation::config::{self, Config};

#[derive(Serialize)]
struct Checked<'a> {
    file: &'a Path,
    accounts: Vec<&'a str>,
    syncs: Vec<&'a str>,
}

/// Runs one of the commands.
pub fn run(command: &ConfigCommand, file: &Path, output: Output) -> Result<(), CliError> {
    match command {
        ConfigCommand::Check => {
            let config = Config::load(file)?;
            let checked = Checked {
                file,
                accounts: config.accounts.keys().map(String::as_str).collect(),
                syncs: config.syncs.keys().map(String::as_str).collect(),
            };
            output.result(&checked, |out| {
                writeln!(
                    out,
                    "{} is correct: accounts {}; syncs {}",
                    file.display(),
                    listed(&checked.accounts),
                    listed(&checked.syncs)
                )
            })
        }
        ConfigCommand::Schema => output.raw(&schema_text()?),
    }
}

/// The JSON Schema as it is printed and committed.
pub fn schema_text() -> Result<String, CliError> {
    let mut text =
        serde_json::to_string_pretty(&config::json_schema()).map_err(std::io::Error::from)?;
    text.push('\n');
    Ok(text)
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        "(none)".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn the_committed_schema_is_current() {
        let committed = include_str!("../../samspel.schema.json");
        assert_eq!(
            super::schema_text().unwrap(),
            committed,
            "run `samspel config schema > host/cli/samspel.schema.json`"
        );
    }
}
