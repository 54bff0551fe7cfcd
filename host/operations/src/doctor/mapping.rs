//! The round-trip check of a mapping: values that flow both ways through transforms must come back as they were.

use samspel_engine::roundtrip::{RoundTrip, round_trips};
use samspel_engine::spec::{Direction, EndpointSpec};
use samspel_engine::{Policy, SyncSpec};
use samspel_model::store::Endpoint;
use samspel_model::{Collection, Connector, Fields, Presence, ReadMode, ReadRequest, Side, Store};

use super::finding::Finding;
use samspel_installation::{Error, Host, of_account};

/// How many records of each side are tried.
const SAMPLES: usize = 200;
/// How many records are read from the store together.
const PAGE: u32 = 200;
/// How many pages of records that are gone are looked through.
const PAGES: usize = 20;

/// Whether there is anything to try.
fn at_stake(spec: &SyncSpec) -> bool {
    spec.fields.iter().any(|field| {
        field.direction == Direction::Both && (field.to_a.is_some() || field.to_b.is_some())
    })
}

/// Fields of a sync whose values do not come back, tried on what was read. Asks the remotes for their collections only,
/// and not even that if no field is at stake.
pub async fn of_sync(host: &Host, name: &str) -> Result<Vec<Finding>, Error> {
    let spec = host.spec(name)?;
    if !at_stake(spec) {
        return Ok(Vec::new());
    }
    let (a, b) =
        futures::future::try_join(collection(host, &spec.a), collection(host, &spec.b)).await?;
    let (Some(a), Some(b)) = (a, b) else {
        return Ok(Vec::new());
    };
    let Ok(policy) = Policy::compile(spec, &a, &b) else {
        return Ok(Vec::new());
    };
    let mut samples = [Vec::new(), Vec::new()];
    for (side, of) in Side::BOTH.into_iter().zip([&spec.a, &spec.b]) {
        samples[side.index()] = stored(host.store(), of).await?;
    }
    Ok(broken(name, spec, &policy, &samples))
}

async fn collection(host: &Host, of: &EndpointSpec) -> Result<Option<Collection>, Error> {
    let account = host.account(&of.account).await?;
    let collections = account
        .connector
        .collections()
        .await
        .map_err(|error| of_account(&of.account, &error))?;
    Ok(collections
        .into_iter()
        .find(|collection| collection.name == of.collection))
}

/// The same for `samspel doctor`: where nothing was read yet, one page of the remote is.
pub async fn examine(
    host: &Host,
    name: &str,
    spec: &SyncSpec,
    policy: &Policy,
    collections: [&Collection; 2],
) -> Vec<Finding> {
    if !at_stake(spec) {
        return Vec::new();
    }
    let check = check(name);
    let mut samples = [Vec::new(), Vec::new()];
    for (side, of) in Side::BOTH.into_iter().zip([&spec.a, &spec.b]) {
        let known = match stored(host.store(), of).await {
            Ok(known) if known.is_empty() => page(host, of, collections[side.index()]).await,
            known => known,
        };
        match known {
            Ok(known) => samples[side.index()] = known,
            Err(error) => {
                return vec![Finding::warn(
                    check,
                    format!("not tried on records of {}: {error}", of.account),
                    "see the account",
                )];
            }
        }
    }
    let broken = broken(name, spec, policy, &samples);
    if !broken.is_empty() {
        return broken;
    }
    let tried: usize = samples.iter().map(Vec::len).sum();
    vec![Finding::ok(
        check,
        format!("the values of {tried} records come back through its transforms"),
    )]
}

/// Present records, as they were read.
async fn stored(store: &dyn Store, of: &EndpointSpec) -> Result<Vec<Fields>, Error> {
    let endpoint = Endpoint {
        account: of.account.clone(),
        collection: of.collection.clone(),
    };
    let mut found = Vec::new();
    let mut after = None;
    for _ in 0..PAGES {
        let page = store.records(&endpoint, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else {
            break;
        };
        after = Some(last.id.clone());
        let present = page
            .into_iter()
            .filter(|seen| seen.presence == Presence::Present);
        found.extend(present.map(|seen| seen.fields));
        if found.len() >= SAMPLES {
            break;
        }
    }
    found.truncate(SAMPLES);
    Ok(found)
}

/// The first page of a remote.
async fn page(
    host: &Host,
    of: &EndpointSpec,
    collection: &Collection,
) -> Result<Vec<Fields>, Error> {
    let account = host.account(&of.account).await?;
    let most = u32::try_from(SAMPLES).unwrap_or(u32::MAX);
    let request = ReadRequest {
        collection: of.collection.clone(),
        mode: ReadMode::Snapshot(None),
        fields: None,
        limit: most.min(collection.capabilities.max_page.max(1)),
    };
    let page = account
        .connector
        .changes(request)
        .await
        .map_err(|error| of_account(&of.account, &error))?;
    let records = page.records.into_iter().take(SAMPLES);
    Ok(records.map(|record| record.fields).collect())
}

fn check(name: &str) -> String {
    format!("mapping of {name}")
}

/// One finding for each field and side whose values do not come back.
fn broken(
    name: &str,
    spec: &SyncSpec,
    policy: &Policy,
    samples: &[Vec<Fields>; 2],
) -> Vec<Finding> {
    Side::BOTH
        .into_iter()
        .flat_map(|side| round_trips(policy, side, &samples[side.index()]))
        .filter(|tried| !tried.holds())
        .map(|tried| finding(name, spec, &tried))
        .collect()
}

fn finding(name: &str, spec: &SyncSpec, tried: &RoundTrip) -> Finding {
    let index = spec
        .fields
        .iter()
        .position(|field| format!("{}={}", field.a, field.b) == tried.rule)
        .unwrap_or_default();
    let account = match tried.source {
        Side::A => &spec.a.account,
        Side::B => &spec.b.account,
    };
    let mut what = Vec::new();
    if tried.lost > 0 {
        what.push(format!("{} do not come back as they were", tried.lost));
    }
    if tried.failed > 0 {
        what.push(format!("{} cannot be calculated", tried.failed));
    }
    let direction = match tried.source {
        Side::A => "a-to-b",
        Side::B => "b-to-a",
    };
    Finding::fail(
        check(name),
        format!(
            "syncs.{name}.fields[{index}] (`{}`): of {} values of {account}, {}",
            tried.rule,
            tried.tried,
            what.join(" and ")
        ),
        format!(
            "let `to-a` and `to-b` undo each other for every value, or let the field flow one way: direction = \"{direction}\""
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_loses_values_is_named_with_numbers_and_the_remedy() {
        let spec: Result<SyncSpec, _> = toml::from_str(
            r#"
            a = { account = "crm", collection = "contacts" }
            b = { account = "news", collection = "members" }
            match = { a = "email", b = "address" }
            new-members = "skip"
            first-sync = "a"
            fields = [{ a = "email", b = "address" }, { a = "stage", b = "STAGE", to-b = "value.upperAscii()" }]
            "#,
        );
        let Ok(spec) = spec else {
            panic!("a specification");
        };
        assert!(at_stake(&spec));
        let tried = RoundTrip {
            rule: "stage=STAGE".to_owned(),
            source: Side::A,
            tried: 200,
            lost: 12,
            failed: 3,
        };
        let found = finding("contacts", &spec, &tried);
        assert_eq!(
            found.message,
            "syncs.contacts.fields[1] (`stage=STAGE`): of 200 values of crm, 12 do not come back as they were and 3 \
             cannot be calculated"
        );
        assert!(
            found
                .remedy
                .is_some_and(|remedy| remedy.contains("direction = \"a-to-b\""))
        );
    }
}
