//! The commands, one module each.

pub mod completions;
pub mod config;
pub mod init;
