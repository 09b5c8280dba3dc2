//! Behaviour of the whole engine, seen from outside: properties over random logs, known series, recorded trades.

mod behaviour;
mod dependencies;
mod golden;
mod properties;
mod support;
