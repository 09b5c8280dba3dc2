//! Which faults there are, and the order in which a seed deals them.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

/// What may happen to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A processor is killed; another starts in its place.
    KillProcessor,
    /// A processor stands still beyond its session, another takes over, then the zombie wakes.
    Zombie,
    /// A processor stands still for a moment and keeps its membership.
    Pause,
    /// A processor joins, so that partitions move.
    Join,
    /// A processor leaves in order, so that partitions move.
    Leave,
    /// The broker is killed and comes back.
    KillBroker,
    /// Postgres stops without tidying up and comes back.
    StopPostgres,
    /// Every session of the database is cut.
    TerminateBackends,
    /// The commit statement is carried out, its reply never arrives.
    LoseCommitReply,
    /// The commit statement never arrives.
    LoseCommit,
    /// Replies of Postgres come late.
    SlowPostgres,
    /// Redis is killed and comes back empty.
    KillRedis,
    /// Redis is emptied while it runs.
    FlushRedis,
    /// Redis comes back with a dump that is some faults old.
    OldRedis,
    /// Redis swallows every reply for a while.
    SilentRedis,
}

impl Fault {
    pub(crate) const ALL: [Self; 15] = [
        Self::KillProcessor,
        Self::Zombie,
        Self::Pause,
        Self::Join,
        Self::Leave,
        Self::KillBroker,
        Self::StopPostgres,
        Self::TerminateBackends,
        Self::LoseCommitReply,
        Self::LoseCommit,
        Self::SlowPostgres,
        Self::KillRedis,
        Self::FlushRedis,
        Self::OldRedis,
        Self::SilentRedis,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KillProcessor => "processor killed",
            Self::Zombie => "zombie",
            Self::Pause => "processor paused",
            Self::Join => "processor joins",
            Self::Leave => "processor leaves",
            Self::KillBroker => "broker killed",
            Self::StopPostgres => "Postgres stopped",
            Self::TerminateBackends => "sessions terminated",
            Self::LoseCommitReply => "commit's reply lost",
            Self::LoseCommit => "commit lost",
            Self::SlowPostgres => "Postgres slow",
            Self::KillRedis => "Redis killed",
            Self::FlushRedis => "Redis flushed",
            Self::OldRedis => "Redis from an old dump",
            Self::SilentRedis => "Redis silent",
        }
    }
}

/// Deals shuffled decks, so that every kind comes up before one comes up twice as often.
pub(crate) fn deal(count: usize, seed: u64) -> Vec<Fault> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut dealt = Vec::new();
    while dealt.len() < count {
        let mut deck = Fault::ALL;
        deck.shuffle(&mut random);
        dealt.extend(deck);
    }
    dealt.truncate(count);
    dealt
}

#[test]
fn a_seed_deals_the_same_faults_again_and_every_kind() {
    let dealt = deal(Fault::ALL.len(), 7);
    assert_eq!(dealt, deal(Fault::ALL.len(), 7));
    assert!(Fault::ALL.iter().all(|fault| dealt.contains(fault)));
}
