//! Where things are.

use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand};

use crate::error::XtaskError;

/// The checkout that this program was built from.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the checkout and its target directory (`CARGO_TARGET_DIR` and cargo's configuration are honoured).
    pub fn locate() -> Result<Self, XtaskError> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let metadata = describe(&manifest)?;
        Ok(Self {
            root: metadata.workspace_root.into(),
            target: metadata.target_directory.into(),
        })
    }

    /// The top of the checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The host workspace's target directory.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The manifest of the connectors' workspace.
    pub fn plugins_manifest(&self) -> PathBuf {
        self.root.join("plugins").join("Cargo.toml")
    }

    /// Where built components are put.
    pub fn components(&self) -> PathBuf {
        self.target.join("connectors")
    }

    /// Where components are put that only tests load. No program looks below its directory of connectors.
    pub fn test_components(&self) -> PathBuf {
        self.components().join("test")
    }

    /// Where a WebAssembly standard library that had to be compiled here is kept.
    pub fn guest_toolchain(&self) -> PathBuf {
        self.target.join("guest-toolchain")
    }
}

/// Cargo's description of the workspace that a manifest belongs to, without its dependencies.
pub fn describe(manifest: &Path) -> Result<Metadata, XtaskError> {
    MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()
        .map_err(|source| XtaskError::Metadata {
            manifest: manifest.to_owned(),
            source: Box::new(source),
        })
}
