//! Notifications: a remote that tells when something changed. What the parts mean is said in `wit/hooks.wit`.
//!
//! A notification is a hint: the host fetches the record that it is about, and does not believe what it says. So
//! [`Hooked::receive`] names records and reads nothing else from it.
//!
//! ```
//! use samspel_connector::Result;
//! use samspel_connector::hooks::{Hint, HookRequest, Receipt};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Event {
//!     person: String,
//! }
//!
//! fn receive(request: HookRequest) -> Result<Receipt> {
//!     let events: Vec<Event> = request.json()?;
//!     let hints = events.into_iter().map(|event| Hint::new("people", event.person));
//!     Ok(Receipt::hints(hints))
//! }
//! ```

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::bindings::hooks::exports::samspel::connector::hooks as contract;
use crate::{Connector, Failure, Guest, KeyEncoding, RecordId, Result, Signing, connector, http};

pub use contract::{
    CodeEncoding, Hint, HmacScheme, HookDescriptor, HookReplies, HookRequest, HookScope, Proof,
    Receipt, Reply, SentAt, SignedPart, Subscription, TimeUnit,
};

/// HMAC with SHA-256, as descriptors name it.
const HMAC_SHA256: &str = "hmac-sha256";

/// A connector that also takes notifications; exported with [`export_hooked!`](crate::export_hooked).
pub trait Hooked: Connector {
    /// How notifications of this remote work. Runs with nothing granted.
    fn describe_hooks() -> HookDescriptor;

    /// Which records a notification is about. The host has checked the secret in the address, and the authentication
    /// code where the descriptor declares one that the host can check.
    fn receive(&self, request: HookRequest) -> Result<Receipt>;

    /// Asks the remote to send notifications about the collection to the address. Twice must leave one subscription,
    /// and the address is a secret: it belongs in no message.
    fn subscribe(&self, collection: &str, url: &str) -> Result<Subscription>;

    /// Ends a subscription. One that the remote does not know is no failure.
    fn unsubscribe(&self, id: &str) -> Result<()>;
}

impl<C: Hooked> contract::Guest for Guest<C> {
    fn describe_hooks() -> HookDescriptor {
        C::describe_hooks()
    }

    fn receive(request: HookRequest) -> Result<Receipt> {
        connector::open::<C>()?.receive(request)
    }

    fn subscribe(collection: String, url: String) -> Result<Subscription> {
        connector::open_for::<C>(&collection)?.subscribe(&collection, &url)
    }

    fn unsubscribe(id: String) -> Result<()> {
        connector::open::<C>()?.unsubscribe(&id)
    }
}

/// Makes the component's exports from a type that implements [`Hooked`](crate::hooks::Hooked). Once per crate, which is
/// a `cdylib`; connectors without notifications use [`export!`](crate::export).
#[macro_export]
macro_rules! export_hooked {
    ($connector:ty) => {
        /// What the linker sees.
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        mod samspel_export {
            #[allow(unused_imports)]
            use super::*;
            type Guest = $crate::Guest<$connector>;
            $crate::bindings::export_world!(Guest with_types_in $crate::bindings);
            $crate::bindings::hooks::export_hooks!(Guest with_types_in $crate::bindings::hooks);
        }
    };
}

impl Signing {
    /// The secret keys HMAC with SHA-256 and has no public part.
    pub fn hmac_sha256(key_encoding: KeyEncoding) -> Self {
        Self {
            algorithms: vec![HMAC_SHA256.to_owned()],
            key_encoding,
            key_id_separator: None,
        }
    }
}

impl HmacScheme {
    /// HMAC with SHA-256 over the body, in hexadecimal, under a credential that the descriptor declares as `signing`.
    pub fn sha256(credential: &str, header: &str) -> Self {
        Self {
            credential: credential.to_owned(),
            algorithm: HMAC_SHA256.to_owned(),
            header: header.to_owned(),
            prefix: String::new(),
            encoding: CodeEncoding::Hex,
            message: vec![SignedPart::Body],
            sent_at: None,
        }
    }

    /// What stands in the header before the code, such as `sha256=`.
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.to_owned();
        self
    }

    /// The code is in base64.
    pub fn base64(mut self) -> Self {
        self.encoding = CodeEncoding::Base64;
        self
    }

    /// What the code is about instead of the body alone.
    pub fn over(mut self, message: impl IntoIterator<Item = SignedPart>) -> Self {
        self.message = message.into_iter().collect();
        self
    }

    /// A header tells when it was sent; what is older or newer than so many seconds is refused.
    pub fn sent_at(mut self, header: &str, unit: TimeUnit, tolerance: u32) -> Self {
        self.sent_at = Some(SentAt {
            header: header.to_owned(),
            unit,
            tolerance,
        });
        self
    }
}

impl HookRequest {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// `GET` or `HEAD`: somebody looks whether the address is right.
    pub fn is_probe(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
    }

    /// The body as JSON. The message of a failure holds nothing of the body, which may be about a person.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        http::read_json(&self.body)
            .map_err(|why| Failure::Bug(format!("the notification has an unexpected shape: {why}")))
    }

    /// The body as a form (`application/x-www-form-urlencoded`). Any body is one; what it does not have is not found.
    pub fn form(&self) -> Form<'_> {
        Form(form_urlencoded::parse(&self.body).collect())
    }

    /// The query of the address, without what belongs to the host.
    pub fn query(&self) -> Form<'_> {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        Form(form_urlencoded::parse(query.as_bytes()).collect())
    }
}

