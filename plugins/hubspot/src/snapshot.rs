//! Everything there is: the list, in the order of ids.

use samspel_connector::{ChangesRequest, Failure, Page, Result, cursor, http, jiff};
use serde::{Deserialize, Serialize};

use crate::contact::Contact;
use crate::incremental::Cursor;
use crate::reader::{ContactPage, Pages, Reader};
use crate::{CURSOR_VERSION, api};

/// A page token.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    after: String,
}

/// The list's pages.
struct List {
    after: Option<String>,
    finished: bool,
    page: u32,
    properties: Vec<String>,
    /// The names are too long for a URL: the list tells ids, a batch tells the rest.
    by_batch: bool,
    server_start: Option<jiff::Timestamp>,
}

impl Pages for List {
    fn request(&self) -> Option<http::Request> {
        let named = if self.by_batch {
            &[][..]
        } else {
            self.properties.as_slice()
        };
        (!self.finished).then(|| api::list(self.after.as_deref(), self.page, named, false))
    }

    fn accept(&mut self, answer: &http::Response) -> Result<Vec<Contact>> {
        self.server_start
            .get_or_insert_with(|| answer.server_time());
        let page: ContactPage = answer.json()?;
        let after = page.after().map(str::to_owned);
        if after.is_some() && after == self.after {
            return Err(Failure::Bug(
                "the list names the page that was asked for as the next one".to_owned(),
            ));
        }
        self.after = after;
        self.finished = self.after.is_none();
        if !self.by_batch || page.results.is_empty() {
            return Ok(page.results);
        }
        let ids: Vec<String> = page.results.into_iter().map(|contact| contact.id).collect();
        let full = api::read(api::batch_read(&ids, None, &self.properties, false))?;
        Ok(full.json::<ContactPage>()?.results)
    }
}

/// One page of the snapshot, of up to about `request.limit` contacts.
pub fn read(reader: &Reader<'_>, request: &ChangesRequest, token: Option<&str>) -> Result<Page> {
    let after = token
        .map(|token| cursor::decode::<Token>(CURSOR_VERSION, token))
        .transpose()?
        .map(|token| token.after);
    let properties = reader.properties()?;
    let is_first = after.is_none();
    let mut list = List {
        after,
        finished: false,
        page: request.limit,
        by_batch: !api::fits_a_query(&properties),
        properties,
        server_start: None,
    };
    let records = reader.read(request.limit, &mut list)?;
    let next = list
        .after
        .map(|after| cursor::encode(CURSOR_VERSION, &Token { after }))
        .transpose()?;
    let resume_cursor = list
        .server_start
        .filter(|_| is_first)
        .map(|start| Cursor::starting_at(start).encode())
        .transpose()?;
    Ok(Page {
        records,
        tombstones: Vec::new(),
        more: next.is_some(),
        complete: next.is_none(),
        next,
        resume_cursor,
    })
}
