//! Decimal numbers as integers scaled by 1e-8. No float is involved between text and integer.

/// Units per one: prices and quantities are integers in 1e-8.
pub const SCALE: i64 = 100_000_000;
