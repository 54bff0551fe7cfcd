//! `cargo xtask fuzz`.

use std::fs;
use std::path::{Path, PathBuf};

use samspel_provision::{CommandError, Tool, download, note};

use crate::cargo::cargo;
use crate::error::XtaskError;
use crate::workspace::Workspace;

/// The programs below `tests/fuzz`, and the longest input of each, in bytes.
const TARGETS: [(&str, u32); 4] = [
    ("cursors", 512),
    ("mappings", 256),
    ("config", 2048),
    ("hooks", 1024),
];

/// For `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long each target is tried
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Targets: cursors, mappings, config, hooks; all of them if none is named
    #[arg(value_parser = TARGETS.map(|(name, _)| name))]
    targets: Vec<String>,
}

/// Tries each target for a while. What breaks one is left in `tests/fuzz/artifacts`.
pub fn run(workspace: &Workspace, args: &Args) -> Result<(), XtaskError> {
    let directory = workspace.root().join("tests").join("fuzz");
    let tools = workspace.target().join("tools");
    let fuzzer = fuzzer(&tools)?;
    crate::cargo::fetch(&directory.join("Cargo.toml"))?;
    for (name, longest) in TARGETS {
        if !args.targets.is_empty() && !args.targets.iter().any(|wanted| wanted == name) {
            continue;
        }
        note(&format!("==> fuzzing {name} for {} s", args.seconds));
        let corpus = workspace.target().join("fuzz").join("corpus").join(name);
        fs::create_dir_all(&corpus).map_err(|source| CommandError::Output {
            line: format!("make {}", corpus.display()),
            source,
        })?;
        Tool::new(&fuzzer)
            // cargo gives the name of its subcommand.
            .args(["fuzz", "run", "--fuzz-dir"])
            .arg(&directory)
            .arg("--target-dir")
            .arg(workspace.target().join("fuzz"))
            .arg(name)
            .arg(&corpus)
            .arg(directory.join("seeds").join(name))
            .arg("--")
            .args([
                format!("-max_total_time={}", args.seconds),
                format!("-max_len={longest}"),
                "-timeout=10".to_owned(),
                "-print_final_stats=1".to_owned(),
            ])
            // The instrumentation is a flag of the nightly compiler; the language is that of the stable one.
            .env("RUSTC_BOOTSTRAP", "1")
            .run_attached()?;
    }
    Ok(())
}

/// cargo-fuzz: the one that is installed, or one that is installed below the target directory.
fn fuzzer(tools: &Path) -> Result<PathBuf, XtaskError> {
    let own = tools.join("bin").join("cargo-fuzz");
    let installed = |program: &Path| Tool::new(program).args(["fuzz", "--version"]).run().is_ok();
    for known in [PathBuf::from("cargo-fuzz"), own.clone()] {
        if installed(&known) {
            return Ok(known);
        }
    }
    note("installing cargo-fuzz");
    download("cargo-fuzz from crates.io", || {
        cargo()
            .args(["install", "--quiet", "--locked", "cargo-fuzz", "--root"])
            .arg(tools)
            .run()
    })?;
    Ok(own)
}
