//! What is known of the records of a batch and of those around them, loaded in a handful of queries.

use std::collections::BTreeMap;

use samspel_engine::consent::Restrictions;
use samspel_engine::{Policy, matching};
use samspel_model::link::Restriction;
use samspel_model::store::{Decision, Dirty, Observation, RecordRestriction, Suppression, Verdict};
use samspel_model::{Link, LinkId, Presence, RecordId, Side};

use crate::context::Context;
use crate::error::SyncError;

/// How often in a row records that were merged may have been merged again.
pub const MERGES: usize = 8;

/// What is known of the records of a batch and of those around them.
#[derive(Default)]
pub(super) struct Facts {
    pub seen: BTreeMap<(Side, RecordId), Observation>,
    pub links: BTreeMap<LinkId, Link>,
    link_of: BTreeMap<(Side, RecordId), LinkId>,
    /// Present records by side and match key, at most three.
    by_key: BTreeMap<(Side, String), Vec<RecordId>>,
    /// Opt-outs in force.
    restrictions: BTreeMap<(Side, RecordId), Vec<RecordRestriction>>,
    /// What operators said.
    told: BTreeMap<(Side, RecordId), Vec<Decision>>,
    /// Erased people who opted out, by match key.
    suppressed: BTreeMap<String, Vec<Suppression>>,
    /// Which present record another one was merged into.
    survivors: BTreeMap<(Side, RecordId), RecordId>,
    /// Records whose side's filter could not be applied, and why.
    pub unfiltered: BTreeMap<(Side, RecordId), String>,
}

impl Facts {
    /// Loads what is known of these records, their partners, and those with the same keys.
    pub async fn load(context: &Context, rows: &[Dirty]) -> Result<Self, SyncError> {
        let mut facts = Self::default();
        for side in Side::BOTH {
            let ids: Vec<RecordId> = rows
                .iter()
                .filter(|row| row.side == side)
                .map(|row| row.id.clone())
                .collect();
            facts.load_seen(context, side, &ids).await?;
            facts.load_links(context, side, &ids).await?;
        }
        facts.load_partners(context).await?;
        // A record may be linked under an id that it had before it was merged.
        for side in Side::BOTH {
            let aliases: Vec<RecordId> = rows
                .iter()
                .filter(|row| row.side == side)
                .filter_map(|row| facts.seen.get(&(side, row.id.clone())))
                .flat_map(|seen| seen.aliases.iter().cloned())
                .collect();
            if !aliases.is_empty() {
                facts.load_links(context, side, &aliases).await?;
                facts.load_partners(context).await?;
            }
        }
        facts.load_survivors(context).await?;
        facts.load_candidates(context, rows).await?;
        facts.load_aliases(context).await?;
        facts.load_told(context, rows).await?;
        facts.load_restrictions(context).await?;
        Ok(facts)
    }

    async fn load_seen(
        &mut self,
        context: &Context,
        side: Side,
        ids: &[RecordId],
    ) -> Result<(), SyncError> {
        let missing: Vec<RecordId> = ids
            .iter()
            .filter(|id| !self.seen.contains_key(&(side, (*id).clone())))
            .cloned()
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        for seen in context
            .store()
            .observations(context.endpoint(side), &missing)
            .await?
        {
            let (seen, unfiltered) = context.policy().scoped(side, seen);
            if let Some(why) = unfiltered {
                self.unfiltered.insert((side, seen.id.clone()), why);
            }
            if seen.presence == Presence::Present {
                for alias in &seen.aliases {
                    self.survivors
                        .insert((side, alias.clone()), seen.id.clone());
                }
            }
            self.seen.insert((side, seen.id.clone()), seen);
        }
        Ok(())
    }

    /// The records that linked ones were merged into.
    async fn load_survivors(&mut self, context: &Context) -> Result<(), SyncError> {
        for side in Side::BOTH {
            let gone: Vec<String> = self
                .links
                .values()
                .map(|link| (link, link.record(side)))
                .filter(|(link, id)| {
                    let seen = self.seen.get(&(side, (*id).clone()));
                    // A pair that has ended must not go on because it is not known yet that one of the two is gone.
                    seen.is_some_and(|seen| link.base.ended || seen.presence == Presence::Gone)
                        && self.survivor(side, id).is_none()
                })
                .map(|(_, id)| id.as_str().to_owned())
                .collect();
            self.load_survivors_of(context, side, &gone).await?;
        }
        self.load_partners(context).await
    }

    /// The records that these say they were merged into, or that say it themselves.
    async fn load_survivors_of(
        &mut self,
        context: &Context,
        side: Side,
        gone: &[String],
    ) -> Result<(), SyncError> {
        if gone.is_empty() {
            return Ok(());
        }
        self.load_survivors_named(context, side, gone).await?;
        let found = context
            .store()
            .records_by_key(context.endpoint(side), matching::ALIAS, gone, 1)
            .await?;
        let ids: Vec<RecordId> = found.into_iter().map(|(_, id)| id).collect();
        self.load_seen(context, side, &ids).await?;
        self.load_links(context, side, &ids).await
    }

