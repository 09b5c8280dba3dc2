//! Documents as people hand them over: YAML or JSON text to a checked `StrategyPipeline`.
//!
//! Here unknown fields are errors, unlike in the types: where we see the text, a misspelt field is caught before it is ignored.
//! The checks are those of the API server (schema, defaults, CEL rules) and then the typed ones; all findings are told at once.

mod checks;
mod forms;
mod nearest;
mod shape;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use kube::core::cel::{CompiledSchema, ErrorKind, ValidationError, Validator, apply_defaults, compile_schema};
use serde_json::Value;

pub use crate::problem::{Problem, Problems};
use crate::schema::pipeline_schema;
use crate::{GROUP, StrategyPipeline, VERSION};

/// The CEL rules, parsed once: parsing them costs far more than checking a document.
static RULES: LazyLock<CompiledSchema> = LazyLock::new(|| compile_schema(pipeline_schema()));

/// Reads the one `StrategyPipeline` of a text; documents of other kinds beside it are left alone.
///
/// # Errors
/// Every finding, with path and remedy.
pub fn load_pipeline(text: &str) -> Result<StrategyPipeline, Problems> {
    let mut pipelines = load_pipelines(text)?;
    match (pipelines.pop(), pipelines.len()) {
        (Some(pipeline), 0) => Ok(pipeline),
        (_, more) => {
            let message = format!(
                "{} StrategyPipelines found, one is wanted; give the file of a single pipeline",
                more + 1
            );
            Err(Problem::new("document", message).into())
        }
    }
}

/// Reads every `StrategyPipeline` of a text of one or more documents; other kinds are left alone.
///
/// # Errors
/// Every finding over all of them, with path and remedy, or that there is none.
pub fn load_pipelines(text: &str) -> Result<Vec<StrategyPipeline>, Problems> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| Problem::new("document", unreadable(&error.to_string())))?;
    let ours: Vec<Value> = documents.into_iter().filter(is_pipeline).collect();
    if ours.is_empty() {
        let message = format!(
            "no StrategyPipeline found; the document needs apiVersion: {GROUP}/{VERSION} and kind: StrategyPipeline"
        );
        return Err(Problem::new("document", message).into());
    }
    let mut pipelines = Vec::new();
    let mut found = Vec::new();
    for document in &ours {
        match check_document(document) {
            Ok(pipeline) => pipelines.push(pipeline),
            Err(problems) => found.extend(problems.into_vec()),
        }
    }
    Problems::check(found)?;
    Ok(pipelines)
}

/// The reader's own words, with our remedy where its own is for programmers.
fn unreadable(error: &str) -> String {
    let error = error.replace(", set DuplicateKeyPolicy in Options if acceptable", "; keep one");
    format!("cannot be read as YAML or JSON: {error}")
}

fn is_pipeline(document: &Value) -> bool {
    document.get("kind").and_then(Value::as_str) == Some("StrategyPipeline")
}

/// Checks one document as the API server would, and beyond.
///
/// # Errors
/// Every finding, with path and remedy.
pub fn check_document(document: &Value) -> Result<StrategyPipeline, Problems> {
    let schema = pipeline_schema();
    let mut found = shape::check(schema, document);
    let filled = apply_defaults(schema, document);
    let (failed, not_evaluated) = rule_problems(&filled);
    found.extend(failed);
    let typed = serde_json::from_value::<StrategyPipeline>(filled);
    match typed {
        Ok(pipeline) => {
            let told: BTreeSet<String> = found.iter().map(|problem| problem.path.clone()).collect();
            let typed = checks::check(&pipeline.spec).into_iter();
            // Both judge a duration and a decimal: one finding of a field is enough to mend it.
            found.extend(typed.filter(|problem| !told.contains(&problem.path)));
            // The cause of a rule that cannot be evaluated is nearly always told already, in better words.
            if found.is_empty() {
                found.extend(not_evaluated);
            }
            Problems::check(found)?;
            Ok(pipeline)
        }
        Err(error) if found.is_empty() => Err(Problem::new("document", error.to_string()).into()),
        Err(_) => Problems::check(found).and_then(|()| Err(Problem::new("document", "cannot be read").into())),
    }
}

/// Findings of the CEL rules: those that are broken, and those that could not be evaluated.
fn rule_problems(filled: &Value) -> (Vec<Problem>, Vec<Problem>) {
    let Err(errors) = Validator::new().validate_compiled(&RULES, filled, None) else {
        return (Vec::new(), Vec::new());
    };
    let (failed, not_evaluated): (Vec<_>, Vec<_>) = errors
        .into_vec()
        .into_iter()
        .partition(|error| error.kind == ErrorKind::ValidationFailure);
    let tell = |errors: Vec<ValidationError>| {
        let problems = errors
            .into_iter()
            .map(|e| Problem::new(path_or_root(e.field_path), e.message));
        problems.collect()
    };
    (tell(failed), tell(not_evaluated))
}

fn path_or_root(path: String) -> String {
    if path.is_empty() { "document".to_owned() } else { path }
}

#[cfg(test)]
mod tests;
