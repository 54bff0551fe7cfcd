//! Installed connectors; see [`samspel_model::registry`].

use async_trait::async_trait;
use samspel_model::registry::{
    ConnectorRevision, InstalledConnector, Registry, RegistryChange, RegistryEntry, Trial,
    TrustedKey,
};
use samspel_model::store::StoreError;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteConnection;

use crate::SqliteStore;
use crate::context::{Context, decode, encode, micros, signed, unsigned};
use crate::writer::Task;

/// See [`Registry::apply`].
#[derive(Clone)]
struct Apply(Vec<RegistryChange>);

#[async_trait]
impl Task for Apply {
    type Output = bool;

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<bool, StoreError> {
        // Compared before anything is changed, so that there is nothing to undo.
        for change in &self.0 {
            if let RegistryChange::Point(pointer) = change
                && generation(context, connection, &pointer.name).await? != pointer.generation
            {
                return Ok(false);
            }
        }
        for change in self.0 {
            apply(context, connection, change).await?;
        }
        Ok(true)
    }
}

async fn generation(
    context: &Context,
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<u64, StoreError> {
    let known: Option<i64> =
        sqlx::query_scalar("SELECT generation FROM connector WHERE tenant = ? AND name = ?")
            .bind(&context.tenant)
            .bind(name)
            .fetch_optional(connection)
            .await
            .map_err(context.failed("reading which connector is active"))?;
    Ok(known.map_or(0, unsigned))
}

async fn apply(
    context: &Context,
    connection: &mut SqliteConnection,
    change: RegistryChange,
) -> Result<(), StoreError> {
    let tenant = &context.tenant;
    let (doing, query) = match change {
        RegistryChange::Stage(revision, bytes) => {
            sqlx::query(
                "INSERT INTO connector_component (tenant, sha256, bytes) VALUES (?, ?, ?) \
                 ON CONFLICT (tenant, sha256) DO UPDATE SET bytes = excluded.bytes WHERE length(bytes) = 0",
            )
            .bind(tenant)
            .bind(&revision.sha256)
            .bind(bytes)
            .execute(&mut *connection)
            .await
            .map_err(context.failed("storing a connector"))?;
            return put(context, connection, &revision).await;
        }
        RegistryChange::Put(revision) => return put(context, connection, &revision).await,
        RegistryChange::Point(mut pointer) => {
            pointer.generation += 1;
            (
                "moving the pointer to a connector",
                sqlx::query(
                    "INSERT INTO connector (tenant, name, generation, body) VALUES (?, ?, ?, ?) \
                     ON CONFLICT (tenant, name) DO UPDATE SET generation = excluded.generation, body = excluded.body",
                )
                .bind(tenant)
                .bind(pointer.name.clone())
                .bind(signed(pointer.generation))
                .bind(encode("the pointer to a connector", &pointer)?),
            )
        }
        RegistryChange::DropComponent(sha256) => (
            "removing the component of a connector",
            // The row stays for those that tell of it.
            sqlx::query(
                "UPDATE connector_component SET bytes = x'' WHERE tenant = ? AND sha256 = ?",
            )
            .bind(tenant)
            .bind(sha256),
        ),
        RegistryChange::ForgetTrials(sha256) => (
            "forgetting how a connector did",
            sqlx::query("DELETE FROM connector_trial WHERE tenant = ? AND sha256 = ?")
                .bind(tenant)
                .bind(sha256),
        ),
        RegistryChange::Trust(key) => (
            "storing a key",
            sqlx::query(
                "INSERT INTO connector_key (tenant, name, body) VALUES (?, ?, ?) \
                 ON CONFLICT (tenant, name) DO UPDATE SET body = excluded.body",
            )
            .bind(tenant)
            .bind(key.name.clone())
            .bind(encode("a key", &key)?),
        ),
        RegistryChange::Distrust(name) => (
            "removing a key",
            sqlx::query("DELETE FROM connector_key WHERE tenant = ? AND name = ?")
                .bind(tenant)
                .bind(name),
        ),
        RegistryChange::Tell(entry) => (
            "writing the history of connectors",
            sqlx::query(
                "INSERT INTO connector_history (tenant, name, at, body) VALUES (?, ?, ?, ?)",
            )
            .bind(tenant)
            .bind(entry.name.clone())
            .bind(micros(entry.at))
            .bind(encode("the history of a connector", &entry)?),
        ),
    };
    query
        .execute(connection)
        .await
        .map(drop)
        .map_err(context.failed(doing))
}

async fn put(
    context: &Context,
    connection: &mut SqliteConnection,
    revision: &ConnectorRevision,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO connector_revision (tenant, sha256, name, body) VALUES (?, ?, ?, ?) \
         ON CONFLICT (tenant, sha256) DO UPDATE SET name = excluded.name, body = excluded.body",
    )
    .bind(&context.tenant)
    .bind(&revision.sha256)
    .bind(&revision.name)
    .bind(encode("a revision of a connector", revision)?)
    .execute(connection)
    .await
    .map(drop)
    .map_err(context.failed("storing a revision of a connector"))
}

