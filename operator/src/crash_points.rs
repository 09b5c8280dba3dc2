//! Named places where a fault test may end the operator; without the feature `failpoints` they are nothing.
//!
//! `FAILPOINTS=NAME=panic` ends it the first time it passes NAME.

/// Every crash point, in the order of a pass, for suites that visit them all.
pub const CRASH_POINTS: &[&str] = &[
    "finalizer.after",
    "topics.after",
    "config_maps.after",
    "deployments.after",
    "left_over.after",
    "promote.before",
    "promote.after",
    "status.before",
    "finalize.after_topics",
    "finalize.before_let_go",
];

/// Passes a crash point by its name in [`CRASH_POINTS`].
macro_rules! crash_point {
    ($name:literal) => {{
        #[cfg(feature = "failpoints")]
        debug_assert!(
            $crate::crash_points::CRASH_POINTS.contains(&$name),
            "{} is not listed",
            $name
        );
        fail::fail_point!($name);
    }};
}
pub(crate) use crash_point;
