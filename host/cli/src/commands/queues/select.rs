//! Finding the entries of a queue that are meant, in whichever sync they are.

use std::collections::BTreeMap;
use std::time::Duration;

use samspel_model::store::{Conflict, Parked, StoreError, Waiting};
use samspel_sync::SyncError;
use serde_json::json;

use crate::args::Selection;
use crate::exit::CliError;
use samspel_installation::{Host, Kind};

/// How many entries are read together.
const PAGE: u32 = 500;
/// A run under way is waited for so long.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(250);

/// The syncs that are meant: one by name, or all.
pub fn syncs(host: &Host, name: Option<&str>) -> Result<Vec<String>, CliError> {
    match name {
        Some(name) => {
            host.spec(name)?;
            Ok(vec![name.to_owned()])
        }
        None => Ok(host.config().syncs.keys().cloned().collect()),
    }
}

/// All conflicts or holds of a sync.
pub async fn waiting(host: &Host, sync: &str, which: Waiting) -> Result<Vec<Conflict>, StoreError> {
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
pub async fn parked(host: &Host, sync: &str) -> Result<Vec<Parked>, StoreError> {
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
pub fn chosen<E>(
    selection: &Selection,
    mut queues: BTreeMap<String, Vec<E>>,
    named: impl Fn(&E) -> String,
    what: &str,
    list: &str,
) -> Result<BTreeMap<String, Vec<E>>, CliError> {
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
) -> Result<(), CliError> {
    let holders: Vec<&str> = queues
        .iter()
        .filter(|(_, entries)| entries.iter().any(|entry| named(entry) == id))
        .map(|(sync, _)| sync.as_str())
        .collect();
    match holders.as_slice() {
        [_] => Ok(()),
        [] => Err(
            CliError::new(Kind::Usage, format!("there is no {what} `{id}`")).remedy(format!(
                "it may be over already: `{list}` shows what there is"
            )),
        ),
        several => Err(CliError::new(
            Kind::Usage,
            format!("{what} `{id}` is in several syncs: {}", several.join(", ")),
        )
        .remedy("name one of them with --sync NAME")
        .detail("syncs", json!(several))),
    }
}

/// Acts on a sync; waits a little for a run that is under way.
pub async fn patiently<T>(act: impl AsyncFn() -> Result<T, SyncError>) -> Result<T, CliError> {
    let mut waited = Duration::ZERO;
    loop {
        match act().await {
            Err(SyncError::Store(StoreError::Held { .. })) if waited < PATIENCE => {
                tokio::time::sleep(LOOK).await;
                waited += LOOK;
            }
            Err(error @ SyncError::Store(StoreError::Held { .. })) => {
                return Err(CliError::from(error)
                    .remedy("nothing was done; say it again once the run has ended"));
            }
            done => return done.map_err(CliError::from),
        }
    }
}
