//! `promote`, `reject`, `rollback`: a person's wish, written as an annotation; the operator fulfils it.

use anyhow::{Context as _, bail};
use assay_crds::status::RevisionStatus;
use assay_crds::{RevisionId, StrategyPipeline, StrategyPipelineStatus};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::args::RevisionArgs;
use crate::names::{PROMOTE, REJECT};

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Make a revision live.
    Promote,
    /// Stop a candidate.
    Reject,
    /// Go back, and leave the revision that is live now.
    Rollback,
}

/// Writes the wish down.
///
/// # Errors
/// Where there is no such revision, or the pipeline cannot be written.
pub async fn wish(wish: Wish, args: &RevisionArgs) -> anyhow::Result<String> {
    let client = super::connect().await?;
    let (namespace, name) = (args.pipeline.namespace(&client).to_owned(), &args.pipeline.name);
    let api: Api<StrategyPipeline> = Api::namespaced(client.clone(), &namespace);
    let pipeline = api
        .get(name)
        .await
        .with_context(|| format!("pipeline {namespace}/{name} cannot be read"))?;
    let (annotations, told) = annotations(wish, &pipeline.status.unwrap_or_default(), args.revision.as_deref())?;
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    api.patch_metadata(name, &PatchParams::default(), &patch).await?;
    Ok(format!(
        "{told}; watch it with: kubectl -n {namespace} get sp {name} -w\n"
    ))
}

fn annotations(wish: Wish, status: &StrategyPipelineStatus, named: Option<&str>) -> anyhow::Result<(Value, String)> {
    let revision = match named {
        Some(named) => known(status, named)?,
        None => implied(wish, status)?,
    };
    Ok(match wish {
        // Anything else would be undone as soon as the wish is fulfilled, because the manifest wants another revision.
        Wish::Promote if status.candidate_revision.as_ref() != Some(&revision) => {
            bail!(
                "{revision} is not the candidate; go back to it with: kubectl assay rollback NAME --revision {revision}"
            )
        }
        Wish::Promote => (
            json!({PROMOTE: revision, REJECT: null}),
            format!("{revision} is made live once it has caught up"),
        ),
        // Only a candidate can be stopped: the word against any other would lie there until it is one.
        Wish::Reject if status.live_revision.as_ref() == Some(&revision) => {
            bail!("{revision} is live and cannot be rejected; leave it with: kubectl assay rollback NAME")
        }
        Wish::Reject if status.candidate_revision.as_ref() != Some(&revision) => {
            bail!("{revision} is not the candidate; there is nothing to stop")
        }
        Wish::Reject => (
            json!({REJECT: revision, PROMOTE: null}),
            format!("{revision} is stopped"),
        ),
        Wish::Rollback if status.live_revision.as_ref() == Some(&revision) => {
            bail!("{revision} is live already; stop a candidate with: kubectl assay reject NAME")
        }
        Wish::Rollback if status.candidate_revision.as_ref() == Some(&revision) => {
            bail!("{revision} is the candidate; make it live with: kubectl assay promote NAME")
        }
        Wish::Rollback => {
            // What the manifest wants now: the candidate where there is one, else what is live.
            let left = status.candidate_revision.as_ref().or(status.live_revision.as_ref());
            (
                json!({PROMOTE: revision, REJECT: left}),
                format!("{revision} is made live again once it has caught up"),
            )
        }
    })
}

fn known(status: &StrategyPipelineStatus, wanted: &str) -> anyhow::Result<String> {
    wanted.parse::<RevisionId>()?;
    let names: Vec<&str> = status.revisions.iter().map(|revision| revision.name.as_str()).collect();
    if names.contains(&wanted) {
        return Ok(wanted.to_owned());
    }
    bail!("there is no revision {wanted}; known: {}", names.join(", "))
}

