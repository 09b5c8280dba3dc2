use assay_crds::ENGINE_SEMANTICS;
use rstest::rstest;

use super::super::validate::tests::{found, make_live, settings, stored};
use super::super::validate::validate;
use super::*;
use crate::children::Workload;
use crate::secrets::SecretError;
use crate::store::{Scores, StoreError, StoreView};

const LIVE: &str = "0123456789-1";

/// A pipeline that is live with two ready processors, whose store has gone away since.
fn with_the_store_away() -> Found {
    let mut found = found(|_| ());
    let row = stored(&found, ENGINE_SEMANTICS, 60);
    make_live(&mut found, LIVE, row);
    found.view.as_mut().unwrap().scores = Scores {
        hit_rate: Some(0.61),
        brier_skill: Some(0.12),
    };
    let workload = Workload {
        revision: LIVE.into(),
        wanted: 2,
        replicas: 2,
        ready: 2,
        settled: true,
        image: None,
    };
    found.workloads.insert(LIVE.into(), workload);
    let known = status_of(&found);
    std::sync::Arc::make_mut(&mut found.pipeline).status = Some(known);
    found.view = Err(StoreError::Unavailable("refused".into()));
    found
}

fn status_of(found: &Found) -> StrategyPipelineStatus {
    status(found, &validate(found, &settings()), None, None)
}

fn condition<'a>(status: &'a StrategyPipelineStatus, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|one| one.type_ == kind).unwrap()
}

#[test]
fn what_the_store_told_last_stays_while_it_is_away() {
    let found = with_the_store_away();
    let before = found.pipeline.status.clone().unwrap();
    let now = status_of(&found);
    assert_eq!(now.live_revision.as_deref(), Some(LIVE));
    assert!(
        before.candidate_revision.is_some(),
        "the document wants another revision"
    );
    assert_eq!(now.candidate_revision, before.candidate_revision);
    assert_eq!(
        (now.hit_rate.as_deref(), now.brier_skill.as_deref()),
        (Some("0.61"), Some("0.12"))
    );
}

#[test]
fn a_store_that_forgot_what_is_live_does_not_make_status_forget_it() {
    let mut found = with_the_store_away();
    found.view = Ok(StoreView::default());
    let status = status_of(&found);
    assert_eq!(status.live_revision.as_deref(), Some(LIVE));
    assert_eq!(condition(&status, "Stalled").reason, "StoreForgot");
}

/// What is known of the live revision, ready pods, and what is said of the processors.
#[rstest]
#[case::known(Some(LIVE), 2, "Ready")]
#[case::not_ready(Some(LIVE), 1, "NotReady")]
#[case::none_was_live_yet(None, 2, "Ready")]
fn processors_are_judged_by_what_runs_while_the_store_is_away(
    #[case] live: Option<&str>,
    #[case] ready: i32,
    #[case] reason: &str,
) {
    let mut found = with_the_store_away();
    let pipeline = std::sync::Arc::make_mut(&mut found.pipeline);
    pipeline.status.as_mut().unwrap().live_revision = live.map(str::to_owned);
    found.workloads.get_mut(LIVE).unwrap().ready = ready;
    let status = status_of(&found);
    let processors = condition(&status, "ProcessorsReady");
    assert_eq!(processors.reason, reason);
    assert!(
        processors.message.starts_with(&format!("{ready} of 2")),
        "{}",
        processors.message
    );
}

#[rstest]
#[case::missing(SecretError::Missing { namespace: "trading".into(), name: "latest".into(), field: "spec.results.redis.secret" }, "True")]
#[case::no_key(SecretError::NoKey { name: "latest".into(), key: "url".into(), field: "spec.results.redis.secret" }, "True")]
#[case::no_answer(SecretError::Unreadable { name: "latest".into(), reason: "timed out".into() }, "False")]
fn only_a_secret_that_a_person_must_mend_stalls(#[case] error: SecretError, #[case] stalled: &str) {
    let mut found = found(|_| ());
    found.secrets.redis = Err(error);
    let status = status_of(&found);
    assert_eq!(condition(&status, "Stalled").status, stalled);
    assert_eq!(condition(&status, "Ready").reason, "SecretUnusable");
}
