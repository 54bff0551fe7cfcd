//! Transforms of values in mappings: expressions in CEL, the Common Expression Language (crate `cel`).
//!
//! CEL always terminates and has no side effects, so an expression from the configuration can be run on every record.
//! An expression sees `value`, the other side's value (`null` if empty), and `record`, the other side's fields. The
//! strings extension is available (`trim`, `split`, `replace`, `lowerAscii`, ...).

use std::sync::{Arc, LazyLock};

use cel::{Context, Env, ExecutionError, Program, extensions};
use samspel_model::Fields;
use serde_json::Value;

/// An expression that is ready to run.
#[derive(Debug, Clone)]
pub struct Transform {
    program: Arc<Program>,
    source: String,
    uses_record: bool,
}

static ENVIRONMENT: LazyLock<Result<Arc<Env>, String>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings)
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(env))
});

fn environment() -> Result<Arc<Env>, String> {
    ENVIRONMENT.clone()
}

impl Transform {
    /// Compiles an expression, and tries it once, so that an unknown name is found when the configuration is loaded.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn compile(source: &str) -> Result<Self, String> {
        let program = environment()?
            .compile(source)
            .map_err(|errors| errors.to_string())?;
        let references = program.references();
        for name in references.variables() {
            if name != "value" && name != "record" {
                return Err(format!(
                    "`{name}` is unknown; an expression can use `value` and `record`"
                ));
            }
        }
        let uses_record = references.has_variable("record");
        let transform = Self {
            program: Arc::new(program),
            source: source.to_owned(),
            uses_record,
        };
        match transform.execute(&Value::from("sample"), &Fields::new()) {
            Err(ExecutionError::UndeclaredReference(name)) => Err(format!("`{name}` is unknown")),
            // Anything else may be due to the sample.
            _ => Ok(transform),
        }
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Runs the expression on a value of a record.
    ///
    /// # Errors
    /// What went wrong, for people; the record's values are not in it.
    pub fn apply(&self, value: &Value, record: &Fields) -> Result<Value, String> {
        let result = self.execute(value, record).map_err(|error| {
            format!(
                "the expression `{}` cannot be applied: {}",
                self.source,
                kind_of(&error)
            )
        })?;
        result.json().map_err(|_| {
            format!(
                "the expression `{}` gives something that is not JSON",
                self.source
            )
        })
    }

    fn execute(&self, value: &Value, record: &Fields) -> Result<cel::Value, ExecutionError> {
        let env =
            environment().map_err(|error| ExecutionError::function_error("environment", error))?;
        let mut context = Context::with_env(env);
        let value =
            cel::to_value(value).map_err(|error| ExecutionError::function_error("value", error))?;
        context.add_variable_from_value("value", value);
        if self.uses_record {
            let record = cel::to_value(record)
                .map_err(|error| ExecutionError::function_error("record", error))?;
            context.add_variable_from_value("record", record);
        }
        self.program.execute(&context)
    }
}

/// The kind of an error without the values in it: errors are shown and logged, people's data is not.
fn kind_of(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("there is no `{key}`"),
        ExecutionError::UndeclaredReference(name) => format!("`{name}` is unknown"),
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            format!("{expected} arguments are needed, {actual} were given")
        }
        ExecutionError::FunctionError { function, .. } => format!("`{function}` failed"),
        ExecutionError::NotSupportedAsMethod { method, .. } => {
            format!("`{method}` does not apply to a value of this type")
        }
        _ => "a value has a type it was not written for (is it empty?)".to_owned(),
    }
}
