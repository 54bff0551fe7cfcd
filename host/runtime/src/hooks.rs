//! Notifications: what a component says about them, whether one is genuine, and what it is about.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use jiff::Timestamp;
use samspel_model::hook::{
    CodeEncoding, Hint, HmacScheme, HookDescriptor, HookReceipt, HookReplies, HookReply,
    HookRequest, HookScope, HookSubscription, Notified, Proof, SentAt, SignedPart, TimeUnit,
};
use samspel_model::proof::{Signed, Unproven};
use samspel_model::{Extent, Failure};
use tracing::Instrument;
use wasmtime::Store;

use crate::bindings::hooked::HooksOnlyPre;
use crate::bindings::hooked::exports::samspel::connector::hooks as wit;
use crate::bindings::samspel::connector::types;
use crate::bound::BoundConnector;
use crate::convert;
use crate::error::LoadError;
use crate::guest::{self, Counters, Grants, State};
use crate::outbound::{Algorithm, SecretError};

/// The largest body of a certain answer: a challenge is short.
const REPLY_BYTES: usize = 64 << 10;

/// That a component takes notifications, and how they work.
#[derive(Clone)]
pub struct LoadedHooks {
    pre: HooksOnlyPre<State>,
    /// What the component says about them.
    pub descriptor: Arc<HookDescriptor>,
}

impl LoadedHooks {
    /// Asks a component how its notifications work. `None` if it uses something that this host does not know: then
    /// there are none.
    pub(crate) async fn describe(
        name: &str,
        pre: HooksOnlyPre<State>,
        grants: Grants,
    ) -> Result<Option<Self>, LoadError> {
        let wrong = |why: String| LoadError::Description {
            name: name.to_owned(),
            why,
        };
        let described = guest::run(&pre, grants, &Counters::default(), |exports, store| {
            Box::pin(async move {
                exports
                    .samspel_connector_hooks()
                    .call_describe_hooks(store)
                    .await
            })
        })
        .await
        .map_err(|ended| wrong(ended.failure.to_string()))?;
        match descriptor(described) {
            Ok(descriptor) => Ok(Some(Self {
                pre,
                descriptor: Arc::new(descriptor),
            })),
            Err(what) => {
                tracing::warn!(
                    connector = name,
                    "its notifications are not taken: they use {what}, which this version of samspel does not know"
                );
                Ok(None)
            }
        }
    }
}

/// The descriptor, or what in it this host does not know.
fn descriptor(said: wit::HookDescriptor) -> Result<HookDescriptor, String> {
    Ok(HookDescriptor {
        scope: match said.scope {
            wit::HookScope::Account => HookScope::Account,
            wit::HookScope::App => HookScope::App,
        },
        replies: match said.replies {
            wit::HookReplies::Never => HookReplies::Never,
            wit::HookReplies::Probes => HookReplies::Probes,
            wit::HookReplies::Always => HookReplies::Always,
        },
        proof: match said.proof {
            wit::Proof::Address => Proof::Address,
            wit::Proof::Hmac(scheme) => Proof::Hmac(hmac(scheme)?),
            wit::Proof::Connector => Proof::Connector,
            wit::Proof::Other(what) => return Err(format!("the proof `{what}`")),
        },
        can_subscribe: said.can_subscribe,
        help: said.help,
    })
}

fn hmac(said: wit::HmacScheme) -> Result<HmacScheme, String> {
    if Algorithm::named(&said.algorithm).is_none() {
        return Err(format!("the algorithm `{}`", said.algorithm));
    }
    let message = said.message.into_iter().map(|part| {
        Ok(match part {
            wit::SignedPart::Method => SignedPart::Method,
            wit::SignedPart::Url => SignedPart::Url,
            wit::SignedPart::Body => SignedPart::Body,
            wit::SignedPart::SentAt => SignedPart::SentAt,
            wit::SignedPart::Text(text) => SignedPart::Text(text),
            wit::SignedPart::Other(what) => return Err(format!("the signed part `{what}`")),
        })
    });
    let scheme = HmacScheme {
        message: message.collect::<Result<Vec<_>, String>>()?,
        credential: said.credential,
        algorithm: said.algorithm,
        header: said.header.to_ascii_lowercase(),
        prefix: said.prefix,
        encoding: match said.encoding {
            wit::CodeEncoding::Hex => CodeEncoding::Hex,
            wit::CodeEncoding::Base64 => CodeEncoding::Base64,
        },
        sent_at: said.sent_at.map(|sent_at| SentAt {
            header: sent_at.header.to_ascii_lowercase(),
            unit: match sent_at.unit {
                wit::TimeUnit::Seconds => TimeUnit::Seconds,
                wit::TimeUnit::Milliseconds => TimeUnit::Milliseconds,
            },
            tolerance: sent_at.tolerance,
        }),
    };
    // A code about anything else than the content proves nothing about it.
    if !scheme.message.contains(&SignedPart::Body) {
        return Err("a signature that does not cover the body".to_owned());
    }
    Ok(scheme)
}

