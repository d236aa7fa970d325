//! `GET /metrics` in Prometheus' text format.

use std::{sync::OnceLock, time::Duration};

use anyhow::Context;
use axum::{extract::State, response::IntoResponse};
use http::header;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// How often old samples are folded away; without it they pile up.
const UPKEEP: Duration = Duration::from_secs(5);

const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0,
];

/// The recorder of this process.
#[derive(Clone)]
pub(crate) struct Recorder(PrometheusHandle);

impl Recorder {
    /// Installs the recorder, once per process.
    pub(crate) fn install() -> anyhow::Result<Self> {
        static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();
        if let Some(handle) = INSTALLED.get() {
            return Ok(Self(handle.clone()));
        }
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
            .context("cannot set up metrics")?
            .build_recorder();
        let handle = INSTALLED.get_or_init(|| recorder.handle()).clone();
        metrics::set_global_recorder(recorder).context("cannot set up metrics")?;
        describe();
        Ok(Self(handle))
    }

    /// All metrics as Prometheus reads them.
    pub(crate) fn text(&self) -> String {
        self.0.render()
    }

    /// Folds old samples away for as long as it is polled.
    pub(crate) async fn keep_up(&self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.0.run_upkeep();
        }
    }
}

fn describe() {
    metrics::describe_counter!(
        "rungs_calls_total",
        "Calls by operation, tier that answered, cache state and status"
    );
    metrics::describe_histogram!(
        "rungs_call_seconds",
        "From a call's arrival to the end of its answer"
    );
    metrics::describe_histogram!(
        "rungs_first_frame_seconds",
        "From a streamed call's arrival to its first frame"
    );
    metrics::describe_gauge!("rungs_mcp_sessions", "Sessions of MCP clients");
    metrics::describe_counter!("rungs_attempts_total", "Attempts at deployments by status");
    metrics::describe_counter!("rungs_tokens_total", "Tokens by deployment and kind");
    metrics::describe_gauge!("rungs_redis_up", "Whether Redis answers");
    metrics::describe_counter!(
        "rungs_redis_failures_total",
        "Questions to Redis that were not answered"
    );
    metrics::describe_counter!(
        "rungs_redis_dropped_total",
        "Things to write to Redis that were too many to wait"
    );
    metrics::describe_counter!(
        "rungs_cost_nanodollars_total",
        "Cost in nano-dollars (1e-9 USD) by deployment"
    );
    metrics::describe_counter!(
        "rungs_ledger_rows_dropped_total",
        "Rows of what cost nothing that were too many to wait for a ledger that cannot be written"
    );
    metrics::describe_counter!(
        "rungs_budget_warnings_total",
        "Budgets that reached their mark, by kind of account"
    );
    metrics::describe_counter!(
        "rungs_cost_alerts_total",
        "Calls that cost more than `budget.alert`, by operation"
    );
    metrics::describe_counter!(
        "rungs_webhook_posts_total",
        "Messages to webhooks by what became of them"
    );
    metrics::describe_counter!(
        "rungs_mcp_calls_total",
        "Calls of mounted MCP tools by server and outcome"
    );
    metrics::describe_gauge!("rungs_mcp_up", "Whether a mounted MCP server answers");
    metrics::describe_counter!(
        "rungs_mcp_restarts_total",
        "Times that a mounted MCP server was away and had to be started or connected again"
    );
    metrics::describe_gauge!(
        "rungs_mcp_quarantined",
        "Tools of a mounted MCP server that say something else than was approved"
    );
    metrics::describe_counter!(
        "rungs_bound_violations_total",
        "Answers that told more tokens or a higher cost than their request can have, by deployment and kind"
    );
}

pub(super) async fn render(State(recorder): State<Recorder>) -> impl IntoResponse {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        recorder.text(),
    )
}
