//! `samspel erase`: a person is forgotten.

use samspel_operations::records::ErasePerson;

use crate::args::EraseArgs;
use crate::exit::CliError;
use crate::session::Session;

/// Forgets a person.
pub async fn run(args: &EraseArgs, session: &Session) -> Result<(), CliError> {
    let erased = session
        .perform(&ErasePerson {
            record: args.record.clone(),
            sync: args.sync.clone(),
            side: args.side.map(Into::into),
            yes: args.yes,
        })
        .await?;
    session.output.result(&erased, |out| {
        writeln!(out, "forgotten: {}", erased.records.join(", "))?;
        writeln!(
            out,
            "{} address(es) kept as a keyed hash: what comes back under one comes back opted out",
            erased.suppressed
        )?;
        writeln!(
            out,
            "what is still at the remotes is read again; back up the key ({})",
            erased.key
        )
    })
}
