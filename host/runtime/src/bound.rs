//! A connector bound to one account: the [`Connector`] port.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use samspel_model::descriptor::Descriptor;
use samspel_model::{
    CallFailure, Collection, Connector, Entity, Extent, Failure, Fetched, Identity, Outcome, Page,
    ReadRequest, RecordId, WriteOp,
};
use serde_json::Value;
use tracing::Instrument;
use wasmtime::Store;

use crate::account::AccountConfig;
use crate::bindings::ConnectorPre;
use crate::bindings::exports::samspel::connector::remote::Guest;
use crate::bindings::samspel::connector::types;
use crate::component::LoadedConnector;
use crate::convert::{self, Checker};
use crate::engine::Runtime;
use crate::error::BindError;
use crate::guest::{self, Counters, Ended, Grants, GuestStats, State};
use crate::hooks::LoadedHooks;
use crate::lately::Lately;
use crate::outbound::{Authorisation, Outbound, OutboundStats};

/// A connector bound to one account. Every call runs in a fresh instance.
pub struct BoundConnector {
    pre: ConnectorPre<State>,
    descriptor: Arc<Descriptor>,
    pub(crate) hooks: Option<LoadedHooks>,
    pub(crate) grants: Grants,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) counters: Counters,
    lately: Lately,
}

impl Runtime {
    /// Binds a connector to an account.
    ///
    /// # Errors
    /// A setting, credential or endpoint override that is missing or wrong; see [`BindError`].
    pub fn bind(
        &self,
        connector: &LoadedConnector,
        account: &AccountConfig,
    ) -> Result<BoundConnector, BindError> {
        self.bind_beside(connector, account, None)
    }

    /// Binds a connector to an account that another revision is (or was) bound to: both draw on one budget, so that the
    /// remote sees no more requests while a connector is swapped.
    ///
    /// # Errors
    /// The same.
    pub fn bind_beside(
        &self,
        connector: &LoadedConnector,
        account: &AccountConfig,
        before: Option<&BoundConnector>,
    ) -> Result<BoundConnector, BindError> {
        check_settings(&connector.descriptor, account)?;
        let outbound = Arc::new(Outbound::new(
            Arc::clone(&self.shared.client),
            &connector.descriptor,
            account,
            before.map(|before| before.outbound.as_ref()),
        )?);
        let settings = Value::Object(account.settings.clone()).to_string();
        Ok(BoundConnector {
            pre: connector.pre.clone(),
            descriptor: Arc::clone(&connector.descriptor),
            hooks: connector.hooks.clone(),
            grants: Grants {
                account: Arc::from(account.name.as_str()),
                settings: Arc::from(settings),
                outbound: Some(Arc::clone(&outbound)),
                limits: Arc::new(account.limits.clone()),
                cpu_ms: account.limits.cpu_ms,
            },
            outbound,
            counters: Counters::default(),
            lately: Lately::default(),
        })
    }
}

impl Runtime {
    /// What it takes to authorise a credential of an account whose secret is not there yet.
    ///
    /// # Errors
    /// A setting, credential or endpoint override that is missing or wrong; see [`BindError`].
    pub fn authorisation(
        &self,
        connector: &LoadedConnector,
        account: &AccountConfig,
        credential: &str,
    ) -> Result<Authorisation, BindError> {
        check_settings(&connector.descriptor, account)?;
        let client = Arc::clone(&self.shared.client);
        Authorisation::new(client, &connector.descriptor, account, credential)
    }
}

fn check_settings(descriptor: &Descriptor, account: &AccountConfig) -> Result<(), BindError> {
    let setting = |setting: String, why: String| BindError::Setting {
        account: account.name.clone(),
        setting,
        why,
    };
    let validator = jsonschema::validator_for(&descriptor.settings_schema)
        .map_err(|error| setting("settings".to_owned(), error.to_string()))?;
    let settings = Value::Object(account.settings.clone());
    match validator.iter_errors(&settings).next() {
        None => Ok(()),
        Some(error) => {
            let path = error.instance_path().to_string();
            let name = path.trim_start_matches('/').replace('/', ".");
            let name = if name.is_empty() {
                "settings".to_owned()
            } else {
                name
            };
            Err(setting(name, error.to_string()))
        }
    }
}

impl BoundConnector {
    /// What the connector says about itself.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// What the account used since it was bound.
    pub fn stats(&self) -> GuestStats {
        let outbound = self.outbound.stats();
        self.counters.read(outbound.requests, outbound.denied)
    }

    /// What the account used of its remote since it was bound, and what is left of that.
    pub fn outbound_stats(&self) -> OutboundStats {
        self.outbound.stats()
    }

    /// Whether a record was written through this binding a few seconds ago, so that a notification about it is probably
    /// an echo.
    pub fn wrote_lately(&self, collection: &str, id: &RecordId) -> bool {
        self.lately.includes(collection, id)
    }

    /// What the account may reach, for people; endpoint overrides are named.
    pub fn grants(&self) -> Vec<String> {
        self.outbound.grants()
    }

