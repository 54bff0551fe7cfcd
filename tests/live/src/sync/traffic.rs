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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_servers_logs_are_counted() {
        let odoo = r#"2026-11-24 23:21:29,896 13055 INFO odoo werkzeug: 127.0.0.1 - - [24/Nov/2026 23:21:29] "POST /jsonrpc HTTP/1.1" 200 -
2026-11-24 23:21:29,900 13055 INFO odoo odoo.addons.base: "POST /jsonrpc" is no request
2026-11-24 23:21:29,920 13055 INFO odoo werkzeug: 127.0.0.1 - - [24/Nov/2026 23:21:29] "GET /web/login HTTP/1.1" 200 -"#;
        let ghost = "[2026-11-24 23:21:26] \u{1b}[36mINFO\u{1b}[39m \"GET /ghost/api/admin/members/?limit=100\" \u{1b}[32m200\u{1b}[39m 76ms
[2026-11-24 23:21:26] \u{1b}[36mINFO\u{1b}[39m Sending email to 5 recipients
[2026-11-24 23:21:26] \u{1b}[36mINFO\u{1b}[39m \"PUT /ghost/api/admin/members/6b06/\" \u{1b}[32m200\u{1b}[39m 115ms";
        let seen = count(odoo, ghost);
        let expected = Requests {
            all: 3,
            ghost_writes: 1,
        };
        assert_eq!(seen, expected);
    }
}