/// See [`Registry::ran`].
#[derive(Clone)]
struct Ran {
    sha256: String,
    account: String,
    strikes: u32,
}

#[async_trait]
impl Task for Ran {
    type Output = Trial;

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<Trial, StoreError> {
        let (runs, strikes): (u32, u32) = sqlx::query_as(
            "INSERT INTO connector_trial (tenant, sha256, account, runs, strikes) VALUES (?, ?, ?, 1, ?) \
             ON CONFLICT (tenant, sha256, account) DO UPDATE \
             SET runs = min(runs + 1, 1000000), strikes = min(strikes + excluded.strikes, 1000000) \
             RETURNING runs, strikes",
        )
        .bind(&context.tenant)
        .bind(&self.sha256)
        .bind(&self.account)
        .bind(self.strikes.min(1_000_000))
        .fetch_one(connection)
        .await
        .map_err(context.failed("counting how a connector does"))?;
        Ok(Trial { runs, strikes })
    }
}

/// Texts, understood.
fn bodies<T: DeserializeOwned>(
    what: &str,
    rows: Vec<(String, String)>,
) -> Result<Vec<T>, StoreError> {
    rows.iter()
        .map(|(id, body)| decode(what, id, body))
        .collect()
}

impl SqliteStore {
    async fn pointers(&self, name: Option<&str>) -> Result<Vec<InstalledConnector>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT name, body FROM connector WHERE tenant = ?1 AND (?2 IS NULL OR name = ?2) ORDER BY name",
        )
        .bind(&self.context().tenant)
        .bind(name)
        .fetch_all(self.readers())
        .await
        .map_err(self.context().failed("reading which connectors are active"))?;
        bodies("the pointer to connector", rows)
    }
}

#[async_trait]
impl Registry for SqliteStore {
    async fn apply(&self, changes: Vec<RegistryChange>) -> Result<bool, StoreError> {
        self.writer().run(Apply(changes)).await
    }

    async fn installed(&self, name: &str) -> Result<Option<InstalledConnector>, StoreError> {
        Ok(self.pointers(Some(name)).await?.pop())
    }

    async fn all_installed(&self) -> Result<Vec<InstalledConnector>, StoreError> {
        self.pointers(None).await
    }

    async fn revision(&self, sha256: &str) -> Result<Option<ConnectorRevision>, StoreError> {
        let row: Option<String> = sqlx::query_scalar(
            "SELECT body FROM connector_revision WHERE tenant = ? AND sha256 = ?",
        )
        .bind(&self.context().tenant)
        .bind(sha256)
        .fetch_optional(self.readers())
        .await
        .map_err(self.context().failed("reading a revision of a connector"))?;
        row.map(|body| decode("revision", sha256, &body))
            .transpose()
    }

    async fn revisions(&self, name: Option<&str>) -> Result<Vec<ConnectorRevision>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT sha256, body FROM connector_revision WHERE tenant = ?1 AND (?2 IS NULL OR name = ?2) \
             ORDER BY number DESC",
        )
        .bind(&self.context().tenant)
        .bind(name)
        .fetch_all(self.readers())
        .await
        .map_err(self.context().failed("reading revisions of connectors"))?;
        bodies("revision", rows)
    }

    async fn component(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        sqlx::query_scalar(
            "SELECT bytes FROM connector_component WHERE tenant = ? AND sha256 = ? AND length(bytes) > 0",
        )
        .bind(&self.context().tenant)
        .bind(sha256)
        .fetch_optional(self.readers())
        .await
        .map_err(self.context().failed("reading a connector"))
    }

    async fn trusted(&self) -> Result<Vec<TrustedKey>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT name, body FROM connector_key WHERE tenant = ? ORDER BY name")
                .bind(&self.context().tenant)
                .fetch_all(self.readers())
                .await
                .map_err(self.context().failed("reading the keys that are trusted"))?;
        bodies("key", rows)
    }

    async fn told(
        &self,
        name: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(u64, RegistryEntry)>, StoreError> {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT number, body FROM connector_history WHERE tenant = ?1 AND (?2 IS NULL OR name = ?2) \
             ORDER BY number DESC LIMIT ?3",
        )
        .bind(&self.context().tenant)
        .bind(name)
        .bind(limit)
        .fetch_all(self.readers())
        .await
        .map_err(self.context().failed("reading the history of connectors"))?;
        rows.into_iter()
            .map(|(number, body)| {
                let number = unsigned(number);
                let entry = decode("the history of connectors", &number.to_string(), &body)?;
                Ok((number, entry))
            })
            .collect()
    }

    async fn ran(&self, sha256: &str, account: &str, strikes: u32) -> Result<Trial, StoreError> {
        let task = Ran {
            sha256: sha256.to_owned(),
            account: account.to_owned(),
            strikes,
        };
        self.writer().run(task).await
    }
}
