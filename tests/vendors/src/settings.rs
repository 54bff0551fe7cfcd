//! Settings that both simulators share and that can be changed while they run.

use std::sync::Arc;

use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::faults::FaultRates;
use crate::hooks::HookQuirks;

/// Everything about a simulator that can be switched at run time; `Q` holds the vendor's own quirks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings<Q> {
    /// Milliseconds that each request to the vendor's API takes at least. The control API is never delayed.
    pub latency_ms: u64,
    /// Faults that happen by chance.
    pub faults: FaultRates,
    /// What happens to webhooks on their way.
    pub hooks: HookQuirks,
    /// The vendor's own behaviour.
    pub quirks: Q,
}

/// A change of settings was not understood.
#[derive(Debug, thiserror::Error)]
#[error("settings not changed: {0}; GET /_control/settings shows the names and types")]
pub struct SettingsError(#[from] serde_json::Error);

/// The current settings; readers get a shared copy without waiting for one another.
#[derive(Debug, Default)]
pub struct LiveSettings<Q>(RwLock<Arc<Settings<Q>>>);

impl<Q: Clone + Default + Serialize + DeserializeOwned> LiveSettings<Q> {
    /// Starts with these settings.
    #[must_use]
    pub fn new(settings: Settings<Q>) -> Self {
        Self(RwLock::new(Arc::new(settings)))
    }

    /// The settings as they are now.
    #[must_use]
    pub fn get(&self) -> Arc<Settings<Q>> {
        Arc::clone(&self.0.read())
    }

    /// Changes settings in place.
    pub fn update(&self, change: impl FnOnce(&mut Settings<Q>)) {
        let mut slot = self.0.write();
        let mut next = Settings::clone(&slot);
        change(&mut next);
        *slot = Arc::new(next);
    }

    /// Applies a JSON merge patch (RFC 7396) to the settings, so that a caller names only what changes.
    ///
    /// # Errors
    /// When the patch has an unknown name or a value of the wrong type; nothing is changed then.
    pub fn merge(&self, patch: &Value) -> Result<Arc<Settings<Q>>, SettingsError> {
        let mut slot = self.0.write();
        let mut document = serde_json::to_value(slot.as_ref())?;
        merge_patch(&mut document, patch);
        *slot = Arc::new(serde_json::from_value(document)?);
        Ok(Arc::clone(&slot))
    }
}

fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(fields) = target {
        for (name, change) in changes {
            if change.is_null() {
                fields.remove(name);
            } else {
                merge_patch(fields.entry(name.clone()).or_insert(Value::Null), change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Quirks {
        lag: u64,
        strict: bool,
    }

    #[test]
    fn a_patch_changes_what_it_names_and_null_restores_the_default() {
        let live = LiveSettings::new(Settings {
            latency_ms: 5,
            quirks: Quirks {
                lag: 9,
                strict: true,
            },
            ..Settings::default()
        });
        live.merge(&json!({"quirks": {"lag": 12}, "faults": {"rate": 0.5}}))
            .unwrap();
        let now = live.get();
        assert_eq!(
            (now.latency_ms, now.quirks.lag, now.quirks.strict),
            (5, 12, true)
        );
        assert!((now.faults.rate - 0.5).abs() < f64::EPSILON);
        live.merge(&json!({"quirks": {"lag": null}})).unwrap();
        assert_eq!(live.get().quirks.lag, 0);
    }

    #[test]
    fn an_unknown_name_changes_nothing() {
        let live = LiveSettings::new(Settings::<Quirks>::default());
        assert!(
            live.merge(&json!({"latency_ms": 3, "quirks": {"leg": 1}}))
                .is_err()
        );
        assert_eq!(*live.get(), Settings::default());
    }
}
