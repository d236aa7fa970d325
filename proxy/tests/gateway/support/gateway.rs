use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use serde_json::Value;
use sqlx::{Connection, Row, sqlite::SqliteConnection};

use super::{
    Answer, PATIENCE, SCRAPER, chat_stream,
    command::{command, folder, run},
    secrets::Secrets,
    until,
};

/// A running gateway; it ends with this.
pub(crate) struct Gateway {
    child: Child,
    /// Such as `http://127.0.0.1:4711`.
    pub(crate) url: String,
    /// Where its configuration and its database are.
    pub(crate) folder: PathBuf,
    /// What it has printed on standard output after the first line.
    out: Arc<Mutex<String>>,
    log: Arc<Mutex<String>>,
    client: reqwest::Client,
    bearer: Option<String>,
    /// What it must not tell.
    pub(crate) secrets: Secrets,
}

impl Gateway {
    /// Serves `config` on a free port.
    pub(crate) fn serve(config: &str) -> Self {
        let folder = folder();
        std::fs::write(folder.join("rungs.toml"), config).unwrap();
        Self::serve_in(&folder, &[])
    }

    /// Serves what `folder` and the environment say on a free port.
    pub(crate) fn serve_in(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let args = ["serve", "--listen", "127.0.0.1:0"];
        Self::start(folder.to_owned(), &args, environment, Secrets::default())
    }

    /// Runs the demo.
    pub(crate) fn demo() -> Self {
        let args = ["demo", "--listen", "127.0.0.1:0"];
        Self::start(folder(), &args, &[], Secrets::default())
    }

