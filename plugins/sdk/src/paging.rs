//! Reading several of the API's pages for one page of the host's.
//!
//! The host asks for about `limit` records; an API's page is often smaller. Reading on within one call saves calls and
//! lets a connector overlap what belongs to one page with the request for the next.

use crate::Result;

/// What one of the API's pages held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<T, P> {
    /// The items.
    pub items: Vec<T>,
    /// Where the API's next page starts; `None` after the last.
    pub next: Option<P>,
}

/// Reads pages until at least `limit` items are there or the last page was read.
pub fn collect<T, P>(
    limit: u32,
    first: Option<P>,
    mut read: impl FnMut(Option<&P>) -> Result<Part<T, P>>,
) -> Result<Part<T, P>> {
    let enough = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
    let mut all = read(first.as_ref())?;
    while let Some(position) = all.next.as_ref().filter(|_| all.items.len() < enough) {
        let mut part = read(Some(position))?;
        all.items.append(&mut part.items);
        all.next = part.next;
    }
    Ok(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn source(from: Option<&usize>) -> Result<Part<usize, usize>> {
        let from = from.copied().unwrap_or(0);
        let to = (from + 3).min(10);
        Ok(Part {
            items: (from..to).collect(),
            next: (to < 10).then_some(to),
        })
    }

    #[test]
    fn pages_are_read_until_the_limit_is_reached() {
        let part = collect(5, None, source).unwrap();
        assert_eq!(part.items, [0, 1, 2, 3, 4, 5]);
        assert_eq!(part.next, Some(6));
    }

    #[test]
    fn the_last_page_ends_it() {
        let part = collect(100, Some(6), source).unwrap();
        assert_eq!(part.items, [6, 7, 8, 9]);
        assert_eq!(part.next, None);
    }
}
