//! Finding out what notifications are about. One task per endpoint, so that one with many keeps no other waiting.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use parking_lot::Mutex;
use samspel_installation::{Host, config};
use samspel_model::hook::{Hinted, Hook, HookReply, HookRequest, Notified, Proof};
use samspel_model::store::Endpoint;
use samspel_model::{Extent, Failure, RecordId, StoreError};
use samspel_runtime::{BoundHooks, Unproven};
use secrecy::SecretString;
use tokio::sync::{Notify, Semaphore};
use tracing::{debug, error, warn};

use super::debounce::Debounce;
use super::receive::Limits;
use crate::service::Service;
use samspel_installation::address;

/// Endpoints whose notifications are looked at at the same time.
const AT_ONCE: usize = 16;
/// Notifications of one endpoint that are looked at together, and how many of them at the same time.
const BATCH: u32 = 200;
const CALLS: usize = 8;
/// A connector that does not understand one is asked so often; then a person decides.
const ATTEMPTS: u32 = 5;
/// After the n-th failure it is asked again in n times this.
const PATIENCE: Duration = Duration::from_secs(20);
/// What tells of records that we wrote just now may wait so long for something else to be looked at with it. Somebody
/// may have changed one of them as well, so that it is soon.
const ECHO: Duration = Duration::from_millis(250);
/// How often it is looked at what other processes made due.
const SWEEP: Duration = Duration::from_secs(30);
/// A store that fails is asked again after this.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// Notifications between being received and being understood.
pub(crate) struct HookQueue {
    /// Wakes the task of each endpoint.
    workers: Mutex<HashMap<String, Arc<Notify>>>,
    /// Secrets of addresses, as far as they are known.
    secrets: Mutex<HashMap<String, SecretString>>,
    debounce: Mutex<Debounce>,
    permits: Semaphore,
    /// Something that waited is due.
    due: Notify,
    waiting: AtomicU64,
    /// How often requests are taken.
    pub(super) limits: Limits,
}

/// What became of one notification.
enum Became {
    /// It is about these records.
    Understood(Vec<(Endpoint, RecordId, Extent)>),
    /// It does not come from the remote.
    Forged(String),
    /// It was not understood. Whether that may pass by itself.
    Failed { why: String, passes: bool },
}