/// The revision that is meant where none is named.
fn implied(wish: Wish, status: &StrategyPipelineStatus) -> anyhow::Result<String> {
    if wish != Wish::Rollback {
        return status
            .candidate_revision
            .clone()
            .context("there is no candidate; nothing to decide");
    }
    let retired: Vec<&RevisionStatus> = status
        .revisions
        .iter()
        .filter(|revision| revision.phase == "Retired")
        .collect();
    match retired.as_slice() {
        [one] => Ok(one.name.clone()),
        [] => bail!("there is no earlier revision to go back to"),
        several => {
            let names: Vec<&str> = several.iter().map(|revision| revision.name.as_str()).collect();
            bail!(
                "several earlier revisions: {}; name one with --revision",
                names.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn status() -> StrategyPipelineStatus {
        let revision = |name: &str, phase: &str| RevisionStatus {
            name: name.into(),
            phase: phase.into(),
            ..RevisionStatus::default()
        };
        StrategyPipelineStatus {
            live_revision: Some("aaaaaaaaaa-1".into()),
            candidate_revision: Some("bbbbbbbbbb-1".into()),
            revisions: vec![
                revision("aaaaaaaaaa-1", "Live"),
                revision("bbbbbbbbbb-1", "Candidate"),
                revision("cccccccccc-1", "Retired"),
            ],
            ..StrategyPipelineStatus::default()
        }
    }

    #[test]
    fn promote_means_the_candidate() {
        let (annotations, _) = annotations(Wish::Promote, &status(), None).unwrap();
        assert_eq!(annotations, json!({PROMOTE: "bbbbbbbbbb-1", REJECT: null}));
    }

    #[test]
    fn promote_of_anything_else_points_to_rollback() {
        let error = annotations(Wish::Promote, &status(), Some("cccccccccc-1"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("rollback NAME --revision cccccccccc-1"), "{error}");
    }

    #[rstest]
    #[case::reject_live(Wish::Reject, "aaaaaaaaaa-1", "kubectl assay rollback NAME")]
    #[case::reject_retired(Wish::Reject, "cccccccccc-1", "nothing to stop")]
    #[case::rollback_to_live(Wish::Rollback, "aaaaaaaaaa-1", "is live already")]
    #[case::rollback_to_candidate(Wish::Rollback, "bbbbbbbbbb-1", "kubectl assay promote NAME")]
    fn a_wish_that_would_change_nothing_or_undo_itself_is_refused(
        #[case] wish: Wish,
        #[case] named: &str,
        #[case] part: &str,
    ) {
        let alone = StrategyPipelineStatus {
            candidate_revision: None,
            ..status()
        };
        let standing = [status(), alone];
        // Without a candidate, the one named here is a revision like any other.
        let is_refused = standing.iter().take(if named.starts_with('b') { 1 } else { 2 });
        for status in is_refused {
            let error = annotations(wish, status, Some(named)).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains(part), "{error}");
        }
    }

    #[test]
    fn reject_means_the_candidate() {
        for named in [None, Some("bbbbbbbbbb-1")] {
            let (annotations, _) = annotations(Wish::Reject, &status(), named).unwrap();
            assert_eq!(annotations, json!({REJECT: "bbbbbbbbbb-1", PROMOTE: null}));
        }
    }

    #[test]
    fn rollback_with_a_candidate_leaves_the_candidate() {
        let (annotations, _) = annotations(Wish::Rollback, &status(), None).unwrap();
        assert_eq!(annotations, json!({PROMOTE: "cccccccccc-1", REJECT: "bbbbbbbbbb-1"}));
    }

    #[test]
    fn rollback_goes_to_the_one_before_and_leaves_the_live_one() {
        let status = StrategyPipelineStatus {
            candidate_revision: None,
            ..status()
        };
        let (annotations, _) = annotations(Wish::Rollback, &status, None).unwrap();
        assert_eq!(annotations, json!({PROMOTE: "cccccccccc-1", REJECT: "aaaaaaaaaa-1"}));
    }

    #[test]
    fn an_unknown_revision_is_refused_with_the_known_ones() {
        let error = annotations(Wish::Promote, &status(), Some("dddddddddd-1"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("known: aaaaaaaaaa-1, bbbbbbbbbb-1"), "{error}");
    }
}
