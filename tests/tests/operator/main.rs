//! The operator as it is installed, against a real API server, Kafka and Postgres. The number in a test's name is the rule it shows:
//!
//! R1 each pass is timed, counted and told · R2 failures pause longer, drift heals, one bad object blocks nobody · R3 topics gate pods ·
//! R4 topics are adopted, shared, handed over · R5 only keys of the spec are repaired · R6 deletion never wedges · R7 nor does a
//! namespace · R8 Secrets stay secret · R9 stores are shared and may be away · R10 one operator acts · R11 results belong to one object ·
//! R12 suspend keeps everything

#![allow(unreachable_pub, clippy::unwrap_used, clippy::panic)]

mod commands;
mod crashes;
mod deletion;
mod figures;
mod installation;
mod lab;
mod lag;
mod leases;
mod lifecycle;
mod outages;
mod pods;
mod processors;
mod rollout;
mod secrets;
mod told;
mod topics;
