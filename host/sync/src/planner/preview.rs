//! Decisions that are shown and not stored.

use std::collections::HashSet;

use samspel_model::intent::{Effect, Intent};
use samspel_model::store::{Conflict, subject};
use samspel_model::{Link, RecordId, Side};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Planned, skip_name};
use crate::report::{PlanReport, PlanSample, Sides};

/// Decisions that are shown and not stored.
#[derive(Debug)]
pub struct Preview {
    /// What is shown.
    pub report: PlanReport,
    /// Records that an earlier batch would have linked.
    claimed: HashSet<(Side, RecordId)>,
    /// Stands for all decisions, in whatever order they were made.
    digest: [u64; 4],
}

impl Preview {
    /// Nothing yet. `samples`: how many decisions of one kind and side are shown.
    pub fn new(samples: usize) -> Self {
        Self {
            report: PlanReport {
                keep: samples,
                hash: hash(&[0; 4]),
                ..PlanReport::default()
            },
            claimed: HashSet::new(),
            digest: [0; 4],
        }
    }

    /// Whether an earlier batch would have linked the record.
    pub fn claims(&self, side: Side, id: &RecordId) -> bool {
        self.claimed.contains(&(side, id.clone()))
    }

    /// Two records would be linked.
    pub fn link(&mut self, link: &Link, side: Side, record: &RecordId) {
        for side in Side::BOTH {
            self.claimed.insert((side, link.record(side).clone()));
        }
        self.mark(&json!(["link", link.a, link.b]));
        self.report.link += 1;
        let record = record.to_string();
        self.report.sample(
            || PlanSample {
                what: "link".to_owned(),
                side,
                record,
                fields: Vec::new(),
                why: None,
            },
            "link",
            side,
        );
    }

    /// A write would be sent.
    fn intend(&mut self, intent: &Intent) {
        let side = intent.target;
        let what = match intent.effect {
            Effect::Create => "create",
            Effect::Update(_) => "update",
            Effect::Remove(..) => "remove",
        };
        // Neither when nor by which run it was decided: the same decisions are the same plan. An opt-out without a date
        // gets that of the moment.
        let consents: Vec<_> = intent
            .consents
            .iter()
            .map(|consent| (&consent.channel, &consent.purpose, &consent.state))
            .collect();
        self.mark(&json!([
            what,
            side,
            intent.source_record,
            intent.effect,
            intent.patch,
            consents,
            intent.deliverability,
        ]));
        let report = &mut self.report;
        match intent.effect {
            Effect::Create => report.create.add(side, 1),
            Effect::Remove(..) => report.remove.add(side, 1),
            Effect::Update(_) => {
                report.update.add(side, 1);
                report.restrict.add(side, u64::from(intent.restricts));
            }
        }
        report.sample(
            || PlanSample {
                what: what.to_owned(),
                side,
                record: intent
                    .effect
                    .target_record()
                    .unwrap_or(&intent.source_record)
                    .to_string(),
                fields: intent.patch.keys().cloned().collect(),
                why: None,
            },
            what,
            side,
        );
    }

    /// Something would be left to a person.
    pub fn conflict(&mut self, conflict: &Conflict) {
        self.mark(&json!([
            "conflict",
            conflict.side,
            conflict.record,
            conflict.about
        ]));
        let held = subject::is_hold(&conflict.about);
        let what = if held { "hold" } else { "conflict" };
        if held {
            self.report.holds += 1;
        } else {
            self.report.conflicts += 1;
        }
        self.report.sample(
            || PlanSample {
                what: what.to_owned(),
                side: conflict.side,
                record: conflict.record.to_string(),
                fields: vec![conflict.about.clone()],
                why: Some(conflict.why.clone()),
            },
            what,
            conflict.side,
        );
    }

    /// A batch was planned, and what was withdrawn again is no longer in it.
    pub fn planned(&mut self, planned: &Planned) {
        for intent in &planned.intents {
            self.intend(intent);
        }
        self.report.unchanged += planned.rows.iter().filter(|row| row.is_at_rest()).count() as u64;
        for (reason, number) in &planned.tally.filtered {
            let name = skip_name(*reason);
            *self.report.skipped.entry(name).or_default() += number;
        }
        self.report.hash = hash(&self.digest);
    }

    /// More removals than a run may make: all are held.
    pub fn hold_removals(&mut self) {
        self.report.holds += self.report.remove.sum();
        self.report.remove = Sides::default();
        for sample in &mut self.report.samples {
            if sample.what == "remove" {
                sample.what = "hold".to_owned();
                sample.why = Some("more removals than a run may make".to_owned());
            }
        }
        self.mark(&json!(["removals", "held"]));
        self.report.hash = hash(&self.digest);
    }

    /// Sums of digests do not depend on the order of what is summed up.
    fn mark(&mut self, decision: &serde_json::Value) {
        let digest = Sha256::digest(decision.to_string().as_bytes());
        for (sum, part) in self.digest.iter_mut().zip(digest.chunks_exact(8)) {
            let part = part
                .iter()
                .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
            *sum = sum.wrapping_add(part);
        }
    }
}

fn hash(digest: &[u64; 4]) -> String {
    hex::encode(digest.map(u64::to_be_bytes).concat())
}
