//! Watches passes from outside: how long each phase took, how each pass ended, and the events that people see. A pass that is dropped
//! half-way counts as abandoned. Events are filed by a task of their own, so that a slow API server delays no pass.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::sync::mpsc;

/// An event of equal reason and message about one object is filed again only after this.
const RE_FILE_AFTER: Duration = Duration::from_hours(1);
const QUEUE: usize = 1024;

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is as wanted.
    Applied,
    /// It waits for something that comes by itself.
    Waiting,
    /// There was nothing to do: paused, or only left to go.
    Skipped,
    /// It failed, or needs a person.
    Failed,
    /// It was dropped before its end.
    Abandoned,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Waiting => "waiting",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Something to tell about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether a person has to act.
    pub warning: bool,
    /// One word.
    pub reason: String,
    /// A sentence that ends with what to type next, where there is something to type.
    pub message: String,
    /// What was being done.
    pub action: String,
}

/// The metrics, and where notices are handed in.
#[derive(Clone)]
pub struct Observer {
    /// Everything that is measured.
    pub registry: Registry,
    passes: IntCounterVec,
    running: IntGauge,
    phases: HistogramVec,
    /// What the brokers were asked, by call.
    pub kafka_calls: IntCounterVec,
    /// Records that wait, by namespace and name.
    pub lag: IntGaugeVec,
    /// Seconds until retention deletes the oldest unread record.
    pub headroom: GaugeVec,
    /// Whether the pipeline is ready.
    pub ready: IntGaugeVec,
    notices: mpsc::Sender<(ObjectReference, Notice)>,
}

impl Observer {
    /// With metrics registered and the task for events running.
    ///
    /// # Errors
    /// Where a metric's name is taken: a defect.
    pub fn start(client: Client, pod: &str) -> Result<Self, prometheus::Error> {
        let (notices, queue) = mpsc::channel(QUEUE);
        tokio::spawn(file_events(client, pod.to_owned(), queue));
        Self::new(notices)
    }

    fn new(notices: mpsc::Sender<(ObjectReference, Notice)>) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let passes = IntCounterVec::new(
            Opts::new("assay_operator_reconciles_total", "Passes by outcome."),
            &["outcome"],
        )?;
        let options = HistogramOpts::new(
            "assay_operator_reconcile_phase_seconds",
            "Time of each phase of a pass.",
        );
        let phases = HistogramVec::new(options.buckets(vec![0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 30.0]), &["phase"])?;
        let running = IntGauge::new(
            "assay_operator_reconciles_running",
            "Passes that run now; at 32 further pipelines wait for their turn.",
        )?;
        let kafka_calls = IntCounterVec::new(
            Opts::new(
                "assay_operator_kafka_calls_total",
                "Questions and orders to brokers, by call.",
            ),
            &["call"],
        )?;
        let by_pipeline = &["namespace", "pipeline"];
        let lag = IntGaugeVec::new(
            Opts::new("assay_operator_lag_records", "Records that wait; absent where unknown."),
            by_pipeline,
        )?;
        let headroom = GaugeVec::new(
            Opts::new(
                "assay_operator_retention_headroom_seconds",
                "Time until retention deletes the oldest unread record.",
            ),
            by_pipeline,
        )?;
        let ready = IntGaugeVec::new(
            Opts::new("assay_operator_pipeline_ready", "1 where the pipeline is ready."),
            by_pipeline,
        )?;
        registry.register(Box::new(passes.clone()))?;
        registry.register(Box::new(running.clone()))?;
        registry.register(Box::new(phases.clone()))?;
        registry.register(Box::new(kafka_calls.clone()))?;
        registry.register(Box::new(lag.clone()))?;
        registry.register(Box::new(headroom.clone()))?;
        registry.register(Box::new(ready.clone()))?;
        Ok(Self {
            registry,
            passes,
            running,
            phases,
            kafka_calls,
            lag,
            headroom,
            ready,
            notices,
        })
    }

    /// Begins to watch a pass.
    #[must_use]
    pub fn pass(&self) -> Pass {
        self.running.inc();
        Pass {
            observer: self.clone(),
            outcome: Outcome::Abandoned,
            phase: None,
        }
    }

    /// Hands a notice in; a full queue drops it, because telling must not stop doing.
    pub fn tell(&self, object: ObjectReference, notice: Notice) {
        if let Err(error) = self.notices.try_send((object, notice)) {
            tracing::warn!(%error, "an event was not filed");
        }
    }

    /// Takes the figures of a pipeline that is gone out of the metrics.
    pub fn forget(&self, namespace: &str, pipeline: &str) {
        let labels = &[namespace, pipeline];
        // An absent label set is what is wanted.
        let _ = self.lag.remove_label_values(labels);
        let _ = self.headroom.remove_label_values(labels);
        let _ = self.ready.remove_label_values(labels);
    }
}

/// One pass under watch; counts itself when dropped.
pub struct Pass {
    observer: Observer,
    outcome: Outcome,
    phase: Option<(&'static str, Instant)>,
}

impl Pass {
    /// Ends the running phase and begins another.
    pub fn phase(&mut self, name: &'static str) {
        self.end_phase();
        self.phase = Some((name, Instant::now()));
    }

