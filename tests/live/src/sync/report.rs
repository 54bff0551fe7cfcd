//! What the live sync found. The names of the members are a contract that they share with `samspel demo --json`: CI
//! reads them.

use serde::Serialize;

/// Everything that was found.
#[derive(Debug, Serialize)]
pub struct SyncReport {
    /// The first sync.
    pub initial: Initial,
    /// The four scenarios, in the order in which they were played.
    pub scenarios: Vec<Scenario>,
    /// What a comparison says that asks both servers and shares no code with the sync.
    pub comparison: Comparison,
    /// A further run, with both systems at rest.
    pub rerun: Rerun,
    /// What `samspel sync verify` says about every linked pair.
    pub drift: Drift,
    /// Files of Samspel in which a credential could be read.
    pub exposed: Vec<String>,
    /// Everything went as it must.
    pub ok: bool,
}

/// The first sync.
#[derive(Debug, Serialize)]
pub struct Initial {
    /// Records read on both sides.
    pub records: u64,
    /// Wall time of the process.
    pub seconds: f64,
    /// Requests that both servers logged.
    pub requests: u64,
    /// Pairs that were found to be the same person.
    pub linked: u64,
    /// Writes that were done.
    pub writes: u64,
    /// Decisions left to a person.
    pub conflicts: u64,
    /// Records that failed for good.
    pub parked: u64,
    /// Both servers show what they must.
    pub ok: bool,
    /// What was seen, or what was missing.
    pub seen: Vec<String>,
}

/// One scenario.
#[derive(Debug, Serialize)]
pub struct Scenario {
    /// Its short name.
    pub name: &'static str,
    /// The other side shows what it must.
    pub ok: bool,
    /// From the start of the runs that carried its acts over until they had ended, summed.
    pub seconds: f64,
    /// What was seen, or what was missing.
    pub seen: Vec<String>,
}

/// A further run.
#[derive(Debug, Serialize)]
pub struct Rerun {
    /// Writes; none, if both systems rest.
    pub writes: u64,
    /// Requests to Ghost that change something, by its own log.
    pub ghost_write_requests: u64,
    /// Contacts whose `write_date` moved. Odoo moves it even if an edit changes nothing.
    pub odoo_contacts_written: u64,
    /// Wall time of the process.
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
    /// Addresses that exactly one contact and one member have.
    pub pairs: u64,
    /// Of those, pairs that differ.
    pub unequal: u64,
    /// Addresses that only contacts have, those that several contacts share left out.
    pub only_odoo: u64,
    /// Addresses that only members have.
    pub only_ghost: u64,
    /// Addresses that several contacts or several members share; nobody can tell who is who.
    pub shared: u64,
    /// What differs.
    pub samples: Vec<String>,
}
