//! The schema: that of the resource as generated, and the pieces that borrow Kubernetes' own types without their bulk.
//!
//! The API server and `kubectl` hold the whole schema in memory and annotations are limited, so borrowed types go without descriptions,
//! and the bulkiest stay open: the API server checks them again when the Deployment is applied.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::EnvVar;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResourceExt;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::{GROUP, StrategyPipeline, VERSION};

/// The custom resource definition.
///
/// No field is nullable, so an empty one, as a template may leave it, is refused by its name. A nullable one would count as given for the
/// rules and as missing for the operator.
#[must_use]
pub fn crd() -> CustomResourceDefinition {
    let mut crd = StrategyPipeline::crd();
    let schemas = crd
        .spec
        .versions
        .iter_mut()
        .filter_map(|version| version.schema.as_mut());
    for schema in schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()) {
        refuse_null(schema);
    }
    crd
}

fn refuse_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema
        .properties
        .iter_mut()
        .flat_map(BTreeMap::values_mut)
        .for_each(refuse_null);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        refuse_null(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        refuse_null(values);
    }
}

/// The JSON schema of a whole `StrategyPipeline` document.
///
/// Generated once: it is read for every document that is checked.
#[must_use]
pub fn pipeline_schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let versions = crd().spec.versions;
        let schema = versions.into_iter().next().and_then(|version| version.schema);
        let mut schema = serde_json::to_value(schema.and_then(|schema| schema.open_api_v3_schema)).unwrap_or_default();
        add_header(&mut schema);
        schema
    });
    &SCHEMA
}

/// Adds what every resource has and a definition does not repeat.
fn add_header(schema: &mut Value) {
    schema["properties"]["apiVersion"] = serde_json::json!({"type": "string", "enum": [format!("{GROUP}/{VERSION}")]});
    schema["properties"]["kind"] = serde_json::json!({"type": "string", "enum": ["StrategyPipeline"]});
    schema["properties"]["metadata"] = serde_json::json!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"name": {"type": "string", "description": "Name of the pipeline."}},
        "required": ["name"],
    });
    schema["required"] = serde_json::json!(["apiVersion", "kind", "metadata", "spec"]);
}

/// The custom resource definition as YAML, as the Helm chart and `kubectl apply` take it.
///
/// It is kept when the chart is uninstalled: removing it would delete every pipeline.
///
/// # Errors
/// Where the definition cannot be written as YAML: a defect.
pub fn crd_yaml() -> Result<String, Box<dyn std::error::Error>> {
    let mut crd = crd();
    crd.metadata
        .annotations
        .get_or_insert_default()
        .insert("helm.sh/resource-policy".to_owned(), "keep".to_owned());
    let value = serde_json::to_value(crd)?;
    Ok(format!(
        "# Generated from crds/src by `make generate`; edit the types.\n{}",
        serde_saphyr::to_string(&value)?
    ))
}

/// The JSON schema of a document, for editors.
///
/// # Errors
/// Where the schema cannot be written as JSON: a defect.
pub fn schema_json() -> Result<String, Box<dyn std::error::Error>> {
    Ok(serde_json::to_string_pretty(pipeline_schema())? + "\n")
}

/// A borrowed type without its descriptions.
pub(crate) fn lean<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    schema.ensure_object().values_mut().for_each(strip_value);
    schema.remove("description");
    schema
}

/// Conditions as Kubernetes lists them: keyed by type.
pub(crate) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = lean::<Vec<Condition>>(generator);
    schema.insert("x-kubernetes-list-type".to_owned(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".to_owned(), serde_json::json!(["type"]));
    schema
}

/// Environment variables: a list keyed by name, with Assay's own names refused.
pub(crate) fn environment(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = lean::<Vec<EnvVar>>(generator);
    schema.insert("maxItems".to_owned(), 100.into());
    schema.insert("x-kubernetes-list-type".to_owned(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".to_owned(), serde_json::json!(["name"]));
    schema.insert(
        "x-kubernetes-validations".to_owned(),
        serde_json::json!([{
            "rule": "self.all(variable, !variable.name.startsWith('ASSAY_'))",
            "message": "names that start with ASSAY_ are Assay's; use a field of the spec instead",
        }]),
    );
    schema
}

/// A point in time.
pub(crate) fn time(generator: &mut SchemaGenerator) -> Schema {
    lean::<Time>(generator)
}

/// An object that the API server checks when the Deployment is applied.
pub(crate) fn open_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A list of such objects.
pub(crate) fn open_list(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 100, "items": open_object(generator)})
}

fn strip_value(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.get("description").is_some_and(Value::is_string) {
                map.remove("description");
            }
            map.values_mut().for_each(strip_value);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_value),
        _ => {}
    }
}