    /// Says how the pass ended.
    pub fn end(&mut self, outcome: Outcome) {
        self.end_phase();
        self.outcome = outcome;
    }

    fn end_phase(&mut self) {
        if let Some((name, began)) = self.phase.take() {
            self.observer
                .phases
                .with_label_values(&[name])
                .observe(began.elapsed().as_secs_f64());
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.end_phase();
        self.observer.running.dec();
        self.observer.passes.with_label_values(&[self.outcome.as_str()]).inc();
    }
}

/// Files notices until the operator ends; one that says nothing new is left out.
async fn file_events(client: Client, pod: String, mut queue: mpsc::Receiver<(ObjectReference, Notice)>) {
    let reporter = Reporter {
        controller: "assay-operator".to_owned(),
        instance: Some(pod),
    };
    let mut filed: HashMap<(String, String), (String, Instant)> = HashMap::new();
    while let Some((object, notice)) = queue.recv().await {
        let key = (object.uid.clone().unwrap_or_default(), notice.action.clone());
        filed.retain(|_, (_, when)| when.elapsed() < RE_FILE_AFTER);
        if filed.get(&key).is_some_and(|(message, _)| *message == notice.message) {
            continue;
        }
        let message = notice.message.clone();
        // A recorder counts an event of equal reason and keeps its first note: each note needs one of its own.
        let recorder = Recorder::new(client.clone(), reporter.clone());
        match recorder.publish(&event(notice), &object).await {
            Ok(()) => drop(filed.insert(key, (message, Instant::now()))),
            Err(error) => tracing::warn!(%error, "an event was refused"),
        }
    }
}

/// Longest note that the API server takes.
const NOTE_LIMIT: usize = 1000;

fn event(notice: Notice) -> Event {
    let mut note = notice.message;
    if note.len() > NOTE_LIMIT {
        let end = (0..=NOTE_LIMIT)
            .rev()
            .find(|&end| note.is_char_boundary(end))
            .unwrap_or(0);
        note.truncate(end);
    }
    Event {
        type_: if notice.warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: notice.reason,
        note: Some(note),
        action: notice.action,
        secondary: None,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;

    fn observer() -> Observer {
        Observer::new(mpsc::channel(1).0).unwrap()
    }

    fn passes(observer: &Observer, outcome: Outcome) -> u64 {
        observer.passes.with_label_values(&[outcome.as_str()]).get()
    }

    #[test]
    fn a_pass_that_ends_is_counted_by_its_outcome() {
        let observer = observer();
        let mut pass = observer.pass();
        pass.phase("dereference");
        pass.end(Outcome::Waiting);
        drop(pass);
        assert_eq!(
            (
                passes(&observer, Outcome::Waiting),
                passes(&observer, Outcome::Abandoned)
            ),
            (1, 0)
        );
        assert_eq!(
            observer.phases.with_label_values(&["dereference"]).get_sample_count(),
            1
        );
    }

    #[test]
    fn a_pass_that_is_dropped_half_way_is_abandoned() {
        let observer = observer();
        let mut pass = observer.pass();
        pass.phase("apply");
        assert_eq!(observer.running.get(), 1);
        drop(pass);
        assert_eq!(observer.running.get(), 0);
        assert_eq!(passes(&observer, Outcome::Abandoned), 1);
        assert_eq!(observer.phases.with_label_values(&["apply"]).get_sample_count(), 1);
    }

    /// An API server that fails once and takes every event after that; gives how often it was asked.
    fn failing_once() -> (Client, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let answer = move |_: Request<Body>| {
            let (code, body) = match count.fetch_add(1, Ordering::SeqCst) {
                0 => (
                    500,
                    json!({"kind": "Status", "status": "Failure", "reason": "InternalError", "message": "", "code": 500}),
                ),
                _ => (
                    201,
                    json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {}}),
                ),
            };
            let response = Response::builder()
                .status(code)
                .body(Body::from(body.to_string().into_bytes()));
            async move { Ok::<_, Infallible>(response.unwrap()) }
        };
        (Client::new(service_fn(answer), "trading"), asked)
    }

    #[tokio::test]
    async fn an_event_that_was_refused_is_filed_when_it_is_told_again_and_then_no_more() {
        let notice = Notice {
            warning: true,
            reason: "R".into(),
            message: "M".into(),
            action: "A".into(),
        };
        let (client, asked) = failing_once();
        let (notices, queue) = mpsc::channel(3);
        for _ in 0..3 {
            notices.try_send((ObjectReference::default(), notice.clone())).unwrap();
        }
        drop(notices);
        file_events(client, "pod".into(), queue).await;
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_long_note_is_cut_at_a_character() {
        let notice = Notice {
            warning: true,
            reason: "R".into(),
            message: "θ".repeat(900),
            action: "A".into(),
        };
        assert!(event(notice).note.unwrap().len() <= NOTE_LIMIT);
    }
}