impl HookQueue {
    pub fn new() -> Self {
        Self {
            workers: Mutex::default(),
            secrets: Mutex::default(),
            debounce: Mutex::default(),
            permits: Semaphore::new(AT_ONCE),
            due: Notify::new(),
            waiting: AtomicU64::new(0),
            limits: Limits::new(),
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn secret(&self, endpoint: &str) -> Option<SecretString> {
        self.secrets.lock().get(endpoint).cloned()
    }

    pub fn learn(&self, endpoint: &str, secret: SecretString) {
        self.secrets.lock().insert(endpoint.to_owned(), secret);
    }

    /// Looks again and again at what nobody told this process of: what an operator wants to be tried again.
    pub async fn sweep(&self, service: &Arc<Service>) {
        loop {
            tokio::select! {
                () = service.stop.cancelled() => return,
                () = self.due.notified() => {}
                () = tokio::time::sleep(SWEEP) => {}
            }
            if let Err(error) = self.resume(service).await {
                error!(%error, "notifications wait, because the store failed");
            }
        }
    }

    /// Somebody wants what waits to be looked at now.
    pub fn look(&self) {
        self.due.notify_one();
    }

    /// What an earlier process left, or another one made due, is looked at.
    pub async fn resume(&self, service: &Arc<Service>) -> Result<(), StoreError> {
        let store = service.hook_store();
        let (waiting, _) = store.hook_counts().await?;
        self.waiting.store(waiting, Ordering::Relaxed);
        for endpoint in store.hook_endpoints().await? {
            self.wake(service, &endpoint);
        }
        Ok(())
    }

    /// One was kept.
    pub fn arrived(&self, service: &Arc<Service>, endpoint: &str) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.wake(service, endpoint);
    }

    /// The task of an endpoint looks at what waits.
    pub fn wake(&self, service: &Arc<Service>, endpoint: &str) {
        let mut workers = self.workers.lock();
        if let Some(worker) = workers.get(endpoint) {
            worker.notify_one();
            return;
        }
        let worker = Arc::new(Notify::new());
        worker.notify_one();
        workers.insert(endpoint.to_owned(), Arc::clone(&worker));
        let service_ = Arc::clone(service);
        let endpoint = endpoint.to_owned();
        let work = async move {
            let stop = service_.stop.clone();
            stop.run_until_cancelled(work(&service_, &endpoint, &worker))
                .await;
        };
        service.tasks.spawn(work);
    }

    /// Asks the connector for the answer that a remote wants.
    pub async fn ask(
        &self,
        host: &Host,
        endpoint: &str,
        request: HookRequest,
    ) -> Result<Option<HookReply>, String> {
        let accounts =
            address::accounts(host.config(), endpoint).map_err(|error| error.to_string())?;
        let hooks = hooks(host, accounts).await?;
        match hooks.receive(request).await {
            Ok(receipt) => Ok(receipt.reply),
            Err(failure) => Err(failure.to_string()),
        }
    }
}

/// Looks at what waits at an endpoint, whenever it is woken or something is due.
async fn work(service: &Arc<Service>, endpoint: &str, woken: &Notify) {
    let mut wait = None;
    loop {
        match wait {
            None => woken.notified().await,
            Some(wait) => tokio::select! {
                () = woken.notified() => {}
                () = tokio::time::sleep(wait) => {}
            },
        }
        wait = match batches(service, endpoint).await {
            Ok(due) => due.map(|due| until(due).max(Duration::from_millis(10))),
            Err(error) => {
                error!(endpoint, %error, "notifications wait, because the store failed");
                Some(STORE_PATIENCE)
            }
        };
    }
}

fn until(due: Timestamp) -> Duration {
    Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default()
}

/// Looks at everything that is due. When something is due next.
async fn batches(service: &Arc<Service>, endpoint: &str) -> Result<Option<Timestamp>, StoreError> {
    let store = service.hook_store();
    let mut after = 0;
    let mut next: Option<Timestamp> = None;
    loop {
        let found = store.hooks(Some(endpoint), after, false, BATCH).await?;
        let Some(last) = found.last() else {
            return Ok(next);
        };
        after = last.position;
        // Who comes meanwhile wakes the task again.
        let is_last = found.len() < BATCH as usize;
        let now = Timestamp::now();
        let (due, later): (Vec<Hook>, Vec<Hook>) = found
            .into_iter()
            .partition(|hook| hook.due.is_none_or(|due| due <= now));
        next = later.iter().filter_map(|hook| hook.due).chain(next).min();
        if !due.is_empty() {
            let Ok(_permit) = service.hooks.permits.acquire().await else {
                return Ok(next);
            };
            let retried = batch(service, endpoint, due).await?;
            next = retried.into_iter().chain(next).min();
        }
        if is_last {
            return Ok(next);
        }
    }
}

/// Looks at some notifications. When the first of those that failed is due.
async fn batch(
    service: &Arc<Service>,
    endpoint: &str,
    due: Vec<Hook>,
) -> Result<Option<Timestamp>, StoreError> {
    let host = service.host();
    let store = service.hook_store();
    let looked: Vec<(Hook, Became)> = match reached(&host, endpoint).await {
        Ok(reached) => {
            let (host, reached) = (&host, &reached);
            futures::stream::iter(due)
                .map(|hook| async move {
                    let became = look(host, reached, endpoint, &hook).await;
                    (hook, became)
                })
                .buffer_unordered(CALLS)
                .collect()
                .await
        }
        Err(why) => due
            .into_iter()
            .map(|hook| {
                let why = why.clone();
                (hook, Became::Failed { why, passes: true })
            })
            .collect(),
    };
    let mut done = Vec::new();
    let mut hinted: BTreeMap<Endpoint, Vec<(RecordId, Extent)>> = BTreeMap::new();
    let mut next: Option<Timestamp> = None;
    let now = Timestamp::now();
    for (hook, became) in looked {
        match became {
            Became::Understood(records) => {
                for (endpoint, id, extent) in records {
                    hinted.entry(endpoint).or_default().push((id, extent));
                }
                done.push(hook.position);
            }
            Became::Forged(why) => {
                service.metrics.hook_refused("forged");
                if service.hooks.limits.may_tell() {
                    warn!(
                        endpoint,
                        why, "a notification that the remote did not send was dropped"
                    );
                }
                done.push(hook.position);
            }
            Became::Failed { why, passes } => {
                let attempts = hook.attempts + 1;
                let again = passes && attempts < ATTEMPTS;
                let due = again.then(|| now.saturating_add(PATIENCE * attempts).ok());
                let due = due.flatten();
                warn!(
                    endpoint,
                    position = hook.position,
                    attempts,
                    why,
                    "a notification was not understood{}",
                    if again {
                        "; it is tried again"
                    } else {
                        "; see `samspel hooks list`"
                    }
                );
                store.hook_failed(hook.position, &why, due).await?;
                if due.is_none() {
                    service.hooks.left(1);
                    service.metrics.hook_refused("failed");
                }
                next = due.into_iter().chain(next).min();
            }
        }
    }
    if !done.is_empty() {
        let hinted: Vec<Hinted> = hinted.into_iter().collect();
        let syncs = store.hooks_understood(&done, &hinted, now).await?;
        // First told, then gone: what is neither waiting here nor told was carried over.
        tell(service, &host, &hinted, syncs, now).await;
        service.hooks.left(done.len() as u64);
    }
    Ok(next)
}

/// Tells the scheduler which syncs have something to do, and how soon.
async fn tell(
    service: &Service,
    host: &Host,
    hinted: &[Hinted],
    syncs: Vec<String>,
    now: Timestamp,
) {
    // The configuration check has understood it.
    let window = config::duration(&host.config().server.debounce).unwrap_or_default();
    let mut news_within: Option<Duration> = None;
    let mut has_echoes = false;
    for (endpoint, records) in hinted {
        let (echoes, news) = echoes(host, endpoint, records).await;
        if !news.is_empty() {
            let mut debounce = service.hooks.debounce.lock();
            let within = debounce.within(endpoint, &news, now, window);
            news_within = Some(news_within.map_or(within, |known| known.min(within)));
        }
        has_echoes |= !echoes.is_empty();
    }
    let soonest = soonest(news_within, has_echoes, window);
    for sync in syncs {
        if !service.scheduler.tell(&sync, soonest) {
            debug!(sync, "told about a sync that is not configured");
        }
    }
}

/// How soon what was told of is looked at. `news_within`: how soon what is new in it may be; `has_echoes`: something
/// tells of what we may have written ourselves.
fn soonest(news_within: Option<Duration>, has_echoes: bool, window: Duration) -> Duration {
    let echoes_within = has_echoes.then_some(ECHO);
    let within = news_within.into_iter().chain(echoes_within).min();
    within.unwrap_or_else(|| window.max(ECHO))
}

/// Which of some records were written by us just now, so that what tells of them is most likely our own doing, and the
/// others.
async fn echoes(
    host: &Host,
    endpoint: &Endpoint,
    records: &[(RecordId, Extent)],
) -> (Vec<RecordId>, Vec<RecordId>) {
    let account = host.account(&endpoint.account).await;
    records.iter().map(|(id, _)| id.clone()).partition(|id| {
        let connector = account.as_ref().map(|account| &account.connector);
        connector.is_ok_and(|connector| connector.wrote_lately(&endpoint.collection, id))
    })
}

impl HookQueue {
    fn left(&self, number: u64) {
        let less = |waiting: u64| Some(waiting.saturating_sub(number));
        // Always succeeds: `less` always gives a value.
        let _ = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// What it takes to look at notifications of an endpoint.
struct Reached {
    /// The connector of its accounts.
    hooks: BoundHooks,
    /// The accounts, by who they are at the remote.
    by_identity: HashMap<String, String>,
    /// The secret of its address, unless that is void.
    secret: Option<SecretString>,
}

async fn reached(host: &Host, endpoint: &str) -> Result<Reached, String> {
    let accounts = address::accounts(host.config(), endpoint).map_err(|error| error.to_string())?;
    let hooks = hooks(host, accounts).await?;
    let mut by_identity = HashMap::new();
    for name in accounts {
        let known = host.store().account(name).await;
        if let Some(identity) = known.map_err(|error| error.to_string())? {
            by_identity.insert(identity, name.clone());
        }
    }
    let secret = address::secret(host, endpoint).await;
    Ok(Reached {
        hooks,
        by_identity,
        secret: secret.map_err(|error| error.to_string())?,
    })
}

/// The connector of the first account that can check what is signed.
async fn hooks(host: &Host, accounts: &[String]) -> Result<BoundHooks, String> {
    let mut first = None;
    for name in accounts {
        let hooks = host.hooked(name).await.map_err(|error| error.to_string())?;
        let has_key = match &hooks.hooks().proof {
            Proof::Hmac(scheme) => host.config().accounts[name]
                .credentials
                .contains_key(&scheme.credential),
            Proof::Address | Proof::Connector => true,
        };
        if has_key {
            return Ok(hooks);
        }
        first.get_or_insert(hooks);
    }
    first.ok_or_else(|| "it serves no account".to_owned())
}

async fn look(host: &Host, reached: &Reached, endpoint: &str, hook: &Hook) -> Became {
    let Some(secret) = &reached.secret else {
        return Became::Forged("its address is void".to_owned());
    };
    let url = address::url(host.config(), endpoint, secret, &hook.request.path);
    // By when it was received: it may have waited here.
    match reached.hooks.prove(&hook.request, &url, hook.received) {
        Ok(()) => {}
        Err(Unproven::NoKey(why)) => return Became::Failed { why, passes: false },
        Err(unproven) => return Became::Forged(unproven.to_string()),
    }
    let receipt = match reached.hooks.receive(hook.request.clone()).await {
        Ok(receipt) => receipt,
        Err(Failure::Unauthorized(why)) => return Became::Forged(why),
        Err(failure) => {
            return Became::Failed {
                why: failure.to_string(),
                passes: true,
            };
        }
    };
    let accounts = address::accounts(host.config(), endpoint).unwrap_or_default();
    let mut records = Vec::new();
    for hint in receipt.hints {
        let account = match &hint.account_key {
            Some(key) => reached.by_identity.get(key),
            None => accounts.first(),
        };
        match account {
            Some(account) => records.push((
                Endpoint {
                    account: account.clone(),
                    collection: hint.collection,
                },
                hint.id,
                hint.extent,
            )),
            None => debug!(
                endpoint,
                "a hint about an account that is not among those of the endpoint"
            ),
        }
    }
    Became::Understood(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_looked_at_at_once_and_echoes_soon() {
        let window = Duration::from_secs(2);
        let at_once = Duration::ZERO;
        assert_eq!(soonest(Some(at_once), false, window), at_once);
        assert_eq!(soonest(Some(at_once), true, window), at_once);
        // Somebody may have changed what we wrote: that is not to wait as long as what is told again and again.
        assert_eq!(soonest(None, true, window), ECHO);
        assert_eq!(soonest(Some(window), true, window), ECHO);
        assert_eq!(soonest(Some(window), false, window), window);
    }

    #[test]
    fn what_is_about_no_record_waits_for_the_longest() {
        assert_eq!(
            soonest(None, false, Duration::from_secs(2)),
            Duration::from_secs(2)
        );
        assert_eq!(soonest(None, false, Duration::ZERO), ECHO);
    }
}
