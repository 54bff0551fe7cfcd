//! The commands, one module each.

pub mod account;
pub mod alerts;
pub mod ask;
pub mod audit;
pub mod backup;
pub mod completions;
pub mod config;
pub mod connector;
pub mod demo;
pub mod doctor;
pub mod erase;
pub mod history;
pub mod hooks;
pub mod init;
pub mod key;
pub mod queues;
pub mod serve;
pub mod sync;
pub mod token;
pub mod undo;
