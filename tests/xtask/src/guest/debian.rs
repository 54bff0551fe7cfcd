//! Debian's Rust compiler for the web. Its packages hold the library's source with all dependencies but no compiled
//! WebAssembly library: that is compiled here, once for each compiler version, and used through `--sysroot`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use samspel_provision::{ProvisionError, Tool, apt, note, step};

use super::{TARGET, holds_std};
use crate::error::XtaskError;
use crate::workspace::Workspace;

const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// The empty crate that the library is compiled for.
const CRATE: &str = "samspel-guest-std";

/// The compiled standard library of the installed Debian compiler, if there is one.
pub fn compiled_sysroot(workspace: &Workspace) -> Option<PathBuf> {
    if !Path::new(RUSTC).is_file() {
        return None;
    }
    let sysroot = sysroot_directory(workspace).ok()?;
    holds_std(&library_directory(&sysroot)).then_some(sysroot)
}

/// Whether Debian's packages can be used here, or why not.
pub fn availability() -> Result<(), &'static str> {
    if PACKAGES.iter().all(|package| apt::installed(package)) || apt::usable() {
        Ok(())
    } else {
        Err("this is not a Debian machine whose packages this user may install")
    }
}

/// Installs the packages and compiles the standard library.
pub fn install(workspace: &Workspace) -> Result<PathBuf, XtaskError> {
    apt::ensure(&PACKAGES)?;
    let sysroot = sysroot_directory(workspace)?;
    step("compiling the WebAssembly standard library (once)", || {
        compile_std(workspace, &sysroot)
    })?;
    Ok(sysroot)
}

/// Debian's cargo and compiler, told where the compiled library is.
pub fn cargo(sysroot: &Path) -> Tool {
    Tool::new(CARGO)
        .env("RUSTC", RUSTC)
        // Set by cargo and rustup around this program; they describe another toolchain.
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env("CARGO_ENCODED_RUSTFLAGS", flags_with_sysroot(sysroot))
}

/// Compiles `std` for an empty crate and collects the libraries. They are put in place by one rename, so that an
/// interrupted run leaves nothing that looks finished.
fn compile_std(workspace: &Workspace, sysroot: &Path) -> Result<(), XtaskError> {
    let project = workspace.guest_toolchain().join("std");
    write_empty_crate(&project)?;
    let target = project.join("target");
    Tool::new(CARGO)
        .args([
            "build",
            "--quiet",
            "--release",
            "--target",
            TARGET,
            "-Z",
            "build-std=std,panic_abort",
        ])
        .directory(&project)
        .env("RUSTC", RUSTC)
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_TARGET_DIR", &target)
        // `-Z` on a stable compiler. It is set for this one build, not for the connectors.
        .env("RUSTC_BOOTSTRAP", "1")
        // Without bitcode in the library, a connector with link-time optimisation does not link.
        .env("RUSTFLAGS", "-Cembed-bitcode=yes")
        .run()?;
    let compiled = target.join(TARGET).join("release").join("deps");
    let staged = workspace.guest_toolchain().join("incomplete");
    remove_directory(&staged)?;
    let library = library_directory(&staged);
    fs::create_dir_all(&library).map_err(ProvisionError::file("create", &library))?;
    let own = format!("lib{}-", CRATE.replace('-', "_"));
    let mut copied = 0;
    for file in fs::read_dir(&compiled).map_err(ProvisionError::file("read", &compiled))? {
        let file = file.map_err(ProvisionError::file("read", &compiled))?;
        let name = file.file_name().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with(&own) {
            fs::copy(file.path(), library.join(&name))
                .map_err(ProvisionError::file("copy", file.path()))?;
            copied += 1;
        }
    }
    remove_directory(sysroot)?;
    fs::rename(&staged, sysroot).map_err(ProvisionError::file("rename", &staged))?;
    remove_directory(&project)?;
    note(&format!("{copied} libraries in {}", sysroot.display()));
    Ok(())
}

fn write_empty_crate(project: &Path) -> Result<(), XtaskError> {
    // A former, interrupted build could hold libraries of another compiler.
    remove_directory(project)?;
    let manifest = format!(
        "[package]\nname = \"{CRATE}\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[lib]\npath = \"lib.rs\"\n\n[workspace]\n"
    );
    fs::create_dir_all(project).map_err(ProvisionError::file("create", project))?;
    for (name, text) in [
        ("Cargo.toml", manifest.as_str()),
        ("lib.rs", "#![no_std]\n"),
    ] {
        fs::write(project.join(name), text)
            .map_err(ProvisionError::file("write", project.join(name)))?;
    }
    Ok(())
}

fn remove_directory(directory: &Path) -> Result<(), XtaskError> {
    match fs::remove_dir_all(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(ProvisionError::file("remove", directory)(error).into()),
    }
}

/// One directory per compiler: libraries of one version are of no use to another.
fn sysroot_directory(workspace: &Workspace) -> Result<PathBuf, XtaskError> {
    // "rustc 1.96.0 (ac68faa20 2026-05-25)"
    let version = Tool::new(RUSTC).arg("--version").output()?;
    let words: Vec<&str> = version
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '.'))
        .filter(|word| !word.is_empty())
        .take(3)
        .collect();
    Ok(workspace.guest_toolchain().join(words.join("-")))
}

fn library_directory(sysroot: &Path) -> PathBuf {
    sysroot.join("lib").join("rustlib").join(TARGET).join("lib")
}

/// The caller's compiler flags and ours, in cargo's encoding, which is the one place that wins over all others.
fn flags_with_sysroot(sysroot: &Path) -> String {
    /// Cargo's separator between encoded flags.
    const SEPARATOR: &str = "\u{1f}";
    let encoded = env::var("CARGO_ENCODED_RUSTFLAGS").ok();
    let plain = env::var("RUSTFLAGS").ok();
    let mut flags: Vec<String> = match (encoded, plain) {
        (Some(encoded), _) => encoded
            .split(SEPARATOR)
            .filter(|flag| !flag.is_empty())
            .map(str::to_owned)
            .collect(),
        (None, Some(plain)) => plain.split_whitespace().map(str::to_owned).collect(),
        (None, None) => Vec::new(),
    };
    flags.push(format!("--sysroot={}", sysroot.display()));
    flags.join(SEPARATOR)
}
