//! What another version of a connector would lead to: the writes that are decided from what it reads are compared with
//! those that are decided from what the version in use reads. Nothing is stored, and nothing is sent.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use samspel_engine::Policy;
use samspel_engine::consent::Restrictions;
use samspel_engine::plan::{LinkPlan, LinkState, plan};
use samspel_model::change::{ReadMode, ReadRequest};
use samspel_model::store::{Observation, RecordRestriction};
use samspel_model::{Collection, Entity, Extent, Failure, Fetched, Link, Presence, RecordId, Side};

use crate::context::account_error;
use crate::error::SyncError;
use crate::offers::{collection, policy};
use crate::{Party, SyncParts};

/// A record that changes between two readings reads differently with one version, too: then both are asked once more.
const READINGS: u32 = 2;

/// What came of comparing two versions of a connector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Linked records that both were asked for.
    pub records: u64,
    /// Those of which something else would be written.
    pub differences: Vec<Difference>,
}

/// A record of which something else would be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The record.
    pub record: RecordId,
    /// What would be decided otherwise: `b.name` is the field `name` in side B, `delete` that one of the two is taken
    /// away, `filter` why the filter cannot be applied.
    pub about: Vec<String>,
}

/// See [`crate::Sync::compare`].
pub async fn compare(
    parts: &SyncParts,
    side: Side,
    other: &Party,
    sample: u32,
) -> Result<Comparison, SyncError> {
    let offers = collection(parts, side, other).await?;
    // What was offered some time ago may have been to a version before.
    let offered = match parts.offers.ask(parts).await {
        Ok(offered) => offered,
        Err(error) => return Ok(no_comparison(parts, &error)),
    };
    let mut collections = offered.collections.clone();
    collections[side.index()] = offers;
    let policy = policy(parts, &collections)?;
    position_is_read(parts, side, other).await?;
    let links = parts.store.links(&parts.name, None, sample).await?;
    let mut links: Vec<Link> = links.into_iter().filter(|link| !link.base.ended).collect();
    let mut comparison = Comparison {
        records: links.len() as u64,
        differences: Vec::new(),
    };
    for _ in 0..READINGS {
        if links.is_empty() {
            break;
        }
        let known = Known::of(parts, side, &links).await?;
        let current = &parts.parties[side.index()];
        let used = &offered.collections[side.index()];
        let used = match known.plans(parts, current, used, &offered.policy).await {
            Ok(used) => used,
            // What differed at the first look is not forgotten.
            Err(error) if !comparison.differences.is_empty() => {
                no_comparison(parts, &error);
                break;
            }
            Err(error) => return Ok(no_comparison(parts, &error)),
        };
        let would = &collections[side.index()];
        let would = known.plans(parts, other, would, &policy).await?;
        comparison.differences = links
            .iter()
            .filter_map(|link| {
                let record = link.record(side);
                let about = differ(used.get(record)?, would.get(record)?);
                (!about.is_empty()).then(|| Difference {
                    record: record.clone(),
                    about,
                })
            })
            .collect();
        let differences = &comparison.differences;
        links.retain(|link| {
            let mut differing = differences.iter();
            differing.any(|one| one.record == *link.record(side))
        });
    }
    Ok(comparison)
}

/// What is in use does not work, or its remote does not: that says nothing about the other version, which may be what
/// mends it.
fn no_comparison(parts: &SyncParts, error: &SyncError) -> Comparison {
    tracing::warn!(sync = parts.name, %error, "versions of a connector could not be compared");
    Comparison::default()
}

/// A version that says it reads the stored position must go on from it.
async fn position_is_read(parts: &SyncParts, side: Side, party: &Party) -> Result<(), SyncError> {
    let stored = parts.store.cursor(&parts.name, side).await?;
    let position = stored
        .filter(|cursor| party.reads(cursor) && cursor.scope == party.scope)
        .and_then(|cursor| cursor.incremental);
    let Some(position) = position else {
        return Ok(());
    };
    let request = ReadRequest {
        collection: party.endpoint.collection.clone(),
        mode: ReadMode::Incremental(position),
        fields: None,
        limit: 1,
    };
    match party.connector.changes(request).await {
        Ok(_) | Err(Failure::ExpiredCursor) => Ok(()),
        Err(failure) => Err(account_error(parts, side, failure)),
    }
}

/// What is stored about the pairs that are looked at.
struct Known<'l> {
    side: Side,
    links: &'l [Link],
    seen: [HashMap<RecordId, Observation>; 2],
    restricted: [HashMap<RecordId, Vec<RecordRestriction>>; 2],
}

