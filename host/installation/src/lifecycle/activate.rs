//! Moving the pointer: canary, activation, going back. Each is one commit, decided from one generation of the pointer.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use samspel_model::registry::{
    Canary, ConnectorRevision, InstalledConnector, RegistryAct, RegistryChange, Stage,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::Lifecycle;
use crate::error::{Error, Kind};

/// Retired revisions of a connector that somebody may go back to.
const KEPT: usize = 5;

/// What was gone back from, and to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RolledBack {
    /// The connector.
    pub name: String,
    /// The revision that is left.
    pub from: String,
    /// The revision that is used from now on.
    pub to: String,
    /// The account that went back; `None`: all of them.
    pub account: Option<String>,
}

impl Lifecycle<'_> {
    /// Makes a revision the one that accounts use.
    pub(super) async fn activate(
        &self,
        mut pointer: InstalledConnector,
        revision: &mut ConnectorRevision,
        mut changes: Vec<RegistryChange>,
    ) -> Result<(), Error> {
        let before = pointer.active.replace(revision.sha256.clone());
        let left = pointer.canary.take().map(|canary| canary.sha256);
        // What accounts went back to is good for all; what they went back from is not.
        let good = pointer.kept.values().next().cloned().or(before.clone());
        pointer.kept.clear();
        *revision = self.moved(revision, Stage::Active, None);
        let mut drained: BTreeSet<String> = left.into_iter().collect();
        if before.as_deref() != Some(&revision.sha256) {
            pointer.previous = good;
            // What was on its way out when this one came has nobody left who began with it.
            let others = self.registry().revisions(Some(&pointer.name)).await?;
            for other in others.iter().filter(|other| other.stage == Stage::Draining) {
                changes.push(self.put(other, Stage::Retired, None));
            }
            drained.extend(before.clone());
        }
        drained.remove(&revision.sha256);
        for sha256 in drained {
            if let Some(other) = self.registry().revision(&sha256).await? {
                changes.push(self.put(&other, Stage::Draining, None));
            }
        }
        changes.push(RegistryChange::ForgetTrials(revision.sha256.clone()));
        changes.push(RegistryChange::Put(Box::new(revision.clone())));
        changes.push(self.tell(
            RegistryAct::Activated,
            revision,
            json!({ "version": revision.version, "before": before, "signer": revision.signer }),
        ));
        changes.extend(self.left_over(&pointer).await?);
        let name = pointer.name.clone();
        changes.push(RegistryChange::Point(pointer));
        self.apply(&name, changes).await
    }

    /// Removes the components of revisions that nobody goes back to: of refused ones, and of all but those that were
    /// used last. `pointer` is what it is to be.
    async fn left_over(&self, pointer: &InstalledConnector) -> Result<Vec<RegistryChange>, Error> {
        let mut all = self.registry().revisions(Some(&pointer.name)).await?;
        all.retain(|one| {
            !pointer.uses(&one.sha256) && pointer.previous.as_ref() != Some(&one.sha256)
        });
        all.sort_by_key(|one| Reverse(one.changed));
        let of = |stage: Stage| all.iter().filter(move |one| one.stage == stage);
        Ok(of(Stage::Refused)
            .chain(of(Stage::Retired).skip(KEPT))
            .map(|one| RegistryChange::DropComponent(one.sha256.clone()))
            .collect())
    }

    /// Lets some accounts use a revision.
    pub(super) async fn try_out(
        &self,
        mut pointer: InstalledConnector,
        revision: &mut ConnectorRevision,
        accounts: &BTreeSet<String>,
        mut changes: Vec<RegistryChange>,
    ) -> Result<(), Error> {
        if pointer.active.is_none() {
            return Err(Error::new(
                Kind::Usage,
                format!("of connector `{}` nothing is active, so there is nothing to compare a canary with", pointer.name),
            )
            .remedy("leave `--canary` out"));
        }
        let canary = Canary {
            sha256: revision.sha256.clone(),
            accounts: accounts.clone(),
        };
        if let Some(left) = pointer.canary.replace(canary)
            && left.sha256 != revision.sha256
            && let Some(other) = self.registry().revision(&left.sha256).await?
        {
            changes.push(self.put(&other, Stage::Draining, None));
        }
        *revision = self.moved(revision, Stage::Canary, None);
        changes.push(RegistryChange::ForgetTrials(revision.sha256.clone()));
        changes.push(RegistryChange::Put(Box::new(revision.clone())));
        changes.push(self.tell(
            RegistryAct::Canary,
            revision,
            json!({ "accounts": accounts }),
        ));
        let name = pointer.name.clone();
        changes.push(RegistryChange::Point(pointer));
        self.apply(&name, changes).await
    }

    /// Goes back: from a canary to what is active, or to the revision that was active before, or to a named one.
    ///
    /// # Errors
    /// There is nothing to go back to.
    pub async fn rollback(&self, name: &str, to: Option<&str>) -> Result<RolledBack, Error> {
        let pointer = self.installed(name).await?;
        if to.is_none()
            && let (Some(canary), Some(active)) = (&pointer.canary, &pointer.active)
        {
            let (from, to) = (canary.sha256.clone(), active.clone());
            let mut pointer = pointer.clone();
            pointer.canary = None;
            return self
                .go_back(pointer, &from, &to, "an operator ended the canary")
                .await;
        }
        let active = pointer.active.clone().unwrap_or_default();
        let target = match to {
            Some(which) => self.named(name, which).await?.sha256,
            None => pointer.previous.clone().ok_or_else(|| {
                Error::new(
                    Kind::Usage,
                    format!("connector `{name}` has no revision that was active before"),
                )
                .remedy(format!(
                    "`samspel connector history {name}` shows its revisions; `--to` names one"
                ))
            })?,
        };
        let known = self.registry().revision(&target).await?;
        if target == active
            || known
                .as_ref()
                .is_none_or(|one| !matches!(one.stage, Stage::Draining | Stage::Retired))
        {
            return Err(Error::new(
                Kind::Usage,
                format!(
                    "connector `{name}` cannot go back to {}: it was never active, or is",
                    short(&target)
                ),
            )
            .remedy(format!(
                "`samspel connector history {name}` shows its revisions"
            )));
        }
        // One that was removed since, or is damaged, is nothing to go back to.
        self.host.load_revision(&target).await?;
        let pointer = InstalledConnector {
            active: Some(target.clone()),
            previous: None,
            canary: None,
            kept: Default::default(),
            ..pointer
        };
        self.go_back(pointer, &active, &target, "an operator asked for it")
            .await
    }

    /// Moves the pointer to an earlier revision. `pointer` is what it is to be.
    pub(super) async fn go_back(
        &self,
        pointer: InstalledConnector,
        from: &str,
        to: &str,
        why: &str,
    ) -> Result<RolledBack, Error> {
        let mut changes = Vec::new();
        if let Some(left) = self.registry().revision(from).await? {
            changes.push(self.put(&left, Stage::Retired, Some(format!("rolled back: {why}"))));
        }
        if let Some(back) = self.registry().revision(to).await? {
            let detail: Value = json!({ "from": from, "why": why, "version": back.version });
            changes.push(self.put(&back, Stage::Active, None));
            changes.push(self.tell(RegistryAct::RolledBack, &back, detail));
        }
        let name = pointer.name.clone();
        changes.push(RegistryChange::Point(pointer));
        self.apply(&name, changes).await?;
        Ok(RolledBack {
            name,
            from: from.to_owned(),
            to: to.to_owned(),
            account: None,
        })
    }

    pub(super) fn put(
        &self,
        revision: &ConnectorRevision,
        stage: Stage,
        why: Option<String>,
    ) -> RegistryChange {
        RegistryChange::Put(Box::new(self.moved(revision, stage, why)))
    }

    /// Revisions that nobody in this process uses any more, and nothing points to, are retired.
    pub(super) async fn retire(&self, name: &str) -> Result<(), Error> {
        // Asked after every run: as long as nothing was swapped there is nothing to look for.
        if !self.host.may_drain(name).await {
            return Ok(());
        }
        let Some(pointer) = self.registry().installed(name).await? else {
            return Ok(());
        };
        let held = self.host.revisions_in_use().await;
        let mut left = false;
        for one in self.registry().revisions(Some(name)).await? {
            if one.stage != Stage::Draining {
                continue;
            }
            if held.contains(&one.sha256) || pointer.uses(&one.sha256) {
                left = true;
                continue;
            }
            let changes = vec![
                self.put(&one, Stage::Retired, None),
                self.tell(
                    RegistryAct::Retired,
                    &one,
                    json!({ "version": one.version }),
                ),
            ];
            self.apply(name, changes).await?;
        }
        self.host.drains(name, left).await;
        Ok(())
    }
}

/// A digest, as people tell it.
pub(super) fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}
