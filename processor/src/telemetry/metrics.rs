//! Prometheus metrics of one processor, in a registry of their own.

use std::time::Duration;

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

const PREFIX: &str = "assay_processor_";

/// Handles to every metric; cheap to update from any thread.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Records that went through the live step.
    pub records: IntCounter,
    /// Records read again by a recovery.
    pub replayed: IntCounter,
    /// Bytes of keys and values.
    pub bytes: IntCounter,
    /// Offsets that the log skipped.
    pub skipped_offsets: IntCounter,
    /// Records that came again and were left out.
    pub repeated: IntCounter,
    /// Records per batch that a worker took.
    pub batch_records: Histogram,
    /// Time a worker spent on a batch.
    pub batch_seconds: Histogram,
    /// Commits that moved at least one partition.
    pub commits: IntCounter,
    /// Time from collecting a flush to its verdicts.
    pub commit_seconds: Histogram,
    /// Rows committed, by table.
    pub rows: IntCounterVec,
    /// Dead letters committed, by reason.
    pub dead_letters: IntCounterVec,
    /// Advances refused because another owner took over.
    pub fenced: IntCounter,
    /// Replies that were lost, so that progress had to tell.
    pub ambiguous: IntCounter,
    /// Recoveries because the store lost commits.
    pub restarts: IntCounter,
    /// Calls that failed, by what was called.
    pub errors: IntCounterVec,
    /// Calls that were tried again, by what was called.
    pub retries: IntCounterVec,
    /// Times a circuit breaker opened, by store: follows the breakers when the page is asked for.
    pub breaker_trips: IntCounterVec,
    /// Publishes that reached the latest-state store.
    pub publishes: IntCounter,
    /// Views published.
    pub published_views: IntCounter,
    /// Partitions published whole because their marker was behind or missing.
    pub republished: IntCounter,
    /// Time of one publish.
    pub publish_seconds: Histogram,
    /// Snapshots written.
    pub snapshots: IntCounter,
    /// Rebalance callbacks, by kind.
    pub rebalances: IntCounterVec,
    /// Records behind the log's end, by partition.
    pub lag_records: IntGaugeVec,
    /// Watermark, seconds since the epoch, by partition.
    pub watermark_seconds: IntGaugeVec,
    /// Partitions this process works on.
    pub partitions: IntGauge,
    /// Partitions that stopped for good.
    pub partitions_stopped: IntGauge,
    /// 0 HEALTHY, 1 DEGRADED, 2 UNHEALTHY.
    pub health: IntGauge,
    /// Seconds since the start.
    pub uptime_seconds: Gauge,
}

struct Builder(Registry);

