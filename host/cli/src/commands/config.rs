//! `samspel config`: the file, looked at without the network.

use samspel_installation::config;
use samspel_operations::config::CheckedConfig;

use crate::exit::CliError;
use crate::output::Output;

/// Tells that a configuration is correct.
pub fn tell(checked: &CheckedConfig, output: Output) -> Result<(), CliError> {
    output.result(checked, |out| {
        writeln!(
            out,
            "{} is correct: accounts {}; syncs {}",
            checked.file,
            listed(&checked.accounts),
            listed(&checked.syncs)
        )
    })
}

/// The JSON Schema as it is printed and committed.
pub fn schema_text() -> Result<String, CliError> {
    let mut text =
        serde_json::to_string_pretty(&config::json_schema()).map_err(std::io::Error::from)?;
    text.push('\n');
    Ok(text)
}

fn listed(names: &[String]) -> String {
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
