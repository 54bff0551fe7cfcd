//! Finding the entries of a queue that are meant, in whichever sync they are.

use std::collections::BTreeMap;
use std::time::Duration;

use samspel_installation::{Error, Host, Kind};
use samspel_model::store::{Conflict, Parked, StoreError, Waiting};
use samspel_sync::SyncError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::operation::Work;

/// How many entries are read together.
const PAGE: u32 = 500;
/// A run under way is waited for so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a run has sent is waited for before it ends.
const PATIENCE_FOR_WRITES: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(250);

/// Which entries of a queue are meant.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Those with these ids: ten hexadecimal digits that stay the same for as long as the same is undecided about the
    /// same record.
    #[serde(default)]
    pub ids: Vec<String>,
    /// All of them.
    #[serde(default)]
    pub all: bool,
    /// Only of this sync; all are searched if it is left out.
    #[serde(default)]
    pub sync: Option<String>,
}

impl Selection {
    /// The entry with this id.
    pub fn one(id: &str, sync: Option<&str>) -> Self {
        Self {
            ids: vec![id.to_owned()],
            all: false,
            sync: sync.map(str::to_owned),
        }
    }

    /// For the audit log.
    pub(super) fn told(&self) -> Value {
        if self.all {
            json!({ "all": true })
        } else {
            json!({ "ids": self.ids })
        }
    }

    /// Either some are meant, or all.
    fn check(&self) -> Result<(), Error> {
        match (self.ids.is_empty(), self.all) {
            (true, true) | (false, false) => Ok(()),
            (true, false) => Err(Error::new(Kind::Usage, "it is not said which are meant")
                .remedy("name their ids, or say that all are meant")),
            (false, true) => Err(Error::new(
                Kind::Usage,
                "either some are meant, by their ids, or all",
            )),
        }
    }
}

/// All conflicts or holds of a sync.
pub(super) async fn waiting(
    host: &Host,
    sync: &str,
    which: Waiting,
) -> Result<Vec<Conflict>, StoreError> {
    let mut all = Vec::new();
    loop {
        let page = host
            .store()
            .conflicts(sync, which, all.len() as u64, PAGE)
            .await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// All parked records of a sync.
pub(super) async fn parked(host: &Host, sync: &str) -> Result<Vec<Parked>, StoreError> {
    let mut all = Vec::new();
    loop {
        let page = host.store().parked(sync, all.len() as u64, PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// The entries that are meant, by sync. `queues`: what there is.
///
/// # Errors
/// An id that is in no queue, or in several.
pub(super) fn chosen<E>(
    selection: &Selection,
    mut queues: BTreeMap<String, Vec<E>>,
    named: impl Fn(&E) -> String,
    what: &str,
    list: &str,
) -> Result<BTreeMap<String, Vec<E>>, Error> {
    selection.check()?;
    if !selection.all {
        for id in &selection.ids {
            only_one(id, &queues, &named, what, list)?;
        }
        for entries in queues.values_mut() {
            entries.retain(|entry| selection.ids.contains(&named(entry)));
        }
    }
    queues.retain(|_, entries| !entries.is_empty());
    Ok(queues)
}

fn only_one<E>(
    id: &str,
    queues: &BTreeMap<String, Vec<E>>,
    named: impl Fn(&E) -> String,
    what: &str,
    list: &str,
) -> Result<(), Error> {
    let holders: Vec<&str> = queues
        .iter()
        .filter(|(_, entries)| entries.iter().any(|entry| named(entry) == id))
        .map(|(sync, _)| sync.as_str())
        .collect();
    match holders.as_slice() {
        [_] => Ok(()),
        [] => Err(
            Error::new(Kind::NotFound, format!("there is no {what} `{id}`")).remedy(format!(
                "it may be over already: `{list}` shows what there is"
            )),
        ),
        several => Err(Error::new(
            Kind::Usage,
            format!("{what} `{id}` is in several syncs: {}", several.join(", ")),
        )
        .remedy("name one of them with --sync NAME")
        .detail("syncs", json!(several))),
    }
}

/// Acts on a sync; waits a little for a run that is under way.
pub(crate) async fn patiently<T>(act: impl AsyncFn() -> Result<T, SyncError>) -> Result<T, Error> {
    when_free(PATIENCE, || {}, act).await
}

/// Acts on a sync; a run of it that is under way in this process is asked to end, and waited for.
pub(crate) async fn at_once<T>(
    work: &Work<'_>,
    sync: &str,
    act: impl AsyncFn() -> Result<T, SyncError>,
) -> Result<T, Error> {
    // Another one may begin before this one has its turn.
    let make_room = || work.surroundings.interrupt(sync);
    when_free(PATIENCE_FOR_WRITES, make_room, act).await
}

async fn when_free<T>(
    patience: Duration,
    make_room: impl Fn(),
    act: impl AsyncFn() -> Result<T, SyncError>,
) -> Result<T, Error> {
    let mut waited = Duration::ZERO;
    loop {
        match act().await {
            Err(SyncError::Store(StoreError::Held { .. })) if waited < patience => {
                make_room();
                tokio::time::sleep(LOOK).await;
                waited += LOOK;
            }
            Err(error @ SyncError::Store(StoreError::Held { .. })) => {
                return Err(Error::from(error)
                    .remedy("nothing was done; say it again once the run has ended"));
            }
            done => return done.map_err(Error::from),
        }
    }
}
