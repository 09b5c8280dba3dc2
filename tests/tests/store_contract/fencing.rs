//! Only the newest owner at the right offset commits.

use super::fixture::{Fixture, START, full_step, step};

pub(crate) async fn a_takeover_raises_the_epoch_and_keeps_the_progress(fixture: &Fixture) {
    let first = fixture.take_over(1, i64::MIN).await;
    assert_eq!(
        (first.fence.epoch, first.fence.owner_nonce, first.next_offset),
        (1, i64::MIN, START)
    );
    assert_eq!((first.watermark_us, first.state_digest.as_str()), (None, ""));
    fixture.store.commit(&[step(&first.fence, START, 150)]).await.unwrap();
    let second = fixture.take_over(1, i64::MAX).await;
    assert_eq!(
        (second.fence.epoch, second.fence.owner_nonce, second.next_offset),
        (2, i64::MAX, 150)
    );
    assert_eq!(
        fixture.progress(0).await.fence.epoch,
        0,
        "another partition was touched"
    );
}

pub(crate) async fn an_older_epoch_commits_nothing(fixture: &Fixture) {
    let zombie = fixture.take_over(0, 7).await.fence;
    fixture.take_over(0, 7).await;
    let before = fixture.dump().await;
    assert!(
        fixture
            .store
            .commit(&[full_step(&zombie, START, 120)])
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(fixture.dump().await, before);
}

pub(crate) async fn the_same_epoch_with_another_nonce_commits_nothing(fixture: &Fixture) {
    let mut fence = fixture.take_over(0, 7).await.fence;
    fence.owner_nonce = 8;
    let before = fixture.dump().await;
    assert!(
        fixture
            .store
            .commit(&[full_step(&fence, START, 120)])
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(fixture.dump().await, before);
}

pub(crate) async fn a_commit_from_another_offset_moves_nothing(fixture: &Fixture) {
    let fence = fixture.take_over(0, 7).await.fence;
    let before = fixture.dump().await;
    for from in [START - 1, START + 1] {
        assert!(
            fixture
                .store
                .commit(&[full_step(&fence, from, 120)])
                .await
                .unwrap()
                .is_empty()
        );
    }
    assert_eq!(fixture.dump().await, before);
}

pub(crate) async fn one_fenced_partition_does_not_hold_up_the_others(fixture: &Fixture) {
    let mut fences = Vec::new();
    for partition in 0..3 {
        fences.push(fixture.take_over(partition, 7).await.fence);
    }
    fixture.take_over(1, 8).await;
    let steps: Vec<_> = fences.iter().rev().map(|fence| full_step(fence, START, 120)).collect();
    assert_eq!(fixture.store.commit(&steps).await.unwrap(), [0, 2]);
    for table in ["forecasts", "strategy_results", "dead_letters", "faults"] {
        assert_eq!(fixture.rows(table).await.len(), 2, "{table}");
    }
    assert_eq!(fixture.progress(1).await.next_offset, START);
    assert_eq!(fixture.progress(2).await.next_offset, 120);
}

pub(crate) async fn after_a_lost_reply_progress_tells_and_the_same_batch_changes_nothing(fixture: &Fixture) {
    let fence = fixture.take_over(0, 7).await.fence;
    let batch = [full_step(&fence, START, 120)];
    fixture.store.commit(&batch).await.unwrap();
    let progress = fixture.progress(0).await;
    assert_eq!((progress.fence, progress.next_offset), (fence, 120));
    let before = fixture.dump().await;
    assert!(fixture.store.commit(&batch).await.unwrap().is_empty());
    assert_eq!(fixture.dump().await, before);
}
