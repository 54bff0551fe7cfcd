//! The trait that a connector implements, and the adapter from the contract's exports to it.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::bindings::exports::samspel::connector::remote;
use crate::fields::Selection;
use crate::{
    ChangesRequest, Collection, Descriptor, Entity, Failure, Fetched, Identity, Misconfiguration,
    Outcome, Page, RecordId, Result, WriteOp, imports,
};

/// A remote system, bound to one account.
///
/// The host may use a fresh instance for each call: nothing in `self` outlives a call. The functions mean what
/// `wit/remote.wit` says.
pub trait Connector: Sized {
    /// The account's settings. The host has validated them against the descriptor's schema, which
    /// [`schema::of`](crate::schema::of) derives from this very type.
    type Settings: DeserializeOwned;

    /// The names of the collections; calls about any other are answered with an error by the SDK.
    const COLLECTIONS: &'static [&'static str];

    /// What the connector is and what it asks for. Runs with nothing granted.
    fn describe() -> Descriptor;

    /// Binds to an account. A good place for checks that a schema cannot express.
    fn open(settings: Self::Settings) -> Result<Self>;

    /// Can this account be used, and who is it?
    fn check(&self) -> Result<Identity>;

    /// The collections of this account, custom fields included.
    fn collections(&self) -> Result<Vec<Collection>>;

    /// One page of changes or of a snapshot.
    fn changes(&self, request: ChangesRequest) -> Result<Page>;

    /// One answer per id, in order. `selection`: the fields that are needed. Without `consents`, those of the answers
    /// are not looked at: a remote that keeps them elsewhere need not be asked for them.
    fn fetch(
        &self,
        collection: &str,
        ids: Vec<RecordId>,
        selection: &Selection,
        consents: bool,
    ) -> Result<Vec<Fetched>>;

    /// Per value the records whose field equals it, in order.
    fn find(&self, collection: &str, field: &str, values: Vec<String>) -> Result<Vec<Vec<Entity>>>;

    /// One outcome per write, in order. [`Outcomes`](crate::outcomes::Outcomes) keeps the order.
    fn write(&self, collection: &str, writes: Vec<WriteOp>) -> Result<Vec<Outcome>>;
}

/// Adapts a [`Connector`] to the contract's exports. Named by [`export!`](crate::export) and
/// [`export_hooked!`](crate::export_hooked) only, and by tests that go through `open`.
pub struct Guest<C>(PhantomData<C>);

/// The connector of the account whose call this is.
pub(crate) fn open<C: Connector>() -> Result<C> {
    let text = imports::settings();
    let mut json = serde_json::Deserializer::from_str(&text);
    let settings = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        Failure::Misconfigured(Misconfiguration {
            setting: error.path().to_string(),
            why: error.inner().to_string(),
        })
    })?;
    C::open(settings)
}

/// The same, for a call about a collection.
pub(crate) fn open_for<C: Connector>(collection: &str) -> Result<C> {
    if C::COLLECTIONS.contains(&collection) {
        open()
    } else {
        Err(Failure::Bug(format!(
            "there is no collection `{collection}`, only {}",
            C::COLLECTIONS.join(", ")
        )))
    }
}

impl<C: Connector> remote::Guest for Guest<C> {
    fn describe() -> Descriptor {
        C::describe()
    }

    fn check() -> Result<Identity> {
        open::<C>()?.check()
    }

    fn collections() -> Result<Vec<Collection>> {
        open::<C>()?.collections()
    }

    fn changes(request: ChangesRequest) -> Result<Page> {
        open_for::<C>(&request.collection)?.changes(request)
    }

    fn fetch(
        collection: String,
        ids: Vec<RecordId>,
        fields: Option<Vec<String>>,
        consents: bool,
    ) -> Result<Vec<Fetched>> {
        let selection = Selection::new(fields);
        open_for::<C>(&collection)?.fetch(&collection, ids, &selection, consents)
    }

    fn find(collection: String, field: String, values: Vec<String>) -> Result<Vec<Vec<Entity>>> {
        open_for::<C>(&collection)?.find(&collection, &field, values)
    }

    fn write(collection: String, writes: Vec<WriteOp>) -> Result<Vec<Outcome>> {
        open_for::<C>(&collection)?.write(&collection, writes)
    }
}

/// Makes the component's exports from a type that implements [`Connector`]. Once per crate, which is a `cdylib`; a
/// connector that takes notifications uses [`export_hooked!`](crate::export_hooked).
#[macro_export]
macro_rules! export {
    ($connector:ty) => {
        /// What the linker sees.
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        mod samspel_export {
            #[allow(unused_imports)]
            use super::*;
            type Guest = $crate::Guest<$connector>;
            $crate::bindings::export_world!(Guest with_types_in $crate::bindings);
        }
    };
}
