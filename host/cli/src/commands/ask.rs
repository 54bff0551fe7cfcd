//! Asking a person, where there is one.

use std::io::IsTerminal;

use dialoguer::Confirm;

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
