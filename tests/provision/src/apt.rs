//! Debian packages, for machines that have `apt-get` and a user who may use it.

use crate::{ProvisionError, Tool, download, find_executable, is_root};

/// Whether packages can be installed here at all: `apt-get` exists, and this is root or may become root unasked.
#[must_use]
pub fn usable() -> bool {
    find_executable("apt-get").is_some() && (is_root() || passwordless_sudo())
}

/// Whether a package is installed.
#[must_use]
pub fn installed(package: &str) -> bool {
    Tool::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .output()
        .is_ok_and(|status| status == "installed")
}

/// Installs those of `packages` that are missing. Fetching is retried and fails as a download; unpacking fails as
/// itself.
pub fn ensure(packages: &[&str]) -> Result<(), ProvisionError> {
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|package| !installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !usable() {
        return Err(ProvisionError::Missing {
            what: format!("Debian package {names}"),
            remedy: format!("run `apt-get install {names}` as root"),
        });
    }
    crate::step(&format!("installing Debian packages: {names}"), || {
        download(&format!("{names} from the Debian archive"), || {
            apt_get().arg("update").run()?;
            apt_get()
                .args([
                    "install",
                    "--yes",
                    "--no-install-recommends",
                    "--download-only",
                ])
                .args(&missing)
                .run()
        })?;
        apt_get()
            .args([
                "install",
                "--yes",
                "--no-install-recommends",
                "--no-download",
            ])
            .args(&missing)
            .run()?;
        Ok(())
    })
}

fn apt_get() -> Tool {
    let tool = if is_root() {
        Tool::new("apt-get")
    } else {
        Tool::new("sudo").args(["-n", "apt-get"])
    };
    tool.arg("-qq").env("DEBIAN_FRONTEND", "noninteractive")
}

fn passwordless_sudo() -> bool {
    Tool::new("sudo").args(["-n", "true"]).output().is_ok()
}
