//! What MCP clients are answered, over whichever transport they came.
#![expect(
    deprecated,
    reason = "2026-07-28 deprecates log messages; the older revisions have them, and clients ask for them"
)]

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams,
        CompleteResult, CompletionInfo, ContentBlock, GetPromptRequestParams, GetPromptResponse,
        Implementation, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
        ListToolsResult, LoggingLevel, LoggingMessageNotificationParam, MetaObject,
        PaginatedRequestParams, ProgressToken, ReadResourceRequestParams, ReadResourceResponse,
        Reference, ServerCapabilities, ServerConfig, SetLevelRequestParams, Tool, ToolAnnotations,
    },
    service::{Peer, RequestContext},
};
use rungs::{Error, ErrorKind};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::{page::Page, progress::Reported, prompts, resources};
use crate::{
    auth::Principal,
    gateway::Gateway,
    http::Grant,
    tools::{Caller, Effect, Progress, Spec, Toolbox},
};

const INSTRUCTIONS: &str = "\
A gateway to language models that starts each question on the cheapest model that can carry it. Hand small tasks to `route`, ask a \
certain model with `chat`, let others check your answer with `second_opinion`, and give a task that went wrong to a stronger model \
with `escalate`. `estimate_cost`, `explain_route` and `remaining_budget` cost nothing.";

/// The MCP server. Clones share everything but are of one connection: they share its log level.
#[derive(Clone)]
pub(crate) struct Server {
    gateway: Gateway,
    toolbox: Arc<Toolbox>,
    tools: Arc<[Tool]>,
    who: Who,
    /// From which level on a client of an older revision wants log messages, once it has said so.
    level: Arc<Mutex<Option<LoggingLevel>>>,
}

/// Who calls.
#[derive(Clone)]
pub(crate) enum Who {
    /// A program on this computer that needs no key.
    Local(Arc<Principal>),
    /// The holder of a key, for as long as the connection lasts.
    Key(SecretString),
    /// Whoever the gate let in with each request.
    EachRequest,
}

impl Server {
    pub(crate) fn new(gateway: Gateway, toolbox: Arc<Toolbox>, who: Who) -> Self {
        let tools = toolbox.list().map(listed).collect();
        Self {
            gateway,
            toolbox,
            tools,
            who,
            level: Arc::default(),
        }
    }

    /// The same for another connection.
    pub(super) fn anew(&self) -> Self {
        Self {
            level: Arc::default(),
            ..self.clone()
        }
    }

    /// The same for another connection, of somebody else.
    pub(super) fn of(&self, who: Who) -> Self {
        Self { who, ..self.anew() }
    }

    /// Writes to the log what there is, with a hash that changes only with it.
    pub(crate) fn announce(&self) {
        let live = self.gateway.live();
        tracing::info!(
            tools = self.tools.len(),
            hash = %self.toolbox.digest(),
            roots = ?live.config.tools.roots,
            "MCP tools"
        );
    }

    /// Whether the caller may come in at all, as far as that is known before a request.
    pub(super) async fn check(&self) -> Result<(), Error> {
        match &self.who {
            Who::Key(key) => self.holder(key).await.map(|_| ()),
            Who::Local(_) | Who::EachRequest => Ok(()),
        }
    }

    /// Who holds a key.
    async fn holder(&self, key: &SecretString) -> Result<Arc<Principal>, Error> {
        let principal = self.gateway.principal(key.expose_secret()).await?;
        Grant::Mcp.admits(&principal)?;
        Ok(principal)
    }

    /// Who sent a request. A key is looked at each time: it may have ended since.
    async fn caller(
        &self,
        context: &RequestContext<RoleServer>,
    ) -> Result<Arc<Principal>, ErrorData> {
        match &self.who {
            Who::Local(principal) => Ok(Arc::clone(principal)),
            Who::Key(key) => {
                let holder = self.holder(key).await;
                holder.map_err(|error| ErrorData::invalid_request(error.message().to_owned(), None))
            }
            Who::EachRequest => {
                let parts = context.extensions.get::<http::request::Parts>();
                let principal = parts.and_then(|parts| parts.extensions.get::<Arc<Principal>>());
                principal.cloned().ok_or_else(|| {
                    ErrorData::internal_error("a request came past authentication", None)
                })
            }
        }
    }

    /// Calls the tool, and passes on what it says of its progress meanwhile.
    async fn run(
        &self,
        name: &str,
        mut caller: Caller,
        arguments: Map<String, Value>,
        token: Option<ProgressToken>,
        peer: &Peer<RoleServer>,
    ) -> Result<Value, Error> {
        let Some(token) = token else {
            return self.toolbox.call(name, caller, arguments).await;
        };
        let (progress, mut said) = Progress::heard();
        caller.progress = progress;
        let mut result = std::pin::pin!(self.toolbox.call(name, caller, arguments));
        let mut reported = Reported::new(token);
        loop {
            tokio::select! {
                biased;
                Some(said) = said.recv() => reported.report(said, peer).await,
                result = &mut result => {
                    reported.rest(&mut said, peer).await;
                    return result;
                }
            }
        }
    }

