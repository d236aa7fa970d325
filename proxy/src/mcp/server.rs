//! What MCP clients are answered, over whichever transport they came.
#![expect(
    deprecated,
    reason = "2026-07-28 deprecates log messages; the older revisions have them, and clients ask for them"
)]

use std::sync::Arc;

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult,
        CompletionInfo, Extensions, GetPromptRequestParams, GetPromptResponse, Implementation,
        ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
        PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse, Reference,
        ServerCapabilities, ServerConfig, SetLevelRequestParams, SubscriptionFilter, Tool,
        ToolAnnotations,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext},
    transport::common::http_header::HEADER_SESSION_ID,
};
use rungs::Error;

use super::{
    call::call,
    changes::Changes,
    connection::{Connection, Who},
    consent::{self, Asked, Trails, is_stateless},
    page::Page,
    prompts, resources,
    sessions::{Sessions, UnderWay},
};
use crate::{
    auth::Principal,
    gateway::Gateway,
    tools::{Caller, Effect, Spec, Toolbox, Trail},
};

const INSTRUCTIONS: &str = "\
A gateway to language models that starts each question on the cheapest model that can carry it. Hand small tasks to `route`, ask a \
certain model with `chat`, let others check your answer with `second_opinion`, and give a task that went wrong to a stronger model \
with `escalate`. `estimate_cost`, `explain_route` and `remaining_budget` cost nothing.";

/// The MCP server. Clones are of one connection.
#[derive(Clone)]
pub(crate) struct Server {
    gateway: Gateway,
    toolbox: Arc<Toolbox>,
    tools: Arc<[Tool]>,
    /// What conversations have read whose requests stand alone.
    trails: Trails,
    connection: Arc<Connection>,
}

impl Server {
    pub(crate) fn new(gateway: Gateway, toolbox: Arc<Toolbox>, who: Who) -> Self {
        let tools = toolbox.list().map(listed).collect();
        let trails = Trails::new(gateway.live().config.mcp.session_ttl);
        Self {
            gateway,
            toolbox,
            tools,
            trails,
            connection: Arc::new(Connection::of(who)),
        }
    }

    /// The same for another connection.
    pub(super) fn anew(&self) -> Self {
        self.of(self.connection.who.clone())
    }

    /// The same for another connection, of somebody else.
    pub(super) fn of(&self, who: Who) -> Self {
        Self {
            connection: Arc::new(Connection::of(who)),
            ..self.clone()
        }
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
        self.connection.check(&self.gateway).await
    }

    /// Whose conversation a request belongs to: the connection's, or the caller's where there is none.
    fn trail(&self, principal: &Principal, context: &RequestContext<RoleServer>) -> Trail {
        match self.connection.who {
            Who::EachRequest if is_stateless(context) => self.trails.of(principal),
            _ => self.connection.trail.clone(),
        }
    }

    /// What may change for a caller, from the moment on in which it is known of each other server whether it answers.
    async fn changes(&self, principal: Arc<Principal>) -> Changes {
        self.toolbox.mounted(&principal).await;
        Changes::of(Arc::clone(&self.toolbox), principal)
    }

    async fn caller(&self, extensions: &Extensions) -> Result<Arc<Principal>, ErrorData> {
        self.connection.caller(&self.gateway, extensions).await
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
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
        let principal = self.caller(&context.extensions).await?;
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
        let _under_way = under_way(&context);
        let principal = self.caller(&context.extensions).await?;
        let name = &*asked.name;
        let Some(tool) = self.toolbox.get(name, &principal).await else {
            let unknown = format!("there is no tool `{name}`; tools/list names them");
            return Err(ErrorData::invalid_params(unknown, None));
        };
        let mut caller = Caller {
            trail: self.trail(&principal, &context),
            session: session(&context),
            cancelled: context.ct.clone(),
            ..Caller::new(principal)
        };
        let arguments = asked.arguments.clone().unwrap_or_default();
        if let Some(doubt) = self.toolbox.doubt(tool.spec(), &caller, &arguments) {
            match consent::ask(&doubt, &asked, &context).await? {
                Asked::Answered(consent) => caller.consent = consent,
                Asked::ByClient(wanted) => return Ok(wanted.into()),
            }
        }
        let level = context.meta.log_level().or(self.connection.level());
        let called = call(&self.toolbox, name, caller, arguments, &context, level);
        Ok(called.await.into())
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
        let principal = self.caller(&context.extensions).await?;
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
        let principal = self.caller(&context.extensions).await?;
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

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        // Who may not call anything hears nothing either.
        if let Ok(principal) = self.caller(&context.extensions).await {
            let changes = self.changes(principal).await;
            self.connection.tell_of(changes, context.peer);
        }
    }

    fn accepted_subscription_filter(&self, _: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(SubscriptionFilter::builder().tools_list_changed().build())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let extensions = &context.request_context().extensions;
        let mut changes = self.changes(self.caller(extensions).await?).await;
        let ending = &self.gateway.state().ending;
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                () = ending.cancelled() => return Ok(()),
                () = changes.next() => {}
            }
            if context.sink().notify_tool_list_changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn set_level(
        &self,
        asked: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.connection.set_level(asked.level);
        Ok(())
    }
}

/// Keeps the session that a request came in from being idle meanwhile.
fn under_way(context: &RequestContext<RoleServer>) -> Option<UnderWay> {
    let parts = context.extensions.get::<http::request::Parts>()?;
    let sessions = parts.extensions.get::<Arc<Sessions>>()?;
    sessions.call(&session(context)?)
}

/// The session of the older revisions that a request over HTTP came in.
fn session(context: &RequestContext<RoleServer>) -> Option<Arc<str>> {
    let parts = context.extensions.get::<http::request::Parts>()?;
    // Of a request that stands alone it could be anything.
    let id = parts.headers.get(HEADER_SESSION_ID);
    let id = id.filter(|_| !is_stateless(context))?;
    id.to_str().ok().map(Arc::from)
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