impl<'l> Known<'l> {
    async fn of(parts: &SyncParts, side: Side, links: &'l [Link]) -> Result<Self, SyncError> {
        let mut known = Self {
            side,
            links,
            seen: [HashMap::new(), HashMap::new()],
            restricted: [HashMap::new(), HashMap::new()],
        };
        for of in Side::BOTH {
            let endpoint = &parts.parties[of.index()].endpoint;
            let ids: Vec<RecordId> = links.iter().map(|link| link.record(of).clone()).collect();
            for seen in parts.store.observations(endpoint, &ids).await? {
                known.seen[of.index()].insert(seen.id.clone(), seen);
            }
            for row in parts.store.restrictions(endpoint, &ids).await? {
                let of_record = known.restricted[of.index()].entry(row.record.clone());
                of_record.or_default().push(row);
            }
        }
        Ok(known)
    }

    /// What would be decided about each record from what a version reads.
    async fn plans(
        &self,
        parts: &SyncParts,
        party: &Party,
        collection: &Collection,
        policy: &Policy,
    ) -> Result<HashMap<RecordId, BTreeMap<String, String>>, SyncError> {
        let ids: Vec<RecordId> = self
            .links
            .iter()
            .map(|link| link.record(self.side).clone())
            .collect();
        let fields = (!policy.reads_whole_records()).then(|| policy.needed(self.side));
        let mut read = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(collection.capabilities.max_fetch.max(1) as usize) {
            let answers = party
                .connector
                .fetch(&collection.name, chunk, fields.as_deref(), Extent::Whole)
                .await
                .map_err(|failure| account_error(parts, self.side, failure))?;
            read.extend(answers);
        }
        let now = parts.clock.now();
        let mut plans = HashMap::new();
        for (link, answer) in self.links.iter().zip(read) {
            let record = link.record(self.side);
            let partner = link.record(self.side.other());
            let stored = self.seen[self.side.index()].get(record);
            let other = self.seen[self.side.other().index()].get(partner);
            let (Some(stored), Some(other)) = (stored, other) else {
                continue;
            };
            let seen = match answer {
                Fetched::Found(entity) if entity.id == *record => as_seen(stored, entity),
                Fetched::Found(_) | Fetched::Absent(_) => Observation {
                    presence: Presence::Gone,
                    ..stored.clone()
                },
                // What could not be read just now says nothing.
                Fetched::Failed(_) => continue,
            };
            let [(seen, why), (other, other_why)] =
                [(self.side, seen), (self.side.other(), other.clone())]
                    .map(|(of, seen)| policy.scoped(of, seen));
            if let Some(why) = why.or(other_why) {
                plans.insert(record.clone(), BTreeMap::from([("filter".to_owned(), why)]));
                continue;
            }
            let pair = match self.side {
                Side::A => [&seen, &other],
                Side::B => [&other, &seen],
            };
            let restricted = Side::BOTH
                .into_iter()
                .fold(Restrictions::default(), |known, of| {
                    let rows = self.restricted[of.index()].get(link.record(of));
                    known.with(policy, of, rows.map_or(&[], Vec::as_slice))
                });
            let state = LinkState {
                base: &link.base,
                seen: pair,
                restricted: &restricted,
                told: &[],
            };
            plans.insert(record.clone(), decided(&plan(&state, policy, now)));
        }
        Ok(plans)
    }
}

/// A record as it would be stored.
fn as_seen(stored: &Observation, entity: Entity) -> Observation {
    let mut seen = stored.clone();
    seen.presence = Presence::Present;
    seen.fields.extend(entity.fields);
    seen.consents = entity.consents;
    seen.deliverability = entity.deliverability;
    seen.modified = entity.modified;
    seen
}

/// What a plan decides, by what it is about.
fn decided(plan: &LinkPlan) -> BTreeMap<String, String> {
    let mut decided = BTreeMap::new();
    for (side, write) in Side::BOTH.into_iter().zip(&plan.writes) {
        let Some(write) = write else { continue };
        for (field, value) in &write.patch {
            decided.insert(format!("{side}.{field}"), value.to_string());
        }
        for consent in &write.consents {
            let about = format!("{side}.{}/{}", consent.channel, consent.purpose);
            decided.insert(about, format!("{:?}", consent.state));
        }
        if let Some(deliverability) = &write.deliverability {
            let about = format!("{side}.deliverability");
            decided.insert(about, format!("{:?}", deliverability.state));
        }
    }
    for undecided in &plan.undecided {
        decided.insert(undecided.about.clone(), format!("{:?}", undecided.values));
    }
    if let Some(ending) = plan.ending {
        decided.insert("delete".to_owned(), format!("{ending:?}"));
    }
    decided
}

/// What two plans decide otherwise.
fn differ(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<String> {
    let about: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    about
        .into_iter()
        .filter(|about| one.get(*about) != other.get(*about))
        .cloned()
        .collect()
}
