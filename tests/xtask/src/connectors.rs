//! Building the connectors and collecting the components.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cargo_metadata::{Artifact, CrateType, Package};
use samspel_provision::{ProvisionError, note, step};

use crate::cargo;
use crate::error::XtaskError;
use crate::guest::GuestToolchain;
use crate::workspace::{Workspace, describe};

/// The preamble of a component: magic, version 13, layer 1. A plain module has version 1 and layer 0.
const COMPONENT_PREAMBLE: [u8; 8] = [0x00, b'a', b's', b'm', 0x0d, 0x00, 0x01, 0x00];

/// Builds every connector of `plugins/` and puts the components into [`Workspace::components`]; those that only tests
/// load, into [`Workspace::test_components`].
pub fn build(workspace: &Workspace) -> Result<(), XtaskError> {
    let manifest = workspace.plugins_manifest();
    let connectors = connector_packages(&manifest)?;
    let toolchain = GuestToolchain::provide(workspace)?;
    let names: Vec<&str> = connectors
        .iter()
        .map(|connector| connector.name.as_str())
        .collect();
    let title = format!("building connectors ({})", names.join(", "));
    step(&title, || {
        note(&format!("with {}", toolchain.describe()));
        cargo::fetch(&manifest)?;
        // The connectors' workspace has a target directory of its own, whatever the host's is set to: cargo's lock
        // on a shared one would make every host build wait.
        let target = manifest.with_file_name("target");
        let mut tool = toolchain
            .cargo_build()?
            .arg("--manifest-path")
            .arg(&manifest)
            .arg("--target-dir")
            .arg(target);
        for connector in &connectors {
            tool = tool.args(["--package", connector.name.as_str()]);
        }
        let artifacts = cargo::build(tool)?;
        for connector in &connectors {
            collect(workspace, connector, &artifacts)?;
        }
        Ok(())
    })
}

/// The packages that become components. Libraries among the members, such as the SDK, do not.
fn connector_packages(manifest: &Path) -> Result<Vec<Package>, XtaskError> {
    let mut packages = describe(manifest)?.packages;
    packages.retain(|package| {
        package
            .targets
            .iter()
            .any(|target| target.crate_types.contains(&CrateType::CDyLib))
    });
    Ok(packages)
}

/// Whether a package says of itself that a user should not see it: `package.metadata.samspel.test = true`.
fn is_for_tests(package: &Package) -> bool {
    package.metadata["samspel"]["test"] == true
}

fn collect(
    workspace: &Workspace,
    connector: &Package,
    artifacts: &[Artifact],
) -> Result<(), XtaskError> {
    let component = artifacts
        .iter()
        .filter(|artifact| artifact.package_id == connector.id)
        .flat_map(|artifact| &artifact.filenames)
        .find(|file| file.extension() == Some("wasm"))
        .ok_or_else(|| XtaskError::NoArtifact {
            package: connector.name.to_string(),
            expected: "component",
        })?;
    let bytes = fs::read(component).map_err(ProvisionError::file("read", component))?;
    if !bytes.starts_with(&COMPONENT_PREAMBLE) {
        return Err(XtaskError::NotAComponent {
            path: component.into(),
        });
    }
    let directory = if is_for_tests(connector) {
        workspace.test_components()
    } else {
        workspace.components()
    };
    let destination = directory.join(format!("{}.wasm", connector.name));
    if place(&bytes, &destination)? {
        note(&format!(
            "{} ({} KB)",
            destination.display(),
            bytes.len() / 1024
        ));
    }
    Ok(())
}

/// Writes a file unless it already holds these bytes; says whether it did. Whoever has it open keeps the old file.
fn place(bytes: &[u8], destination: &Path) -> Result<bool, XtaskError> {
    if fs::read(destination).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    let directory = destination.parent().unwrap_or(Path::new("."));
    let write = || {
        fs::create_dir_all(directory)?;
        let mut file = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o644))
            .tempfile_in(directory)?;
        file.write_all(bytes)?;
        file.persist(destination)?;
        Ok(())
    };
    write().map_err(ProvisionError::file("write", destination))?;
    Ok(true)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_component_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("new").join("a.wasm");
        assert!(place(b"one", &file).unwrap());
        let first = file.metadata().unwrap().modified().unwrap();
        assert!(!place(b"one", &file).unwrap());
        assert_eq!(file.metadata().unwrap().modified().unwrap(), first);
        assert!(place(b"two", &file).unwrap());
        assert_eq!(fs::read(&file).unwrap(), b"two");
    }

    /// The packages of a workspace with a library, a connector and a connector for tests.
    fn packages() -> Vec<Package> {
        let directory = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"sdk\", \"one\", \"two\"]\n",
        );
        write("sdk/Cargo.toml", "[package]\nname = \"sdk\"\n");
        write("sdk/src/lib.rs", "");
        write(
            "one/Cargo.toml",
            "[package]\nname = \"one\"\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n",
        );
        write("one/src/lib.rs", "");
        write(
            "two/Cargo.toml",
            "[package]\nname = \"two\"\n[package.metadata.samspel]\ntest = true\n[lib]\ncrate-type = [\"cdylib\"]\n",
        );
        write("two/src/lib.rs", "");
        connector_packages(&directory.path().join("Cargo.toml")).unwrap()
    }

    #[test]
    fn only_dynamic_libraries_are_connectors() {
        let names: Vec<_> = packages()
            .into_iter()
            .map(|package| package.name.to_string())
            .collect();
        assert_eq!(names, ["one", "two"]);
    }

    #[test]
    fn a_connector_for_tests_says_so() {
        let for_tests: Vec<_> = packages().iter().map(is_for_tests).collect();
        assert_eq!(for_tests, [false, true]);
    }
}
