//! Topics: what is wanted against what is found. `plan` is pure, `apply` does what it says; looking is the handle's part.

mod apply;
mod ownership;
mod plan;

pub use apply::apply;
pub use ownership::{Claim, Standing, standing};
pub use plan::{TopicAction, TopicPlan, TopicState, TopicWish, mark_what_did_not_take, names, plan, wishes};
