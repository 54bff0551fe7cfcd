//! 1. Convergence: when the systems rest, what is in scope and undecided by nobody is equal.

use samspel_model::{ConsentState, RecordId, Side};
use serde_json::Value;

use crate::agreement::{Agreement, Newcomers};
use crate::checkers::Facts;
use crate::field::{Field, is_empty, same};
use crate::ledger::{CONSENT, LinkFacts, SyncLedger};
use crate::quirk::Quirk;
use crate::systems::{By, Record, System, Version};
use crate::violation::Findings;

/// Everything rests.
pub(crate) fn at_rest(facts: &Facts<'_>, findings: &mut Findings) {
    let syncs = facts.ledger.syncs.iter().zip(facts.agreements);
    for (index, (sync, agreement)) in syncs.enumerate() {
        pairs(facts, index, agreement, findings);
        for side in Side::BOTH {
            singles(facts, sync, agreement, side, findings);
        }
    }
}

/// Whether something about one of two records waits for a person.
fn waits(sync: &SyncLedger, records: &[RecordId; 2], about: &dyn Fn(&str) -> bool) -> bool {
    Side::BOTH
        .into_iter()
        .any(|side| sync.waits(side, &records[side.index()], about))
}

fn pairs(facts: &Facts<'_>, index: usize, agreement: &Agreement, findings: &mut Findings) {
    let sync = &facts.ledger.syncs[index];
    for link in sync.links.values() {
        let records: [Option<&Record>; 2] = Side::BOTH.map(|side| {
            facts.systems[agreement.system(side)]
                .records
                .get(&link.records[side.index()])
        });
        let [Some(a), Some(b)] = records else {
            findings.add(1, format!("a pair names a record that never was: {link:?}"));
            continue;
        };
        let [id_a, id_b] = &link.records;
        let (now_a, now_b) = (a.now(), b.now());
        if !now_a.is_live() || !now_b.is_live() {
            // Nothing flows. A hidden delete is found by the full comparison, so that by now it must be known; but what
            // an empty listing does not show is not taken as gone.
            let empty = agreement.systems.iter().any(|system| {
                facts.systems[*system]
                    .records
                    .values()
                    .all(|record| !record.now().is_live())
            });
            // An edit beats a delete, and then the policy may leave the survivor without a partner.
            let filtered = Side::BOTH.into_iter().any(|side| {
                let survivor = records[side.index()].filter(|record| record.now().is_live());
                survivor.is_some_and(|record| {
                    let own = &facts.systems[agreement.system(side)];
                    record.now().address().is_none() || !wanted(agreement, own, record)
                })
            });
            let explained = empty || filtered || waits(sync, &link.records, &|_| true);
            if !link.ended && !explained {
                findings.add(
                    1,
                    format!(
                        "{id_a} is {:?} and {id_b} is {:?}, and the pair goes on",
                        now_a.standing, now_b.standing
                    ),
                );
            }
            continue;
        }
        if link.ended {
            findings.add(
                1,
                format!("{id_a} and {id_b} are there, and their pair has ended"),
            );
            continue;
        }
        for mapping in &agreement.fields {
            let (x, y) = (
                &now_a.values[mapping.field.index()],
                &now_b.values[mapping.field.index()],
            );
            if same(mapping.field, x, y) {
                continue;
            }
            let rule = agreement.rule_name(mapping.field);
            let about = |subject: &str| {
                subject == rule
                    || subject == format!("hold:change:{rule}")
                    || (mapping.field == Field::Email && matches!(subject, "merge" | "identity"))
            };
            if waits(sync, &link.records, &about) {
                continue;
            }
            let (x_was, y_was) = (
                was_empty(facts, agreement, link, Side::A, mapping.field, &rule),
                was_empty(facts, agreement, link, Side::B, mapping.field, &rule),
            );
            let kept = match mapping.to {
                [true, true] => false,
                [false, true] => by_others(index, mapping.field, b) || (is_empty(x) && x_was),
                [true, false] => by_others(index, mapping.field, a) || (is_empty(y) && y_was),
                [false, false] => true,
            };
            // Where the source has no value, what the target was given back stays: two that meet anew clear nothing.
            let given_back = |target: &RecordId, value: &Value| {
                let undone = (target.clone(), rule.clone());
                is_empty(value) && sync.undone.contains(&undone)
            };
            let kept = kept
                || match mapping.to {
                    [false, true] => given_back(id_b, x),
                    [true, false] => given_back(id_a, y),
                    _ => false,
                };
            if !kept {
                findings.add(
                    1,
                    format!(
                        "{id_a} holds {x} and {id_b} holds {y} in {:?}, and nobody is asked",
                        mapping.field
                    ),
                );
            }
        }
        consents(facts, sync, agreement, &link.records, findings);
    }
}

