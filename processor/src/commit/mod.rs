//! From the workers to the stores: what is committed together, what is published, in which order.

pub mod book;
pub mod dead_letters;
pub mod flush;
pub mod group_offsets;
pub mod publish;
pub mod snapshots;
