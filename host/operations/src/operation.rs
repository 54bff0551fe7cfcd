//! What an operation is, and what it is done with.

use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use http::Method;
use samspel_installation::{Error, Host, Kind};
use samspel_model::access::Role;
use samspel_sync::{Confirmation, PlanReport, Progress};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::accounts::Authorisations;
use crate::act::Act;

/// Something that an operator can do. The value holds what is said about it: the arguments of a command, or path,
/// query and body of a request.
pub trait Operation: Serialize + DeserializeOwned + ToSchema + Send + Sync + 'static {
    /// What it gives.
    type Output: Serialize + DeserializeOwned + ToSchema + Send + 'static;

    /// Where it is offered, and to whom.
    const ROUTE: Route;

    /// What the audit log says about it; `None` if it only looks. Neither values nor addresses of persons are told: the
    /// log outlives them.
    fn act(&self) -> Option<Act> {
        None
    }

    /// The sync that a long one works on, where that is said.
    fn sync(&self) -> Option<&str> {
        None
    }

    /// Does it. Use [`perform`](crate::perform), which keeps the audit log.
    fn run(&self, work: &Work<'_>) -> impl Future<Output = Result<Self::Output, Error>>;
}

/// Where an operation is offered, and to whom.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name, in the API's document and in programs made from it.
    pub id: &'static str,
    /// What kind of request it is.
    pub method: Method,
    /// Below the API's root. What stands in braces is the field of that name.
    pub path: &'static str,
    /// What it is listed under.
    pub group: &'static str,
    /// Who may do it.
    pub role: Role,
    /// What it does, in a line.
    pub summary: &'static str,
    /// It may take minutes: its progress is worth telling.
    pub long: bool,
    /// What it takes or gives holds a secret: neither is kept.
    pub confidential: bool,
    /// It takes a whole component.
    pub large: bool,
}

impl Route {
    const fn new(
        method: Method,
        id: &'static str,
        path: &'static str,
        role: Role,
        summary: &'static str,
    ) -> Self {
        Self {
            id,
            method,
            path,
            group: group(path),
            role,
            summary,
            long: false,
            confidential: false,
            large: false,
        }
    }

    /// Looks at something.
    #[must_use]
    pub const fn get(
        id: &'static str,
        path: &'static str,
        role: Role,
        summary: &'static str,
    ) -> Self {
        Self::new(Method::GET, id, path, role, summary)
    }

    /// Does something.
    #[must_use]
    pub const fn post(
        id: &'static str,
        path: &'static str,
        role: Role,
        summary: &'static str,
    ) -> Self {
        Self::new(Method::POST, id, path, role, summary)
    }

    /// Removes something.
    #[must_use]
    pub const fn delete(
        id: &'static str,
        path: &'static str,
        role: Role,
        summary: &'static str,
    ) -> Self {
        Self::new(Method::DELETE, id, path, role, summary)
    }

    /// It may take minutes.
    #[must_use]
    pub const fn long(mut self) -> Self {
        self.long = true;
        self
    }

    /// What it takes or gives holds a secret.
    #[must_use]
    pub const fn confidential(mut self) -> Self {
        self.confidential = true;
        self
    }

    /// It takes a whole component.
    #[must_use]
    pub const fn large(mut self) -> Self {
        self.large = true;
        self
    }

    /// The fields that stand in the path.
    pub fn fields(&self) -> impl Iterator<Item = &'static str> {
        self.path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

/// The first part of a path.
const fn group(path: &'static str) -> &'static str {
    let (_, rest) = path.split_at(1);
    let bytes = rest.as_bytes();
    let mut end = 0;
    while end < bytes.len() && bytes[end] != b'/' {
        end += 1;
    }
    rest.split_at(end).0
}

/// What an operation is done with.
pub struct Work<'a> {
    /// The installation.
    pub host: &'a Host,
    /// Who does it, for the audit log and for histories.
    pub who: &'a str,
    /// Whether whoever does it sits at the host: may name its files and variables, which nobody else may have read.
    pub at_host: bool,
    /// Takes what a long one tells.
    pub progress: &'a dyn Progress,
    /// Asks for a graceful end.
    pub stop: CancellationToken,
    /// Who can be asked before something is done. `None`: whoever wants it says so beforehand.
    pub person: Option<Arc<dyn Person>>,
    /// Authorisations that were begun and wait for an answer.
    pub authorisations: &'a Authorisations,
    /// What runs besides.
    pub surroundings: &'a dyn Surroundings,
}

/// Somebody who can be asked.
pub trait Person: Send + Sync {
    /// Whether to do what the question is about.
    fn agrees(&self, question: String) -> BoxFuture<'static, bool>;

