//! What an author signs: a manifest that names a component, and the keys that may sign one.

use minisign_verify::{PublicKey, Signature};
use samspel_model::descriptor::Descriptor;
use samspel_model::registry::{Rights, TrustedKey};
use samspel_runtime::{CONTRACT, LoadedConnector};
use serde::{Deserialize, Serialize};

use super::rights;

/// Added to the name of a component's file (or to the path of its URL): where its manifest is.
pub const MANIFEST: &str = ".manifest.json";

/// Added to the name of the manifest: where the manifest's signature is.
pub const SIGNATURE: &str = ".minisig";

/// A manifest's layout. Another number is another layout.
const LAYOUT: u32 = 1;

/// What an author says about a component, and signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// The layout of the manifest.
    pub samspel_manifest: u32,
    /// The connector's name.
    pub name: String,
    /// The connector's own version.
    pub version: String,
    /// SHA-256 of the component, in hexadecimal.
    pub sha256: String,
    /// The contract that it was built for.
    pub contract: String,
    /// What it may ask for at most.
    pub rights: Rights,
}

impl Manifest {
    /// The manifest of a component, ready to be signed.
    pub fn of(loaded: &LoadedConnector) -> Self {
        Self {
            samspel_manifest: LAYOUT,
            name: loaded.descriptor.name.clone(),
            version: loaded.descriptor.version.clone(),
            sha256: loaded.sha256.clone(),
            contract: CONTRACT.to_owned(),
            rights: rights::of(&loaded.descriptor),
        }
    }

    /// Reads a manifest of this component.
    ///
    /// # Errors
    /// It is none, or one of another component.
    pub fn read(text: &str, sha256: &str) -> Result<Self, String> {
        let manifest: Self = serde_json::from_str(text)
            .map_err(|error| format!("its manifest cannot be read: {error}"))?;
        if manifest.samspel_manifest != LAYOUT {
            return Err(format!(
                "its manifest has layout {}, and this samspel reads {LAYOUT}",
                manifest.samspel_manifest
            ));
        }
        if !manifest.sha256.eq_ignore_ascii_case(sha256) {
            return Err(format!(
                "it is not the component that was signed: its SHA-256 is {sha256}, and the manifest names {}",
                manifest.sha256
            ));
        }
        Ok(manifest)
    }

    /// Compares what the component says about itself with what was signed.
    ///
    /// # Errors
    /// What differs.
    pub fn fits(&self, descriptor: &Descriptor) -> Result<(), String> {
        if self.name != descriptor.name || self.version != descriptor.version {
            return Err(format!(
                "it calls itself {} {}, and its manifest {} {}",
                descriptor.name, descriptor.version, self.name, self.version
            ));
        }
        if self.contract != CONTRACT {
            return Err(format!(
                "its manifest is about contract {}, and this samspel speaks {CONTRACT}",
                self.contract
            ));
        }
        let more = rights::beyond(&rights::of(descriptor), &self.rights);
        if more.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "it asks for more than its manifest says: {}",
                rights::told(&more).join("; ")
            ))
        }
    }
}

/// The name of the key that signed this text.
///
/// # Errors
/// Nobody who is trusted did.
pub fn signer(text: &[u8], signature: &str, trusted: &[TrustedKey]) -> Result<String, String> {
    let signature = Signature::decode(signature)
        .map_err(|error| format!("its signature is none of minisign's: {error}"))?;
    for key in trusted {
        let Ok(public) = PublicKey::from_base64(&key.key) else {
            continue;
        };
        // The form without a hash of its own is accepted too: manifests are small, and the key is the same.
        if public.verify(text, &signature, true).is_ok() {
            return Ok(key.name.clone());
        }
    }
    Err(match trusted {
        [] => "it is signed, and no key is trusted yet".to_owned(),
        _ => {
            let names: Vec<_> = trusted.iter().map(|key| key.name.as_str()).collect();
            format!(
                "its manifest is signed by none of the keys that are trusted ({}), or was changed since",
                names.join(", ")
            )
        }
    })
}

/// A public key as people have it: in base64, or the file that minisign writes.
///
/// # Errors
/// It is none.
pub fn public_key(text: &str) -> Result<String, String> {
    let line = text
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !line.starts_with("untrusted comment:"))
        .unwrap_or_default();
    PublicKey::from_base64(line)
        .map(|_| line.to_owned())
        .map_err(|error| format!("this is no public key of minisign's: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    // From minisign's documentation, and a signature of "test" by it.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const SIGNED: &str = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
        wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==";

    fn key(name: &str, key: &str) -> TrustedKey {
        TrustedKey {
            name: name.to_owned(),
            key: key.to_owned(),
            added: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_signer_is_told_and_a_changed_text_has_none() {
        let trusted = [key("broken", "x"), key("ours", KEY)];
        assert_eq!(signer(b"test", SIGNED, &trusted).unwrap(), "ours");
        assert!(
            signer(b"tent", SIGNED, &trusted)
                .unwrap_err()
                .contains("changed")
        );
        assert!(signer(b"test", SIGNED, &[]).unwrap_err().contains("no key"));
        assert!(signer(b"test", "not a signature", &trusted).is_err());
    }

    #[test]
    fn a_key_is_read_from_its_line_or_its_file() {
        assert_eq!(public_key(KEY).unwrap(), KEY);
        let file = format!("untrusted comment: minisign public key\n{KEY}\n");
        assert_eq!(public_key(&file).unwrap(), KEY);
        assert!(public_key("").is_err());
    }

    #[test]
    fn a_manifest_of_another_component_is_refused() {
        let manifest = Manifest {
            samspel_manifest: LAYOUT,
            name: "crm".to_owned(),
            version: "1.0.0".to_owned(),
            sha256: "ab".repeat(32),
            contract: CONTRACT.to_owned(),
            rights: Rights::default(),
        };
        let text = serde_json::to_string(&manifest).unwrap();
        assert_eq!(Manifest::read(&text, &"AB".repeat(32)).unwrap(), manifest);
        assert!(
            Manifest::read(&text, &"cd".repeat(32))
                .unwrap_err()
                .contains("not the component")
        );
        let newer = text.replace("\"samspel-manifest\":1", "\"samspel-manifest\":2");
        assert!(
            Manifest::read(&newer, &"ab".repeat(32))
                .unwrap_err()
                .contains("layout 2")
        );
    }
}
