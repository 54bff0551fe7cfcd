//! What the two accounts offer, and what follows from it for the sync.

use std::sync::{Arc, Mutex, PoisonError};

use samspel_engine::Policy;
use samspel_model::{Collection, Side};

use crate::context::account_error;
use crate::error::SyncError;
use crate::retry::retry;
use crate::{Party, SyncParts};

/// What the accounts were last found to offer. A run that was told of changed records takes it as it is, because asking
/// takes longer than all else that it does; every other run asks.
#[derive(Default)]
pub struct Offers(Mutex<Option<Arc<Offered>>>);

/// See [`Offers`].
pub(crate) struct Offered {
    pub collections: [Collection; 2],
    pub policy: Policy,
    /// What the accounts' settings were.
    scopes: [Option<String>; 2],
}

impl Offers {
    /// What was found last, if the accounts are set up as they were.
    pub(crate) fn known(&self, parts: &SyncParts) -> Option<Arc<Offered>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = known.as_ref().filter(|known| known.scopes == scopes(parts));
        same.cloned()
    }

    /// Asks both accounts what they offer, and checks the specification against it.
    pub(crate) async fn ask(&self, parts: &SyncParts) -> Result<Arc<Offered>, SyncError> {
        let [a, b] =
            [Side::A, Side::B].map(|side| collection(parts, side, &parts.parties[side.index()]));
        let (a, b) = futures::future::join(a, b).await;
        let collections = [a?, b?];
        let policy = policy(parts, &collections)?;
        let offered = Arc::new(Offered {
            collections,
            policy,
            scopes: scopes(parts),
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&offered));
        Ok(offered)
    }
}

fn scopes(parts: &SyncParts) -> [Option<String>; 2] {
    parts.parties.each_ref().map(|party| party.scope.clone())
}

/// What the specification means for these collections.
pub(crate) fn policy(parts: &SyncParts, [a, b]: &[Collection; 2]) -> Result<Policy, SyncError> {
    Policy::compile(&parts.spec, a, b).map_err(|errors| SyncError::Policy {
        sync: parts.name.clone(),
        errors,
    })
}

/// The collection of a sync's side, as a connector for it offers that.
pub(crate) async fn collection(
    parts: &SyncParts,
    side: Side,
    party: &Party,
) -> Result<Collection, SyncError> {
    let collections = retry(
        parts.clock.as_ref(),
        parts.ids.as_ref(),
        "collections",
        || party.connector.collections(),
    )
    .await
    .map_err(|failure| account_error(parts, side, failure))?;
    let known: Vec<String> = collections
        .iter()
        .map(|collection| format!("`{}`", collection.name))
        .collect();
    collections
        .into_iter()
        .find(|collection| collection.name == party.endpoint.collection)
        .ok_or_else(|| SyncError::NoCollection {
            sync: parts.name.clone(),
            side,
            account: party.endpoint.account.clone(),
            collection: party.endpoint.collection.clone(),
            known: known.join(", "),
        })
}
