//! What a gateway that runs keeps until its next start, whatever its file says by then.

use secrecy::{ExposeSecret, SecretString};

use super::{Cache, Config, Conversation, Idempotency, Limits, Mcp, Server, Store};

impl Config {
    /// Puts what only a start reads back to what `running` has; the sections that say otherwise, by their names.
    ///
    /// What is listed here is what a reload does change. A setting that nobody has thought of waits for the next start, and that is
    /// said; a section that nobody has thought of does not compile.
    pub(crate) fn keep_what_runs(&mut self, running: &Self) -> Vec<&'static str> {
        let Self {
            server,
            store,
            cache,
            conversation,
            limits,
            idempotency,
            log,
            tools,
            mcp,
            secret,
            // All of these are built anew.
            timeouts: _,
            retry: _,
            breaker: _,
            routing: _,
            agent: _,
            budget: _,
            providers: _,
            models: _,
            keys: _,
            admin: _,
            webhook: _,
            projects: _,
            upstreams: _,
            // These are no settings.
            files: _,
            nobody: _,
            warnings: _,
        } = self;
        let mut kept = Kept(Vec::new());
        let now = Server {
            auth: server.auth,
            ..running.server.clone()
        };
        kept.keep("server", server, now);
        let now = Store {
            keep: store.keep,
            ..running.store.clone()
        };
        kept.keep("store", store, now);
        let exposed =
            |secret: &Option<SecretString>| secret.as_ref().map(|s| s.expose_secret().to_owned());
        if exposed(secret) != exposed(&running.secret) {
            kept.note("store");
            secret.clone_from(&running.secret);
        }
        let now = Cache {
            enabled: cache.enabled,
            ttl: cache.ttl,
            ..running.cache
        };
        kept.keep("cache", cache, now);
        let now = Conversation {
            window: conversation.window,
            keep: conversation.keep,
            summarize: conversation.summarize,
            forget_after: conversation.forget_after,
            ..running.conversation
        };
        kept.keep("conversation", conversation, now);
        let now = Limits {
            max_attempts: limits.max_attempts,
            max_in_flight: limits.max_in_flight,
            user_rpm: limits.user_rpm,
            user_tpm: limits.user_tpm,
            without_redis: limits.without_redis,
            ..running.limits
        };
        kept.keep("limits", limits, now);
        let now = Idempotency {
            ttl: idempotency.ttl,
            wait: idempotency.wait,
            ..running.idempotency
        };
        kept.keep("idempotency", idempotency, now);
        kept.keep("log", log, running.log.clone());
        let now = tools.switched(&running.tools);
        kept.keep("tools", tools, now);
        // The folders are open already, and perhaps for reading only.
        if tools.changes_files() && !running.tools.changes_files() {
            kept.note("tools");
        }
        let now = Mcp {
            oauth: mcp.oauth.clone(),
            ..running.mcp.clone()
        };
        kept.keep("mcp_server", mcp, now);
        kept.0
    }
}

struct Kept(Vec<&'static str>);

impl Kept {
    fn keep<T: PartialEq>(&mut self, name: &'static str, section: &mut T, now: T) {
        if *section != now {
            self.note(name);
            *section = now;
        }
    }

    fn note(&mut self, name: &'static str) {
        if !self.0.contains(&name) {
            self.0.push(name);
        }
    }
}