    /// The records that those of which it is known were merged into, and so on.
    async fn load_survivors_named(
        &mut self,
        context: &Context,
        side: Side,
        gone: &[String],
    ) -> Result<(), SyncError> {
        for gone in gone {
            let gone = RecordId::new(gone);
            let mut last = gone.clone();
            for _ in 0..MERGES {
                let seen = self.seen.get(&(side, last.clone()));
                let Some(into) = seen.and_then(|seen| seen.merged_into.clone()) else {
                    break;
                };
                self.load_seen(context, side, std::slice::from_ref(&into))
                    .await?;
                last = into;
            }
            if last != gone && self.is_present(side, &last) {
                self.load_links(context, side, std::slice::from_ref(&last))
                    .await?;
                self.survivors.insert((side, gone), last);
            }
        }
        Ok(())
    }

    /// What the records said that were merged into others.
    async fn load_aliases(&mut self, context: &Context) -> Result<(), SyncError> {
        for side in Side::BOTH {
            let seen = self.seen.iter().filter(|((of, _), _)| *of == side);
            let aliases: Vec<RecordId> = seen
                .flat_map(|(_, seen)| seen.aliases.iter().cloned())
                .collect();
            self.load_seen(context, side, &aliases).await?;
        }
        Ok(())
    }

    async fn load_restrictions(&mut self, context: &Context) -> Result<(), SyncError> {
        for side in Side::BOTH {
            let mut ids: Vec<RecordId> = self.seen_ids(side);
            let merged = self.survivors.keys().filter(|(of, _)| *of == side);
            ids.extend(merged.map(|(_, id)| id.clone()));
            if ids.is_empty() {
                continue;
            }
            let rows = context
                .store()
                .restrictions(context.endpoint(side), &ids)
                .await?;
            for row in rows {
                let key = (side, row.record.clone());
                self.restrictions.entry(key).or_default().push(row);
            }
        }
        Ok(())
    }

    async fn load_told(&mut self, context: &Context, rows: &[Dirty]) -> Result<(), SyncError> {
        for side in Side::BOTH {
            let mut ids: Vec<RecordId> = rows
                .iter()
                .filter(|row| row.side == side)
                .map(|row| row.id.clone())
                .collect();
            if side == Side::A {
                // What is said about a link is said about its record in A.
                ids.extend(self.links.values().map(|link| link.a.clone()));
            }
            ids.sort();
            ids.dedup();
            if ids.is_empty() {
                continue;
            }
            let told = context
                .store()
                .decisions(context.name(), side, &ids)
                .await?;
            // Whom an operator named need not have the same key.
            let named: Vec<RecordId> = told
                .iter()
                .filter_map(|decision| match &decision.verdict {
                    Verdict::Link(partner) => Some(partner.clone()),
                    _ => None,
                })
                .collect();
            self.load_links(context, side.other(), &named).await?;
            self.load_seen(context, side.other(), &named).await?;
            for decision in told {
                let key = (side, decision.record.clone());
                self.told.entry(key).or_default().push(decision);
            }
        }
        for side in Side::BOTH {
            let named: Vec<RecordId> = self
                .told
                .iter()
                .filter(|((of, _), _)| of.other() == side)
                .flat_map(|(_, told)| told)
                .filter_map(|told| match &told.verdict {
                    Verdict::Link(record) => Some(record.clone()),
                    _ => None,
                })
                .collect();
            self.load_seen(context, side, &named).await?;
            self.load_links(context, side, &named).await?;
        }
        Ok(())
    }

    fn seen_ids(&self, side: Side) -> Vec<RecordId> {
        self.seen
            .keys()
            .filter(|(of, _)| *of == side)
            .map(|(_, id)| id.clone())
            .collect()
    }

    async fn load_links(
        &mut self,
        context: &Context,
        side: Side,
        ids: &[RecordId],
    ) -> Result<(), SyncError> {
        if ids.is_empty() {
            return Ok(());
        }
        for link in context
            .store()
            .links_by_record(context.name(), side, ids)
            .await?
        {
            self.put_link(link);
        }
        Ok(())
    }

    /// A link that was made or moved meanwhile.
    pub fn put_link(&mut self, link: Link) {
        for side in Side::BOTH {
            self.link_of
                .insert((side, link.record(side).clone()), link.id.clone());
        }
        self.links.insert(link.id.clone(), link);
    }

    async fn load_partners(&mut self, context: &Context) -> Result<(), SyncError> {
        for side in Side::BOTH {
            let ids: Vec<RecordId> = self
                .links
                .values()
                .map(|link| link.record(side).clone())
                .collect();
            self.load_seen(context, side, &ids).await?;
        }
        Ok(())
    }

