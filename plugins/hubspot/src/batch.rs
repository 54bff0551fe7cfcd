//! Batches whose answers tell about each item, or should.
//!
//! 200 and 207 hold results and errors, in any order [T]; some errors refuse the whole batch without saying which item
//! is to blame [T]. An item that an answer does not account for, and every item of a refused batch, is sent again in a
//! batch of its own, whose answer can be about nothing else.

use std::collections::VecDeque;

use samspel_connector::answers::{self, Attempt};
use samspel_connector::http::{self, Request, Response};
use samspel_connector::{Outcome, Result};
use serde::Deserialize;

use crate::api::{self, ApiError};

/// What to do with some of the writes: one endpoint.
pub trait Job {
    /// Sends these items.
    fn request(&self, items: &[usize]) -> Request;

    /// What a 2xx answer says about these items. An item that it does not mention is left out.
    fn accept(&self, items: &[usize], answer: &Response) -> Result<Vec<(usize, Attempt)>>;
}

/// The errors of a 207.
#[derive(Debug, Default, Deserialize)]
pub struct Errors {
    /// Each about one or several items.
    #[serde(default)]
    pub errors: Vec<ApiError>,
}

/// Runs jobs over their items, all batches side by side, and notes `(place of the job, item, what became of it)`.
pub fn run(jobs: &[(&dyn Job, Vec<usize>)], mut note: impl FnMut(usize, usize, Attempt)) {
    let mut queue: VecDeque<(usize, &dyn Job, Vec<usize>)> = jobs
        .iter()
        .enumerate()
        .flat_map(|(place, (job, items))| {
            items
                .chunks(api::BATCH)
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
    let all = |attempt: Option<Attempt>| {
        items
            .iter()
            .map(|&item| (item, attempt.clone()))
            .collect::<Vec<_>>()
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return all(Some(answers::unanswered(error))),
    };
    if !answer.is_success() {
        let about_one_item = matches!(answer.status(), 400 | 404 | 409 | 413 | 422);
        return all((alone || !about_one_item).then(|| api::refusal(&answer)));
    }
    let known = match job.accept(items, &answer) {
        Ok(known) => known,
        Err(failure) => return all(Some(Err(failure))),
    };
    items
        .iter()
        .map(|&item| {
            let attempt = known
                .iter()
                .find(|(about, _)| *about == item)
                .map(|(_, attempt)| attempt.clone());
            match attempt {
                None if alone => (item, Some(only_error(&answer))),
                attempt => (item, attempt),
            }
        })
        .collect()
}

/// The answer to a batch of one, where nothing in it names the item.
fn only_error(answer: &Response) -> Attempt {
    let errors: Errors = answer.json()?;
    Ok(match errors.errors.first() {
        Some(error) => error.outcome(),
        None => Outcome::Unknown("the answer does not mention the item".to_owned()),
    })
}
