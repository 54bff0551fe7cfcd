//! `samspel key`: the key under which the store's secrets are sealed.

use samspel_installation::{Host, key_at};
use serde_json::json;

use crate::args::KeyCommand;
use crate::exit::CliError;
use crate::output::Output;

/// Runs one of the commands.
pub async fn run(command: &KeyCommand, host: &Host, output: Output) -> Result<(), CliError> {
    let KeyCommand::Rotate { to } = command;
    let next = to.as_deref().map(key_at).transpose()?;
    let sealed = host.rotate_key(next.as_ref()).await?;
    let file = host.key_file();
    let said = json!({ "sealed": sealed, "key": file });
    output.result(&said, |out| {
        writeln!(out, "{sealed} secrets are sealed under the new key")?;
        match &file {
            Some(file) => writeln!(
                out,
                "it is in {}: back it up, and not together with the store; older backups of the store need the old key",
                file.display()
            ),
            None => writeln!(
                out,
                "put the new key where the old one is, and restart what is running; nothing opens with the old one"
            ),
        }
    })
}
