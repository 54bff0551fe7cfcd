//! Tokens, the audit log, and which credentials must be authorised again.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use samspel_model::access::{
    Access, AuditEntry, AuditOutcome, Authorisations, KnownRequest, NewToken, Principal, Refused,
    Requests, Role, Token, TokenHash,
};
use samspel_model::store::StoreError;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{FromRow, Row};

use crate::context::{Context, decode, encode, micros, signed, time, unsigned};
use crate::sqlite::SqliteStore;
use crate::writer::Task;

/// That a token was used is written so often at most: a write for each request would wait for the disk each time.
const USED: Duration = Duration::from_secs(60);

struct TokenRow {
    id: String,
    name: String,
    role: String,
    created: i64,
    expires: Option<i64>,
    last_used: Option<i64>,
    revoked: Option<i64>,
}

impl<'r> FromRow<'r, SqliteRow> for TokenRow {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            role: row.try_get("role")?,
            created: row.try_get("created")?,
            expires: row.try_get("expires")?,
            last_used: row.try_get("last_used")?,
            revoked: row.try_get("revoked")?,
        })
    }
}

impl TokenRow {
    fn understand(self) -> Result<Token, StoreError> {
        let moment = |at: Option<i64>| at.map(|at| time("a time of a token", at)).transpose();
        Ok(Token {
            role: self
                .role
                .parse::<Role>()
                .map_err(|why| StoreError::Damaged {
                    what: format!("token `{}`", self.id),
                    why,
                })?,
            created: time("the time of a token", self.created)?,
            expires: moment(self.expires)?,
            last_used: moment(self.last_used)?,
            revoked: moment(self.revoked)?,
            id: self.id,
            name: self.name,
        })
    }
}

const TOKEN: &str = "SELECT id, name, role, created, expires, last_used, revoked FROM token \
                     WHERE tenant = ? AND id = ?";

#[async_trait]
impl Access for SqliteStore {
    async fn create_token(&self, token: NewToken) -> Result<bool, StoreError> {
        self.writer().run(Create(token)).await
    }

    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        let rows: Vec<TokenRow> = sqlx::query_as(
            "SELECT id, name, role, created, expires, last_used, revoked FROM token WHERE tenant = ? \
             ORDER BY created, id",
        )
        .bind(&self.context().tenant)
        .fetch_all(self.readers())
        .await
        .map_err(self.context().failed("listing tokens"))?;
        rows.into_iter().map(TokenRow::understand).collect()
    }

    async fn revoke_token(&self, id: &str, now: Timestamp) -> Result<Option<Token>, StoreError> {
        let id = id.to_owned();
        self.writer().run(Revoke { id, now }).await
    }

    async fn principal(
        &self,
        hash: TokenHash,
        now: Timestamp,
    ) -> Result<Option<Principal>, StoreError> {
        let row: Option<TokenRow> = sqlx::query_as(
            "SELECT id, name, role, created, expires, last_used, revoked FROM token \
             WHERE tenant = ? AND hash = ?",
        )
        .bind(&self.context().tenant)
        .bind(hash.as_bytes().as_slice())
        .fetch_optional(self.readers())
        .await
        .map_err(self.context().failed("looking for a token"))?;
        let Some(token) = row.map(TokenRow::understand).transpose()? else {
            return Ok(None);
        };
        if token.revoked.is_some() || token.expires.is_some_and(|end| end <= now) {
            return Ok(None);
        }
        let stale = token
            .last_used
            .is_none_or(|used| now.duration_since(used).unsigned_abs() >= USED);
        if stale {
            let query = sqlx::query("UPDATE token SET last_used = ? WHERE tenant = ? AND id = ?")
                .bind(micros(now))
                .bind(self.context().tenant.clone())
                .bind(token.id.clone());
            self.writer()
                .execute("noting the use of a token", query)
                .await?;
        }
        Ok(Some(Principal {
            id: token.id,
            name: token.name,
            role: token.role,
        }))
    }

    async fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT INTO audit (tenant, at, who, action, subject, detail, outcome) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(self.context().tenant.clone())
        .bind(micros(entry.at))
        .bind(entry.who)
        .bind(entry.action)
        .bind(entry.subject)
        .bind(encode("an audit entry", &entry.detail)?)
        .bind(entry.outcome.name());
        let written = self.writer().execute("writing the audit log", query);
        written.await.map(drop)
    }

    async fn audited(
        &self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, AuditEntry)>, StoreError> {
        type AuditRow = (i64, i64, String, String, Option<String>, String, String);
        let rows: Vec<AuditRow> = sqlx::query_as(
            "SELECT number, at, who, action, subject, detail, outcome FROM audit \
             WHERE tenant = ? AND number < ? ORDER BY number DESC LIMIT ?",
        )
        .bind(&self.context().tenant)
        .bind(before.map_or(i64::MAX, signed))
        .bind(limit)
        .fetch_all(self.readers())
        .await
        .map_err(self.context().failed("reading the audit log"))?;
        rows.into_iter()
            .map(|(number, at, who, action, subject, detail, outcome)| {
                let entry = AuditEntry {
                    at: time("the time of an audit entry", at)?,
                    who,
                    action,
                    subject,
                    detail: decode("audit entry", &number.to_string(), &detail)?,
                    // The schema allows these only.
                    outcome: AuditOutcome::ALL
                        .into_iter()
                        .find(|known| known.name() == outcome)
                        .unwrap_or(AuditOutcome::Failed),
                };
                Ok((unsigned(number), entry))
            })
            .collect()
    }
}

