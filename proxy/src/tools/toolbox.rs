use std::sync::Arc;

use rungs::{Error, ErrorKind};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::{Audit, Caller, Consent, Doubt, Refusal, Spec, Tool};
use crate::{
    auth::Principal,
    config::{Untrusted, did_you_mean},
    gateway::Gateway,
};

/// All tools: ours in order, then those of other servers. Each is listed; those that the configuration does not allow answer with the
/// line that would.
pub(crate) struct Toolbox {
    pub(super) gateway: Gateway,
    tools: Vec<Arc<dyn Tool>>,
}

impl Toolbox {
    /// A box of `tools`, whose names are unique, under the switches of `gateway`'s configuration.
    pub(crate) fn new(gateway: Gateway, tools: Vec<Arc<dyn Tool>>) -> Self {
        Self { gateway, tools }
    }

    /// The tool of this name, if `principal` may see it: one of ours, or one of another server.
    pub(crate) async fn get(&self, name: &str, principal: &Principal) -> Option<Arc<dyn Tool>> {
        match self.tools.iter().find(|tool| tool.spec().name == name) {
            Some(own) => Some(Arc::clone(own)),
            None => self.gateway.state().upstreams.tool(name, principal).await,
        }
    }

    /// The tools of other servers that `principal` may see now, once it is known of each server whether it answers.
    pub(crate) async fn mounted(&self, principal: &Principal) -> Vec<Arc<dyn Tool>> {
        let upstreams = &self.gateway.state().upstreams;
        upstreams.settled().await;
        upstreams.tools(principal)
    }

    /// Our own tools, in an order that never changes.
    pub(crate) fn list(&self) -> impl ExactSizeIterator<Item = &Spec> {
        self.tools.iter().map(|tool| tool.spec())
    }

    /// Calls a tool. A call that is cancelled ends at once, and what it was doing with it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none of this name, [`ErrorKind::Forbidden`] if the configuration does not allow it, or
    /// it wants a person's consent and has none, [`ErrorKind::Unavailable`] or [`ErrorKind::Internal`] if it cannot be written down,
    /// [`ErrorKind::Invalid`] if the arguments do not fit, and the tool's own.
    pub(crate) async fn call(
        &self,
        name: &str,
        caller: Caller,
        arguments: Map<String, Value>,
    ) -> Result<Value, Error> {
        let tool = self.get(name, &caller.principal).await;
        let tool = tool.ok_or_else(|| self.unknown(name))?;
        let spec = tool.spec();
        let admitted = self.admitted(spec, &caller, &arguments);
        let audit = Audit::of(&self.gateway, &spec.name, spec.effect, &caller, &arguments);
        let call = |()| run(&*tool, caller, arguments);
        audit.over(admitted, call).await
    }

    /// Whether a call may be made. One that may counts as made in its conversation from here on.
    fn admitted(
        &self,
        spec: &Spec,
        caller: &Caller,
        arguments: &Map<String, Value>,
    ) -> Result<(), Refusal> {
        match self.checked(spec, caller, arguments)? {
            Some(doubt) if caller.consent != Consent::Given => Err(Refusal::because("no_consent")(
                doubt.without(caller.consent),
            )),
            _ => {
                caller.trail.follow(spec);
                Ok(())
            }
        }
    }

    /// Why a person must agree to a call before it is made; `None` too for one that fails anyway.
    pub(crate) fn doubt(
        &self,
        spec: &Spec,
        caller: &Caller,
        arguments: &Map<String, Value>,
    ) -> Option<Doubt> {
        self.checked(spec, caller, arguments).ok().flatten()
    }

    fn checked(
        &self,
        spec: &Spec,
        caller: &Caller,
        arguments: &Map<String, Value>,
    ) -> Result<Option<Doubt>, Refusal> {
        let live = self.gateway.live();
        let tools = &live.config.tools;
        let allowed = tools.allows(&spec.name, spec.effect);
        allowed.map_err(Refusal::because("off"))?;
        known_arguments(spec, arguments).map_err(Refusal::because("arguments"))?;
        Ok(match tools.untrusted {
            Untrusted::Confirm => caller.trail.doubt(spec),
            Untrusted::Allow => None,
        })
    }

    /// A fingerprint of everything that clients are told of our own tools: equal as long as nothing in their list has changed.
    pub(crate) fn digest(&self) -> String {
        digest(self.list())
    }

    /// The same of the tools of other servers that `principal` may see now; of ours all see the same, always.
    pub(crate) fn mounted_digest(&self, principal: &Principal) -> String {
        let mounted = self.gateway.state().upstreams.tools(principal);
        digest(mounted.iter().map(|tool| tool.spec()))
    }

    /// Changes with whatever may change the tools that somebody may see.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.gateway.state().upstreams.changes()
    }

    fn unknown(&self, name: &str) -> Error {
        let names = self.tools.iter().map(|tool| &*tool.spec().name);
        let hint = did_you_mean(name, names);
        Error::new(
            ErrorKind::NotFound,
            format!("there is no tool `{name}`{hint}"),
        )
    }
}

/// Calls a tool that may be called.
async fn run(
    tool: &dyn Tool,
    caller: Caller,
    arguments: Map<String, Value>,
) -> Result<Value, Error> {
    let cancelled = caller.cancelled.clone();
    tokio::select! {
        biased;
        () = cancelled.cancelled() => Err(Error::new(ErrorKind::Cut, "the call was cancelled")),
        result = tool.call(caller, arguments) => result,
    }
}

fn digest<'a>(specs: impl Iterator<Item = &'a Spec>) -> String {
    let mut hasher = blake3::Hasher::new();
    for spec in specs {
        let Spec {
            name,
            title,
            description,
            effect,
            input,
            output,
            origin: _,
        } = spec;
        let told = json!([name, title, description, effect, **input, output.as_deref()]);
        hasher.update(told.to_string().as_bytes());
        hasher.update(b"\n");
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

/// Looks at the names of the arguments, so that every tool refuses what it does not know, and says what it lacks, in one way. Their
/// types are the tool's to check.
fn known_arguments(spec: &Spec, given: &Map<String, Value>) -> Result<(), Error> {
    let properties = spec.input.get("properties").and_then(Value::as_object);
    let wrong = |message: String, name: &str| Err(Error::invalid(message).param(name));
    if spec.input.get("additionalProperties") == Some(&Value::Bool(false)) {
        let known = |name: &str| properties.is_some_and(|all| all.contains_key(name));
        if let Some(name) = given.keys().find(|name| !known(name)) {
            let names = properties.into_iter().flat_map(|all| all.keys());
            let hint = did_you_mean(name, names.map(String::as_str));
            return wrong(format!("`{}` takes no `{name}`{hint}", spec.name), name);
        }
    }
    let required = spec.input.get("required").and_then(Value::as_array);
    let missing = required.into_iter().flatten().filter_map(Value::as_str);
    match { missing }.find(|name| !given.contains_key(*name)) {
        Some(name) => wrong(format!("`{}` needs `{name}`", spec.name), name),
        None => Ok(()),
    }
}
