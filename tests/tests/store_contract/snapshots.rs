//! Two slots per partition, one of which always stays good.

use assay_processor::stores::{Fence, Snapshot};

use super::fixture::{Fixture, START, step};

fn snapshot(at_offset: i64) -> Snapshot {
    Snapshot {
        at_offset,
        state_digest: format!("{at_offset:032x}"),
        blob: vec![0, 1, 255, 0],
    }
}

async fn offsets(fixture: &Fixture, fence: &Fence, next_offset: i64) -> Vec<i64> {
    let snapshots = fixture.store.snapshots(fence, next_offset).await.unwrap();
    snapshots.iter().map(|snapshot| snapshot.at_offset).collect()
}

pub(crate) async fn the_two_slots_alternate_and_the_newest_comes_first(fixture: &Fixture) {
    let fence = fixture.take_over(0, 7).await.fence;
    let mut seen = Vec::new();
    for at in [110, 120, 130, 140] {
        assert!(fixture.store.save_snapshot(&fence, &snapshot(at)).await.unwrap());
        seen.push(offsets(fixture, &fence, 1_000).await);
    }
    assert_eq!(seen, [vec![110], vec![120, 110], vec![130, 120], vec![140, 130]]);
}

pub(crate) async fn a_snapshot_ahead_of_progress_is_not_given(fixture: &Fixture) {
    let fence = fixture.take_over(0, 7).await.fence;
    for at in [110, 120] {
        fixture.store.save_snapshot(&fence, &snapshot(at)).await.unwrap();
    }
    assert_eq!(offsets(fixture, &fence, 119).await, [110]);
    assert_eq!(offsets(fixture, &fence, 120).await, [120, 110]);
}

pub(crate) async fn a_fenced_owner_saves_no_snapshot(fixture: &Fixture) {
    let zombie = fixture.take_over(0, 7).await.fence;
    let owner = fixture.take_over(0, 8).await.fence;
    fixture.store.commit(&[step(&owner, START, 200)]).await.unwrap();
    assert!(!fixture.store.save_snapshot(&zombie, &snapshot(110)).await.unwrap());
    let other_nonce = Fence {
        owner_nonce: 9,
        ..owner.clone()
    };
    assert!(!fixture.store.save_snapshot(&other_nonce, &snapshot(110)).await.unwrap());
    assert_eq!(offsets(fixture, &owner, 1_000).await, Vec::<i64>::new());
}

pub(crate) async fn a_snapshot_comes_back_byte_by_byte(fixture: &Fixture) {
    let fence = fixture.take_over(0, 7).await.fence;
    let blob: Vec<u8> = (0..1_000_000_u32)
        .map(|index| index.to_le_bytes()[(index % 4) as usize])
        .collect();
    let saved = Snapshot { blob, ..snapshot(110) };
    fixture.store.save_snapshot(&fence, &saved).await.unwrap();
    assert_eq!(fixture.store.snapshots(&fence, 110).await.unwrap(), [saved]);
}
