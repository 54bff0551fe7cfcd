//! `samspel key`: the key under which the store's secrets are sealed.

use samspel_operations::key::RotateKey;

use crate::args::KeyCommand;
use crate::exit::CliError;
use crate::session::Session;

/// Runs one of the commands.
pub async fn run(command: &KeyCommand, session: &Session) -> Result<(), CliError> {
    let KeyCommand::Rotate { to } = command;
    let done = session.perform(&RotateKey { to: to.clone() }).await?;
    session.output.result(&done, |out| {
        writeln!(out, "{} secrets are sealed under the new key", done.sealed)?;
        match &done.key {
            Some(file) => writeln!(
                out,
                "it is in {file}: back it up, and not together with the store; older backups of the store need the old key"
            ),
            None => writeln!(
                out,
                "put the new key where the old one is, and restart what is running; nothing opens with the old one"
            ),
        }
    })
}
