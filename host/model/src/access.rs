//! Who may use this installation, and what was done: bearer tokens with roles, and the audit log.
//!
//! A token is 256 random bits. So a single SHA-256 of it can be kept: what a slow password hash defends against, trying
//! likely passwords, cannot succeed with any hash, and each request is checked at the cost of one lookup. The lookup is
//! by the digest, of which nobody can choose a beginning, so that its timing tells nothing about other tokens.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::store::StoreError;

/// How every token begins, by which people and secret scanners recognise one.
pub const PREFIX: &str = "samspel_";

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Digits to base 62 of 256 bits.
const BODY: usize = 43;
/// Digits to base 62 of 32 bits.
const CHECKSUM: usize = 6;

/// What a token allows. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Looks at everything, and changes nothing.
    Viewer,
    /// Decides what is left to a person, runs and pauses syncs.
    Operator,
    /// Changes accounts, secrets and who may do what.
    Admin,
}

impl Role {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| format!("there is no role `{text}`: it is viewer, operator or admin"))
    }
}

/// SHA-256 of a token: all that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a text that has the form of a token; `None` for any other text, which is never looked up.
    #[must_use]
    pub fn of(token: &str) -> Option<Self> {
        let digits = token.strip_prefix(PREFIX)?;
        let (body, sum) = digits.split_at_checked(BODY)?;
        (body.bytes().all(|digit| DIGITS.contains(&digit)) && sum == checksum(body))
            .then(|| Self(Sha256::digest(token).into()))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Not the whole hash: nobody needs it in a log.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({}...)", hex::encode(&self.0[..4]))
    }
}

/// A token's text: the prefix, the bits to base 62, and a checksum, by which a scanner tells a token from a text that
/// happens to look like one without asking anybody.
#[must_use]
pub fn token_text(random: &[u8; 32]) -> String {
    let body = base62(random, BODY);
    let sum = checksum(&body);
    format!("{PREFIX}{body}{sum}")
}

fn checksum(body: &str) -> String {
    let digest = Sha256::digest(format!("{PREFIX}{body}"));
    base62(&digest[..4], CHECKSUM)
}

/// A big-endian number to base 62, with leading zeros.
fn base62(bytes: &[u8], digits: usize) -> String {
    let mut number = bytes.to_vec();
    let mut text = vec![DIGITS[0]; digits];
    for place in text.iter_mut().rev() {
        let mut rest = 0_usize;
        for byte in &mut number {
            let value = rest * 256 + usize::from(*byte);
            // Below 256, because the rest is below 62.
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            rest = value % 62;
        }
        *place = DIGITS[rest];
    }
    text.into_iter().map(char::from).collect()
}

/// Whom a token stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The token's id.
    pub id: String,
    /// The token's name.
    pub name: String,
    /// What it allows.
    pub role: Role,
}

impl Principal {
    /// Who acts, for the audit log.
    #[must_use]
    pub fn actor(&self) -> String {
        format!("token:{}:{}", self.id, self.name)
    }

    /// Whether it may do what a role may.
    #[must_use]
    pub fn may(&self, role: Role) -> bool {
        self.role >= role
    }
}

/// A token to be kept.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// By which it is revoked.
    pub id: String,
    /// For people; of the tokens that are not revoked, one is called so.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// What is kept of its text.
    pub hash: TokenHash,
    /// Now.
    pub created: Timestamp,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
}

/// A token, as far as anybody can know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    /// By which it is revoked.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// Since when it is there.
    pub created: Timestamp,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
    /// When it was used last, to the minute.
    pub last_used: Option<Timestamp>,
    /// Since when it is refused.
    pub revoked: Option<Timestamp>,
}

/// How an act ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// It was not allowed, or nobody agreed to it.
    Refused,
    /// It did not work; some of it may have been done.
    Failed,
}

impl AuditOutcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::Failed];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Who did what. Holds no secret, and no address of a person: entries are never changed, also when somebody is erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// `cli:USER`, or [`Principal::actor`].
    pub who: String,
    /// What, such as `token create` or `sync pause`.
    pub action: String,
    /// What it was done to: a sync, an account, a token.
    pub subject: Option<String>,
    /// More, as an object.
    pub detail: Value,
    /// How it ended.
    pub outcome: AuditOutcome,
}

/// Where tokens and the audit log are kept.
#[async_trait]
pub trait Access: Send + Sync {
    /// Keeps a token. `false`: another that is not revoked is called so, and nothing was changed.
    async fn create_token(&self, token: NewToken) -> Result<bool, StoreError>;

