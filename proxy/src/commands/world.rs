//! What loading a configuration may ask of the real world.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use axum::body::Bytes;
use http::Request;
use rungs::{
    http::read_body,
    provider::{HyperTransport, TransportConfig},
};
use serde::Deserialize;
use tokio::{runtime, time::timeout};
use tower::ServiceExt;

use crate::{
    cli::ConfigArgs,
    config::{Config, MODE, Mode, Ollama, Source, StoreUrl, Vars, World},
};

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "rungs.toml";

/// How long a local server may take to say which models it has, from the look-up of its name to the last byte; and the most it may say.
const PATIENCE: Duration = Duration::from_secs(1);
const LIMIT: usize = 1 << 20;

/// Loads the configuration that `args` name, with the environment. Connects to nobody.
pub(super) fn load(args: &ConfigArgs) -> anyhow::Result<Config> {
    load_asking(args, &|_| Ollama::NotAsked)
}

/// The same for who calls models: a local server is asked which it has.
pub(super) fn load_with_models(args: &ConfigArgs) -> anyhow::Result<Config> {
    LocalModels::default().load(args)
}

/// What a local server has said, for who asks more than once: while it restarts, its models are still its own.
#[derive(Default)]
pub(super) struct LocalModels(Mutex<HashMap<String, Vec<String>>>);

impl LocalModels {
    /// Loads the configuration that `args` name.
    pub(super) fn load(&self, args: &ConfigArgs) -> anyhow::Result<Config> {
        load_asking(args, &|endpoint| self.at(endpoint))
    }

    fn at(&self, endpoint: &str) -> Ollama {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(installed) = installed(endpoint) {
            known.insert(endpoint.to_owned(), installed);
        }
        known
            .get(endpoint)
            .cloned()
            .map_or(Ollama::Silent, Ollama::Has)
    }
}

fn load_asking(args: &ConfigArgs, ollama: &dyn Fn(&str) -> Ollama) -> anyhow::Result<Config> {
    let file = match &args.config {
        Some(file) => Some(file.as_path()),
        None => Some(Path::new(DEFAULT_FILE)).filter(|file| file.exists()),
    };
    let source = match file {
        Some(file) => {
            let text = fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            Some(Source::new(file.display().to_string(), text))
        }
        None => None,
    };
    let vars: Vars = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let world = World {
        vars: &vars,
        read: &|path| fs::read_to_string(path),
        find: &|path| fs::canonicalize(path).ok(),
        ollama,
    };
    Ok(Config::load(source.as_ref(), &world)?)
}

/// What the environment says that a process is which was given no command.
pub(super) fn mode() -> Mode {
    let word = std::env::var(MODE).unwrap_or_default();
    // What is not ours is told with the warnings of the configuration.
    Mode::named(&word).unwrap_or_default()
}

/// What is not wrong with a configuration and should be known.
pub(super) fn say(config: &Config) {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
}

/// Where the database lies, or what is on its way to one that processes share: with another one budgets would be others too.
pub(super) fn say_where(config: &Config) {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match &config.store.url {
        StoreUrl::Sqlite(file) => tracing::info!(file = %whole(file).display(), "the database"),
        StoreUrl::Postgres(_) => {
            let folder = whole(&config.store.folder);
            tracing::info!(folder = %folder.display(), "rows on their way to the database");
        }
        StoreUrl::Memory => {}
    }
}

/// The models that an Ollama at `endpoint` has. One short question with a runtime of its own, before there is another.
fn installed(endpoint: &str) -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Tags {
        models: Vec<Tag>,
    }
    #[derive(Deserialize)]
    struct Tag {
        name: String,
    }
    let request = Request::get(format!("{endpoint}/api/tags")).body(Bytes::new())?;
    let config = TransportConfig::default()
        .connect_timeout(PATIENCE)
        .allow_private();
    let asked = async {
        let answer = HyperTransport::new(&config)?.oneshot(request).await?;
        let (head, body) = answer.into_parts();
        let body = read_body(&head.headers, body, LIMIT, PATIENCE).await?;
        let tags: Tags = serde_json::from_slice(&body)?;
        Ok(tags.models.into_iter().map(|tag| tag.name).collect())
    };
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answered = runtime.block_on(async { timeout(PATIENCE, asked).await });
    // A name that is still being looked up must not be waited for.
    runtime.shutdown_background();
    answered?
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
        time::Instant,
    };

    use super::*;

    #[test]
    fn a_local_server_is_found_on_whichever_address_it_listens_and_remembered_while_it_restarts() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoint = format!("http://localhost:{port}/ollama");
        let answering = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            let read = socket.read(&mut asked).unwrap();
            let body = r#"{"models":[{"name":"qwen3:4b"}]}"#;
            write!(socket, "HTTP/1.0 200 OK\r\n\r\n{body}").unwrap();
            socket.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = socket.read_to_end(&mut Vec::new());
            String::from_utf8_lossy(&asked[..read]).into_owned()
        });
        let models = LocalModels::default();
        let has = Ollama::Has(vec!["qwen3:4b".to_owned()]);
        assert_eq!(models.at(&endpoint), has);
        let asked = answering.join().unwrap();
        assert!(asked.starts_with("GET /ollama/api/tags "), "{asked}");
        assert_eq!(models.at(&endpoint), has, "nobody listens there any more");
        assert_eq!(LocalModels::default().at(&endpoint), Ollama::Silent);
    }

    #[test]
    fn a_local_server_that_drips_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.read(&mut [0; 1024]);
            let mut alive = write!(socket, "HTTP/1.1 200 OK\r\n\r\n").is_ok();
            while alive {
                alive = socket.write_all(b" ").is_ok();
                thread::sleep(Duration::from_millis(20));
            }
        });
        let began = Instant::now();
        assert_eq!(LocalModels::default().at(&endpoint), Ollama::Silent);
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
    }
}