/// Names and values of a form, decoded. A name in brackets is a name like any other: `data[email]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Form<'_> {
    /// The first value of that name that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(candidate, value)| *candidate == name && !value.is_empty())
            .map(|(_, value)| value)
    }

    /// All names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl Hint {
    /// A record of the account that the endpoint belongs to.
    pub fn new(collection: &str, id: impl Into<RecordId>) -> Self {
        Self {
            account_key: None,
            collection: collection.to_owned(),
            id: id.into(),
            consents_unchanged: false,
        }
    }

    /// It is about values of fields and nothing else, so that the record need not be read with its consents. Worth
    /// saying only where leaving those out spares a request.
    pub fn of_values(mut self) -> Self {
        self.consents_unchanged = true;
        self
    }

    /// Of the account whose `identity.id` this is, where one endpoint serves many.
    pub fn of_account(mut self, key: impl Into<String>) -> Self {
        self.account_key = Some(key.into());
        self
    }
}

impl Receipt {
    /// Nothing that the connector offers.
    pub fn nothing() -> Self {
        Self {
            hints: Vec::new(),
            reply: None,
        }
    }

    /// These records, each once: of several hints about one, the most that they say.
    pub fn hints(hints: impl IntoIterator<Item = Hint>) -> Self {
        let mut places = HashMap::new();
        let mut once: Vec<Hint> = Vec::new();
        for hint in hints {
            let record = (
                hint.account_key.clone(),
                hint.collection.clone(),
                hint.id.clone(),
            );
            match places.entry(record) {
                Entry::Occupied(place) => {
                    let known: &mut Hint = &mut once[*place.get()];
                    known.consents_unchanged &= hint.consents_unchanged;
                }
                Entry::Vacant(place) => {
                    place.insert(once.len());
                    once.push(hint);
                }
            }
        }
        Self {
            hints: once,
            reply: None,
        }
    }

    /// The answer that the remote wants.
    pub fn reply(mut self, reply: Reply) -> Self {
        self.reply = Some(reply);
        self
    }
}

impl Reply {
    /// A status without a body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// With a body, such as an echoed challenge.
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.headers
            .push(("content-type".to_owned(), content_type.to_owned()));
        self.body = body.into();
        self
    }
}

impl Subscription {
    /// One that the remote keeps until it is ended.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            expires: None,
        }
    }

    /// The remote drops it then.
    pub fn until(mut self, expires: Timestamp) -> Self {
        self.expires = Some(expires.to_string());
        self
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::{form, notification};

    #[test]
    fn a_form_is_decoded_and_brackets_are_part_of_a_name() {
        let request = form(&[
            ("type", "subscribe"),
            ("data[email]", "åsa+x@firma.example"),
        ]);
        let form = request.form();
        assert_eq!(form.get("data[email]"), Some("åsa+x@firma.example"));
        assert_eq!(form.get("type"), Some("subscribe"));
        assert_eq!(form.get("data[id]"), None);
        let empty = HookRequest {
            body: b"a=&a=2&%ff".to_vec(),
            ..request.clone()
        };
        assert_eq!(empty.form().get("a"), Some("2"), "an empty value is none");
    }

    #[test]
    fn a_query_and_headers_are_found() {
        let request = HookRequest {
            path: "/contact?validationToken=a%20b".to_owned(),
            ..notification("POST", Vec::new())
        }
        .with_header("X-Signature", "5");
        assert_eq!(request.query().get("validationToken"), Some("a b"));
        assert_eq!(request.header("x-signature"), Some("5"));
        assert!(notification("GET", Vec::new()).is_probe() && !request.is_probe());
    }

    #[test]
    fn a_hint_is_given_once() {
        let hint = |id: &str, account: &str| Hint::new("people", id).of_account(account);
        let receipt = Receipt::hints([
            hint("1", "a"),
            hint("2", "a"),
            hint("1", "a"),
            hint("1", "b"),
        ]);
        assert_eq!(
            receipt.hints,
            [hint("1", "a"), hint("2", "a"), hint("1", "b")]
        );
    }

    #[test]
    fn of_several_hints_about_a_record_the_most_counts() {
        let hint = |id: &str| Hint::new("people", id);
        let receipt = Receipt::hints([
            hint("1").of_values(),
            hint("2").of_values(),
            hint("1"),
            hint("2").of_values(),
        ]);
        assert_eq!(receipt.hints, [hint("1"), hint("2").of_values()]);
    }

    #[test]
    fn a_body_of_another_shape_names_the_place_and_nothing_of_the_body() {
        let request = notification("POST", br#"[{"id":"ann@example.com"}]"#.to_vec());
        #[derive(serde::Deserialize, Debug)]
        struct Event {
            #[serde(rename = "id")]
            _id: u64,
        }
        let Err(Failure::Bug(why)) = request.json::<Vec<Event>>() else {
            unreachable!("it is no number");
        };
        assert!(why.contains("`[0].id`") && !why.contains("ann"), "{why}");
    }
}
