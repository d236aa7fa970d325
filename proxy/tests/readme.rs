//! Runs what the README shows: its configuration, and its lines against the demo.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
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

/// The names by which links find the headings of a page.
fn headings(page: &Path) -> impl Iterator<Item = String> {
    let text = fs::read_to_string(page).expect("a page");
    let lines = text.lines().filter(|line| line.starts_with('#'));
    let slug = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || "- _".contains(*c));
        kept.collect::<String>().replace(' ', "-")
    };
    lines.map(slug).collect::<Vec<_>>().into_iter()
}

#[test]
fn links_of_the_documentation_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = fs::read_dir(root.join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let top = ["README.md", "CONTRIBUTING.md"].map(|page| root.join(page));
    let mut links = 0;
    for page in pages.chain(top) {
        let text = fs::read_to_string(&page).unwrap();
        let targets = text
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap());
        for target in targets.filter(|target| !target.starts_with("http")) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = match path {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            assert!(path.exists(), "{} links to {target}", page.display());
            let is_there = heading.is_empty() || headings(&path).any(|slug| slug == heading);
            assert!(is_there, "{} links to {target}", page.display());
            links += 1;
        }
    }
    assert!(links > 50);
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
    let start = "ok: 2 providers, 2 models, tiers L0 L1\nprices: 1 configured, 1 from the list ";
    assert!(said.starts_with(start), "{said}");
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
                let head = demo.answer(sent).unwrap();
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
            .expect("the demo starts");
        let out = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut demo = Self {
            child,
            url: String::new(),
            said: Vec::new(),
        };
        // The last of the lines to try is the last that it says.
        for line in out.lines().map_while(Result::ok) {
            let last = line.contains("sk-demo-spent");
            demo.said.push(line);
            if last {
                break;
            }
        }
        let url = demo
            .said
            .first()
            .and_then(|line| line.strip_prefix("listening on "));
        demo.url = url.expect("it says where it listens").to_owned();
        demo
    }

    /// The status line and the headers of the answer to what `curl` would send.
    fn answer(&self, curl: &str) -> io::Result<Vec<String>> {
        let words = words(curl);
        let mut words = words.iter().map(String::as_str);
        assert_eq!((words.next(), words.next()), (Some("curl"), Some("-si")));
        let url = words.next().expect("a URL comes next");
        let path = url.strip_prefix(&self.url).expect("it is the demo's");
        let address = self.url.trim_start_matches("http://");
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        let mut body = "";
        while let (Some(option), Some(value)) = (words.next(), words.next()) {
            match option {
                "-d" => body = value,
                other => {
                    assert_eq!(other, "-H");
                    head.extend([value, "\r\n"]);
                }
            }
        }
        let mut socket = TcpStream::connect(address)?;
        write!(socket, "{head}content-length: {}\r\n\r\n{body}", body.len())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let head = answer.split("\r\n\r\n").next().unwrap_or_default();
        Ok(head.split("\r\n").map(str::to_owned).collect())
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
        let mut pieces = match n % 2 {
            0 => part.split(' ').collect(),
            _ => vec![part],
        }
        .into_iter();
        if let (Some(word), Some(more)) = (words.last_mut(), pieces.next()) {
            word.push_str(more);
        }
        words.extend(pieces.map(str::to_owned));
    }
    words
}
