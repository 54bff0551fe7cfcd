//! What the operator writes about a sync: the body of `[syncs.NAME]` in the configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Two collections that are kept in step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SyncSpec {
    /// What links, merge bases, queues and history are kept under, if not under the sync's name. A sync that is renamed
    /// keeps everything if its old name stands here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The first side, by custom the CRM.
    pub a: EndpointSpec,
    /// The second side, by custom the e-mail platform.
    pub b: EndpointSpec,
    /// `sync` writes; `observe` reads and plans, and never writes.
    #[serde(default)]
    pub mode: Mode,
    /// The fields by which records of the two sides are found to be the same person on the first sync and later.
    #[serde(rename = "match")]
    pub match_on: MatchSpec,
    /// What becomes of a record that is created without stored opt-in evidence. Required: there is no harmless default.
    pub new_members: NewMembers,
    /// Which value holds where both sides have one when two records are linked for the first time. Required.
    pub first_sync: FirstSync,
    /// Where records that exist on one side only are created.
    #[serde(default)]
    pub create: Flow,
    /// What happens to the other record when one is deleted or archived.
    #[serde(default)]
    pub deletes: Deletes,
    /// The mapping, field by field.
    #[schemars(length(min = 1))]
    pub fields: Vec<FieldSpec>,
    /// Which records of each side take part. A record that leaves its filter is not deleted on the other side: nothing
    /// flows any more until it is back.
    #[serde(default)]
    pub filter: FilterSpec,
    /// How much a run may do before a person has to agree (`samspel holds`).
    #[serde(default)]
    pub valves: ValveSpec,
    /// When a field whose values go to and fro is left alone.
    #[serde(default)]
    pub oscillation: OscillationSpec,
    /// Opt-ins and opt-outs.
    #[serde(default)]
    pub consent: ConsentSpec,
    /// Which way bounces and complaints flow. `both` is limited to what the collections can be told.
    #[serde(default)]
    pub deliverability: Flow,
    /// How often `samspel serve` runs the sync, such as `5m`.
    #[serde(default = "default_interval")]
    pub interval: String,
    /// How often both sides are read completely, to find what incremental reading cannot see (deletes that a remote
    /// does not report, hidden changes), such as `24h`.
    #[serde(default = "default_full_comparison")]
    pub full_comparison: String,
}

fn default_interval() -> String {
    "5m".to_owned()
}

fn default_full_comparison() -> String {
    "24h".to_owned()
}

/// A collection of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EndpointSpec {
    /// The name of an account in `[accounts]`.
    pub account: String,
    /// The name of one of its collections; `samspel account check` lists them.
    pub collection: String,
}

/// Which records take part: CEL expressions over `record` that give true or false.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FilterSpec {
    /// Of A: `record.lifecyclestage == "customer"`. Default: all.
    #[serde(default)]
    pub a: Option<String>,
    /// Of B. Default: all.
    #[serde(default)]
    pub b: Option<String>,
}

/// How much a run may do before a person has to agree. Opt-outs pass all valves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ValveSpec {
    /// Records that are taken away. All of a run's removals are held if there are more.
    pub deletes: Threshold,
    /// Records that are created, once the first sync is complete.
    pub creates: Threshold,
    /// Records in which one field is changed.
    pub changes: Threshold,
}

impl Default for ValveSpec {
    fn default() -> Self {
        let threshold = |count, percent| Threshold { count, percent };
        Self {
            deletes: threshold(10, 10),
            creates: threshold(100, 20),
            changes: threshold(200, 50),
        }
    }
}

/// So many records, or so many percent of the linked pairs, whichever is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Threshold {
    /// Records.
    pub count: u64,
    /// Percent of the links.
    #[schemars(range(max = 100))]
    pub percent: u8,
}

/// When a field whose values go to and fro is left alone and becomes a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct OscillationSpec {
    /// The same value was written so often already.
    #[schemars(range(min = 1, max = 10))]
    pub repeats: u8,
    /// Within this time, such as `6h`.
    pub window: String,
}

impl Default for OscillationSpec {
    fn default() -> Self {
        Self {
            repeats: 3,
            window: "6h".to_owned(),
        }
    }
}

