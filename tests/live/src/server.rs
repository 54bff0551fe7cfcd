//! What every live server needs: a place, ports, a process that never outlives its owner, and waiting until it answers.

mod directory;
mod port;
mod process;
mod ready;

pub use directory::{LiveDirectory, Run};
pub use port::free_port;
pub use process::{ServerProcess, StopSignal};
pub use ready::until;