impl Builder {
    fn add<C: prometheus::core::Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(format!("{PREFIX}{name}"), help)?)
    }

    fn counters(&self, name: &str, help: &str, label: &str) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(
            Opts::new(format!("{PREFIX}{name}"), help),
            &[label],
        )?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(format!("{PREFIX}{name}"), help)?)
    }

    fn gauges(&self, name: &str, help: &str) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(
            Opts::new(format!("{PREFIX}{name}"), help),
            &["partition"],
        )?)
    }

    fn seconds(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        let buckets = prometheus::exponential_buckets(0.0001, 4.0, 10)?;
        self.add(Histogram::with_opts(
            HistogramOpts::new(format!("{PREFIX}{name}"), help).buckets(buckets),
        )?)
    }

    fn sizes(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        let buckets = prometheus::exponential_buckets(1.0, 4.0, 8)?;
        self.add(Histogram::with_opts(
            HistogramOpts::new(format!("{PREFIX}{name}"), help).buckets(buckets),
        )?)
    }
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// A name that is malformed or taken twice: a defect.
    pub fn new() -> prometheus::Result<Self> {
        let b = Builder(Registry::new());
        Ok(Self {
            records: b.counter("records_total", "Records that went through the live step")?,
            replayed: b.counter("replayed_records_total", "Records read again by a recovery")?,
            bytes: b.counter("bytes_total", "Bytes of keys and values taken from the log")?,
            skipped_offsets: b.counter(
                "skipped_offsets_total",
                "Offsets the log skipped: control or compacted records",
            )?,
            repeated: b.counter(
                "repeated_total",
                "Records the client gave again after a rebalance, left out",
            )?,
            batch_records: b.sizes("batch_records", "Records per batch")?,
            batch_seconds: b.seconds("batch_seconds", "Time a worker spent on a batch")?,
            commits: b.counter("commits_total", "Commits that moved at least one partition")?,
            commit_seconds: b.seconds("commit_seconds", "Time from collecting a flush to its verdicts")?,
            rows: b.counters("rows_total", "Rows committed", "table")?,
            dead_letters: b.counters("dead_letters_total", "Dead letters committed", "reason")?,
            fenced: b.counter("fenced_total", "Advances refused because another owner took over")?,
            ambiguous: b.counter("ambiguous_total", "Lost replies that progress had to clear up")?,
            restarts: b.counter("restarts_total", "Recoveries because the store lost commits")?,
            errors: b.counters("errors_total", "Calls that failed", "call")?,
            retries: b.counters("retries_total", "Calls that were tried again", "call")?,
            breaker_trips: b.counters("breaker_trips_total", "Times a circuit breaker opened", "store")?,
            publishes: b.counter("publishes_total", "Publishes that reached the latest-state store")?,
            published_views: b.counter("published_views_total", "Symbol views published")?,
            republished: b.counter(
                "republished_total",
                "Partitions published whole: marker behind or missing",
            )?,
            publish_seconds: b.seconds("publish_seconds", "Time of one publish")?,
            snapshots: b.counter("snapshots_total", "Snapshots written")?,
            rebalances: b.counters("rebalances_total", "Rebalance callbacks", "kind")?,
            lag_records: b.gauges("lag_records", "Records behind the end of the log")?,
            watermark_seconds: b.gauges("watermark_seconds", "Watermark, seconds since the Unix epoch")?,
            partitions: b.gauge("partitions", "Partitions this process works on")?,
            partitions_stopped: b.gauge("partitions_stopped", "Partitions that stopped for good")?,
            health: b.gauge("health", "0 HEALTHY, 1 DEGRADED, 2 UNHEALTHY")?,
            uptime_seconds: b.add(Gauge::new(
                format!("{PREFIX}uptime_seconds"),
                "Seconds since the start",
            )?)?,
            registry: b.0,
        })
    }

    /// Sets the uptime and gives the text exposition.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn render(&self, uptime: Duration) -> prometheus::Result<String> {
        self.uptime_seconds.set(uptime.as_secs_f64());
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Forgets the gauges of a partition that went to another process.
    pub fn forget_partition(&self, partition: i32) {
        let label = partition.to_string();
        // An error says that the gauge was never set.
        let _ = self.lag_records.remove_label_values(&[&label]);
        let _ = self.watermark_seconds.remove_label_values(&[&label]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposition_names_what_was_counted() {
        let metrics = Metrics::new().unwrap();
        metrics.fenced.inc();
        metrics.lag_records.with_label_values(&["3"]).set(42);
        let text = metrics.render(Duration::from_secs(2)).unwrap();
        assert!(text.contains("assay_processor_fenced_total 1"));
        assert!(text.contains("assay_processor_lag_records{partition=\"3\"} 42"));
        assert!(text.contains("assay_processor_uptime_seconds 2"));
    }

    #[test]
    fn a_partition_that_left_has_no_gauges() {
        let metrics = Metrics::new().unwrap();
        metrics.lag_records.with_label_values(&["3"]).set(42);
        metrics.forget_partition(3);
        assert!(!metrics.render(Duration::ZERO).unwrap().contains("partition=\"3\""));
    }
}