    /// Whether to do what a sync's first plan says. `sides`: `account/collection` of both.
    fn agrees_to(
        &self,
        sync: &str,
        sides: &[String; 2],
        plan: &PlanReport,
    ) -> BoxFuture<'static, bool>;
}

/// What runs besides an operation, and wants to know.
pub trait Surroundings: Send + Sync {
    /// There is something for a sync's next run to do.
    fn changed(&self, sync: &str);

    /// Somebody wants to say something about a sync at once: a run of it that is under way here settles what it has
    /// sent, and ends.
    fn interrupt(&self, sync: &str);

    /// Notifications that waited are due.
    fn notifications_are_due(&self);
}

/// Nothing runs besides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Surroundings for Alone {
    fn changed(&self, _: &str) {}

    fn interrupt(&self, _: &str) {}

    fn notifications_are_due(&self) {}
}

impl Work<'_> {
    /// Goes on if somebody agrees, or agreed before (`yes`). `what`: what is about to be done, for who cannot be asked.
    pub(crate) async fn agree(
        &self,
        yes: bool,
        question: String,
        what: String,
    ) -> Result<(), Error> {
        if yes {
            return Ok(());
        }
        let refused = Error::new(Kind::NotConfirmed, what)
            .remedy("confirm with --yes")
            .detail("question", json!(question));
        match &self.person {
            Some(person) if person.agrees(question).await => Ok(()),
            _ => Err(refused),
        }
    }

    /// How a sync's first plan is agreed to.
    pub(crate) fn confirmation(&self, yes: bool, sync: &str, sides: &[String; 2]) -> Confirmation {
        match &self.person {
            _ if yes => Confirmation::Given,
            None => Confirmation::Refuse,
            Some(person) => {
                let (person, sync, sides) = (Arc::clone(person), sync.to_owned(), sides.clone());
                Confirmation::Ask(Arc::new(move |plan: &PlanReport| {
                    person.agrees_to(&sync, &sides, plan)
                }))
            }
        }
    }

    /// What names a file or a variable of the host is for who sits there.
    pub(crate) fn must_be_at_host(&self, what: &str) -> Result<(), Error> {
        if self.at_host {
            return Ok(());
        }
        Err(Error::new(
            Kind::Usage,
            format!("{what} is read by who sits at the host, not for who asks over the network"),
        )
        .remedy("hand it over with the request, or do it on the host's machine"))
    }

    /// The syncs that are meant: one by name, or all.
    pub(crate) fn syncs(&self, name: Option<&str>) -> Result<Vec<String>, Error> {
        match name {
            Some(name) => {
                self.host.spec(name)?;
                Ok(vec![name.to_owned()])
            }
            None => Ok(self.host.config().syncs.keys().cloned().collect()),
        }
    }

    /// The two sides of a sync as people see them: `account/collection`.
    pub(crate) fn sides(&self, sync: &str) -> Result<[String; 2], Error> {
        let spec = self.host.spec(sync)?;
        Ok([&spec.a, &spec.b].map(|side| format!("{}/{}", side.account, side.collection)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_knows_its_group_and_its_fields() {
        let route = Route::post("x", "/syncs/{sync}/runs/{run}", Role::Viewer, "");
        assert_eq!(route.group, "syncs");
        assert_eq!(route.fields().collect::<Vec<_>>(), ["sync", "run"]);
        assert_eq!(Route::get("x", "/audit", Role::Viewer, "").group, "audit");
    }
}
