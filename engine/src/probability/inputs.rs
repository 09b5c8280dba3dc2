//! What led to a forecast, as canonical JSON for its row: keys sorted, floats in their shortest form that reads back
//! the same, no blanks. Strategy names and indicator objects come validated and are not escaped again.

use super::{Call, Moment, Parameters, Weights};
use crate::evaluation::FrozenForecast;
use crate::probability::{Bucket, Distribution};

/// Inputs of a strategy's forecast.
pub(super) fn member_inputs(
    frozen: &FrozenForecast,
    call: &Call,
    moment: &Moment<'_>,
    parameters: &Parameters,
    weights: &Weights,
) -> String {
    format!(
        r#"{{"base_rates":{},"bucket":{},"cases":{},"data_confidence":{},"indicators":{},{},"strength":{},"threshold":{},"weights":{}}}"#,
        shares(&frozen.base_rates),
        Bucket::of(call.strength).index(),
        frozen.cases,
        call.confidence,
        moment.indicators,
        published(frozen),
        call.strength,
        frozen.key.threshold,
        by_strategy(parameters, weights),
    )
}

/// Inputs of a pooled forecast.
pub(super) fn pooled_inputs(
    frozen: &FrozenForecast,
    calls: &[Call],
    moment: &Moment<'_>,
    parameters: &Parameters,
    weights: &Weights,
) -> String {
    format!(
        r#"{{"base_rates":{},"calls":{},"cases":{},"indicators":{},{},"threshold":{},"weights":{}}}"#,
        shares(&frozen.base_rates),
        calls_of(calls, parameters),
        frozen.cases,
        moment.indicators,
        published(frozen),
        frozen.key.threshold,
        by_strategy(parameters, weights),
    )
}

fn published(frozen: &FrozenForecast) -> String {
    format!(
        r#""interval":[{},{}],"lift":{},"price":{},"probabilities":{}"#,
        frozen.interval.0,
        frozen.interval.1,
        frozen.lift(),
        frozen.key.price,
        shares(&frozen.probabilities),
    )
}

fn shares(shares: &Distribution) -> String {
    format!(
        r#"{{"down":{},"flat":{},"up":{}}}"#,
        shares.down, shares.flat, shares.up
    )
}

fn by_strategy(parameters: &Parameters, weights: &Weights) -> String {
    let pairs = parameters.strategies().iter().zip(weights.as_slice());
    let pairs: Vec<String> = pairs.map(|(name, weight)| format!(r#""{name}":{weight}"#)).collect();
    format!("{{{}}}", pairs.join(","))
}

fn calls_of(calls: &[Call], parameters: &Parameters) -> String {
    let mut calls: Vec<&Call> = calls.iter().collect();
    calls.sort_by_key(|call| call.strategy);
    let calls: Vec<String> = calls
        .iter()
        .map(|call| {
            let (name, side) = (parameters.name(Some(call.strategy)), call.direction.sign());
            format!(
                r#""{name}":{{"confidence":{},"direction":{side},"strength":{}}}"#,
                call.confidence, call.strength
            )
        })
        .collect();
    format!("{{{}}}", calls.join(","))
}
