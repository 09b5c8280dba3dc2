//! Equal results give equal dumps, whoever made them and wherever they are kept.

use super::fixture::{self, Fixture, START, full_step, step};
use assay_processor::stores::Snapshot;

pub(crate) async fn a_dump_tells_nothing_of_owners_or_snapshots(fixture: &Fixture) {
    let fence = fixture.take_over(0, 7).await.fence;
    fixture.store.commit(&[full_step(&fence, START, 120)]).await.unwrap();
    let before = fixture.dump().await;
    let taken = fixture.take_over(0, 99).await.fence;
    let snapshot = Snapshot {
        at_offset: 120,
        state_digest: "d".into(),
        blob: vec![1],
    };
    fixture.store.save_snapshot(&taken, &snapshot).await.unwrap();
    assert_eq!(fixture.dump().await, before);
    fixture.store.commit(&[step(&taken, 120, 121)]).await.unwrap();
    assert_ne!(fixture.dump().await, before);
}

#[tokio::test]
async fn both_databases_dump_equal_input_equally_however_it_was_batched() {
    let (small, large) = (fixture::sqlite().await, fixture::postgres().await);
    for partition in 0..3 {
        let fence = small.take_over(partition, 7).await.fence;
        for from in START..START + 20 {
            small.store.commit(&[full_step(&fence, from, from + 1)]).await.unwrap();
        }
    }
    let mut steps = Vec::new();
    for partition in 0..3 {
        let fence = large.take_over(partition, 8).await.fence;
        let mut merged = step(&fence, START, START + 20);
        for from in START..START + 20 {
            let one = full_step(&fence, from, from + 1);
            merged.forecasts.extend(one.forecasts);
            merged.outcomes.extend(one.outcomes);
            merged.faults.extend(one.faults);
            merged.dead_letters.extend(one.dead_letters);
            (merged.state_digest, merged.record_digest) = (one.state_digest, one.record_digest);
        }
        steps.push(merged);
    }
    large.store.commit(&steps).await.unwrap();
    let dump = small.dump().await;
    assert_eq!(dump, large.dump().await);
    assert_eq!(dump.lines().count(), 3 + 3 * 20 * 4);
}
