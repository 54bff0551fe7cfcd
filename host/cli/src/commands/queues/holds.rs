//! `samspel holds`: what the safety valves hold, and letting it pass or not.

use samspel_operations::queues::{ApproveHolds, ListHolds, RejectHolds};
use samspel_operations::{Limit, Number};

use super::{write_decided, write_entries};
use crate::args::HoldsCommand;
use crate::exit::CliError;
use crate::session::Session;

/// Runs one of the commands.
pub async fn run(command: &HoldsCommand, session: &Session) -> Result<(), CliError> {
    let done = match command {
        HoldsCommand::List(args) => {
            let listed = session
                .perform(&ListHolds {
                    sync: args.name.clone(),
                    offset: Number::default(),
                    limit: Limit::new(args.limit),
                })
                .await?;
            return session.output.result(&listed, |out| {
                let advice = "samspel holds approve --all --about ABOUT lets a group pass, samspel holds reject ... \
                              leaves it; single ones by ID";
                write_entries(out, &listed.holds, &listed.groups, "holds", advice)
            });
        }
        HoldsCommand::Approve(args) => {
            session
                .perform(&ApproveHolds {
                    selection: (&args.selection).into(),
                    about: args.about.clone(),
                })
                .await?
        }
        HoldsCommand::Reject(args) => {
            session
                .perform(&RejectHolds {
                    selection: (&args.selection).into(),
                    about: args.about.clone(),
                })
                .await?
        }
    };
    session
        .output
        .result(&done, |out| write_decided(out, &done, "samspel holds list"))
}
