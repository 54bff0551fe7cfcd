//! Asking remotes to send notifications, and asking again before they stop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use samspel_installation::Host;
use samspel_installation::config::HookMode;
use samspel_model::hook::Notified;
use samspel_model::store::Endpoint;
use tracing::{info, warn};

use crate::service::Service;
use samspel_installation::address::{address, fingerprint};

/// How often it is looked at. Polling covers what is missed until then.
const ROUND: Duration = Duration::from_secs(10 * 60);
/// A subscription that ends within this time is made again.
const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// Keeps remotes sending, until the service ends. `changed`: look at once.
pub(crate) async fn keep_subscribed(service: Arc<Service>) {
    loop {
        round(&service).await;
        tokio::select! {
            () = service.stop.cancelled() => return,
            () = service.reloaded.notified() => {}
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}

async fn round(service: &Service) {
    let host = service.host();
    if host.config().server.public_url.is_none() {
        return;
    }
    let used: BTreeSet<(&str, &str)> = host
        .config()
        .syncs
        .values()
        .flat_map(|sync| [&sync.a, &sync.b])
        .map(|side| (side.account.as_str(), side.collection.as_str()))
        .collect();
    let known = match service.hook_store().subscriptions().await {
        Ok(known) => known,
        Err(error) => {
            warn!(%error, "subscriptions cannot be read");
            return;
        }
    };
    for (account, collection) in used {
        let endpoint = Endpoint {
            account: account.to_owned(),
            collection: collection.to_owned(),
        };
        let old = known
            .iter()
            .find(|(of, _, _)| *of == endpoint)
            .map(|(_, address, subscription)| (address, subscription));
        if let Err(why) = one(service, &host, &endpoint, old).await {
            warn!(
                account,
                collection, why, "the remote could not be asked for notifications; polling goes on"
            );
        }
    }
}

async fn one(
    service: &Service,
    host: &Host,
    endpoint: &Endpoint,
    old: Option<(&String, &samspel_model::hook::HookSubscription)>,
) -> Result<(), String> {
    let store = service.hook_store();
    let mode = host.config().accounts[&endpoint.account].hooks;
    if mode != HookMode::Subscribe && old.is_none() {
        return Ok(());
    }
    let text = |error: samspel_installation::Error| error.to_string();
    let account = host.account(&endpoint.account).await.map_err(text)?;
    let Some(hooks) = account.connector.hooked() else {
        return Ok(());
    };
    if mode != HookMode::Subscribe {
        if let Some((_, old)) = old {
            hooks
                .unsubscribe(&old.id)
                .await
                .map_err(|error| error.to_string())?;
            let removed = store.remove_subscription(endpoint).await;
            removed.map_err(|error| error.to_string())?;
            info!(
                account = endpoint.account,
                "the remote sends no notifications any more"
            );
        }
        return Ok(());
    }
    if !hooks.hooks().can_subscribe {
        return Ok(());
    }
    let address = address(host, &endpoint.account).await;
    let url = address.map_err(|error| error.to_string())?.url;
    let fingerprint = fingerprint(&url);
    let soon = Timestamp::now()
        .saturating_add(AHEAD)
        .unwrap_or(Timestamp::MAX);
    if let Some((known, subscription)) = old
        && *known == fingerprint
        && subscription.expires.is_none_or(|expires| expires > soon)
    {
        return Ok(());
    }
    let subscription = hooks
        .subscribe(&endpoint.collection, &url)
        .await
        .map_err(|error| error.to_string())?;
    if let Some((known, old)) = old
        && *known != fingerprint
        && old.id != subscription.id
        && let Err(error) = hooks.unsubscribe(&old.id).await
    {
        warn!(account = endpoint.account, %error, "the remote may still send to an old address");
    }
    store
        .put_subscription(endpoint, &fingerprint, &subscription)
        .await
        .map_err(|error| error.to_string())?;
    info!(
        account = endpoint.account,
        collection = endpoint.collection,
        "the remote sends notifications"
    );
    Ok(())
}