#[derive(Clone)]
struct Create(NewToken);

#[async_trait]
impl Task for Create {
    type Output = bool;

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<bool, StoreError> {
        let Self(token) = self;
        sqlx::query(
            "INSERT INTO token (tenant, id, name, role, hash, created, expires) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 \
             WHERE NOT EXISTS (SELECT 1 FROM token WHERE tenant = ?1 AND name = ?3 AND revoked IS NULL)",
        )
        .bind(&context.tenant)
        .bind(token.id)
        .bind(token.name)
        .bind(token.role.name())
        .bind(token.hash.as_bytes().to_vec())
        .bind(micros(token.created))
        .bind(token.expires.map(micros))
        .execute(connection)
        .await
        .map(|done| done.rows_affected() > 0)
        .map_err(context.failed("storing a token"))
    }
}

#[derive(Clone)]
struct Revoke {
    id: String,
    now: Timestamp,
}

#[async_trait]
impl Task for Revoke {
    type Output = Option<Token>;

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<Option<Token>, StoreError> {
        let revoking = context.failed("revoking a token");
        sqlx::query("UPDATE token SET revoked = ? WHERE tenant = ? AND id = ? AND revoked IS NULL")
            .bind(micros(self.now))
            .bind(&context.tenant)
            .bind(&self.id)
            .execute(&mut *connection)
            .await
            .map_err(&revoking)?;
        let row: Option<TokenRow> = sqlx::query_as(TOKEN)
            .bind(&context.tenant)
            .bind(&self.id)
            .fetch_optional(connection)
            .await
            .map_err(&revoking)?;
        row.map(TokenRow::understand).transpose()
    }
}

#[async_trait]
impl Requests for SqliteStore {
    async fn begin_request(
        &self,
        principal: &str,
        key: &str,
        fingerprint: &str,
        (now, since): (Timestamp, Timestamp),
    ) -> Result<Option<KnownRequest>, StoreError> {
        let task = BeginRequest {
            principal: principal.to_owned(),
            key: key.to_owned(),
            fingerprint: fingerprint.to_owned(),
            now,
            since,
        };
        self.writer().run(task).await
    }

