//! Dashboard, alerts and runbooks name only what exists: a panel over a metric that nobody exports stays empty for ever.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use assay_tests::{Database, Postgres};
use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> Result<String> {
    let path = repository().join(path);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn dashboard() -> Result<Value> {
    Ok(serde_json::from_str(&read("deploy/grafana/assay.json")?)?)
}

/// The fields of that name in all panels.
fn queries(dashboard: &Value, field: &str) -> Vec<String> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    targets
        .filter_map(|target| target[field].as_str().map(str::to_owned))
        .collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
}

/// Names of our metrics in a query, without what Prometheus appends to a histogram's.
fn metrics(text: &str) -> BTreeSet<String> {
    let ours = words(text).filter(|word| word.starts_with("assay_processor_") || word.starts_with("assay_operator_"));
    ours.map(|word| word.strip_suffix("_bucket").unwrap_or(word).to_owned())
        .collect()
}

/// Everything in a folder of sources, as one text.
fn sources(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            text += &sources(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &std::fs::read_to_string(path)?;
        }
    }
    Ok(text)
}

/// A metric is registered by its name without the program's prefix, or with it.
fn is_exported(metric: &str, processor: &str, operator: &str) -> bool {
    let registers = |source: &str, prefix: &str| {
        let short = metric.strip_prefix(prefix).unwrap_or(metric);
        source.contains(&format!("\"{short}\"")) || source.contains(&format!("\"{metric}\""))
    };
    if metric.starts_with("assay_operator_") {
        registers(operator, "assay_operator_")
    } else {
        registers(processor, "assay_processor_")
    }
}

#[test]
fn every_metric_in_dashboard_and_alerts_is_exported() -> Result<()> {
    let processor = sources(&repository().join("processor/src"))?;
    let operator = sources(&repository().join("operator/src"))?;
    let named = metrics(&(queries(&dashboard()?, "expr").join("\n") + &read("deploy/alerts/assay.rules.yaml")?));
    assert!(named.len() > 15, "the query language was not understood: {named:?}");
    let missing: Vec<_> = named
        .iter()
        .filter(|metric| !is_exported(metric, &processor, &operator))
        .collect();
    assert!(missing.is_empty(), "nobody exports {missing:?}");
    Ok(())
}

#[test]
fn every_alert_has_its_runbook() -> Result<()> {
    let rules: Value = serde_saphyr::from_str(&read("deploy/alerts/assay.rules.yaml")?)?;
    let operations = read("docs/operations.md")?;
    let groups = rules["groups"].as_array().context("groups")?;
    for rule in groups
        .iter()
        .flat_map(|group| group["rules"].as_array().into_iter().flatten())
    {
        let name = rule["alert"].as_str().context("a name")?;
        assert!(
            operations.contains(&format!("### {name}\n")),
            "docs/operations.md has no section {name}"
        );
        let runbook = rule["annotations"]["runbook"].as_str().context("a runbook")?;
        assert_eq!(runbook, format!("docs/operations.md#{}", name.to_lowercase()));
    }
    Ok(())
}

/// Grafana replaces these before it sends a query.
fn without_macros(sql: &str) -> String {
    sql.replace("$__timeFilter(c.evaluated_at)", "c.evaluated_at > now()")
        .replace(
            "$__timeGroup(c.evaluated_at, '1h')",
            "date_trunc('hour', c.evaluated_at)",
        )
}

/// A database with the schema as `assay migrate` makes it.
fn migrated_database() -> Result<Database> {
    let database = Postgres::shared()?.create_database()?;
    let mut migrations: Vec<_> = std::fs::read_dir(repository().join("migrations/postgres"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    migrations.sort();
    // The migrations name no schema: whoever runs them chooses it.
    let mut script = "CREATE SCHEMA assay; SET search_path TO assay;".to_owned();
    for migration in migrations {
        script += &std::fs::read_to_string(migration)?;
    }
    database.execute(&script)?;
    Ok(database)
}

#[test]
fn every_query_of_the_dashboard_fits_the_schema() -> Result<()> {
    let database = migrated_database()?;
    let queries = queries(&dashboard()?, "rawSql");
    assert!(!queries.is_empty());
    for query in queries {
        let query = without_macros(&query);
        assert!(!query.contains("$__"), "a macro this test does not know: {query}");
        let query = format!("SET search_path TO assay; {query}");
        database.execute(&query).with_context(|| query.clone())?;
    }
    Ok(())
}

/// The statements of all blocks of SQL in a page.
fn statements(page: &str) -> Vec<String> {
    let blocks = page
        .split("```sql\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    blocks
        .flat_map(|block| block.split(';'))
        .map(|statement| statement.trim().to_owned())
        .filter(|statement| !statement.is_empty())
        .collect()
}

#[test]
fn every_query_of_the_runbooks_works_on_rows_that_are_there() -> Result<()> {
    let database = migrated_database()?;
    // No UTF-8, as the bytes of a dead letter may well be.
    database.execute(
        "INSERT INTO assay.dead_letters \
         VALUES ('p', 'r', 0, 1, 'malformed', '', '\\xff00'::bytea, 2, '[]', NULL, now()), \
                ('p', 'r', 0, 2, 'malformed', '', 'later', 5, '[]', NULL, now() + interval '1 second')",
    )?;
    let statements = statements(&read("docs/operations.md")?);
    assert!(statements.len() >= 3, "{statements:?}");
    for statement in &statements {
        database.query(statement).with_context(|| statement.clone())?;
    }
    let letters = statements.iter().find(|statement| statement.contains("dead_letters"));
    let rows = database.query(letters.context("the runbook of dead letters")?)?;
    assert!(
        format!("{rows:?}").contains("later"),
        "the newest is not shown: {rows:?}"
    );
    Ok(())
}

#[test]
fn every_query_of_the_readme_fits_the_schema() -> Result<()> {
    let database = migrated_database()?;
    let statements = statements(&read("README.md")?);
    assert!(!statements.is_empty());
    for statement in statements {
        database.query(&statement).with_context(|| statement.clone())?;
    }
    Ok(())
}
