//! One pass over a pipeline: dereference, validate, build, apply.

pub mod build;
