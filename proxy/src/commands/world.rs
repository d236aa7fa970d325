//! What loading a configuration may ask of the real world.

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    path::Path,
    time::Duration,
};

use anyhow::Context;
use serde::Deserialize;

use crate::{
    cli::ConfigArgs,
    config::{Config, Source, Vars, World},
};

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "rungs.toml";

/// Loads the configuration that `args` name, with the environment.
pub(super) fn load(args: &ConfigArgs) -> anyhow::Result<Config> {
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
        ollama: &|endpoint| installed(endpoint).ok(),
    };
    Ok(Config::load(source.as_ref(), &world)?)
}

/// Loads a configuration from text alone: nothing on this computer changes what it means.
pub(super) fn alone(source: &Source) -> anyhow::Result<Config> {
    let world = World {
        vars: &Vars::new(),
        read: &|_| Err(io::ErrorKind::NotFound.into()),
        ollama: &|_| None,
    };
    Ok(Config::load(Some(source), &world)?)
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
    const PATIENCE: Duration = Duration::from_millis(200);
    let invalid = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
    let host = endpoint
        .strip_prefix("http://")
        .ok_or_else(|| invalid("not http"))?;
    let host = host.split('/').next().unwrap_or(host);
    let address: SocketAddr = host
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| invalid("no address"))?;
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    write!(socket, "GET /api/tags HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = Vec::new();
    socket.take(1 << 20).read_to_end(&mut answer)?;
    let body = body_of(&answer).ok_or_else(|| invalid("no HTTP answer"))?;
    let tags: Tags = serde_json::from_slice(body).map_err(io::Error::from)?;
    Ok(tags.models.into_iter().map(|tag| tag.name).collect())
}

fn body_of(answer: &[u8]) -> Option<&[u8]> {
    let at = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    Some(&answer[at + 4..])
}
