//! What the vault writes. Each task holds only while the vault's mark is the one that it was opened with: what is
//! sealed under a key that was replaced since would be lost.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use samspel_model::store::StoreError;
use secrecy::ExposeSecret;
use sqlx::sqlite::SqliteConnection;

use super::seal::{Place, Seal};
use super::{KEPT, MARK, PURPOSES, VaultError};
use crate::context::Context;
use crate::writer::Task;

/// Seals something in a place. Whether the mark was right and, where nothing is to be replaced, the place was free.
#[derive(Clone)]
pub(super) struct Put {
    pub mark: Vec<u8>,
    pub account: String,
    pub credential: String,
    pub sealed: Vec<u8>,
    pub replace: bool,
}

#[async_trait]
impl Task for Put {
    type Output = bool;

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<bool, StoreError> {
        let statement = if self.replace {
            "INSERT INTO secret (tenant, account, credential, sealed) SELECT ?1, ?2, ?3, ?4 \
             WHERE EXISTS (SELECT 1 FROM secret WHERE tenant = ?1 AND account = ?6 AND credential = ?7 AND sealed = ?5) \
             ON CONFLICT DO UPDATE SET sealed = excluded.sealed"
        } else {
            "INSERT INTO secret (tenant, account, credential, sealed) SELECT ?1, ?2, ?3, ?4 \
             WHERE EXISTS (SELECT 1 FROM secret WHERE tenant = ?1 AND account = ?6 AND credential = ?7 AND sealed = ?5) \
             ON CONFLICT DO NOTHING"
        };
        sqlx::query(statement)
            .bind(&context.tenant)
            .bind(self.account)
            .bind(self.credential)
            .bind(self.sealed)
            .bind(self.mark)
            .bind(PURPOSES)
            .bind(MARK)
            .execute(connection)
            .await
            .map(|done| done.rows_affected() > 0)
            .map_err(context.failed("storing a credential"))
    }
}

/// Sets the mark, if it still is what it was.
#[derive(Clone)]
pub(super) struct SetMark {
    pub was: Option<Vec<u8>>,
    pub mark: Vec<u8>,
}

#[async_trait]
impl Task for SetMark {
    type Output = ();

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        let statement = match &self.was {
            None => {
                "INSERT INTO secret (tenant, account, credential, sealed) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT DO NOTHING"
            }
            Some(_) => {
                "UPDATE secret SET sealed = ?4 \
                 WHERE tenant = ?1 AND account = ?2 AND credential = ?3 AND sealed = ?5"
            }
        };
        let mut query = sqlx::query(statement)
            .bind(&context.tenant)
            .bind(PURPOSES)
            .bind(MARK)
            .bind(self.mark);
        if let Some(was) = self.was {
            query = query.bind(was);
        }
        query
            .execute(connection)
            .await
            .map(drop)
            .map_err(context.failed("marking the vault"))
    }
}

/// Seals everything under another key, in one transaction. `None` if the mark is another: somebody was faster.
#[derive(Clone)]
pub(super) struct Reseal {
    pub mark: Vec<u8>,
    pub old: Seal,
    pub new: Seal,
}

#[async_trait]
impl Task for Reseal {
    /// How many secrets, and the mark from now on.
    type Output = Option<(u64, Vec<u8>)>;

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<Self::Output, StoreError> {
        let sealing = context.failed("sealing under another key");
        let rows: Vec<(String, String, Vec<u8>)> =
            sqlx::query_as("SELECT account, credential, sealed FROM secret WHERE tenant = ?")
                .bind(&context.tenant)
                .fetch_all(&mut *connection)
                .await
                .map_err(&sealing)?;
        if !rows.iter().any(|(account, credential, sealed)| {
            is_mark(account, credential) && *sealed == self.mark
        }) {
            return Ok(None);
        }
        let mut count = 0;
        let mut mark = Vec::new();
        for (account, credential, sealed) in rows {
            let place = Place {
                tenant: &context.tenant,
                account: &account,
                credential: &credential,
            };
            let again = self.again(place, &sealed).map_err(damaged)?;
            sqlx::query(
                "UPDATE secret SET sealed = ? WHERE tenant = ? AND account = ? AND credential = ?",
            )
            .bind(&again)
            .bind(&context.tenant)
            .bind(&account)
            .bind(&credential)
            .execute(&mut *connection)
            .await
            .map_err(&sealing)?;
            if is_mark(&account, &credential) {
                mark = again;
            } else {
                count += 1;
            }
        }
        Ok(Some((count, mark)))
    }
}

impl Reseal {
    fn again(&self, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let clear = self.old.open(place, sealed)?;
        // Of a key that was derived from the old one, only a proof was kept: now the key itself is.
        if place.account == PURPOSES && clear.expose_secret() == KEPT {
            let derived = STANDARD.encode(self.old.derived(place.credential));
            return self.new.close(place, &derived);
        }
        self.new.close(place, clear.expose_secret())
    }
}

fn is_mark(account: &str, credential: &str) -> bool {
    account == PURPOSES && credential == MARK
}

fn damaged(error: VaultError) -> StoreError {
    match error {
        VaultError::Store(error) => error,
        error => StoreError::Damaged {
            what: "the vault".to_owned(),
            why: format!("nothing was sealed anew: {error}"),
        },
    }
}

/// Forgets one secret of an account, or all of them. How many there were.
#[derive(Clone)]
pub(super) struct Remove {
    pub account: String,
    pub credential: Option<String>,
}

#[async_trait]
impl Task for Remove {
    type Output = u64;

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<u64, StoreError> {
        sqlx::query(
            "DELETE FROM secret WHERE tenant = ? AND account = ? AND credential = coalesce(?, credential)",
        )
        .bind(&context.tenant)
        .bind(self.account)
        .bind(self.credential)
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
        .map_err(context.failed("removing a credential"))
    }
}
