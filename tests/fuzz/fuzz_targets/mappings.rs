//! Mapping expressions, as operators write them, on values as remotes send them: a value or an error, and the same each
//! time. The first line is the expression, the rest is a record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use samspel_engine::transform::Transform;
use samspel_model::Fields;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let (expression, rest) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(transform) = Transform::compile(expression) else {
        return;
    };
    let record: Fields = serde_json::from_str(rest).unwrap_or_default();
    let value = record.values().next().cloned().unwrap_or(Value::Null);
    let once = transform.apply(&value, &record);
    assert_eq!(once, transform.apply(&value, &record));
});