    /// All tokens, also revoked ones, in the order in which they were created.
    async fn tokens(&self) -> Result<Vec<Token>, StoreError>;

    /// Refuses a token from now on; gives it as it is then. One that is revoked stays as it was. `None`: there is none.
    async fn revoke_token(&self, id: &str, now: Timestamp) -> Result<Option<Token>, StoreError>;

    /// Whom a token stands for, unless it is unknown, expired or revoked. Remembers, to the minute, that it was used.
    async fn principal(
        &self,
        hash: TokenHash,
        now: Timestamp,
    ) -> Result<Option<Principal>, StoreError>;

    /// The same for a token's text. What has not the form of a token is not looked up.
    async fn authenticate(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<Principal>, StoreError> {
        match TokenHash::of(token) {
            Some(hash) => self.principal(hash, now).await,
            None => Ok(None),
        }
    }

    /// Adds to the audit log; returns once that is on disk.
    async fn audit(&self, entry: AuditEntry) -> Result<(), StoreError>;

    /// The newest entries, from before the one with number `before`, newest first, with their numbers.
    async fn audited(
        &self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, AuditEntry)>, StoreError>;
}

/// What is known of a request that was sent under a key before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRequest {
    /// Stands for what was asked.
    pub fingerprint: String,
    /// The status that it was answered with; `None`: it is under way, or was when its process ended.
    pub status: Option<u16>,
    /// The answer; `None`: it is not kept.
    pub answer: Option<String>,
}

/// Remembers requests, so that one that is sent again is not done again.
#[async_trait]
pub trait Requests: Send + Sync {
    /// Notes that a request is about to be done; what is known of it if it was noted before, and then nothing is
    /// changed. What is older than `since` is forgotten.
    async fn begin_request(
        &self,
        principal: &str,
        key: &str,
        fingerprint: &str,
        (now, since): (Timestamp, Timestamp),
    ) -> Result<Option<KnownRequest>, StoreError>;

    /// Notes how it was answered.
    async fn answer_request(
        &self,
        principal: &str,
        key: &str,
        status: u16,
        answer: Option<&str>,
    ) -> Result<(), StoreError>;

    /// It was not done, and may be sent again.
    async fn forget_request(&self, principal: &str, key: &str) -> Result<(), StoreError>;
}

/// A credential that its server accepts no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Refused {
    /// The account.
    pub account: String,
    /// The credential's name.
    pub credential: String,
    /// Since when.
    pub since: Timestamp,
    /// What the server said, in our words.
    pub why: String,
}

/// Remembers which credentials a person must authorise again.
#[async_trait]
pub trait Authorisations: Send + Sync {
    /// A server refuses a credential for good. The first time counts.
    async fn refused(&self, refused: Refused) -> Result<(), StoreError>;

    /// A credential works; whether it was refused before.
    async fn accepted(&self, account: &str, credential: &str) -> Result<bool, StoreError>;

    /// All that are refused, by account and credential.
    async fn all_refused(&self) -> Result<Vec<Refused>, StoreError>;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_token_is_recognised_by_its_form_alone() {
        for byte in [0, 1, 61, 62, 255] {
            let text = token_text(&[byte; 32]);
            assert_eq!(text.len(), PREFIX.len() + BODY + CHECKSUM);
            assert!(TokenHash::of(&text).is_some(), "{text}");
        }
        let text = token_text(&[7; 32]);
        for wrong in [
            "",
            PREFIX,
            "samspel_å",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}0"),
            &text.to_uppercase(),
            &text.replacen('_', "-", 1),
        ] {
            assert!(TokenHash::of(wrong).is_none(), "{wrong}");
        }
        let mut mistyped = text.into_bytes();
        mistyped[20] = if mistyped[20] == b'a' { b'b' } else { b'a' };
        assert!(TokenHash::of(&String::from_utf8(mistyped).unwrap()).is_none());
    }

    #[test]
    fn numbers_are_written_to_base_62() {
        assert_eq!(base62(&[0], 2), "00");
        assert_eq!(base62(&[61], 2), "0z");
        assert_eq!(base62(&[62], 2), "10");
        assert_eq!(base62(&[0xff; 4], 6), "4gfFC3");
        let most = base62(&[0xff; 32], BODY);
        assert!(!most.starts_with('0'), "all digits are needed: {most}");
    }

    #[test]
    fn roles_are_ordered() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
