//! Installing Ghost: its package and the exact Node.js and pnpm that it wants, all from the npm registry.

use std::fs;
use std::path::{Path, PathBuf};

use samspel_provision::{ProvisionError, Tool, apt, download, find_executable, step};

use crate::error::LiveError;
use crate::server::LiveDirectory;

/// The version that scenarios were written against.
const VERSION: &str = "6.65.0";
/// Ghost 6.65 asks for Node.js ^22.23.1 or ^24.20.0.
const NODE_VERSION: &str = "22.23.3";
/// The package manager that Ghost's lock file was written by.
const PNPM_VERSION: &str = "12.4.2";

/// An installed Ghost.
#[derive(Clone, Debug)]
pub struct Ghost {
    home: PathBuf,
    node: PathBuf,
}

impl Ghost {
    /// Installs Ghost, if it is not there yet. Blocks for about a minute the first time.
    pub fn install(live: &LiveDirectory) -> Result<Self, LiveError> {
        let home = live.installation(&format!("ghost-{VERSION}"));
        let node_package = node_package()?;
        let ghost = Self {
            node: home.join("node").join("node_modules").join(&node_package),
            home,
        };
        let marker = ghost.home.join("complete");
        if !marker.is_file() {
            step(&format!("installing Ghost {VERSION}"), || {
                ghost.install_all(&node_package)
            })?;
            fs::write(&marker, VERSION).map_err(ProvisionError::file("write", &marker))?;
        }
        Ok(ghost)
    }

    /// The Node.js to run it with.
    pub(super) fn node(&self) -> PathBuf {
        self.node.join("bin").join("node")
    }

    /// Ghost's own package.
    pub(super) fn package(&self) -> PathBuf {
        self.home.join("package")
    }

    /// Copies the themes and such that Ghost writes beside, so that each start has its own.
    pub(super) fn copy_content(&self, to: &Path) -> Result<(), LiveError> {
        Ok(Tool::new("cp")
            .arg("-r")
            .arg(self.package().join("content"))
            .arg(to)
            .run()?)
    }

    fn install_all(&self, node_package: &str) -> Result<(), LiveError> {
        let home = &self.home;
        if home.exists() {
            fs::remove_dir_all(home).map_err(ProvisionError::file("remove", home))?;
        }
        fs::create_dir_all(home).map_err(ProvisionError::file("create", home))?;
        if find_executable("npm").is_none() {
            apt::ensure(&["npm"])?;
        }
        // The SQLite driver is compiled: its prebuilt binaries are not in the npm registry.
        let compilers = [("g++", "g++"), ("make", "make"), ("python3", "python3")];
        let missing: Vec<&str> = compilers
            .iter()
            .filter(|(program, _)| find_executable(program).is_none())
            .map(|(_, package)| *package)
            .collect();
        apt::ensure(&missing)?;

        self.npm_install("node", &format!("{node_package}@{NODE_VERSION}"))?;
        self.npm_install("pnpm", &format!("pnpm@{PNPM_VERSION}"))?;
        self.unpack()?;
        self.install_dependencies()?;
        self.compile_sqlite()
    }

    fn npm_install(&self, directory: &str, package: &str) -> Result<(), LiveError> {
        download(&format!("{package} from npm"), || {
            Tool::new("npm")
                .args([
                    "install",
                    "--no-save",
                    "--no-audit",
                    "--no-fund",
                    "--ignore-scripts",
                    "--prefix",
                ])
                .arg(self.home.join(directory))
                .arg(package)
                .log_to(self.log())
                .run()
        })?;
        Ok(())
    }

    fn unpack(&self) -> Result<(), LiveError> {
        download(&format!("ghost {VERSION} from npm"), || {
            Tool::new("npm")
                .arg("pack")
                .arg(format!("ghost@{VERSION}"))
                .directory(&self.home)
                .log_to(self.log())
                .run()
        })?;
        let archive = self.home.join(format!("ghost-{VERSION}.tgz"));
        Tool::new("tar")
            .arg("xzf")
            .arg(&archive)
            .arg("-C")
            .arg(&self.home)
            .run()?;
        fs::remove_file(&archive).map_err(ProvisionError::file("remove", &archive))?;
        Ok(())
    }

    fn install_dependencies(&self) -> Result<(), LiveError> {
        // Install scripts would download prebuilt binaries from elsewhere; none of them is needed but the SQLite
        // driver's, which is compiled below. So nothing but downloads can fail here.
        download("Ghost's dependencies from npm", || {
            self.with_node("pnpm")
                .args([
                    "install",
                    "--prod",
                    "--frozen-lockfile",
                    "--ignore-scripts",
                    "--reporter=append-only",
                ])
                .directory(self.package())
                .log_to(self.log())
                .run()
        })?;
        Ok(())
    }

    fn compile_sqlite(&self) -> Result<(), LiveError> {
        let store = self.package().join("node_modules").join(".pnpm");
        let driver = fs::read_dir(&store)
            .map_err(ProvisionError::file("read", &store))?
            .filter_map(Result::ok)
            .find(|entry| {
                entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with("better-sqlite3@")
            })
            .map(|entry| entry.path().join("node_modules").join("better-sqlite3"))
            .ok_or_else(|| ProvisionError::Missing {
                what: "the SQLite driver among Ghost's dependencies".to_owned(),
                remedy: format!("see {}", self.log().display()),
            })?;
        let node_gyp = self
            .home
            .join("pnpm/node_modules/pnpm/dist/node_modules/node-gyp/bin/node-gyp.js");
        step("compiling Ghost's SQLite driver", || {
            self.with_node(self.node())
                .arg(node_gyp)
                .args(["rebuild", "--release"])
                // Its headers come with the Node.js package, so nothing is downloaded.
                .arg(format!("--nodedir={}", self.node.display()))
                .directory(driver)
                .env("JOBS", "max")
                .log_to(self.log())
                .run()
        })?;
        Ok(())
    }

    /// A program that finds our Node.js and pnpm before any other.
    fn with_node(&self, program: impl AsRef<std::ffi::OsStr>) -> Tool {
        let mut path = self.node.join("bin").into_os_string();
        path.push(":");
        path.push(self.home.join("pnpm/node_modules/.bin"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        Tool::new("env")
            .arg({
                let mut assignment = std::ffi::OsString::from("PATH=");
                assignment.push(path);
                assignment
            })
            .arg(program)
    }

    fn log(&self) -> PathBuf {
        self.home.join("install.log")
    }
}

/// The npm package that holds Node.js for this machine.
fn node_package() -> Result<String, ProvisionError> {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => {
            return Err(ProvisionError::Missing {
                what: format!("a Node.js package for {other}"),
                remedy: "run the live tests on x86_64 or aarch64".to_owned(),
            });
        }
    };
    Ok(format!("node-linux-{machine}"))
}
