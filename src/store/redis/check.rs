use std::sync::LazyLock;

use redis::{FromRedisValue, RedisResult, Value, aio::ConnectionLike, cmd};

use super::{
    connection::Connection,
    script::{Script, ScriptCall},
};

/// Whether a server can do what is asked of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fitness {
    Fit,
    /// It does not run scripts, and says why.
    NoScripts(String),
    /// When its memory is full it throws keys away, by this policy.
    Evicts(String),
}

/// Writes, so that a server which is full, read-only or still loading is not taken for one that is back.
static TRIAL: LazyLock<Script> =
    LazyLock::new(|| Script::new("return redis.call('SET', KEYS[1], '1', 'PX', 1000)"));

/// One round trip that calls would make too.
pub(super) async fn trial(connection: &mut Connection) -> RedisResult<()> {
    the_trial().with_code().query_async(connection).await
}

fn the_trial() -> ScriptCall {
    TRIAL.call(vec!["llm:trial".to_owned()])
}

/// Looks at a server. What is wrong with the connection, or will pass, is an error.
pub(super) async fn fitness(connection: &mut Connection) -> RedisResult<Fitness> {
    let trial = the_trial();
    for by_code in [true, false] {
        let run = match by_code {
            true => trial.with_code().query_async::<()>(connection).await,
            false => trial.run(connection).await,
        };
        match run {
            Ok(()) => {}
            Err(error) if is_refusal(&error) => return Ok(Fitness::NoScripts(error.to_string())),
            Err(error) => return Err(error),
        }
    }
    let mut info = cmd("INFO");
    info.arg("memory");
    // Of a cluster each node tells for itself: a query would take one's refusal for the answer of all.
    let told = match connection.req_packed_command(&info).await {
        Ok(Value::Map(nodes)) => nodes
            .into_iter()
            .map(|(_, told)| told.extract_error())
            .collect(),
        told => vec![told.and_then(Value::extract_error)],
    };
    for told in told {
        let memory = match told {
            Ok(told) => String::from_redis_value(told)?,
            // Some servers for rent do not tell: then nothing is known against them.
            Err(error) if is_refusal(&error) => continue,
            Err(error) => return Err(error),
        };
        if let Some(policy) = evicts(&memory) {
            return Ok(Fitness::Evicts(policy.to_owned()));
        }
    }
    Ok(Fitness::Fit)
}

/// The policy by which a server that tells this of its memory throws keys away.
fn evicts(memory: &str) -> Option<&str> {
    let field = |name: &str| {
        let mut lines = memory.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let is_bounded = field("maxmemory").is_some_and(|bytes| bytes.trim() != "0");
    let policy = field("maxmemory_policy").map(str::trim)?;
    (is_bounded && policy != "noeviction").then_some(policy)
}

/// Whether it is a decision of the server's owner, and no state that will pass.
fn is_refusal(error: &redis::RedisError) -> bool {
    match error.code() {
        Some("NOPERM") => true,
        Some("ERR") => {
            let detail = error.detail().unwrap_or_default();
            detail.contains("unknown command") || detail.contains("disabled")
        }
        _ => false,
    }
}