    /// Tells a client that wants log messages what came of a call.
    async fn log(
        &self,
        context: &RequestContext<RoleServer>,
        tool: &str,
        began: Instant,
        failed: Option<&Error>,
    ) {
        let own = *self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let level = match failed {
            Some(_) => LoggingLevel::Warning,
            None => LoggingLevel::Info,
        };
        let wanted = context.meta.log_level().or(own);
        if wanted.is_none_or(|wanted| severity(level) < severity(wanted)) {
            return;
        }
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let outcome = failed.map_or("ok", |error| error.kind().as_str());
        let data = json!({ "tool": tool, "ms": ms, "outcome": outcome });
        let message = LoggingMessageNotificationParam::new(level, data).with_logger("rungs");
        let _ = context.peer.notify_logging_message(message).await;
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_prompts()
            .enable_completions()
            .enable_logging()
            .build();
        let implementation =
            Implementation::new("rungs", env!("CARGO_PKG_VERSION")).with_title("rungs");
        ServerConfig::new(capabilities)
            .with_server_info(implementation)
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        asked: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let principal = self.caller(&context).await?;
        let mounted = self.toolbox.mounted(&principal).await;
        let mounted = mounted.iter().map(|tool| listed(tool.spec()));
        let tools: Vec<Tool> = self.tools.iter().cloned().chain(mounted).collect();
        let page = Page::of(&tools, asked.as_ref())?;
        let mut result = ListToolsResult::with_all_items(page.items);
        result.next_cursor = page.next;
        Ok(result)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        asked: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let began = Instant::now();
        let principal = self.caller(&context).await?;
        let name = &*asked.name;
        if self.toolbox.get(name, &principal).await.is_none() {
            let unknown = format!("there is no tool `{name}`; tools/list names them");
            return Err(ErrorData::invalid_params(unknown, None));
        }
        let mut caller = Caller::new(principal);
        caller.cancelled = context.ct.clone();
        let arguments = asked.arguments.unwrap_or_default();
        let token = context.meta.get_progress_token();
        let running = self.run(name, caller, arguments, token, &context.peer);
        let result = running.await;
        self.log(&context, name, began, result.as_ref().err()).await;
        Ok(match result {
            Ok(value) => CallToolResult::structured(value).into(),
            Err(error) => failure(name, &error).into(),
        })
    }

    async fn list_resources(
        &self,
        asked: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let page = Page::of(&resources::list(), asked.as_ref())?;
        let mut result = ListResourcesResult::with_all_items(page.items);
        result.next_cursor = page.next;
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        asked: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let page = Page::of(&resources::templates(), asked.as_ref())?;
        let mut result = ListResourceTemplatesResult::with_all_items(page.items);
        result.next_cursor = page.next;
        Ok(result)
    }

    async fn read_resource(
        &self,
        asked: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let principal = self.caller(&context).await?;
        let read = resources::read(&self.gateway, &principal, &asked.uri).await?;
        Ok(read.into())
    }

    async fn list_prompts(
        &self,
        asked: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let page = Page::of(&prompts::list(), asked.as_ref())?;
        let mut result = ListPromptsResult::with_all_items(page.items);
        result.next_cursor = page.next;
        Ok(result)
    }

    async fn get_prompt(
        &self,
        asked: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let arguments = asked.arguments.unwrap_or_default();
        Ok(prompts::get(&asked.name, &arguments)?.into())
    }

    async fn complete(
        &self,
        asked: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let principal = self.caller(&context).await?;
        let values = match (&asked.r#ref, &*asked.argument.name) {
            (Reference::Prompt(_), prompts::MODEL) => {
                let live = self.gateway.live();
                let names = live.catalog.names().filter(|name| {
                    principal.may_ask(name) && name.starts_with(&asked.argument.value)
                });
                names
                    .take(CompletionInfo::MAX_VALUES)
                    .map(ToString::to_string)
                    .collect()
            }
            _ => Vec::new(),
        };
        let completion = CompletionInfo::with_all_values(values)
            .map_err(|why| ErrorData::internal_error(why, None))?;
        Ok(CompleteResult::new(completion))
    }

    async fn set_level(
        &self,
        asked: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked.level);
        Ok(())
    }
}

/// A tool as clients see it.
fn listed(spec: &Spec) -> Tool {
    let changes = matches!(spec.effect, Effect::Write | Effect::Exec);
    let annotations = ToolAnnotations::with_title(spec.title.to_string())
        .read_only(spec.effect == Effect::Read)
        .destructive(changes)
        .open_world(spec.effect == Effect::Net);
    let tool = Tool::new(
        spec.name.clone(),
        spec.description.clone(),
        spec.input.clone(),
    )
    .with_title(spec.title.to_string())
    .with_annotations(annotations);
    match &spec.output {
        Some(output) => tool.with_raw_output_schema(output.clone()),
        None => tool,
    }
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
