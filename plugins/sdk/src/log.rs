//! Lines for the operator. The host adds account and call and removes secrets; still, do not log people's data.

use crate::imports;

pub use crate::bindings::samspel::connector::log::Level;

/// What an author wants to see while a connector is made.
pub fn debug(message: impl AsRef<str>) {
    imports::log(Level::Debug, message.as_ref());
}

/// What an operator may want to know.
pub fn info(message: impl AsRef<str>) {
    imports::log(Level::Info, message.as_ref());
}

/// What an operator should look at.
pub fn warn(message: impl AsRef<str>) {
    imports::log(Level::Warn, message.as_ref());
}

/// What went wrong.
pub fn error(message: impl AsRef<str>) {
    imports::log(Level::Error, message.as_ref());
}
