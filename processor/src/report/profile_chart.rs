//! The volume profile beside the price axis: one row a bucket, bought and sold, with value area and point of control.

use assay_engine::fixed_point::SCALE;
use assay_engine::indicators::{BucketVolume, VolumeProfile};

use super::scale::Scale;
use super::svg::Drawing;

/// Height that a label needs, pixels.
const LABEL_HEIGHT: f64 = 16.0;

/// Draws the rows between two horizontal positions, on the price scale of the chart.
pub(super) fn draw(drawing: &mut Drawing, profile: &VolumeProfile, y: &Scale, (left, right): (f64, f64)) {
    let Some(area) = profile.value_area() else { return };
    let most = profile.buckets().iter().map(quantity).fold(0.0, f64::max);
    let width = Scale::new((0.0, most), (0.0, right - left));
    for bucket in profile.buckets() {
        let inside = area.low <= bucket.lower && bucket.lower < area.high;
        let class = if inside { "inside" } else { "outside" };
        let (top, bottom) = (y.at(price(bucket.lower + profile.width())), y.at(price(bucket.lower)));
        let height = (bottom - top - 1.0).max(1.0);
        let (bought, sold) = (width.at(units(bucket.bought)), width.at(units(bucket.sold)));
        drawing.rectangle(&format!("bought {class}"), (left, top + 0.5), (bought, height));
        drawing.rectangle(&format!("sold {class}"), (left + bought, top + 0.5), (sold, height));
    }
    let middle = y.at(price(area.point_of_control) + price(profile.width()) / 2.0);
    drawing.line("control", (left - 6.0, middle), (right, middle));
    let is_crowded = middle - y.at(price(area.high)) < LABEL_HEIGHT;
    let beside = if is_crowded { 11.0 } else { -5.0 };
    drawing.text("profile-label", (right, middle + beside), "end", "POC");
    let edges = [
        ("VAH", y.at(price(area.high)), -4.0),
        ("VAL", y.at(price(area.low)), 12.0),
    ];
    for (name, edge, beside) in edges {
        drawing.line("area", (left - 6.0, edge), (right, edge));
        drawing.text("profile-label", (right, edge + beside), "end", name);
    }
}

#[allow(clippy::cast_precision_loss, reason = "a picture needs no more digits")]
fn units(quantity: u128) -> f64 {
    quantity as f64 / SCALE as f64
}

fn quantity(bucket: &BucketVolume) -> f64 {
    units(bucket.bought + bucket.sold)
}

fn price(scaled: i64) -> f64 {
    assay_engine::indicators::price_as_f64(scaled)
}
