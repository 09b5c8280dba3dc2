//! Does what a plan says, and nothing else.

use std::sync::Arc;

use super::plan::{TopicAction, TopicPlan};
use crate::kafka::{KafkaError, KafkaHandle};

/// Carries out the plan's action; gives whether there was one.
///
/// # Errors
/// Where Kafka refuses or does not answer.
pub async fn apply(kafka: &Arc<KafkaHandle>, plan: &TopicPlan) -> Result<bool, KafkaError> {
    let wish = &plan.wish;
    match &plan.action {
        None => return Ok(false),
        Some(TopicAction::Create) => {
            kafka
                .create_topic(&wish.name, wish.partitions, wish.replication_factor, &wish.settings)
                .await?;
        }
        Some(TopicAction::Set(settings)) => kafka.alter_topic(&wish.name, settings).await?,
    }
    Ok(true)
}
