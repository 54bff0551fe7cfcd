//! Forgetting records, in every sync of the tenant.

use std::collections::BTreeSet;
use std::sync::Arc;

use samspel_model::intent::Intent;
use samspel_model::store::Endpoint;
use samspel_model::{LinkId, RecordId, Side};
use serde_json::json;

use super::observe;
use super::state::{Name, from};
use super::work::Work;

/// See [`samspel_model::store::Change::Erase`].
pub(super) fn erase(work: &mut Work<'_>, endpoint: Endpoint, records: &[RecordId]) {
    let place = Arc::new(endpoint);
    let records: BTreeSet<_> = records.iter().collect();
    for id in &records {
        observe::forget(work, &place, id);
        let first = (
            Arc::clone(&place),
            (*id).clone(),
            String::new(),
            String::new(),
        );
        let opt_outs: Vec<_> = from(&work.state.restrictions, first, |(at, of, ..)| {
            *at == place && of == *id
        })
        .map(|(key, _)| key.clone())
        .collect();
        for key in opt_outs {
            work.remove(|state| &mut state.restrictions, &key);
        }
    }
    for (sync, side) in work.state.syncs_on(&place) {
        of_sync(work, &sync, side, &records);
    }
}

/// Forgets what one sync has about records of one of its sides.
fn of_sync(work: &mut Work<'_>, sync: &Name, side: Side, records: &BTreeSet<&RecordId>) {
    let mut links: BTreeSet<LinkId> = BTreeSet::new();
    for id in records {
        links.extend(
            work.state
                .linked
                .get(&(Arc::clone(sync), side, (*id).clone()))
                .cloned(),
        );
        work.unqueue(sync, side, id, u64::MAX);
        let parked = (Arc::clone(sync), side, (*id).clone());
        work.remove(|state| &mut state.parked, &parked);
    }

    let about = |(of, on, record, _): &(Name, Side, RecordId, String)| {
        of == sync && *on == side && records.contains(record)
    };
    let conflicts: Vec<_> = work
        .state
        .conflicts
        .iter()
        .filter(|(key, one)| {
            // Of a link, in the name of the other record.
            about(key) || key.0 == *sync && one.link.as_ref().is_some_and(|id| links.contains(id))
        })
        .map(|(key, _)| key.clone())
        .collect();
    for key in conflicts {
        work.remove(|state| &mut state.conflicts, &key);
    }
    let decisions = work.state.decisions.keys().filter(|key| about(key));
    for key in decisions.cloned().collect::<Vec<_>>() {
        work.remove(|state| &mut state.decisions, &key);
    }
    let writes: Vec<_> = work
        .state
        .intents
        .iter()
        .filter(|((of, _), intent)| of == sync && concerns(intent, side, records, &links))
        .map(|(key, _)| key.clone())
        .collect();
    for key in writes {
        work.remove(|state| &mut state.intents, &key);
    }

    // Of links that are dissolved, only the journal knows.
    let tells = |side_of: Option<Side>, record: Option<&RecordId>| {
        side_of == Some(side) && record.is_some_and(|record| records.contains(record))
    };
    let mut told = links.clone();
    for (of, entry) in work.state.journal.values() {
        if of == sync && tells(entry.side, entry.record.as_ref()) {
            told.extend(entry.link.clone());
        }
    }
    let entries: Vec<_> = work
        .state
        .journal
        .iter()
        .filter(|(_, (of, entry))| {
            of == sync
                && (tells(entry.side, entry.record.as_ref())
                    || entry.link.as_ref().is_some_and(|link| told.contains(link)))
        })
        .map(|(number, (_, entry))| (*number, entry.clone()))
        .collect();
    for (number, mut entry) in entries {
        entry.detail = json!({ "erased": work.at });
        work.put(
            |state| &mut state.journal,
            number,
            (Arc::clone(sync), entry),
        );
    }
    for link in links {
        work.unlink(sync, &link);
    }
}

/// Whether a write is one to or from one of the records, or belongs to one of the links.
fn concerns(
    intent: &Intent,
    side: Side,
    records: &BTreeSet<&RecordId>,
    links: &BTreeSet<LinkId>,
) -> bool {
    let record = if intent.target == side {
        intent.effect.target_record()
    } else {
        Some(&intent.source_record)
    };
    record.is_some_and(|record| records.contains(record))
        || intent
            .link
            .as_ref()
            .is_some_and(|link| links.contains(link))
}
