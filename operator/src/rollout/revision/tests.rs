use rstest::rstest;

use super::*;
use crate::kafka::LogBounds;

const INPUTS: RevisionInputs<'static> = RevisionInputs {
    settings: "{}",
    engine_semantics: 1,
    topic_identity: "t",
    partitions: 2,
};

fn at(next_offset: i64, watermark_s: i64) -> StoredProgress {
    StoredProgress {
        start_offset: 0,
        live_from_offset: 10,
        next_offset,
        watermark_us: Some(watermark_s * 1_000_000),
    }
}

fn known(rows: [StoredProgress; 2]) -> Known {
    Known {
        topic_identity: INPUTS.topic_identity.to_owned(),
        partitions: INPUTS.partitions,
        engine_semantics: INPUTS.engine_semantics,
        is_running: false,
        progress: rows
            .into_iter()
            .enumerate()
            .map(|(p, row)| (i32::try_from(p).unwrap(), row))
            .collect(),
    }
}

fn log(start: i64, end: i64) -> Bounds {
    (0..2).map(|partition| (partition, LogBounds { start, end })).collect()
}

struct Case {
    known: BTreeMap<String, Known>,
    live: Option<String>,
    bounds: Bounds,
    strategy: RolloutStrategy,
    promote: Option<String>,
    reject: Option<String>,
}

impl Case {
    fn new() -> Self {
        let (known, bounds) = (BTreeMap::new(), log(0, 100));
        Self {
            known,
            live: None,
            bounds,
            strategy: RolloutStrategy::Immediate,
            promote: None,
            reject: None,
        }
    }

    fn with(mut self, id: &str, rows: Known) -> Self {
        self.known.insert(id.to_owned(), rows);
        self
    }

    fn live(mut self, id: &str) -> Self {
        self.live = Some(id.to_owned());
        self
    }

    fn decide(&self) -> Rollout {
        decide(&RolloutInput {
            inputs: INPUTS,
            known: &self.known,
            live: self.live.as_deref(),
            bounds: &self.bounds,
            strategy: self.strategy,
            promote: self.promote.as_deref(),
            reject: self.reject.as_deref(),
        })
    }
}

fn wanted() -> String {
    INPUTS.id(1).to_string()
}

const OLD: &str = "0123456789-1";

#[test]
fn the_first_revision_is_new_and_runs() {
    let rollout = Case::new().decide();
    assert!(rollout.is_new);
    assert_eq!((rollout.run, rollout.promote), (BTreeSet::from([wanted()]), None));
}

#[test]
fn the_first_revision_is_live_as_soon_as_it_is_registered() {
    let rollout = Case::new().with(&wanted(), known([at(0, 0), at(0, 0)])).decide();
    assert_eq!(rollout.promote, Some("operator"));
}

#[test]
fn a_live_wanted_revision_is_all_there_is_to_do() {
    let rollout = Case::new()
        .with(&wanted(), known([at(5, 5), at(5, 5)]))
        .live(&wanted())
        .decide();
    assert_eq!(
        (rollout.state, rollout.promote, rollout.is_new),
        (RolloutState::Complete, None, false)
    );
    assert_eq!(rollout.run.len(), 1);
}

#[test]
fn a_candidate_runs_beside_the_live_one_until_its_worst_partition_is_near() {
    let case = Case::new().with(OLD, known([at(100, 100), at(100, 100)])).live(OLD);
    let behind = case.with(&wanted(), known([at(90, 99), at(40, 94)]));
    let rollout = behind.decide();
    assert_eq!(
        (rollout.state, rollout.promote, rollout.run.len()),
        (RolloutState::CatchingUp, None, 2)
    );
    assert_eq!(
        behind.with(&wanted(), known([at(90, 99), at(90, 95)])).decide().promote,
        Some("operator")
    );
}

#[test]
fn shadow_waits_for_a_person_and_a_person_may_promote() {
    let mut case = Case::new()
        .with(OLD, known([at(9, 9), at(9, 9)]))
        .with(&wanted(), known([at(9, 9), at(9, 9)]))
        .live(OLD);
    case.strategy = RolloutStrategy::Shadow;
    assert_eq!(
        (case.decide().state, case.decide().promote),
        (RolloutState::AwaitingPromotion, None)
    );
    case.promote = Some(wanted());
    assert_eq!(case.decide().promote, Some("person"));
}

#[test]
fn a_refused_candidate_does_not_run() {
    let mut case = Case::new().with(OLD, known([at(9, 9), at(9, 9)])).live(OLD);
    case.reject = Some(wanted());
    let rollout = case.decide();
    assert_eq!(
        (rollout.state, rollout.run),
        (RolloutState::Rejected, BTreeSet::from([OLD.to_owned()]))
    );
}

#[test]
fn going_back_runs_the_old_revision_and_promotes_it_when_it_is_near() {
    let mut case = Case::new()
        .with(OLD, known([at(50, 50), at(50, 50)]))
        .with(&wanted(), known([at(99, 99), at(99, 99)]))
        .live(&wanted());
    case.promote = Some(OLD.to_owned());
    assert_eq!(
        (case.decide().wanted.to_string(), case.decide().promote),
        (OLD.to_owned(), None)
    );
    let near = case.with(OLD, known([at(98, 98), at(98, 98)]));
    assert_eq!(near.decide().promote, Some("person"));
}

