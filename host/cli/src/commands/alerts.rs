//! `samspel alerts`: what needs a person, and whether people can be told.

use samspel_installation::Kind;
use samspel_operations::alerts::{ListAlerts, TestAlerts};

use crate::args::AlertsCommand;
use crate::exit::{CliError, Exit};
use crate::session::Session;

/// Runs one of the commands.
pub async fn run(command: &AlertsCommand, session: &Session) -> Result<(), CliError> {
    match command {
        AlertsCommand::List => {
            let listed = session.perform(&ListAlerts {}).await?;
            session.output.result(&listed, |out| {
                if listed.alerts.is_empty() {
                    writeln!(
                        out,
                        "nothing needs a person, as far as `samspel serve` knows"
                    )?;
                }
                listed.alerts.iter().try_for_each(|one| {
                    let told = match one.told {
                        Some(at) => format!("told {at:.0}"),
                        None => "nobody was told yet".to_owned(),
                    };
                    writeln!(
                        out,
                        "{:<20} {:<24} since {:.0}, {told}",
                        one.kind, one.subject, one.since
                    )
                })
            })
        }
        AlertsCommand::Test => {
            let tested = session.perform(&TestAlerts {}).await?;
            session.output.result(&tested, |out| {
                tested.channels.iter().try_for_each(|one| match &one.error {
                    None => writeln!(out, "{}: a test was sent", one.channel),
                    Some(why) => writeln!(out, "{}: {why}", one.channel),
                })
            })?;
            if tested.channels.iter().any(|one| one.error.is_some()) {
                return Err(CliError::Reported(Exit::from(Kind::Unavailable)));
            }
            Ok(())
        }
    }
}
