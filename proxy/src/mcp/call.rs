//! One call of a tool, as its client hears of it.
#![expect(
    deprecated,
    reason = "2026-07-28 deprecates log messages; the older revisions have them, and clients ask for them"
)]

use std::time::Instant;

use rmcp::{
    RoleServer,
    model::{
        CallToolResult, ContentBlock, LoggingLevel, LoggingMessageNotificationParam, MetaObject,
    },
    service::RequestContext,
};
use rungs::{Error, ErrorKind};
use serde_json::{Map, Value, json};

use super::progress::Reported;
use crate::tools::{Caller, Progress, Toolbox};

/// Calls the tool `name`, and passes on what it says of its progress meanwhile. A client that wants to hear of what is at `level` is told
/// what came of it.
pub(super) async fn call(
    toolbox: &Toolbox,
    name: &str,
    caller: Caller,
    arguments: Map<String, Value>,
    context: &RequestContext<RoleServer>,
    level: Option<LoggingLevel>,
) -> CallToolResult {
    let began = Instant::now();
    let result = run(toolbox, name, caller, arguments, context).await;
    log(context, level, name, began, result.as_ref().err()).await;
    match result {
        Ok(value) => CallToolResult::structured(value),
        Err(error) => failure(name, &error),
    }
}

async fn run(
    toolbox: &Toolbox,
    name: &str,
    mut caller: Caller,
    arguments: Map<String, Value>,
    context: &RequestContext<RoleServer>,
) -> Result<Value, Error> {
    let Some(token) = context.meta.get_progress_token() else {
        return toolbox.call(name, caller, arguments).await;
    };
    let (progress, mut said) = Progress::heard();
    caller.progress = progress;
    let mut result = std::pin::pin!(toolbox.call(name, caller, arguments));
    let mut reported = Reported::new(token);
    loop {
        tokio::select! {
            biased;
            Some(said) = said.recv() => reported.report(said, &context.peer).await,
            result = &mut result => {
                reported.rest(&mut said, &context.peer).await;
                return result;
            }
        }
    }
}

async fn log(
    context: &RequestContext<RoleServer>,
    wanted: Option<LoggingLevel>,
    tool: &str,
    began: Instant,
    failed: Option<&Error>,
) {
    let level = match failed {
        Some(_) => LoggingLevel::Warning,
        None => LoggingLevel::Info,
    };
    if wanted.is_none_or(|wanted| severity(level) < severity(wanted)) {
        return;
    }
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let outcome = failed.map_or("ok", |error| error.kind().as_str());
    let data = json!({ "tool": tool, "ms": ms, "outcome": outcome });
    let message = LoggingMessageNotificationParam::new(level, data).with_logger("rungs");
    let _ = context.peer.notify_logging_message(message).await;
}

/// An error that the model may read and act on. Its cause is for the log alone.
fn failure(tool: &str, error: &Error) -> CallToolResult {
    if error.kind() == ErrorKind::Internal {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(tool, %error, cause, "a tool failed");
    }
    let mut text = error.message().to_owned();
    if let Some(wait) = error.get_retry_after() {
        text += &format!(" (try again in {} s)", wait.as_secs().max(1));
    }
    let mut result = CallToolResult::error(vec![ContentBlock::text(text)]);
    let mut meta = MetaObject::new();
    meta.0
        .insert("rungs/code".into(), error.kind().as_str().into());
    if let Some(param) = error.get_param() {
        meta.0.insert("rungs/param".into(), param.into());
    }
    result.meta = Some(meta);
    result
}

fn severity(level: LoggingLevel) -> u8 {
    match level {
        LoggingLevel::Debug => 0,
        LoggingLevel::Info => 1,
        LoggingLevel::Notice => 2,
        LoggingLevel::Warning => 3,
        LoggingLevel::Error => 4,
        LoggingLevel::Critical => 5,
        LoggingLevel::Alert => 6,
        LoggingLevel::Emergency => 7,
    }
}
