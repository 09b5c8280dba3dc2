//! Every program against servers that are encrypted, verified and want a login: it works where everything is right, and where
//! one thing is wrong it ends in an error that names the setting to change. No output shows a credential.

// Helpers of tests are tests: clippy only knows functions marked as such.
#![allow(unreachable_pub)]

mod fixture;
mod kafka;
mod operator;
mod postgres;
mod redis;
mod together;