/// Whether the target of a one-way field keeps what it holds: somebody else put it there, the people who use the system
/// or another sync, and nothing of that flows back.
fn by_others(sync: usize, field: Field, target: &Record) -> bool {
    let value = |version: &Version| version.values[field.index()].clone();
    let now = value(target.now());
    let brought = target
        .versions
        .iter()
        .rev()
        .take_while(|version| same(field, &value(version), &now))
        .last();
    brought.is_some_and(|version| version.by != By::Sync(sync))
}

/// Whether a record of a pair held nothing in a field when the two were last reconciled in it, or met: two that meet
/// clear nothing, and what has no value since then has none to give.
fn was_empty(
    facts: &Facts<'_>,
    agreement: &Agreement,
    link: &LinkFacts,
    side: Side,
    field: Field,
    rule: &str,
) -> bool {
    let place = (agreement.system(side), link.records[side.index()].clone());
    let then = link.reconciled.get(rule).map_or(link.since, |(_, at)| *at);
    let record = facts.systems[place.0].records.get(&place.1);
    let held = facts.ledger.value_by(&place, then, field);
    match held.and_then(|seq| record?.version(seq)) {
        Some(version) => is_empty(&version.values[field.index()]),
        None => record.is_some_and(|record| {
            let mut versions = record.versions.iter();
            versions.all(|version| is_empty(&version.values[field.index()]))
        }),
    }
}

fn consents(
    facts: &Facts<'_>,
    sync: &SyncLedger,
    agreement: &Agreement,
    records: &[RecordId; 2],
    findings: &mut Findings,
) {
    let said = Side::BOTH.map(|side| {
        facts.systems[agreement.system(side)]
            .now(&records[side.index()])
            .map(|version| version.said.state.clone())
    });
    let out = said
        .each_ref()
        .map(|state| *state == Some(ConsentState::Unsubscribed));
    // A remote that protects the person does not lift an opt-out; the journal tells of it.
    let protected = Side::BOTH
        .into_iter()
        .any(|side| out[side.index()] && sync.suppressed.contains(&records[side.index()]));
    let asked = waits(sync, records, &|subject| subject == CONSENT);
    if out[0] != out[1] && !asked && !protected {
        findings.add(
            1,
            format!(
                "{} says {:?} and {} says {:?}, and nobody is asked",
                records[0], said[0], records[1], said[1]
            ),
        );
    }
}