    fn start(
        folder: PathBuf,
        args: &[&str],
        environment: &[(&str, &str)],
        secrets: Secrets,
    ) -> Self {
        for (name, value) in environment {
            secrets.learn_variable(name, value);
        }
        let mut command = command(&folder, args);
        if let Ok(level) = std::env::var("RUNGS_TEST_LOG_LEVEL") {
            command.env("LOG_LEVEL", level);
        }
        let mut child = command.envs(environment.iter().copied()).spawn().unwrap();
        let log = collect(child.stderr.take().unwrap());
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let (sender, first) = mpsc::channel();
        let out = Arc::new(Mutex::new(String::new()));
        let rest = Arc::clone(&out);
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = lines.read_line(&mut line);
            let _ = sender.send(line);
            read_into(lines, &rest);
        });
        let line = first.recv_timeout(PATIENCE).unwrap_or_default();
        let Some(url) = line.trim().strip_prefix("listening on ") else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it does not listen: {line:?}\n{}", log.lock().unwrap());
        };
        let client = client(PATIENCE);
        secrets.learn_from(&folder);
        secrets.watch(url.trim_start_matches("http://"));
        Self {
            child,
            url: url.to_owned(),
            folder,
            out,
            log,
            client,
            bearer: None,
            secrets,
        }
    }

    /// Sends this key with every request from now on.
    pub(crate) fn with_key(mut self, key: &str) -> Self {
        self.set_key(key);
        self
    }

    /// The same, of one that is in use.
    pub(crate) fn set_key(&mut self, key: &str) {
        self.secrets.learn(key);
        self.bearer = Some(key.to_owned());
    }

    /// Sends the token of this computer's clients, which an open loopback has.
    pub(crate) fn with_local_token(self) -> Self {
        let token = std::fs::read_to_string(self.folder.join("rungs.db.mcp-token")).unwrap();
        self.with_key(token.trim())
    }

    /// Sends no key by itself any more.
    pub(crate) fn without_key(mut self) -> Self {
        self.bearer = None;
        self
    }

    /// The id of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Speaks HTTP/2 from now on.
    pub(crate) fn over_http2(mut self) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .http2_prior_knowledge();
        self.client = client.build().unwrap();
        self
    }

    /// Ends this one as SIGTERM does, and starts another in the same folder.
    pub(crate) async fn restart(mut self) -> Self {
        assert!(self.stop().await.success(), "{}", self.log());
        self.next(&[])
    }

    /// Kills this one, with no chance to write anything, and starts another in the same folder.
    pub(crate) fn killed(mut self, environment: &[(&str, &str)]) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.next(environment)
    }

    /// Another in the same folder.
    fn next(mut self, environment: &[(&str, &str)]) -> Self {
        let (folder, secrets) = self.leave();
        let args = ["serve", "--listen", "127.0.0.1:0"];
        let mut next = Self::start(folder, &args, environment, secrets);
        next.bearer = self.bearer.take();
        next
    }

    /// Its folder, for the next one, which must not tell what this one knew either.
    fn leave(&mut self) -> (PathBuf, Secrets) {
        self.has_kept_its_secrets();
        // The next one may come to the same port.
        Secrets::forget(self.address());
        (std::mem::take(&mut self.folder), self.secrets.clone())
    }

    fn has_kept_its_secrets(&self) {
        self.secrets.must_not_be_left(&self.folder, &self.log());
        self.secrets
            .must_not_be_in("standard output", &self.out.lock().unwrap());
    }

    /// `127.0.0.1:4711`.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// A request to `path`.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let request = self
            .client
            .request(method.parse().unwrap(), format!("{}{path}", self.url));
        match &self.bearer {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// A POST of JSON.
    pub(crate) fn post(&self, path: &str, body: impl Into<String>) -> reqwest::RequestBuilder {
        self.request("POST", path)
            .header("content-type", "application/json")
            .body(body.into())
    }

    /// Asks and reads the whole answer.
    pub(crate) async fn ask(&self, body: &Value) -> Answer {
        self.ask_with(body, &[]).await
    }

    /// The same with headers.
    pub(crate) async fn ask_with(&self, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let request = self.post("/v1/chat/completions", body.to_string());
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        Answer::read(request.send().await.unwrap()).await
    }

    /// A stream of `model` whose answer has begun.
    pub(crate) async fn begun(&self, model: &str) -> reqwest::Response {
        let body = chat_stream(model, "q").to_string();
        let request = self.post("/v1/chat/completions", body);
        let mut stream = request.send().await.unwrap();
        assert!(stream.chunk().await.unwrap().is_some());
        stream
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::read(self.request("GET", path).send().await.unwrap()).await
    }

    /// What a `rungs` command in the same folder prints; it must succeed.
    pub(crate) fn rungs(&self, args: &[&str]) -> String {
        let (status, out, err) = run(&self.folder, args);
        assert!(status.success(), "{args:?}: {err}");
        self.secrets.must_not_be_in("standard error", &err);
        self.secrets.must_not_be_in_words("standard output", &out);
        out
    }

    /// Sends a signal such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Ends it with SIGTERM.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended().await
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the end of the gateway", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line of the log that has `text` in it.
    pub(crate) async fn logs(&self, text: &str) {
        until(&format!("`{text}` in the log"), || {
            self.log.lock().unwrap().contains(text)
        })
        .await;
    }

    /// Waits for standard output to have `text` in it.
    pub(crate) async fn prints(&self, text: &str) -> String {
        until(&format!("`{text}` on standard output"), || {
            self.out.lock().unwrap().contains(text)
        })
        .await;
        self.out.lock().unwrap().clone()
    }

    /// Status and cost of each row of the ledger, in order. Rows are written a moment after the end of an attempt: see `rows_after`.
    pub(crate) async fn rows(&self) -> Vec<(String, i64)> {
        let url = format!("sqlite:{}", self.folder.join("rungs.db").display());
        let mut database = SqliteConnection::connect(&url).await.unwrap();
        let rows = sqlx::query("SELECT status, cost_nanos FROM llm_calls ORDER BY seq")
            .fetch_all(&mut database)
            .await
            .unwrap();
        database.close().await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// The rows, once there are so many.
    pub(crate) async fn rows_after(&self, count: usize) -> Vec<(String, i64)> {
        let mut rows = self.rows().await;
        for _ in 0..100 {
            if rows.len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            rows = self.rows().await;
        }
        rows
    }

    /// Its metrics; where it asks for keys, its configuration has a `scraper`.
    pub(crate) async fn metrics(&self) -> String {
        let request = self.client.get(format!("{}/metrics", self.url));
        let request = request.bearer_auth(SCRAPER);
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text
    }

    /// The sum of a counter over all its labels.
    pub(crate) async fn counted(&self, name: &str) -> f64 {
        let metrics = self.metrics().await;
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with(&format!("{name}{{")));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        Secrets::forget(self.address());
        match std::thread::panicking() {
            true => eprintln!("the gateway's log:\n{}", self.log()),
            false => self.has_kept_its_secrets(),
        }
        if !self.folder.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn collect(from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    std::thread::spawn(move || read_into(BufReader::new(from), &into));
    text
}

fn read_into(mut from: impl BufRead, into: &Mutex<String>) {
    let mut line = String::new();
    while from.read_line(&mut line).is_ok_and(|read| read > 0) {
        into.lock().unwrap().push_str(&line);
        line.clear();
    }
}

/// A client that gives up after `patience`.
pub(crate) fn client(patience: Duration) -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().timeout(patience);
    client.build().expect("a client needs nothing")
}