/// Whether a sync writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Reads, plans and writes.
    #[default]
    Sync,
    /// Reads and plans only.
    Observe,
}

/// The pair of fields that tell that two records are one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MatchSpec {
    /// A's field; it must be in the mapping.
    pub a: String,
    /// B's field; it must be mapped to A's.
    pub b: String,
}

/// What a new member becomes when no opt-in evidence is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NewMembers {
    /// Created with neither an opt-in nor an opt-out (Mailchimp: `transactional`).
    Transactional,
    /// Created as pending: the platform asks the person to confirm.
    Pending,
    /// Not created.
    Skip,
}

/// Which value holds when two records are linked for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FirstSync {
    /// A's.
    A,
    /// B's.
    B,
    /// That of the record which changed last, by the remotes' clocks; within two minutes of each other a person
    /// decides.
    Newest,
    /// A person decides.
    Queue,
}

/// Which value holds when both sides changed a field differently since they were last equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnConflict {
    /// A's.
    A,
    /// B's.
    B,
    /// That of the record which changed last, by the remotes' clocks; within two minutes of each other a person
    /// decides.
    Newest,
    /// For sets: what either side added, without what either side removed.
    Union,
    /// A person decides.
    Queue,
}

/// Which way something flows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Flow {
    /// Both ways.
    #[default]
    Both,
    /// From A to B only.
    AToB,
    /// From B to A only.
    BToA,
    /// Not at all.
    None,
}

/// What happens to the other record when one is deleted or archived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Deletes {
    /// It stays; nothing flows between the two any more.
    #[default]
    Unlink,
    /// It is archived, where the remote can. More than 10 and more than 10 % of the links in one run wait for a person.
    Archive,
}

/// One mapped field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FieldSpec {
    /// A's field.
    pub a: String,
    /// B's field.
    pub b: String,
    /// Which way values flow.
    #[serde(default)]
    pub direction: Direction,
    /// Which value holds when both sides changed. Default: the sync's `first-sync` side, or `queue`.
    #[serde(default)]
    pub on_conflict: Option<OnConflict>,
    /// Which value holds at the first sync. Default: the sync's `first-sync`.
    #[serde(default)]
    pub first_sync: Option<FirstSync>,
    /// How values are compared. Default: from the fields' roles and schemas.
    #[serde(default)]
    pub normalize: Option<Normalize>,
    /// For phone numbers written without a country: its ISO 3166 code, such as `DE`.
    #[serde(default)]
    pub region: Option<String>,
    /// A CEL expression for what A shall hold: `value` is B's value, `record` B's record.
    #[serde(default)]
    pub to_a: Option<String>,
    /// A CEL expression for what B shall hold: `value` is A's value, `record` A's record.
    #[serde(default)]
    pub to_b: Option<String>,
}

/// Which way the values of a field flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Both ways.
    #[default]
    Both,
    /// From A to B; what changes in B stays there.
    AToB,
    /// From B to A; what changes in A stays there.
    BToA,
}

/// How values are compared. In all of them `null`, an empty text and an empty list are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Normalize {
    /// Unicode NFC, runs of white space as one space, none at the ends.
    Text,
    /// As text, in lower case.
    Email,
    /// As E.164, where it can be understood.
    Phone,
    /// As a day, or as an instant in UTC.
    Date,
    /// As a number, whether written as number or text.
    Number,
    /// As true or false, whether written as such or as text.
    Boolean,
    /// As a set of texts.
    Set,
    /// As it stands.
    Exact,
}

/// Opt-ins and opt-outs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ConsentSpec {
    /// Which purposes of the two sides are the same. Default: those with equal names.
    #[serde(default)]
    pub purposes: Option<Vec<PurposeSpec>>,
    /// The sides whose newer, dated opt-ins may lift an opt-out. By default none may: a person decides.
    #[serde(default)]
    pub opt_in_from: Vec<SideName>,
}

/// A purpose that both sides know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PurposeSpec {
    /// `email`, `sms`, ...
    pub channel: String,
    /// A's name of the purpose.
    pub a: String,
    /// B's name of the purpose.
    pub b: String,
}

/// A side, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SideName {
    /// The first side.
    A,
    /// The second side.
    B,
}
