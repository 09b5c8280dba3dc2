//! Pipelines, revisions and where they start.

use assay_processor::stores::{Registration, StoreError};

use super::fixture::{Fixture, PIPELINE, REVISION, START, full_step, registration};

pub(crate) async fn a_registration_is_read_back_as_it_was(fixture: &Fixture) {
    let store = &fixture.store;
    assert_eq!(
        store.registration(PIPELINE, REVISION).await.unwrap(),
        Some(registration())
    );
    assert_eq!(store.registration(PIPELINE, "another").await.unwrap(), None);
    assert_eq!(store.live_revision(PIPELINE).await.unwrap(), None);
    store.check().await.unwrap();
}

pub(crate) async fn what_is_registered_stays_as_it_is(fixture: &Fixture) {
    let fence = fixture.take_over(0, 1).await.fence;
    fixture.store.commit(&[full_step(&fence, START, 120)]).await.unwrap();
    let mut later = registration();
    later.settings = "{}".into();
    later
        .offsets
        .iter_mut()
        .for_each(|offsets| offsets.start_offset = 5_000);
    fixture.store.register(&later, false).await.unwrap();
    assert_eq!(
        fixture.store.registration(PIPELINE, REVISION).await.unwrap(),
        Some(registration())
    );
    assert_eq!(fixture.progress(0).await.next_offset, 120);
}

pub(crate) async fn the_first_revision_goes_live_only_where_asked_and_where_none_is(fixture: &Fixture) {
    let store = &fixture.store;
    store.register(&registration(), true).await.unwrap();
    let live = Some((REVISION.to_owned(), 1));
    assert_eq!(store.live_revision(PIPELINE).await.unwrap(), live);
    store
        .register(
            &Registration {
                revision: "r2".into(),
                ..registration()
            },
            true,
        )
        .await
        .unwrap();
    assert_eq!(store.live_revision(PIPELINE).await.unwrap(), live);
    assert_eq!(
        fixture
            .ask("SELECT revision FROM promotions WHERE generation = 1")
            .await,
        [REVISION]
    );
}

pub(crate) async fn two_pipelines_of_one_revision_do_not_see_each_other(fixture: &Fixture) {
    let other = Registration {
        pipeline: "other".into(),
        ..registration()
    };
    fixture.store.register(&other, true).await.unwrap();
    let first = fixture.take_over(0, 1).await.fence;
    let second = fixture.store.take_over("other", REVISION, 0, 2).await.unwrap().fence;
    for fence in [&first, &second] {
        assert_eq!(
            fixture.store.commit(&[full_step(fence, START, 120)]).await.unwrap(),
            [0]
        );
    }
    assert_eq!(
        fixture.dump().await,
        fixture.store.dump("other", REVISION).await.unwrap()
    );
    assert_eq!(fixture.store.live_revision(PIPELINE).await.unwrap(), None);
}

pub(crate) async fn a_partition_that_was_never_registered_cannot_be_taken_over(fixture: &Fixture) {
    let refusal = fixture.store.take_over(PIPELINE, REVISION, 3, 1).await;
    assert!(matches!(refusal, Err(StoreError::Refused(_))), "{refusal:?}");
}