    async fn answer_request(
        &self,
        principal: &str,
        key: &str,
        status: u16,
        answer: Option<&str>,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(
            "UPDATE request SET status = ?, answer = ? WHERE tenant = ? AND principal = ? AND key = ?",
        )
        .bind(status)
        .bind(answer.map(str::to_owned))
        .bind(self.context().tenant.clone())
        .bind(principal.to_owned())
        .bind(key.to_owned());
        let noted = self.writer().execute("noting an answer", query);
        noted.await.map(drop)
    }

    async fn forget_request(&self, principal: &str, key: &str) -> Result<(), StoreError> {
        let query =
            sqlx::query("DELETE FROM request WHERE tenant = ? AND principal = ? AND key = ?")
                .bind(self.context().tenant.clone())
                .bind(principal.to_owned())
                .bind(key.to_owned());
        let noted = self.writer().execute("forgetting a request", query);
        noted.await.map(drop)
    }
}

#[derive(Clone)]
struct BeginRequest {
    principal: String,
    key: String,
    fingerprint: String,
    now: Timestamp,
    since: Timestamp,
}

#[async_trait]
impl Task for BeginRequest {
    type Output = Option<KnownRequest>;

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<Option<KnownRequest>, StoreError> {
        let noting = context.failed("noting a request");
        sqlx::query("DELETE FROM request WHERE tenant = ? AND at < ?")
            .bind(&context.tenant)
            .bind(micros(self.since))
            .execute(&mut *connection)
            .await
            .map_err(&noting)?;
        let new = sqlx::query(
            "INSERT INTO request (tenant, principal, key, fingerprint, at) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT DO NOTHING",
        )
        .bind(&context.tenant)
        .bind(&self.principal)
        .bind(&self.key)
        .bind(&self.fingerprint)
        .bind(micros(self.now))
        .execute(&mut *connection)
        .await
        .map_err(&noting)?;
        if new.rows_affected() > 0 {
            return Ok(None);
        }
        let known: Option<(String, Option<u16>, Option<String>)> = sqlx::query_as(
            "SELECT fingerprint, status, answer FROM request WHERE tenant = ? AND principal = ? AND key = ?",
        )
        .bind(&context.tenant)
        .bind(&self.principal)
        .bind(&self.key)
        .fetch_optional(connection)
        .await
        .map_err(&noting)?;
        Ok(known.map(|(fingerprint, status, answer)| KnownRequest {
            fingerprint,
            status,
            answer,
        }))
    }
}

#[async_trait]
impl Authorisations for SqliteStore {
    async fn refused(&self, refused: Refused) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT INTO refused (tenant, account, credential, since, why) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT DO NOTHING",
        )
        .bind(self.context().tenant.clone())
        .bind(refused.account)
        .bind(refused.credential)
        .bind(micros(refused.since))
        .bind(refused.why);
        let noted = self.writer().execute("noting a refused credential", query);
        noted.await.map(drop)
    }

    async fn accepted(&self, account: &str, credential: &str) -> Result<bool, StoreError> {
        let query =
            sqlx::query("DELETE FROM refused WHERE tenant = ? AND account = ? AND credential = ?")
                .bind(self.context().tenant.clone())
                .bind(account.to_owned())
                .bind(credential.to_owned());
        let noted = self
            .writer()
            .execute("noting an accepted credential", query);
        Ok(noted.await? > 0)
    }

    async fn all_refused(&self) -> Result<Vec<Refused>, StoreError> {
        let rows: Vec<(String, String, i64, String)> = sqlx::query_as(
            "SELECT account, credential, since, why FROM refused WHERE tenant = ? \
             ORDER BY account, credential",
        )
        .bind(&self.context().tenant)
        .fetch_all(self.readers())
        .await
        .map_err(self.context().failed("looking for refused credentials"))?;
        rows.into_iter()
            .map(|(account, credential, since, why)| {
                Ok(Refused {
                    account,
                    credential,
                    since: time("the time of a refusal", since)?,
                    why,
                })
            })
            .collect()
    }
}
