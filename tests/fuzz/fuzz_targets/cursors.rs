//! Positions that come back from a store or a remote: a connector's cursor, and what the host keeps of one. Whatever
//! they hold, they are read, or a snapshot is asked for; what was written is read as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use samspel_connector::{Failure, cursor};
use samspel_model::store::Cursor;

fuzz_target!(|text: &str| {
    match cursor::decode::<(String, u64)>(1, text) {
        Ok(position) => {
            assert_eq!(cursor::version(text), Some(1));
            let again = cursor::encode(1, &position).and_then(|text| cursor::decode(1, &text));
            assert!(again.is_ok_and(|again: (String, u64)| again == position));
        }
        Err(failure) => assert!(matches!(failure, Failure::ExpiredCursor)),
    }
    if let Ok(kept) = serde_json::from_str::<Cursor>(text) {
        let written = serde_json::to_string(&kept);
        let again = written.and_then(|text| serde_json::from_str::<Cursor>(&text));
        assert!(again.is_ok_and(|again| again == kept));
    }
});
