//! Finding or installing a way to compile for `wasm32-unknown-unknown`, and using it.
//!
//! Three ways, in this order, so that a machine with rustup is never touched by Debian's packages:
//! 1. the target is there, or rustup adds it;
//! 2. Debian's `rustc-web` with its library source: the standard library is compiled once, into our own target
//!    directory (nothing below `/usr` is changed beyond the packages);
//! 3. an error that names both.

mod debian;
mod linker;

use std::path::{Path, PathBuf};
use std::time::Duration;

use samspel_provision::{Tool, find_executable, note, step};

use crate::cargo::cargo;
use crate::error::XtaskError;
use crate::workspace::Workspace;

/// The target that connectors are compiled for: no WASI, so a guest imports nothing but the contract.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// How long rustup may take: it fetches some 25 MB, and without a network it can wait for a very long time.
const RUSTUP_LIMIT: Duration = Duration::from_secs(90);

/// A way to compile connectors.
#[derive(Debug)]
pub enum GuestToolchain {
    /// The cargo that runs this program has the target.
    Own,
    /// Debian's compiler, with a standard library that was compiled here.
    Debian {
        /// The directory that holds the compiled standard library in rustc's layout.
        sysroot: PathBuf,
    },
}

impl GuestToolchain {
    /// Finds a toolchain, or installs one.
    pub fn provide(workspace: &Workspace) -> Result<Self, XtaskError> {
        if own_target_exists() {
            return Ok(Self::Own);
        }
        // Looked for before rustup is asked: on a machine where rustup cannot download, it would be asked at every
        // build.
        if let Some(sysroot) = debian::compiled_sysroot(workspace) {
            return Ok(Self::Debian { sysroot });
        }
        let mut tried = match add_with_rustup() {
            Ok(()) => return Ok(Self::Own),
            Err(why) => why,
        };
        note(&format!(
            "the target could not be added with rustup: {tried}"
        ));
        match debian::availability() {
            Ok(()) => debian::install(workspace).map(|sysroot| Self::Debian { sysroot }),
            Err(why) => {
                tried.push_str("; ");
                tried.push_str(why);
                Err(XtaskError::NoGuestTarget { why: tried })
            }
        }
    }

    /// A cargo command of this toolchain that compiles for [`TARGET`] and links components.
    pub fn cargo_build(&self) -> Result<Tool, XtaskError> {
        let tool = match self {
            Self::Own => cargo(),
            Self::Debian { sysroot } => debian::cargo(sysroot),
        };
        let tool = tool.arg("build").args(["--release", "--target", TARGET]);
        Ok(tool.env("PATH", linker::path_with_linker()?).env(
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER",
            linker::PROGRAM,
        ))
    }

    /// What to tell the user about it.
    pub fn describe(&self) -> String {
        match self {
            Self::Own => format!("Rust's own {TARGET} target"),
            Self::Debian { sysroot } => format!(
                "Debian's compiler, standard library in {}",
                sysroot.display()
            ),
        }
    }
}

fn own_target_exists() -> bool {
    Tool::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .is_ok_and(|directory| holds_std(Path::new(directory.trim())))
}

/// Whether a library directory really holds a standard library: rustc names the directory whether it exists or not.
fn holds_std(directory: &Path) -> bool {
    directory.read_dir().is_ok_and(|mut files| {
        files.any(|file| {
            file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
        })
    })
}

fn add_with_rustup() -> Result<(), String> {
    if find_executable("rustup").is_none() {
        return Err("rustup is not installed".to_owned());
    }
    let add = || {
        Tool::new("rustup")
            .args(["target", "add", TARGET])
            .limit(RUSTUP_LIMIT)
            .run()
    };
    step("adding the WebAssembly target with rustup", add).map_err(|error| error.to_string())?;
    if own_target_exists() {
        Ok(())
    } else {
        Err("rustup reported success but rustc has no library for the target; is this rustc rustup's?".to_owned())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_library_directory_counts_only_with_a_standard_library_in_it() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!holds_std(&directory.path().join("absent")));
        assert!(!holds_std(directory.path()));
        std::fs::write(directory.path().join("libstd-0123.rlib"), "").unwrap();
        assert!(holds_std(directory.path()));
    }
}
