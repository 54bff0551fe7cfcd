//! Batches whose answers tell about each item, or should.
//!
//! APIs answer a batch in one of three ways: with results and errors per item, in any order; with one error for the
//! whole batch that does not say which item is to blame; or with results that leave an item out. An item that an answer
//! does not account for, and every item of a batch that was refused as a whole, is sent again in a batch of its own,
//! whose answer can be about nothing else.

use std::collections::{BTreeMap, VecDeque};

use crate::answers::{self, Attempt};
use crate::http::{self, Request, Response};
use crate::{Outcome, Result};

/// One endpoint that takes several writes.
pub trait Job {
    /// Most items of one request.
    fn size(&self) -> usize;

    /// Sends these items.
    fn request(&self, items: &[usize]) -> Request;

    /// What a 2xx answer says about these items. An item that it does not account for is left out.
    fn accept(&self, items: &[usize], answer: &Response) -> Result<Vec<(usize, Attempt)>>;

    /// What any other answer says, to a batch of one or of all.
    fn refuse(&self, answer: &Response) -> Attempt;

    /// Whether that answer may be about one item only, so that the others deserve another try.
    fn may_be_about_one(&self, answer: &Response) -> bool {
        matches!(answer.status(), 400 | 404 | 409 | 413 | 422)
    }
}

/// Runs jobs over their items, all batches side by side, and notes `(place of the job, item, what became of it)`.
pub fn run(jobs: &[(&dyn Job, Vec<usize>)], mut note: impl FnMut(usize, usize, Attempt)) {
    let mut queue: VecDeque<(usize, &dyn Job, Vec<usize>)> = jobs
        .iter()
        .enumerate()
        .flat_map(|(place, (job, items))| {
            items
                .chunks(job.size().max(1))
                .map(move |chunk| (place, *job, chunk.to_vec()))
        })
        .collect();
    while !queue.is_empty() {
        let round: Vec<_> = queue.drain(..).collect();
        let answers = http::send_all(round.iter().map(|(_, job, items)| job.request(items)));
        for ((place, job, items), answer) in round.into_iter().zip(answers) {
            for (item, attempt) in settle(job, &items, answer) {
                match attempt {
                    Some(attempt) => note(place, item, attempt),
                    None => queue.push_back((place, job, vec![item])),
                }
            }
        }
    }
}

/// What became of each item of one batch; `None`: to be sent by itself.
fn settle(
    job: &dyn Job,
    items: &[usize],
    answer: Result<Response, http::Error>,
) -> Vec<(usize, Option<Attempt>)> {
    let alone = items.len() == 1;
    let all = |attempt: Option<Attempt>| -> Vec<_> {
        items.iter().map(|&item| (item, attempt.clone())).collect()
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return all(Some(answers::unanswered(error))),
    };
    if !answer.is_success() {
        return all((alone || !job.may_be_about_one(&answer)).then(|| job.refuse(&answer)));
    }
    let known: BTreeMap<usize, Attempt> = match job.accept(items, &answer) {
        Ok(known) => known.into_iter().collect(),
        Err(failure) => return all(Some(Err(failure))),
    };
    items
        .iter()
        .map(|item| match known.get(item) {
            None if alone => {
                let reason = "the remote's answer does not mention it".to_owned();
                (*item, Some(Ok(Outcome::Unknown(reason))))
            }
            attempt => (*item, attempt.cloned()),
        })
        .collect()
}

/// Splits items so that several writes to one record go out one after the other: side by side their order would be
/// chance, and some APIs refuse a batch that holds an id twice. An item without an id is a new record.
pub fn waves<'a>(items: impl IntoIterator<Item = (usize, Option<&'a str>)>) -> Vec<Vec<usize>> {
    let mut waves: Vec<Vec<usize>> = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (item, id) in items {
        let wave = id.map_or(0, |id| {
            let count = seen.entry(id).or_insert(0);
            *count += 1;
            *count - 1
        });
        if waves.len() <= wave {
            waves.resize_with(wave + 1, Vec::new);
        }
        if let Some(wave) = waves.get_mut(wave) {
            wave.push(item);
        }
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Remote, Reply};
    use crate::{Entity, Failure, fields::Fields, json};

    /// Writes numbers; its answer lists those that it took.
    struct Numbers;

    impl Job for Numbers {
        fn size(&self) -> usize {
            3
        }

        fn request(&self, items: &[usize]) -> Request {
            http::post("https://example.com/numbers").json(&items)
        }

        fn accept(&self, _items: &[usize], answer: &Response) -> Result<Vec<(usize, Attempt)>> {
            Ok(answer
                .json::<Vec<usize>>()?
                .into_iter()
                .map(|item| (item, Ok(written(item))))
                .collect())
        }

        fn refuse(&self, answer: &Response) -> Attempt {
            answers::refusal(answer, None)
        }
    }

    fn written(item: usize) -> Outcome {
        Outcome::Written(Entity::new(item.to_string(), Fields::new()))
    }

    fn run_on(remote: &Remote, items: Vec<usize>) -> BTreeMap<usize, Attempt> {
        let mut noted = BTreeMap::new();
        remote.run(|| {
            run(&[(&Numbers, items)], |place, item, attempt| {
                assert_eq!(place, 0);
                assert!(noted.insert(item, attempt).is_none(), "noted once");
            });
        });
        noted
    }

    fn items(request: &crate::testing::SentRequest) -> Vec<usize> {
        serde_json::from_slice(request.body.as_deref().unwrap_or_default()).unwrap_or_default()
    }

    #[test]
    fn a_batch_refused_as_a_whole_is_tried_item_by_item() {
        let remote = Remote::new(|request| match items(request) {
            batch if batch.contains(&1) => Reply::new(400),
            batch => Reply::json(200, json!(batch)),
        });
        let noted = run_on(&remote, vec![0, 1, 2, 3]);
        assert_eq!(noted.get(&0), Some(&Ok(written(0))));
        assert!(matches!(noted.get(&1), Some(Ok(Outcome::Rejected(_)))));
        assert_eq!(noted.get(&3), Some(&Ok(written(3))));
        assert_eq!(remote.requests().len(), 2 + 3);
    }

    #[test]
    fn an_item_that_is_not_accounted_for_is_asked_about_by_itself() {
        let remote = Remote::new(|request| {
            let batch = items(request);
            Reply::json(
                200,
                json!(batch.iter().filter(|&&item| item != 2).collect::<Vec<_>>()),
            )
        });
        let noted = run_on(&remote, vec![1, 2]);
        assert_eq!(noted.get(&1), Some(&Ok(written(1))));
        assert!(matches!(noted.get(&2), Some(Ok(Outcome::Unknown(_)))));
        assert_eq!(remote.requests().len(), 2);
    }

    #[test]
    fn patience_concerns_the_whole_batch_and_is_not_split() {
        let remote = Remote::new(|_| Reply::new(429));
        let noted = run_on(&remote, vec![1, 2, 3]);
        assert_eq!(noted.len(), 3);
        assert!(
            noted
                .values()
                .all(|attempt| *attempt == Err(Failure::Throttled(None)))
        );
        assert_eq!(remote.requests().len(), 1);
    }

    #[test]
    fn writes_to_one_record_keep_their_order() {
        let waves = waves([
            (0, Some("a")),
            (1, None),
            (2, Some("a")),
            (3, Some("b")),
            (4, Some("a")),
        ]);
        assert_eq!(waves, [vec![0, 1, 3], vec![2], vec![4]]);
    }
}
