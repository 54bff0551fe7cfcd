//! Single records: why they hold what they hold, and forgetting a person.

use samspel_installation::{Error, Kind};
use samspel_model::access::Role;
use samspel_model::store::Endpoint;
use samspel_model::{RecordId, Side};
use samspel_sync::{Concerned, FieldHistory, History, erase, find_records, history, person};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::act::Act;
use crate::operation::{Operation, Route, Work};
use crate::values::Limit;

/// Tells why a record has its values: since when, from where, and who decided.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowHistory {
    /// The record's id on either side, or its value in the match field.
    pub record: String,
    /// Only in this sync.
    #[serde(default)]
    pub sync: Option<String>,
    /// Only a record of this side.
    #[serde(default)]
    pub side: Option<Side>,
    /// Only this field, by its name on either side.
    #[serde(default)]
    pub field: Option<String>,
    /// At most so many events.
    #[serde(default)]
    pub limit: Limit,
}

/// What is known of a record.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Known {
    /// How it was named.
    pub record: String,
    /// In each sync that knows it.
    pub found: Vec<Place>,
}

/// A record in a sync.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// Its history.
    #[serde(flatten)]
    pub history: History,
    /// `account/collection` of both sides.
    #[schema(value_type = Vec<String>)]
    pub sides: [String; 2],
}

impl Operation for ShowHistory {
    type Output = Known;
    const ROUTE: Route = Route::get(
        "showHistory",
        "/history",
        Role::Viewer,
        "Tell why a record has its values: since when, from where, and who decided",
    );

    async fn run(&self, work: &Work<'_>) -> Result<Known, Error> {
        let (host, searched) = (work.host, work.syncs(self.sync.as_deref())?);
        let mut found = Vec::new();
        for sync in &searched {
            let (spec, limit) = (host.spec(sync)?, self.limit.length());
            found.extend(history(host.store(), sync, spec, &self.record, self.side, limit).await?);
        }
        if found.is_empty() {
            return Err(Error::new(
                Kind::NotFound,
                format!("no sync knows a record `{}`", self.record),
            )
            .remedy(format!(
                "name it by its id on either side or by its value in the match field; searched {}",
                searched.join(", ")
            )));
        }
        if let Some(field) = &self.field {
            only(&mut found, field)?;
        }
        let found = found.into_iter().map(|history| {
            let sides = work.sides(&history.sync)?;
            Ok(Place { history, sides })
        });
        Ok(Known {
            record: self.record.clone(),
            found: found.collect::<Result<_, Error>>()?,
        })
    }
}

/// Leaves one field of each record.
fn only(found: &mut [History], field: &str) -> Result<(), Error> {
    let is_it = |told: &FieldHistory| {
        told.mapping == field
            || told
                .mapping
                .split_once('=')
                .is_some_and(|(a, b)| a == field || b == field)
    };
    let known: Vec<String> = found
        .iter()
        .flat_map(|history| history.fields.iter().map(|told| told.mapping.clone()))
        .collect();
    for history in found.iter_mut() {
        history.fields.retain(is_it);
    }
    if found.iter().all(|history| history.fields.is_empty()) {
        return Err(
            Error::new(Kind::NotFound, format!("no field `{field}` is mapped"))
                .remedy(format!("mapped are {}", known.join(", "))),
        );
    }
    Ok(())
}

/// Forgets a person in all syncs; what stays is that the address opted out.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErasePerson {
    /// The record's id on either side, or its value in the match field.
    pub record: String,
    /// The sync in which the record is looked up.
    pub sync: String,
    /// Only a record of this side.
    #[serde(default)]
    pub side: Option<Side>,
    /// Somebody agreed to it.
    #[serde(default)]
    pub yes: bool,
}

/// A person who is forgotten.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Erased {
    /// The sync in which the record was looked up.
    pub sync: String,
    /// The records, as `account/collection/id`.
    pub records: Vec<String>,
    /// How many addresses are kept as keyed hashes.
    pub suppressed: u64,
    /// The file of the key of those hashes.
    pub key: String,
}

impl Operation for ErasePerson {
    type Output = Erased;
    const ROUTE: Route = Route::post(
        "erasePerson",
        "/erase",
        Role::Admin,
        "Forget a person in all syncs; what stays is that the address opted out",
    )
    .confidential();

    /// Whom is not told: the entry would outlive the erasure.
    fn act(&self) -> Option<Act> {
        Some(Act::new("erase", self.sync.clone()))
    }

    async fn run(&self, work: &Work<'_>) -> Result<Erased, Error> {
        let host = work.host;
        let concerned = concerned(work);
        let start = self.start(work).await?;
        let records: Vec<String> = person(host.store(), &concerned, start.clone())
            .await?
            .iter()
            .map(|(endpoint, id)| format!("{}/{}/{id}", endpoint.account, endpoint.collection))
            .collect();
        let question = format!(
            "Forget this person? What is known of these records goes, in all syncs:\n  {}\nThe remotes are not touched: \
             erase the person there first, or the records are read again, as those of somebody who has opted out.",
            records.join("\n  ")
        );
        let what = format!(
            "erase forgets what is known of {}; erase the person at the remotes first",
            records.join(", ")
        );
        work.agree(self.yes, question, what).await?;
        let pseudonyms = host.pseudonyms_to_erase().await?;
        let erased = erase(
            host.store(),
            host.clock(),
            host.owner(),
            &concerned,
            &pseudonyms,
            start,
        )
        .await?;
        let key = host.config().resolve(&host.config().host.key);
        Ok(Erased {
            sync: self.sync.clone(),
            records: erased.records,
            suppressed: erased.suppressed,
            key: key.display().to_string(),
        })
    }
}

impl ErasePerson {
    /// The one record that is meant.
    async fn start(&self, work: &Work<'_>) -> Result<(Endpoint, RecordId), Error> {
        let spec = work.host.spec(&self.sync)?;
        let store = work.host.store();
        let found = find_records(store, &self.sync, spec, &self.record, self.side).await?;
        let place = |side: Side| match side {
            Side::A => &spec.a,
            Side::B => &spec.b,
        };
        match found.as_slice() {
            [(side, seen)] => Ok((
                Endpoint {
                    account: place(*side).account.clone(),
                    collection: place(*side).collection.clone(),
                },
                seen.id.clone(),
            )),
            [] => Err(Error::new(
                Kind::NotFound,
                format!("sync {} knows no record `{}`", self.sync, self.record),
            )
            .remedy("name it by its id on either side or by its value in the match field")),
            several => {
                let listed: Vec<String> = several
                    .iter()
                    .map(|(side, seen)| {
                        format!("{} {} (side {side})", place(*side).account, seen.id)
                    })
                    .collect();
                Err(Error::new(
                    Kind::Usage,
                    format!(
                        "`{}` means several records: {}",
                        self.record,
                        listed.join(", ")
                    ),
                )
                .remedy("name one by its id, with --side a or --side b; erase each by itself"))
            }
        }
    }
}

/// Every configured sync: links of any may lead to further records of the person.
fn concerned(work: &Work<'_>) -> Vec<Concerned> {
    work.host
        .config()
        .syncs
        .iter()
        .map(|(name, spec)| Concerned {
            sync: name.clone(),
            endpoints: [&spec.a, &spec.b].map(|side| Endpoint {
                account: side.account.clone(),
                collection: side.collection.clone(),
            }),
            match_fields: [spec.match_on.a.clone(), spec.match_on.b.clone()],
        })
        .collect()
}
