//! What the demo found. The names of the members are a contract: CI and benchmarks read them.

use serde::Serialize;

/// Everything the demo found.
#[derive(Debug, Serialize)]
pub struct DemoReport {
    /// Contacts that were asked for.
    pub contacts: u32,
    /// The first sync.
    pub initial: Initial,
    /// The four scenarios, in the order in which they were played.
    pub scenarios: Vec<Scenario>,
    /// A further run, with both systems at rest.
    pub rerun: Rerun,
    /// What `verify` says about every linked pair.
    pub drift: Drift,
    /// What a comparison says that reads the simulators' own dumps and shares no code with the sync.
    pub comparison: Comparison,
    /// Most memory that this process ever had, in MB (10^6 bytes); `None` where the system does not tell.
    pub peak_rss_mb: Option<f64>,
    /// Everything went as it must.
    pub ok: bool,
}

/// The first sync.
#[derive(Debug, Serialize)]
pub struct Initial {
    /// Records read on both sides.
    pub records: u64,
    /// Wall time.
    pub seconds: f64,
    /// Requests that both vendors received.
    pub requests: u64,
    /// Pairs that were found to be the same person.
    pub linked: u64,
    /// Writes that were done.
    pub writes: u64,
    /// Decisions left to a person.
    pub conflicts: u64,
    /// Records that failed for good.
    pub parked: u64,
}

/// One scenario.
#[derive(Debug, Serialize)]
pub struct Scenario {
    /// Its short name.
    pub name: &'static str,
    /// The other side shows what it must.
    pub ok: bool,
    /// From the act on one side until the run that carried it to the other had ended (with `--serve`: until the other
    /// side showed it), summed over its acts.
    pub seconds: f64,
    /// What was seen, or what was missing.
    pub seen: Vec<String>,
}

/// A further run.
#[derive(Debug, Serialize)]
pub struct Rerun {
    /// Writes; none, if both systems rest.
    pub writes: u64,
    /// Requests that change something, counted by the vendors.
    pub write_requests: u64,
    /// Wall time.
    pub seconds: f64,
}

/// What `verify` says.
#[derive(Debug, Serialize)]
pub struct Drift {
    /// Linked pairs.
    pub links: u64,
    /// Pairs that differ.
    pub unequal: u64,
}

/// What the independent comparison says.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Addresses that both sides hold.
    pub pairs: u64,
    /// Of those, pairs whose names or opt-outs differ.
    pub unequal: u64,
    /// Contacts with an address that no member has.
    pub only_crm: u64,
    /// Members whose address no contact has.
    pub only_newsletter: u64,
    /// A few that differ.
    pub samples: Vec<String>,
}
