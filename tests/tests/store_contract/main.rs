//! What every result store must do, written once and run against SQLite and a real Postgres server.

// Helpers of tests are tests: clippy only knows functions marked as such.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod commits;
mod dumps;
mod fencing;
mod fixture;
mod postgres_only;
mod registration;
mod snapshots;

/// Runs each contract on both databases.
macro_rules! on_both_stores {
    ($($area:ident::$contract:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $contract() { crate::$area::$contract(&crate::fixture::sqlite().await).await; })+
        }
        mod postgres {
            $(#[tokio::test] async fn $contract() { crate::$area::$contract(&crate::fixture::postgres().await).await; })+
        }
    };
}

on_both_stores!(
    registration::a_registration_is_read_back_as_it_was,
    registration::what_is_registered_stays_as_it_is,
    registration::the_first_revision_goes_live_only_where_asked_and_where_none_is,
    registration::two_pipelines_of_one_revision_do_not_see_each_other,
    registration::a_partition_that_was_never_registered_cannot_be_taken_over,
    fencing::a_takeover_raises_the_epoch_and_keeps_the_progress,
    fencing::an_older_epoch_commits_nothing,
    fencing::the_same_epoch_with_another_nonce_commits_nothing,
    fencing::a_commit_from_another_offset_moves_nothing,
    fencing::one_fenced_partition_does_not_hold_up_the_others,
    fencing::after_a_lost_reply_progress_tells_and_the_same_batch_changes_nothing,
    commits::an_empty_commit_moves_nothing,
    commits::a_commit_shows_in_progress,
    commits::a_row_that_exists_fails_the_whole_statement,
    commits::a_refused_row_fails_the_whole_statement,
    commits::the_phase_is_that_of_the_forecast,
    commits::two_revisions_or_a_partition_twice_in_one_commit_are_refused,
    commits::a_step_back_is_refused,
    commits::numbers_at_their_limits_come_back_exactly,
    commits::dead_letters_wait_for_the_mirror_until_its_cursor_passes,
    commits::the_views_count_what_counts,
    snapshots::the_two_slots_alternate_and_the_newest_comes_first,
    snapshots::a_snapshot_ahead_of_progress_is_not_given,
    snapshots::a_fenced_owner_saves_no_snapshot,
    snapshots::a_snapshot_comes_back_byte_by_byte,
    dumps::a_dump_tells_nothing_of_owners_or_snapshots,
);