/// Records without a partner are explained by the policy or by a queue.
fn singles(
    facts: &Facts<'_>,
    sync: &SyncLedger,
    agreement: &Agreement,
    side: Side,
    findings: &mut Findings,
) {
    let (own, other) = (
        &facts.systems[agreement.system(side)],
        &facts.systems[agreement.system(side.other())],
    );
    for (id, record) in &own.records {
        let now = record.now();
        if !now.is_live() || sync.link_of(side, id).is_some() {
            continue;
        }
        let asked = sync.apart.contains(id)
            || sync.waits(side, id, &|_| true)
            || sync.conflicts.values().any(|detail| names(detail, id));
        let Some(address) = now.address() else {
            continue;
        };
        if asked {
            continue;
        }
        let twins = own.holders(&address).count();
        let partners: Vec<&RecordId> = other.holders(&address).collect();
        let unpaired = partners
            .iter()
            .any(|partner| sync.link_of(side.other(), partner).is_none());
        // Somebody was asked about one that has the same address, and said that they stay apart.
        let apart = partners.iter().any(|partner| {
            let link = sync.link_of(side.other(), partner);
            sync.waits(side.other(), partner, &|_| true)
                || link.is_some_and(|link| waits(sync, &link.records, &|_| true))
        });
        if apart {
            continue;
        }
        let created = agreement.create[side.other().index()] && wanted(agreement, own, record);
        if twins > 1 || partners.len() > 1 {
            // Where it would neither be paired nor created, it makes no difference that others have its address.
            if unpaired || created {
                findings.add(
                    1,
                    format!("{id} shares its address with others, and nobody is asked"),
                );
            }
        } else if let [partner] = partners[..] {
            // The survivor of a pair that came apart keeps to itself.
            let alone = sync
                .link_of(side.other(), partner)
                .is_some_and(|link| link.ended);
            if !alone {
                findings.add(
                    1,
                    format!(
                        "{id} and {partner} have one address, are no pair, and nobody is asked"
                    ),
                );
            }
        } else if created {
            findings.add(
                1,
                format!("{id} has no partner, is to have one, and nobody is asked"),
            );
        }
    }
}

/// Whether a question that is asked about another record names this one.
fn names(detail: &Value, id: &RecordId) -> bool {
    match detail {
        Value::String(text) => text == id.as_str(),
        Value::Array(items) => items.iter().any(|item| names(item, id)),
        Value::Object(members) => members.values().any(|member| names(member, id)),
        _ => false,
    }
}

/// Whether a newcomer is to be created on the other side.
fn wanted(agreement: &Agreement, system: &System, record: &Record) -> bool {
    let said = &record.now().said;
    agreement.newcomers != Newcomers::Skip
        || said.is_out()
        || (said.state == ConsentState::Subscribed
            && said.at.is_some()
            && !system.has(Quirk::NoConsentDate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::hand::Hand;

    fn findings(hand: &Hand) -> Vec<String> {
        let mut findings = Findings::default();
        at_rest(&hand.facts(), &mut findings);
        findings.0.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn two_that_have_one_address_and_are_no_pair_are_found() {
        let mut hand = Hand::pair();
        assert_eq!(findings(&hand).len(), 2);
        hand.link("n1", "n1");
        assert!(findings(&hand).is_empty(), "{:?}", findings(&hand));
    }

    #[test]
    fn a_difference_that_nobody_is_asked_about_is_found() {
        let mut hand = Hand::pair();
        hand.link("n1", "n1");
        hand.edit("a001", Field::Name, "n2", By::User);
        assert_eq!(findings(&hand).len(), 1);
        hand.conflict(Field::Name);
        assert!(findings(&hand).is_empty());
    }

    #[test]
    fn a_source_that_was_cleared_since_the_two_met_is_found_and_one_that_met_without_a_value_is_not()
     {
        for (cleared_before, found) in [(true, 0), (false, 1)] {
            let mut hand = Hand::pair();
            hand.one_way(Field::Name, [false, true]);
            hand.edit("b001", Field::Name, "n6", By::Sync(0));
            if cleared_before {
                hand.edit("a001", Field::Name, "", By::User);
            }
            hand.store_all();
            hand.link("n1", "n1");
            hand.edit("a001", Field::Name, "", By::User);
            assert_eq!(findings(&hand).len(), found, "{:?}", findings(&hand));
        }
    }

    #[test]
    fn an_opt_out_that_did_not_arrive_is_found() {
        let mut hand = Hand::pair();
        hand.link("n1", "n1");
        hand.say("a001", ConsentState::Unsubscribed, 60);
        assert_eq!(findings(&hand).len(), 1);
    }

    #[test]
    fn somebody_who_was_not_created_is_found() {
        let mut hand = Hand::pair();
        hand.link("n1", "n1");
        hand.person("a", "p2@example.org");
        assert_eq!(findings(&hand).len(), 1);
    }
}