/// A wish to go back to `OLD` after something happened to it.
fn going_back_after(harm: fn(&mut Known), bounds: Bounds) -> Rollout {
    let mut old = known([at(50, 50), at(50, 50)]);
    harm(&mut old);
    let mut case = Case::new()
        .with(OLD, old)
        .with(&wanted(), known([at(9, 99), at(9, 99)]))
        .live(&wanted());
    (case.promote, case.bounds) = (Some(OLD.to_owned()), bounds);
    case.decide()
}

#[rstest]
#[case::log(|old: &mut Known| old.topic_identity = "another".into(), 0, Gone::Log)]
#[case::partitions(|old: &mut Known| old.partitions = 1, 0, Gone::Partitions)]
#[case::records(|_: &mut Known| (), 51, Gone::Records)]
#[case::engine(|old: &mut Known| old.engine_semantics += 1, 0, Gone::Engine)]
fn nobody_goes_back_to_a_revision_that_cannot_go_on(
    #[case] harm: fn(&mut Known),
    #[case] log_start: i64,
    #[case] gone: Gone,
) {
    let rollout = going_back_after(harm, log(log_start, 100));
    assert_eq!(rollout.impossible, Some((OLD.parse().unwrap(), gone)));
    assert_eq!(rollout.promote, None);
    assert!(!rollout.run.contains(OLD) && rollout.run.contains(&wanted()));
}

#[test]
fn going_back_to_another_engine_is_possible_while_its_processors_run() {
    let harm = |old: &mut Known| {
        old.engine_semantics += 1;
        old.is_running = true;
    };
    let rollout = going_back_after(harm, log(0, 100));
    assert_eq!((rollout.wanted.to_string(), rollout.impossible), (OLD.to_owned(), None));
}

#[test]
fn nothing_takes_over_while_a_wish_that_cannot_be_fulfilled_stands() {
    let mut case = Case::new()
        .with(&wanted(), known([at(99, 99), at(99, 99)]))
        .with("aaaaaaaaaa-1", known([at(99, 99), at(99, 99)]))
        .live("aaaaaaaaaa-1");
    assert_eq!(case.decide().promote, Some("operator"));
    let old = Known {
        topic_identity: "another".into(),
        ..known([at(50, 50), at(50, 50)])
    };
    case = case.with(OLD, old);
    case.promote = Some(OLD.to_owned());
    assert_eq!(case.decide().promote, None);
}

#[test]
fn offsets_of_two_logs_are_not_compared() {
    let live = Known {
        topic_identity: "another".into(),
        ..known([at(4, 99), at(4, 99)])
    };
    let behind = known([at(9, 50), at(10, 50)]);
    assert!(
        !is_caught_up(&behind, &live),
        "it has not read what there was at its start"
    );
    assert!(is_caught_up(&known([at(10, 50), at(10, 50)]), &live));
    assert!(
        is_caught_up(&behind, &known([at(4, 99), at(4, 99)])),
        "of one log they are"
    );
}

#[test]
fn settings_that_come_back_reuse_their_instance_while_the_log_still_has_it() {
    let mut case = Case::new()
        .with(&wanted(), known([at(50, 50), at(60, 60)]))
        .with(OLD, known([at(99, 99), at(99, 99)]))
        .live(OLD);
    assert_eq!(
        (case.decide().wanted.to_string(), case.decide().is_new),
        (wanted(), false)
    );
    case.bounds = log(55, 100);
    let rollout = case.decide();
    assert_eq!((rollout.wanted, rollout.is_new), (INPUTS.id(2), true));
}

#[test]
fn progress_beyond_bounds_that_are_seconds_old_keeps_the_instance() {
    let mut case = Case::new().with(&wanted(), known([at(7, 9), at(7, 9)])).live(&wanted());
    case.bounds = log(0, 5);
    let rollout = case.decide();
    assert_eq!((rollout.wanted.to_string(), rollout.is_new), (wanted(), false));
}

#[test]
fn unknown_bounds_never_start_a_new_instance() {
    let mut case = Case::new()
        .with(&wanted(), known([at(50, 50), at(60, 60)]))
        .live(&wanted());
    case.bounds = Bounds::new();
    assert_eq!(case.decide().state, RolloutState::Complete);
}

#[test]
fn start_offsets_lie_inside_the_log() {
    let at_history = BTreeMap::from([(0, Some(3)), (1, Some(40))]);
    let offsets = start_offsets(2, &log(10, 100), &at_history).unwrap();
    assert_eq!(offsets.iter().map(|o| o.start_offset).collect::<Vec<_>>(), [10, 40]);
    assert!(offsets.iter().all(|o| o.live_from_offset == 100));
}

#[test]
fn a_partition_whose_bounds_or_history_are_unknown_starts_nowhere() {
    let both = BTreeMap::from([(0, Some(3)), (1, Some(40))]);
    let mut bounds = log(10, 100);
    bounds.remove(&1);
    assert_eq!(start_offsets(2, &bounds, &both), None);
    let one = BTreeMap::from([(0, Some(3))]);
    assert_eq!(start_offsets(2, &log(10, 100), &one), None);
}

#[test]
fn without_a_record_in_the_window_a_revision_starts_at_the_end() {
    let at_history = BTreeMap::from([(0, None), (1, None)]);
    let offsets = start_offsets(2, &log(10, 100), &at_history).unwrap();
    assert!(offsets.iter().all(|o| o.start_offset == 100));
}