    async fn load_candidates(
        &mut self,
        context: &Context,
        rows: &[Dirty],
    ) -> Result<(), SyncError> {
        let mut keys: Vec<String> = rows
            .iter()
            .filter_map(|row| match self.link(row.side, &row.id) {
                None => Some((row.side, row.id.clone())),
                Some(link) => self.survivor_of(link),
            })
            .filter_map(|(side, id)| {
                let seen = self.seen.get(&(side, id))?;
                (seen.presence == Presence::Present)
                    .then(|| context.policy().match_key(side, &seen.fields))?
            })
            .collect();
        keys.sort();
        keys.dedup();
        if keys.is_empty() {
            return Ok(());
        }
        self.load_suppressed(context, &keys).await?;
        for side in Side::BOTH {
            let field = context.policy().match_rule().field(side);
            let found = context
                .store()
                .records_by_key(context.endpoint(side), field, &keys, 3)
                .await?;
            let ids: Vec<RecordId> = found.iter().map(|(_, id)| id.clone()).collect();
            for (key, id) in found {
                self.by_key.entry((side, key)).or_default().push(id);
            }
            self.load_links(context, side, &ids).await?;
            self.load_seen(context, side, &ids).await?;
            let names: Vec<String> = ids.iter().map(|id| id.as_str().to_owned()).collect();
            self.load_survivors_of(context, side, &names).await?;
        }
        Ok(())
    }

    async fn load_suppressed(
        &mut self,
        context: &Context,
        keys: &[String],
    ) -> Result<(), SyncError> {
        let Some(pseudonyms) = context
            .parts
            .pseudonyms
            .as_ref()
            .filter(|_| context.policy().match_rule().is_email)
        else {
            return Ok(());
        };
        let of: BTreeMap<String, &String> = keys
            .iter()
            .filter_map(|key| Some((pseudonyms.of(key)?, key)))
            .collect();
        let asked: Vec<String> = of.keys().cloned().collect();
        for suppression in context.store().suppressions(&asked).await? {
            if let Some(key) = of.get(&suppression.pseudonym) {
                let known = self.suppressed.entry((*key).clone()).or_default();
                known.push(suppression);
            }
        }
        Ok(())
    }

    /// The record of a pair whose other one is gone.
    fn survivor_of(&self, link: &Link) -> Option<(Side, RecordId)> {
        let is_there = |side: Side| self.is_present(side, link.record(side));
        let survivor = Side::BOTH
            .into_iter()
            .find(|side| is_there(*side) && !is_there(side.other()))?;
        (!link.base.ended).then(|| (survivor, link.record(survivor).clone()))
    }

    /// The link of a record.
    pub fn link(&self, side: Side, id: &RecordId) -> Option<&Link> {
        self.link_of
            .get(&(side, id.clone()))
            .and_then(|link| self.links.get(link))
    }

    /// Records of a side with a match key, at most three.
    pub fn with_key(&self, side: Side, key: &str) -> &[RecordId] {
        self.by_key
            .get(&(side, key.to_owned()))
            .map_or(&[], Vec::as_slice)
    }

    /// Whether a record is there.
    pub fn is_present(&self, side: Side, id: &RecordId) -> bool {
        self.seen
            .get(&(side, id.clone()))
            .is_some_and(|seen| seen.presence == Presence::Present)
    }

    /// The present record that another one was merged into.
    pub fn survivor(&self, side: Side, gone: &RecordId) -> Option<&RecordId> {
        self.survivors.get(&(side, gone.clone()))
    }

    /// What operators said about a record, or about a link by its record in A.
    pub fn told(&self, side: Side, id: &RecordId) -> &[Decision] {
        self.told
            .get(&(side, id.clone()))
            .map_or(&[], Vec::as_slice)
    }

    /// The opt-outs that are stored with a record.
    pub fn restrictions(&self, side: Side, id: &RecordId) -> &[RecordRestriction] {
        self.restrictions
            .get(&(side, id.clone()))
            .map_or(&[], Vec::as_slice)
    }

    /// The opt-outs in force for the person behind these records.
    pub fn restricted<'r>(
        &'r self,
        policy: &Policy,
        records: impl IntoIterator<Item = (Side, &'r RecordId)>,
    ) -> Restrictions {
        // Who was merged into somebody is that person, whatever became of the record.
        let records = records.into_iter().flat_map(|(side, id)| {
            let next = move |id: &&RecordId| {
                let seen = self.seen.get(&(side, (*id).clone()));
                seen.and_then(|seen| seen.merged_into.as_ref())
            };
            std::iter::successors(Some(id), next)
                .take(MERGES)
                .map(move |id| (side, id))
        });
        records.fold(Restrictions::default(), |restrictions, (side, id)| {
            let restrictions = restrictions.with(policy, side, self.restrictions(side, id));
            match self.seen.get(&(side, id.clone())) {
                Some(merged) if self.survivor(side, id).is_some() => {
                    restrictions.with_last_words(policy, side, merged)
                }
                _ => restrictions,
            }
        })
    }

    /// The same with what an erased person with this match key had said.
    pub fn suppressed(&self, policy: &Policy, mut known: Restrictions, key: &str) -> Restrictions {
        for suppression in self.suppressed.get(key).into_iter().flatten() {
            let restriction = Restriction {
                account: "samspel".to_owned(),
                at: suppression.at,
                evidence: Some("the person was erased after an opt-out".to_owned()),
            };
            known = known.with_channel(policy, &suppression.channel, &restriction);
        }
        known
    }
}
