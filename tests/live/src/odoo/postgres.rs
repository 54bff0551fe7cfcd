//! A PostgreSQL cluster for one Odoo.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use samspel_provision::{ProvisionError, Tool, apt, find_executable, is_root};

use crate::error::LiveError;
use crate::server::{Run, ServerProcess, StopSignal, free_port, until};

/// The role that Odoo connects as; its password is its name, and the cluster trusts the loopback interface anyway.
pub const ROLE: &str = "odoo";
/// The first role of the cluster.
const SUPERUSER: &str = "postgres";
/// The system user that Debian's package makes. PostgreSQL refuses to run as root.
const SYSTEM_USER: &str = "postgres";
const START_LIMIT: Duration = Duration::from_secs(60);

/// An installed PostgreSQL.
#[derive(Clone, Debug)]
pub struct Postgres {
    programs: PathBuf,
    /// Whom it runs as, where that is not the user who runs this program.
    owner: Option<Owner>,
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    user: u32,
    group: u32,
}

/// A running cluster. Dropping it stops it.
#[derive(Debug)]
pub struct Cluster {
    port: u16,
    _process: ServerProcess,
}

impl Cluster {
    /// The port of the loopback interface that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Postgres {
    /// Finds PostgreSQL, or installs Debian's.
    pub fn install() -> Result<Self, LiveError> {
        let programs = match find_programs() {
            Some(programs) => programs,
            None => {
                apt::ensure(&["postgresql"])?;
                find_programs().ok_or_else(|| ProvisionError::Missing {
                    what: "PostgreSQL's server programs".to_owned(),
                    remedy: "install PostgreSQL 12 or newer so that `initdb` is found".to_owned(),
                })?
            }
        };
        let owner = if is_root() {
            Some(Owner::of(SYSTEM_USER)?)
        } else {
            None
        };
        Ok(Self { programs, owner })
    }

    /// Creates an empty cluster.
    pub fn create_cluster(&self, cluster: &Path) -> Result<(), LiveError> {
        self.create_directory(cluster)?;
        self.as_owner("initdb")
            .args([
                "--auth=trust",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--username",
                SUPERUSER,
            ])
            .arg("--pgdata")
            .arg(cluster)
            // Where nobody else's working directory could be in the way.
            .directory("/")
            .output()?;
        let settings = cluster.join("postgresql.conf");
        let text = "listen_addresses = '127.0.0.1'\nfsync = off\nsynchronous_commit = off\nfull_page_writes = off\njit = off\n";
        let append = || {
            use std::io::Write;
            fs::File::options()
                .append(true)
                .open(&settings)?
                .write_all(text.as_bytes())
        };
        Ok(append().map_err(ProvisionError::file("write", &settings))?)
    }

    /// Copies a cluster that is not running.
    pub fn copy_cluster(&self, from: &Path, to: &Path) -> Result<(), LiveError> {
        Ok(Tool::new("cp").arg("--archive").arg(from).arg(to).run()?)
    }

    /// Starts the cluster in `data/cluster` on a free port; its socket lies in `data/socket`.
    pub async fn start(&self, run: &Run, data: &Path) -> Result<Cluster, LiveError> {
        let socket = data.join("socket");
        self.create_directory(&socket)?;
        let port = free_port()?;
        let mut command = Command::new(self.programs.join("postgres"));
        command
            .arg("-D")
            .arg(data.join("cluster"))
            .arg("-k")
            .arg(&socket)
            .arg("-p")
            .arg(port.to_string());
        command.current_dir("/");
        if let Some(owner) = self.owner {
            command.uid(owner.user).gid(owner.group);
        }
        let process = ServerProcess::start(run, "postgres", command, StopSignal::Interrupt)?;
        until("PostgreSQL's start", START_LIMIT, async || {
            process.alive()?;
            let ready = Tool::new(self.programs.join("pg_isready"))
                .args(["--quiet", "--host=127.0.0.1", "--username", SUPERUSER])
                .arg(format!("--port={port}"));
            Ok(ready.output().is_ok().then_some(()))
        })
        .await?;
        Ok(Cluster {
            port,
            _process: process,
        })
    }

    /// Creates the role that Odoo connects as.
    pub fn create_role(&self, cluster: &Cluster) -> Result<(), LiveError> {
        Tool::new(self.programs.join("psql"))
            .args([
                "--quiet",
                "--no-psqlrc",
                "--host=127.0.0.1",
                "--username",
                SUPERUSER,
            ])
            .arg(format!("--port={}", cluster.port))
            .arg("--command")
            .arg(format!(
                "CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{ROLE}'"
            ))
            .output()?;
        Ok(())
    }

    fn create_directory(&self, directory: &Path) -> Result<(), LiveError> {
        let create = || {
            fs::create_dir(directory)?;
            match self.owner {
                Some(owner) => {
                    std::os::unix::fs::chown(directory, Some(owner.user), Some(owner.group))
                }
                None => Ok(()),
            }
        };
        Ok(create().map_err(ProvisionError::file("create", directory))?)
    }

    fn as_owner(&self, program: &str) -> Tool {
        let program = self.programs.join(program);
        match self.owner {
            Some(_) => Tool::new("runuser")
                .args(["-u", SYSTEM_USER, "--"])
                .arg(program),
            None => Tool::new(program),
        }
    }
}

impl Owner {
    fn of(name: &str) -> Result<Self, LiveError> {
        let number = |option: &str| -> Result<u32, LiveError> {
            let text = Tool::new("id").arg(option).arg(name).output()?;
            let missing = || ProvisionError::Missing {
                what: format!("system user {name}"),
                remedy: "it comes with Debian's package `postgresql`".to_owned(),
            };
            Ok(text.trim().parse().map_err(|_| missing())?)
        };
        Ok(Self {
            user: number("-u")?,
            group: number("-g")?,
        })
    }
}

/// Debian keeps the server's programs of each version away from `PATH`.
fn find_programs() -> Option<PathBuf> {
    if let Some(initdb) = find_executable("initdb") {
        // Resolved, because its siblings are looked for beside it.
        return Some(initdb.canonicalize().ok()?.parent()?.to_owned());
    }
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            let programs = path.join("bin");
            programs
                .join("initdb")
                .is_file()
                .then_some((version, programs))
        })
        .collect();
    versions.sort();
    versions.pop().map(|(_, programs)| programs)
}