/// A connector that takes notifications, bound to one account.
pub struct BoundHooks {
    connector: Arc<BoundConnector>,
    hooks: LoadedHooks,
}

impl BoundConnector {
    /// The same connector as one that takes notifications, if it does.
    pub fn hooked(self: &Arc<Self>) -> Option<BoundHooks> {
        let hooks = self.hooks.clone()?;
        Some(BoundHooks {
            connector: Arc::clone(self),
            hooks,
        })
    }
}

impl BoundHooks {
    /// Whether a notification comes from the remote, as far as the host can check that. `url`: the address that the
    /// remote was given, with what it appended.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn prove(&self, request: &HookRequest, url: &str, now: Timestamp) -> Result<(), Unproven> {
        let Proof::Hmac(scheme) = &self.hooks.descriptor.proof else {
            return Ok(());
        };
        let Signed { message, code } = scheme.signed(request, url, now)?;
        let unknown = || Unproven::NoKey(format!("`{}` is not known", scheme.algorithm));
        let algorithm = Algorithm::named(&scheme.algorithm).ok_or_else(unknown)?;
        let outbound = &self.connector.outbound;
        match outbound.verify(&scheme.credential, algorithm, &message, &code) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Unproven::WrongCode),
            Err(SecretError::Missing(_)) => Err(Unproven::NoKey(format!(
                "credential `{}` of account `{}` is not configured",
                scheme.credential, self.connector.grants.account
            ))),
            Err(
                SecretError::NotDeclared(why)
                | SecretError::Malformed(why)
                | SecretError::Other(why),
            ) => Err(Unproven::NoKey(why)),
        }
    }

    async fn call<T, F>(&self, name: &'static str, call: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(
                &'a wit::Guest,
                &'a mut Store<State>,
            )
                -> BoxFuture<'a, wasmtime::Result<Result<T, types::Failure>>>
            + Send
            + 'static,
    {
        let bound = &self.connector;
        let span = tracing::debug_span!(
            "call",
            account = %bound.grants.account,
            connector = %bound.descriptor().name,
            call = name
        );
        let result = guest::run(
            &self.hooks.pre,
            bound.grants.clone(),
            &bound.counters,
            move |exports, store| call(exports.samspel_connector_hooks(), store),
        )
        .instrument(span)
        .await
        .map_err(|ended| ended.failure)?;
        result.map_err(|failure| bound.scrubbed(convert::failure(failure)))
    }
}

#[async_trait]
impl Notified for BoundHooks {
    fn hooks(&self) -> &HookDescriptor {
        &self.hooks.descriptor
    }

    async fn receive(&self, request: HookRequest) -> Result<HookReceipt, Failure> {
        let request = wit::HookRequest {
            method: request.method,
            path: request.path,
            headers: request.headers,
            body: request.body,
        };
        let receipt = self
            .call("receive", move |guest, store| {
                Box::pin(async move { guest.call_receive(store, &request).await })
            })
            .await?;
        self.connector
            .checker()
            .receipt(receipt)
            .map_err(|why| self.connector.refused(why))
    }

    async fn subscribe(&self, collection: &str, url: &str) -> Result<HookSubscription, Failure> {
        let (collection, url) = (collection.to_owned(), url.to_owned());
        let subscription = self
            .call("subscribe", move |guest, store| {
                Box::pin(async move { guest.call_subscribe(store, &collection, &url).await })
            })
            .await?;
        self.connector
            .checker()
            .subscription(subscription)
            .map_err(|why| self.connector.refused(why))
    }

    async fn unsubscribe(&self, id: &str) -> Result<(), Failure> {
        let id = id.to_owned();
        self.call("unsubscribe", move |guest, store| {
            Box::pin(async move { guest.call_unsubscribe(store, &id).await })
        })
        .await
    }
}

impl convert::Checker<'_> {
    fn receipt(&self, said: wit::Receipt) -> Result<HookReceipt, String> {
        self.count("hints", said.hints.len())?;
        let hints = said.hints.into_iter().map(|hint| {
            Ok(Hint {
                account_key: hint.account_key,
                collection: hint.collection,
                id: self.id("record id in a hint", hint.id)?,
                extent: match hint.consents_unchanged {
                    true => Extent::Values,
                    false => Extent::Whole,
                },
            })
        });
        Ok(HookReceipt {
            hints: hints.collect::<Result<_, String>>()?,
            reply: said.reply.map(reply).transpose()?,
        })
    }

    fn subscription(&self, said: wit::Subscription) -> Result<HookSubscription, String> {
        Ok(HookSubscription {
            id: self.name("id of a subscription", said.id)?,
            expires: Self::time("the end of a subscription", said.expires)?,
        })
    }
}

fn reply(said: wit::Reply) -> Result<HookReply, String> {
    if !(200..=599).contains(&said.status) {
        return Err(format!("it replied with the status {}", said.status));
    }
    if said.body.len() > REPLY_BYTES {
        return Err(format!("its reply has more than {REPLY_BYTES} bytes"));
    }
    Ok(HookReply {
        status: said.status,
        headers: said.headers,
        body: said.body,
    })
}
