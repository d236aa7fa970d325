//! What loading a configuration may ask of the real world.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use http::Uri;
use serde::Deserialize;

use crate::{
    cli::ConfigArgs,
    config::{Config, MODE, Mode, Ollama, Source, Vars, World},
};

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "rungs.toml";

/// How long a local server may take for each step of its answer.
const PATIENCE: Duration = Duration::from_millis(200);

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

/// The models that an Ollama at `endpoint` has. One short question over plain HTTP, before anything is started.
fn installed(endpoint: &str) -> io::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Tags {
        models: Vec<Tag>,
    }
    #[derive(Deserialize)]
    struct Tag {
        name: String,
    }
    let invalid = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
    let url: Uri = endpoint.parse().map_err(|_| invalid("no URL"))?;
    let (Some("http"), Some(host)) = (url.scheme_str(), url.host()) else {
        return Err(invalid("not http"));
    };
    let mut socket = connected(host, url.port_u16().unwrap_or(80))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    write!(socket, "GET /api/tags HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = Vec::new();
    socket.take(1 << 20).read_to_end(&mut answer)?;
    let body = body_of(&answer).ok_or_else(|| invalid("no HTTP answer"))?;
    let tags: Tags = serde_json::from_slice(body).map_err(io::Error::from)?;
    Ok(tags.models.into_iter().map(|tag| tag.name).collect())
}

/// A connection to the first address of `host` that takes one: `localhost` may be two, and a server listen on one of them.
fn connected(host: &str, port: u16) -> io::Result<TcpStream> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn body_of(answer: &[u8]) -> Option<&[u8]> {
    let at = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    Some(&answer[at + 4..])
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    #[test]
    fn a_local_server_is_found_on_whichever_address_it_listens_and_remembered_while_it_restarts() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let answering = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let body = r#"{"models":[{"name":"qwen3:4b"}]}"#;
            write!(socket, "HTTP/1.0 200 OK\r\n\r\n{body}").unwrap();
            socket.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = socket.read_to_end(&mut Vec::new());
        });
        let models = LocalModels::default();
        let has = Ollama::Has(vec!["qwen3:4b".to_owned()]);
        assert_eq!(models.at(&endpoint), has);
        answering.join().unwrap();
        assert_eq!(models.at(&endpoint), has, "nobody listens there any more");
        assert_eq!(LocalModels::default().at(&endpoint), Ollama::Silent);
    }
}
