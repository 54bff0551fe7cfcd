//! Odoo: a real CRM with contacts, mass mailing, opt-out and bounce counters, on a PostgreSQL of its own.
//!
//! Version 11 is the last whose community edition can be had from a package registry. It is old: loopback only.

mod api;
mod install;
mod postgres;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use samspel_provision::{ProvisionError, Tool, step};
use serde::Serialize;
use serde_json::json;

pub use api::{MailingContact, OdooApi, Partner, Values};
pub use install::Odoo;

use crate::error::LiveError;
use crate::http;
use crate::server::{LiveDirectory, Run, ServerProcess, StopSignal, free_port, until};
use postgres::Cluster;

const DATABASE: &str = "odoo";
/// The administrator's login, and its password in a new database.
const LOGIN: &str = "admin";
const FIRST_PASSWORD: &str = "admin";
/// Contacts and mass mailing are what scenarios play with; the others change what a contact looks like, as they do in a
/// company that uses them.
const MODULES: &str = "contacts,crm,calendar,project,mass_mailing";
const START_LIMIT: Duration = Duration::from_secs(120);

/// How to reach a running Odoo as its administrator.
#[derive(Clone, Debug, Serialize)]
pub struct OdooAccess {
    /// Base URL without a trailing slash; the API is at `/jsonrpc`.
    pub url: String,
    /// The database.
    pub database: String,
    /// The login name.
    pub login: String,
    /// The password.
    pub password: String,
}

/// A running Odoo with a fresh database. Dropping it stops it.
#[derive(Debug)]
pub struct OdooServer {
    access: OdooAccess,
    api: OdooApi,
    // Fields are dropped in this order: Odoo is stopped before its database.
    _process: ServerProcess,
    _cluster: Cluster,
}

impl Odoo {
    /// Starts Odoo with a fresh database and returns when it can be used.
    pub async fn start(&self, run: &Run) -> Result<OdooServer, LiveError> {
        let data = run.data("odoo")?;
        self.postgres()
            .copy_cluster(&self.template().join("cluster"), &data.join("cluster"))?;
        copy(&self.template().join("files"), &data.join("files"))?;
        let cluster = self.postgres().start(run, &data).await?;
        let port = free_port()?;
        let config = self.write_config(&data, &cluster, port)?;
        let process =
            ServerProcess::start(run, "odoo", self.command(&config), StopSignal::Terminate)?;
        let url = format!("http://127.0.0.1:{port}");
        until("Odoo's start", START_LIMIT, async || {
            process.alive()?;
            let answer = http::client().get(format!("{url}/web/login")).send().await;
            Ok(answer
                .is_ok_and(|answer| answer.status().is_success())
                .then_some(()))
        })
        .await
        .map_err(|error| match error {
            LiveError::NotObserved { seconds, .. } => {
                process.error(format!("did not answer within {seconds} s"))
            }
            other => other,
        })?;
        let password = self.replace_password(&url).await?;
        let access = OdooAccess {
            url,
            database: DATABASE.to_owned(),
            login: LOGIN.to_owned(),
            password,
        };
        let api = OdooApi::log_in(&access).await?;
        Ok(OdooServer {
            access,
            api,
            _process: process,
            _cluster: cluster,
        })
    }

    /// Makes the database that each start copies, if it is not there yet: installing the modules takes half a minute.
    pub(super) fn make_template(&self, live: &LiveDirectory) -> Result<(), LiveError> {
        let template = self.template();
        let marker = template.join("complete");
        if marker.is_file() {
            return Ok(());
        }
        step("making Odoo's first database", || {
            if template.exists() {
                fs::remove_dir_all(&template).map_err(ProvisionError::file("remove", &template))?;
            }
            // Not in place: a template may lie where PostgreSQL's user cannot reach it.
            let run = live.begin_run()?;
            let data = run.data("template")?;
            self.postgres().create_cluster(&data.join("cluster"))?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.map_err(ProvisionError::file("start a runtime for", &data))?;
            let cluster = runtime.block_on(self.postgres().start(&run, &data))?;
            self.postgres().create_role(&cluster)?;
            let config = self.write_config(&data, &cluster, free_port()?)?;
            Tool::new(self.python())
                .args(self.arguments(&config))
                .args(["--init", MODULES, "--without-demo=all", "--stop-after-init"])
                .log_to(run.log("odoo-init"))
                .run()?;
            drop(cluster);
            fs::create_dir_all(&template).map_err(ProvisionError::file("create", &template))?;
            copy(&data.join("cluster"), &template.join("cluster"))?;
            copy(&data.join("files"), &template.join("files"))?;
            fs::write(&marker, MODULES).map_err(ProvisionError::file("write", &marker))?;
            Ok(())
        })
    }

    fn command(&self, config: &Path) -> Command {
        let mut command = Command::new(self.python());
        command.args(self.arguments(config));
        command
    }

    fn arguments(&self, config: &Path) -> Vec<PathBuf> {
        // The registry's package has no start program.
        vec![
            "-c".into(),
            "import odoo; odoo.cli.main()".into(),
            "--config".into(),
            config.into(),
        ]
    }

    fn write_config(
        &self,
        data: &Path,
        cluster: &Cluster,
        port: u16,
    ) -> Result<PathBuf, LiveError> {
        let files = data.join("files");
        let path = data.join("odoo.conf");
        let text = format!(
            "[options]\ndb_host = 127.0.0.1\ndb_port = {}\ndb_user = {}\ndb_password = {}\ndb_name = {DATABASE}\n\
             data_dir = {}\nxmlrpc_interface = 127.0.0.1\nxmlrpc_port = {port}\nlist_db = False\n\
             max_cron_threads = 0\nsmtp_server = 127.0.0.1\nsmtp_port = 9\n",
            cluster.port(),
            postgres::ROLE,
            postgres::ROLE,
            files.display(),
        );
        let write = || {
            fs::create_dir_all(&files)?;
            fs::write(&path, text)
        };
        write().map_err(ProvisionError::file("write", &path))?;
        Ok(path)
    }

    /// Gives the administrator a password of this start's own.
    async fn replace_password(&self, url: &str) -> Result<String, LiveError> {
        let first = OdooAccess {
            url: url.to_owned(),
            database: DATABASE.to_owned(),
            login: LOGIN.to_owned(),
            password: FIRST_PASSWORD.to_owned(),
        };
        let api = OdooApi::log_in(&first).await?;
        let password = crate::secret::random();
        api.write("res.users", api.user(), &json!({ "password": password }))
            .await?;
        Ok(password)
    }
}

impl OdooServer {
    /// How to reach it.
    pub fn access(&self) -> &OdooAccess {
        &self.access
    }

    /// Its API, as a clerk or another program would use it.
    pub fn api(&self) -> &OdooApi {
        &self.api
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), LiveError> {
    // `--archive` keeps owners: PostgreSQL accepts only files of its own user.
    Ok(Tool::new("cp").arg("--archive").arg(from).arg(to).run()?)
}
