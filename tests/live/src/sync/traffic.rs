//! What reached the servers, by their own request logs.

use std::fs;
use std::path::PathBuf;

use samspel_provision::ProvisionError;

use crate::error::LiveError;
use crate::server::Run;

/// The request logs of both servers.
#[derive(Debug)]
pub struct Traffic {
    odoo: PathBuf,
    ghost: PathBuf,
}

/// Requests since the servers' start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// To either server.
    pub all: u64,
    /// To Ghost, with a method that changes something. Odoo's are all `POST`.
    pub ghost_writes: u64,
}

impl Traffic {
    /// The logs of a run's servers.
    pub fn of(run: &Run) -> Self {
        Self {
            odoo: run.log("odoo"),
            ghost: run.log("ghost"),
        }
    }

    /// Counts what was logged so far.
    pub fn requests(&self) -> Result<Requests, LiveError> {
        let read = |path: &PathBuf| {
            fs::read(path)
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .map_err(ProvisionError::file("read", path))
        };
        Ok(count(&read(&self.odoo)?, &read(&self.ghost)?))
    }
}

impl std::ops::Sub for Requests {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            all: self.all - before.all,
            ghost_writes: self.ghost_writes - before.ghost_writes,
        }
    }
}

fn count(odoo: &str, ghost: &str) -> Requests {
    let odoo = odoo
        .lines()
        .filter(|line| line.contains("\"POST /jsonrpc HTTP/"))
        .count();
    // Colours stand between level and request.
    let methods = ghost.lines().filter_map(|line| {
        let (before, _) = line.split_once(" /ghost/api/admin/")?;
        Some(before.rsplit('"').next().unwrap_or_default())
    });
    let mut requests = Requests {
        all: odoo as u64,
        ghost_writes: 0,
    };
    for method in methods {
        requests.all += 1;
        requests.ghost_writes += u64::from(method != "GET");
    }
    requests
}
