//! `samspel token`: who may use the installation from elsewhere.

use std::io::Write;

use jiff::Timestamp;
use samspel_installation::{Host, Kind, access};
use samspel_model::access::Token;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::args::{CreateTokenArgs, TokenCommand};
use crate::exit::CliError;
use crate::output::Output;

/// Runs one of the commands.
pub async fn run(command: &TokenCommand, host: &Host, output: Output) -> Result<(), CliError> {
    match command {
        TokenCommand::Create(args) => create(args, host, output).await,
        TokenCommand::List => list(host, output).await,
        TokenCommand::Revoke { id } => revoke(id, host, output).await,
    }
}

async fn create(args: &CreateTokenArgs, host: &Host, output: Output) -> Result<(), CliError> {
    let now = host.clock().now();
    let expires = args.expires.as_deref();
    let (token, text) = access::issue(host.access(), &args.name, args.role, expires, now).await?;
    let mut said = json!(token);
    said["token"] = json!(text.expose_secret());
    output.result(&said, |out| {
        writeln!(out, "{}", text.expose_secret())?;
        // On stderr, so that `$(samspel token create ...)` is the token and nothing else.
        let until = token.expires.map_or_else(
            || "until it is revoked".to_owned(),
            |end| format!("until {end:.0}"),
        );
        let _ = writeln!(
            std::io::stderr(),
            "Token {} for {} ({}) is good {until}. It is shown this once: only its hash is kept.",
            token.id,
            token.name,
            token.role
        );
        Ok(())
    })
}

async fn list(host: &Host, output: Output) -> Result<(), CliError> {
    let tokens = host.access().tokens().await?;
    let now = host.clock().now();
    output.result(&json!({ "tokens": tokens }), |out| {
        if tokens.is_empty() {
            writeln!(
                out,
                "there are no tokens; samspel token create NAME --role admin makes the first"
            )?;
        }
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

async fn revoke(id: &str, host: &Host, output: Output) -> Result<(), CliError> {
    let revoked = host.access().revoke_token(id, host.clock().now()).await?;
    let Some(token) = revoked else {
        return Err(
            CliError::new(Kind::Usage, format!("there is no token `{id}`"))
                .remedy("`samspel token list` shows their ids"),
        );
    };
    output.result(&token, |out| {
        writeln!(
            out,
            "token {} of {} is refused from now on",
            token.id, token.name
        )
    })
}
