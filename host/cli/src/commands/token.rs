//! `samspel token`: who may use the installation from elsewhere.

use std::io::{self, Write};

use jiff::Timestamp;
use samspel_model::access::Token;
use samspel_operations::tokens::{CreateToken, ListTokens, RevokeToken};

use crate::args::{CreateTokenArgs, TokenCommand};
use crate::exit::CliError;
use crate::session::Session;

/// Runs one of the commands.
pub async fn run(command: &TokenCommand, session: &Session) -> Result<(), CliError> {
    match command {
        TokenCommand::Create(args) => create(args, session).await,
        TokenCommand::List => {
            let listed = session.perform(&ListTokens {}).await?;
            session
                .output
                .result(&listed, |out| write(out, &listed.tokens))
        }
        TokenCommand::Revoke { id } => {
            let token = id.clone();
            let token = session.perform(&RevokeToken { token }).await?;
            session.output.result(&token, |out| {
                writeln!(
                    out,
                    "token {} of {} is refused from now on",
                    token.id, token.name
                )
            })
        }
    }
}

async fn create(args: &CreateTokenArgs, session: &Session) -> Result<(), CliError> {
    let made = session
        .perform(&CreateToken {
            name: args.name.clone(),
            role: args.role,
            expires: args.expires.clone(),
        })
        .await?;
    session.output.result(&made, |out| {
        writeln!(out, "{}", made.token)?;
        // On stderr, so that `$(samspel token create ...)` is the token and nothing else.
        let token = &made.known;
        let until = token.expires.map_or_else(
            || "until it is revoked".to_owned(),
            |end| format!("until {end:.0}"),
        );
        let _ = writeln!(
            io::stderr(),
            "Token {} for {} ({}) is good {until}. It is shown this once: only its hash is kept.",
            token.id,
            token.name,
            token.role
        );
        Ok(())
    })
}

fn write(out: &mut dyn Write, tokens: &[Token]) -> io::Result<()> {
    if tokens.is_empty() {
        writeln!(
            out,
            "there are no tokens; samspel token create NAME --role admin makes the first"
        )?;
    }
    let now = Timestamp::now();
    tokens.iter().try_for_each(|token| {
        writeln!(
            out,
            "{}  {:<8}  {}  {}, {}",
            token.id,
            token.role,
            token.name,
            state(token, now),
            match token.last_used {
                Some(used) => format!("used {used:.0}"),
                None => "never used".to_owned(),
            }
        )
    })
}

fn state(token: &Token, now: Timestamp) -> String {
    match (token.revoked, token.expires) {
        (Some(at), _) => format!("revoked {at:.0}"),
        (None, Some(end)) if end <= now => format!("expired {end:.0}"),
        (None, Some(end)) => format!("expires {end:.0}"),
        (None, None) => "does not expire".to_owned(),
    }
}