    async fn call<T, F>(&self, name: &'static str, call: F) -> Result<T, Ended>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(
                &'a Guest,
                &'a mut Store<State>,
            )
                -> BoxFuture<'a, wasmtime::Result<Result<T, types::Failure>>>
            + Send
            + 'static,
    {
        let span = tracing::debug_span!(
            "call",
            account = %self.grants.account,
            connector = %self.descriptor.name,
            call = name
        );
        let result = guest::run(
            &self.pre,
            self.grants.clone(),
            &self.counters,
            move |connector, store| call(connector.samspel_connector_remote(), store),
        )
        .instrument(span)
        .await?;
        result.map_err(|failure| Ended {
            failure: self.scrubbed(convert::failure(failure)),
            may_have_applied: false,
        })
    }

    /// Takes secrets out of what a connector says about a failure.
    pub(crate) fn scrubbed(&self, failure: Failure) -> Failure {
        let scrub = |text: String| self.outbound.scrub(&text);
        match failure {
            Failure::Unauthorized(why) => Failure::Unauthorized(scrub(why)),
            Failure::Forbidden(why) => Failure::Forbidden(scrub(why)),
            Failure::Misconfigured { setting, why } => Failure::Misconfigured {
                setting: scrub(setting),
                why: scrub(why),
            },
            Failure::Unavailable(why) => Failure::Unavailable(scrub(why)),
            Failure::Bug(why) => Failure::Bug(scrub(why)),
            Failure::Stopped(why) => Failure::Stopped(scrub(why)),
            Failure::Other(why) => Failure::Other(scrub(why)),
            Failure::Throttled { .. } | Failure::ExpiredCursor => failure,
        }
    }

    /// What was returned cannot be used. The reason may quote it.
    pub(crate) fn refused(&self, why: String) -> Failure {
        self.scrubbed(Failure::Bug(why))
    }

    pub(crate) fn checker(&self) -> Checker<'_> {
        Checker::new(&self.grants.limits)
    }
}

fn failure(ended: Ended) -> Failure {
    ended.failure
}

#[async_trait]
impl Connector for BoundConnector {
    async fn check(&self) -> Result<Identity, Failure> {
        let identity = self
            .call("check", |guest, store| Box::pin(guest.call_check(store)))
            .await
            .map_err(failure)?;
        Ok(convert::identity(identity))
    }

    async fn collections(&self) -> Result<Vec<Collection>, Failure> {
        let collections = self
            .call("collections", |guest, store| {
                Box::pin(guest.call_collections(store))
            })
            .await
            .map_err(failure)?;
        self.checker()
            .collections(collections)
            .map_err(|why| self.refused(why))
    }

    async fn changes(&self, request: ReadRequest) -> Result<Page, Failure> {
        let request = convert::request(request);
        let page = self
            .call("changes", move |guest, store| {
                Box::pin(async move { guest.call_changes(store, &request).await })
            })
            .await
            .map_err(failure)?;
        self.checker().page(page).map_err(|why| self.refused(why))
    }

    async fn fetch(
        &self,
        collection: &str,
        ids: &[RecordId],
        fields: Option<&[String]>,
        extent: Extent,
    ) -> Result<Vec<Fetched>, Failure> {
        let collection = collection.to_owned();
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let fields = fields.map(<[String]>::to_vec);
        let consents = extent == Extent::Whole;
        let answers = self
            .call("fetch", move |guest, store| {
                Box::pin(async move {
                    guest
                        .call_fetch(store, &collection, &texts, fields.as_deref(), consents)
                        .await
                })
            })
            .await
            .map_err(failure)?;
        self.checker()
            .fetched(ids.len(), answers)
            .map_err(|why| self.refused(why))
    }

    async fn ready(&self) -> bool {
        self.outbound.ready().await
    }

    async fn find(
        &self,
        collection: &str,
        field: &str,
        values: &[String],
    ) -> Result<Vec<Vec<Entity>>, Failure> {
        let collection = collection.to_owned();
        let field = field.to_owned();
        let texts = values.to_vec();
        let answers = self
            .call("find", move |guest, store| {
                Box::pin(async move { guest.call_find(store, &collection, &field, &texts).await })
            })
            .await
            .map_err(failure)?;
        self.checker()
            .found(values.len(), answers)
            .map_err(|why| self.refused(why))
    }

    async fn write(
        &self,
        collection: &str,
        writes: Vec<WriteOp>,
    ) -> Result<Vec<Outcome>, CallFailure> {
        let of = collection.to_owned();
        let sent = writes.len();
        let ops: Vec<_> = writes.into_iter().map(convert::write_op).collect();
        let outcomes = self
            .call("write", move |guest, store| {
                Box::pin(async move { guest.call_write(store, &of, &ops).await })
            })
            .await
            .map_err(|ended| CallFailure {
                failure: ended.failure,
                may_have_applied: ended.may_have_applied,
            })?;
        // What was written was written, even if the answer about it is of no use.
        let outcomes = self
            .checker()
            .outcomes(sent, outcomes)
            .map_err(|why| CallFailure {
                failure: self.refused(why),
                may_have_applied: true,
            })?;
        self.lately.wrote(collection, &outcomes);
        Ok(outcomes)
    }
}
