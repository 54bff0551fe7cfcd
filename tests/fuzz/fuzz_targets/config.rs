//! The section of a sync in a configuration: it is understood, or every error names its setting.
#![no_main]

use libfuzzer_sys::fuzz_target;
use samspel_engine::{SyncSpec, check_expressions};

fuzz_target!(|text: &str| {
    let Ok(spec) = toml::from_str::<SyncSpec>(text) else {
        return;
    };
    if let Err(errors) = check_expressions(&spec) {
        assert!(errors.0.iter().all(|error| !error.setting.is_empty()));
        assert!(!errors.to_string().is_empty());
    }
});
