use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use toml::Value;

/// R8, for every gateway of every test: what its configuration, its environment and its clients know as secret, and the keys that it
/// makes, stand in nothing that it writes or says; what makes a key says it once.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<Mutex<BTreeSet<String>>>);

/// Those of the gateways that run, by the authority of their URL: an answer knows whose it is.
static KNOWN: Mutex<BTreeMap<String, Secrets>> = Mutex::new(BTreeMap::new());

/// What a key of the store begins with.
const KEY: &str = "sk-rungs-";

impl Secrets {
    /// Those of the gateway at `authority`.
    pub(crate) fn of(authority: &str) -> Option<Self> {
        KNOWN.lock().unwrap().get(authority).cloned()
    }

    /// Answers from `authority` are searched from now on.
    pub(crate) fn watch(&self, authority: &str) {
        KNOWN
            .lock()
            .unwrap()
            .insert(authority.to_owned(), self.clone());
    }

    /// The gateway there is gone.
    pub(crate) fn forget(authority: &str) {
        KNOWN.lock().unwrap().remove(authority);
    }

    /// Whether it is looked for.
    pub(crate) fn has(&self, secret: &str) -> bool {
        self.0.lock().unwrap().contains(secret)
    }

    pub(crate) fn learn(&self, secret: &str) {
        if secret.len() >= 8 {
            self.0.lock().unwrap().insert(secret.to_owned());
        }
    }

    /// Learns those of the configuration in `folder`, as far as they stand there.
    pub(crate) fn learn_from(&self, folder: &Path) {
        let config = fs::read_to_string(folder.join("rungs.toml")).unwrap_or_default();
        if let Ok(config) = config.parse() {
            self.learn_table(&config);
        }
        if let Ok(token) = fs::read_to_string(folder.join("rungs.db.mcp-token")) {
            self.learn(token.trim());
        }
    }

    pub(crate) fn learn_variable(&self, name: &str, value: &str) {
        let is_secret = ["KEY", "SECRET", "TOKEN", "PASSWORD"];
        match is_secret.iter().any(|word| name.ends_with(word)) {
            true => self.learn(value),
            false => self.learn_url(value),
        }
    }

    fn learn_table(&self, table: &toml::Table) {
        for (name, value) in table {
            match (&**name, value) {
                // The name of a key.
                ("oauth", _) => {}
                ("key" | "api_key" | "secret" | "webhook_secret", Value::String(secret)) => {
                    self.learn(secret);
                }
                ("webhook", Value::String(url)) => {
                    let path = url.split_once("://").map(|(_, rest)| rest);
                    let path = path.and_then(|rest| rest.split_once('/'));
                    self.learn(path.map_or("", |(_, path)| path));
                }
                ("headers", Value::Table(headers)) => {
                    let values = headers.values().filter_map(Value::as_str);
                    values.for_each(|value| self.learn(value));
                }
                ("env", Value::Table(variables)) => {
                    for (name, value) in variables {
                        self.learn_variable(name, value.as_str().unwrap_or_default());
                    }
                }
                (_, Value::String(url)) => self.learn_url(url),
                (_, Value::Table(table)) => self.learn_table(table),
                (_, Value::Array(items)) => items
                    .iter()
                    .filter_map(Value::as_table)
                    .for_each(|table| self.learn_table(table)),
                _ => {}
            }
        }
    }

    /// The password in a URL.
    fn learn_url(&self, text: &str) {
        let login = text
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('@'));
        let password = login.and_then(|(login, _)| login.split_once(':'));
        self.learn(password.map_or("", |(_, password)| password));
    }

    /// Searches what a gateway has said, and learns the keys in it, which were made just now: only what makes a key says it.
    pub(crate) fn must_not_be_in_words(&self, place: &str, text: &str) {
        self.must_not_be_in(place, text);
        for rest in text.split(KEY).skip(1) {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            // Behind its id, which is no secret.
            if let Some((_, secret)) = rest[..end].split_once('-') {
                self.learn(secret);
            }
        }
    }

    pub(crate) fn must_not_be_in(&self, place: &str, text: &str) {
        for secret in &*self.0.lock().unwrap() {
            if let Some(at) = text.find(&**secret) {
                let before: String = text[..at].chars().rev().take(80).collect();
                let before: String = before.chars().rev().collect();
                panic!("{secret} in {place}, behind {before:?}");
            }
        }
    }

    /// Searches the log, and the files in `folder`.
    pub(crate) fn must_not_be_left(&self, folder: &Path, log: &str) {
        self.learn_from(folder);
        self.must_not_be_in("log", log);
        let mut places = Vec::new();
        read_all(folder, &mut places);
        for (place, bytes) in &places {
            self.must_not_be_in(place, &String::from_utf8_lossy(bytes));
        }
    }
}

/// The files that a gateway wrote, in a folder and the folders in it; its configuration it did not, and the token of MCP clients is
/// where it belongs.
pub(crate) fn read_all(folder: &Path, places: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => read_all(&path, places),
            false if path.ends_with("rungs.toml") || path.ends_with("rungs.db.mcp-token") => {}
            false => places.push((
                path.display().to_string(),
                fs::read(&path).unwrap_or_default(),
            )),
        }
    }
}
