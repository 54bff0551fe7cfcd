//! The commands, one module each.

pub mod account;
pub mod completions;
pub mod config;
pub mod connector;
pub mod demo;
pub mod doctor;
pub mod init;
pub mod serve;
pub mod sync;
