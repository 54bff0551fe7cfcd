//! Asking a person, where there is one.

use std::io::IsTerminal;

use dialoguer::Confirm;

use samspel_installation::Kind;

use crate::exit::CliError;
use crate::output::Output;

/// Whether somebody sits at a terminal who can be asked.
pub fn somebody(output: Output) -> bool {
    !output.is_json() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks; no answer is a no. Blocks the thread.
pub fn ask(question: &str) -> bool {
    Confirm::new()
        .with_prompt(question)
        .default(false)
        .interact()
        .unwrap_or(false)
}

/// Goes on if somebody agrees, or agreed with `--yes`. `what`: what is about to be done, for who cannot be asked.
pub async fn agree(
    output: Output,
    yes: bool,
    question: String,
    what: &str,
) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    let refused = CliError::new(Kind::NotConfirmed, what).remedy("confirm with --yes");
    if !somebody(output) {
        return Err(refused);
    }
    let answer = tokio::task::spawn_blocking(move || ask(&question)).await;
    match answer {
        Ok(true) => Ok(()),
        _ => Err(refused),
    }
}
