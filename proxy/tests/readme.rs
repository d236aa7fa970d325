//! Runs what the README shows: its configuration, and its lines against the demo.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

const RUNGS: &str = env!("CARGO_BIN_EXE_rungs");
const README: &str = include_str!("../../README.md");

/// Where the README says that the demo listens.
const SHOWN: &str = "http://127.0.0.1:3000";

/// The contents of the README's code blocks in `language`.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("\n```{language}\n");
    let blocks = README.split(&*fence).skip(1);
    blocks
        .map(|rest| rest.split_once("\n```").expect("the block ends").0)
        .collect()
}

#[test]
fn is_short() {
    assert!(README.lines().count() < 150);
}

#[test]
fn its_configuration_loads() {
    let [config] = blocks("toml")[..] else {
        panic!("one configuration")
    };
    let file = std::env::temp_dir().join(format!("rungs-readme-{}.toml", std::process::id()));
    fs::write(&file, config).unwrap();
    let output = Command::new(RUNGS)
        .arg("check")
        .arg("--config")
        .arg(&file)
        .env_clear()
        .env("OPENAI_API_KEY", "sk-of-nobody-at-all")
        .output()
        .unwrap();
    fs::remove_file(&file).unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "ok: 2 providers, 2 models, tiers L0 L1\n");
}

#[test]
fn its_lines_do_what_it_says() {
    let demo = Demo::start();
    let [lines] = blocks("sh")[..] else {
        panic!("one block of lines to try")
    };
    let mut curl = None;
    let mut checked = 0;
    for line in lines.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("#> ") {
            None => {
                let line = line.replace(SHOWN, &demo.url);
                assert!(
                    demo.said.contains(&line),
                    "the demo does not print `{line}`"
                );
                curl = Some(line);
            }
            Some(expected) => {
                let sent = curl.as_deref().expect("a line to try comes first");
                let head = demo.answer(sent);
                for fact in expected.split(" | ") {
                    assert!(
                        head.iter().any(|line| line == fact),
                        "no `{fact}` in {head:#?} after {sent}"
                    );
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 10);
}

/// A running `rungs demo`, stopped when dropped.
struct Demo {
    child: Child,
    url: String,
    said: Vec<String>,
}

impl Demo {
    fn start() -> Self {
        let mut child = Command::new(RUNGS)
            .args(["demo", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut demo = Self {
            child,
            url: String::new(),
            said: Vec::new(),
        };
        // The last of the lines to try is the last that it says.
        for line in out.lines().map(Result::unwrap) {
            let last = line.contains("sk-demo-spent");
            demo.said.push(line);
            if last {
                break;
            }
        }
        let first = demo.said.first().expect("it says where it listens");
        demo.url = first.strip_prefix("listening on ").unwrap().to_owned();
        demo
    }

    /// The status line and the headers of the answer to what `curl` would send.
    fn answer(&self, curl: &str) -> Vec<String> {
        let words = words(curl);
        let mut words = words.iter().map(String::as_str);
        assert_eq!((words.next(), words.next()), (Some("curl"), Some("-si")));
        let address = self.url.strip_prefix("http://").unwrap();
        let path = words.next().unwrap().strip_prefix(&self.url).unwrap();
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        let mut body = "";
        while let Some(option) = words.next() {
            let value = words.next().unwrap();
            match option {
                "-H" => head.extend([value, "\r\n"]),
                "-d" => body = value,
                other => panic!("what does {other} do?"),
            }
        }
        let mut socket = TcpStream::connect(address).unwrap();
        write!(socket, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, _) = answer.split_once("\r\n\r\n").unwrap();
        head.split("\r\n").map(str::to_owned).collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command line as a shell splits it, single quotes included.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (n, part) in line.split('\'').enumerate() {
        let quoted = n % 2 == 1;
        let mut pieces = if quoted {
            vec![part]
        } else {
            part.split(' ').collect()
        }
        .into_iter();
        words
            .last_mut()
            .expect("one at least")
            .push_str(pieces.next().unwrap_or_default());
        words.extend(pieces.map(str::to_owned));
    }
    words
}
