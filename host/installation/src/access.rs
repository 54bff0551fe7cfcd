//! Giving out tokens. What is random about one is made here; what is kept of it, and how it looks, is the model's.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use samspel_model::access::{Access, NewToken, Role, Token, TokenHash, token_text};
use secrecy::SecretString;

use crate::config;
use crate::error::{Error, Kind};

/// What a longer life would mean is "for ever", which is said by leaving it out.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// Makes a token and keeps its hash. The text is given once, to be shown to whoever asked.
///
/// # Errors
/// [`Kind::Usage`] if the name is none or is taken, or the time is none.
pub async fn issue(
    access: &dyn Access,
    name: &str,
    role: Role,
    expires: Option<&str>,
    now: Timestamp,
) -> Result<(Token, SecretString), Error> {
    if !config::is_name(name) {
        return Err(Error::new(Kind::Usage, "this is not a name for a token").remedy(
            "use up to 63 lower-case letters, digits, `-` and `_`, beginning with a letter or a digit",
        ));
    }
    let expires = expires.map(|text| end(text, now)).transpose()?;
    let (random, id) = (random::<32>()?, random::<5>()?);
    let text = SecretString::from(token_text(&random));
    let Some(hash) = TokenHash::of(secrecy::ExposeSecret::expose_secret(&text)) else {
        return Err(Error::new(Kind::Failure, "the token that was made is none"));
    };
    let token = Token {
        id: format!("t{}", hex::encode(id)),
        name: name.to_owned(),
        role,
        created: now,
        expires,
        last_used: None,
        revoked: None,
    };
    let kept = access
        .create_token(NewToken {
            id: token.id.clone(),
            name: token.name.clone(),
            role,
            hash,
            created: now,
            expires,
        })
        .await?;
    if !kept {
        return Err(
            Error::new(Kind::Usage, format!("there is a token `{name}`")).remedy(
                "choose another name, or revoke that one first (`samspel token list` shows its id)",
            ),
        );
    }
    Ok((token, text))
}

/// When a token ends that lives so long. Days are 24 hours.
fn end(text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    let wrong = |why: String| {
        Error::new(Kind::Usage, format!("--expires: {why}"))
            .remedy("write a time such as `90d`, `12h` or `30m`")
    };
    let lifetime = match text.strip_suffix('d').map(str::parse::<u32>) {
        Some(Ok(days)) => Duration::from_secs(u64::from(days) * 24 * 60 * 60),
        _ => config::duration(text).map_err(wrong)?,
    };
    if lifetime.is_zero() || lifetime > LONGEST {
        return Err(wrong(format!(
            "`{text}` is not between a moment and ten years"
        )));
    }
    SignedDuration::try_from(lifetime)
        .ok()
        .and_then(|lifetime| now.checked_add(lifetime).ok())
        .ok_or_else(|| wrong(format!("`{text}` is too long")))
}

/// Bytes that nobody can guess.
fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(
            Kind::Failure,
            format!("the system gives no random bytes: {error}"),
        )
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_lifetime_is_days_or_any_other_time() {
        let seconds = |text: &str| {
            let end = end(text, Timestamp::UNIX_EPOCH).ok()?;
            Some(end.as_second())
        };
        assert_eq!(seconds("90d"), Some(90 * 86_400));
        assert_eq!(seconds("12h"), Some(43_200));
        assert_eq!(seconds("1h 30m"), Some(5_400));
        for wrong in [
            "",
            "d",
            "0d",
            "0s",
            "-1d",
            "-5m",
            "soon",
            "4000d",
            "99999999999999h",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
