//! Named places where a fault test may kill or stop the process; without the feature `failpoints` they are nothing.
//!
//! `ASSAY_CRASH=NAME=kill@3` ends the process (abort) the third time it passes NAME, `NAME=stop@1` stops it (SIGSTOP)
//! the first time; several are separated by commas.

/// Every crash point, for suites that visit them all.
pub const CRASH_POINTS: &[&str] = &[
    "register.before",
    "register.after",
    "take_over.before",
    "take_over.after",
    "snapshots.load.before",
    "snapshots.load.after",
    "replay.batch",
    "commit.before",
    "commit.after",
    "progress.before",
    "progress.after",
    "snapshot.encode",
    "snapshot.save.before",
    "snapshot.save.after",
    "publish.before",
    "publish.after",
    "markers.before",
    "markers.after",
    "live.before",
    "live.after",
    "rebalance.assign",
    "rebalance.revoke",
    "rebalance.lost",
    "group_offsets.before",
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

/// Arms the crash points that `ASSAY_CRASH` names.
///
/// # Errors
/// A text that names no crash point or no action.
#[cfg(feature = "failpoints")]
pub fn arm_from_environment() -> Result<(), String> {
    let Ok(text) = std::env::var("ASSAY_CRASH") else {
        return Ok(());
    };
    text.split(',').filter(|part| !part.is_empty()).try_for_each(armed::arm)
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::CRASH_POINTS;

    pub(super) fn arm(text: &str) -> Result<(), String> {
        let wrong = || format!("ASSAY_CRASH: {text:?} is not NAME=kill@N or NAME=stop@N");
        let (name, action) = text.split_once('=').ok_or_else(wrong)?;
        let (action, pass) = action.split_once('@').ok_or_else(wrong)?;
        let pass: u64 = pass.parse().map_err(|_| wrong())?;
        if !CRASH_POINTS.contains(&name) {
            return Err(format!(
                "ASSAY_CRASH: {name:?} is no crash point; choose one of {CRASH_POINTS:?}"
            ));
        }
        let end: fn() = match action {
            "kill" => || std::process::abort(),
            "stop" => stop_this_process,
            _ => return Err(wrong()),
        };
        let passes = AtomicU64::new(0);
        fail::cfg_callback(name, move || {
            if passes.fetch_add(1, Ordering::Relaxed) + 1 == pass {
                end();
            }
        })
    }

    fn stop_this_process() {
        let this = nix::unistd::Pid::this();
        if nix::sys::signal::kill(this, nix::sys::signal::Signal::SIGSTOP).is_err() {
            std::process::abort();
        }
    }
}
