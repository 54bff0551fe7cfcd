//! `samspel init`: a documented configuration to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use samspel_installation::Kind;
use serde_json::json;

use crate::args::{InitArgs, Template};
use crate::exit::CliError;
use crate::output::Output;

/// The text of a template.
pub fn template(template: Template) -> &'static str {
    match template {
        Template::HubspotMailchimp => include_str!("../../samspel.example.toml"),
        Template::OdooGhost => include_str!("../../templates/odoo-ghost.toml"),
    }
}

/// Writes the template to the configuration file's place.
pub fn run(args: &InitArgs, file: &Path, output: Output) -> Result<(), CliError> {
    let mut options = OpenOptions::new();
    options.write(true);
    if args.force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let written = options
        .open(file)
        .and_then(|mut target| target.write_all(template(args.template).as_bytes()));
    written.map_err(|error| {
        let failed = CliError::new(
            Kind::Failure,
            format!("{} cannot be written: {error}", file.display()),
        );
        match error.kind() {
            ErrorKind::AlreadyExists => failed
                .remedy("keep it, replace it with --force, or write elsewhere with --config FILE"),
            ErrorKind::NotFound => failed.remedy("create the directory first"),
            _ => failed,
        }
    })?;
    output.result(&json!({ "file": file }), |out| {
        writeln!(
            out,
            "wrote {}; set the environment variables that it names, then: samspel doctor",
            file.display()
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::ValueEnum;

    use super::*;
    use samspel_installation::Config;

    #[test]
    fn every_template_passes_the_check() {
        for choice in Template::value_variants() {
            let config = Config::parse(Path::new("samspel.toml"), template(*choice)).unwrap();
            assert_eq!(config.accounts.len(), 2, "{choice:?}");
            assert_eq!(config.syncs.len(), 1, "{choice:?}");
        }
    }
}
