use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::tools::{Effect, Origin, Spec};

fn tool(name: &str, description: &str) -> Arc<Listed> {
    let schema = json!({ "type": "object" });
    let sent = json!({ "name": name, "description": description, "inputSchema": schema });
    Arc::new(Listed {
        name: name.into(),
        digest: Digest::of(&serde_json::from_value(sent).unwrap()),
        spec: Spec {
            name: format!("s__{name}").into(),
            title: name.to_owned().into(),
            description: description.to_owned().into(),
            effect: Effect::Net,
            origin: Origin::Found,
            input: Arc::default(),
            output: None,
        },
    })
}

/// A file in a folder of its own, which does not exist yet.
fn place() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!(
        "rungs-pins-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    std::env::temp_dir().join(name).join("mcp.json")
}

fn agreed(pins: &Pins, tools: &[Arc<Listed>]) -> Vec<String> {
    let agreed = pins.agreed("s", tools).unwrap();
    agreed.iter().map(|tool| tool.name.clone()).collect()
}

#[test]
fn what_is_seen_first_is_agreed_to_and_no_change_of_it() {
    for pins in [Pins::in_memory(), Pins::at(place())] {
        let first = [tool("a", "A."), tool("b", "B.")];
        assert_eq!(
            agreed(&pins, &first),
            [""; 0],
            "nothing before it is reviewed"
        );
        pins.review("s", &first).unwrap();
        assert_eq!(agreed(&pins, &first), ["a", "b"]);

        let changed = [tool("a", "A!"), tool("b", "B.")];
        pins.review("s", &changed).unwrap();
        assert_eq!(agreed(&pins, &changed), ["b"]);
        assert_eq!(pins.agreed("other", &changed).unwrap().len(), 0);

        // Gone and back again is no way around it.
        pins.review("s", &changed[1..]).unwrap();
        pins.review("s", &changed).unwrap();
        assert_eq!(agreed(&pins, &changed), ["b"]);

        assert_eq!(pins.approve("s", "a").unwrap().description, "A!");
        assert_eq!(agreed(&pins, &changed), ["a", "b"]);
        assert_eq!(
            agreed(&pins, &first),
            ["b"],
            "what it said before is not agreed to any more"
        );
        for (server, name) in [("s", "a"), ("s", "c"), ("t", "a")] {
            assert_eq!(
                pins.approve(server, name).map(|_| ()).unwrap_err().kind(),
                ErrorKind::NotFound
            );
        }
    }
}

#[test]
fn a_tool_that_says_again_what_was_agreed_to_waits_no_longer() {
    let pins = Pins::in_memory();
    for said in ["A.", "A!", "A."] {
        pins.review("s", &[tool("a", said)]).unwrap();
    }
    assert_eq!(agreed(&pins, &[tool("a", "A.")]), ["a"]);
    assert!(pins.approve("s", "a").is_err());
}

#[test]
fn another_process_approves_and_only_what_was_seen() {
    let path = place();
    let (gateway, operator) = (Pins::at(&path), Pins::at(&path));
    gateway.review("s", &[tool("a", "A.")]).unwrap();
    let changed = [tool("a", "A!")];
    gateway.review("s", &changed).unwrap();
    operator.approve("s", "a").unwrap();
    assert_eq!(agreed(&gateway, &changed), ["a"]);
    assert_eq!(agreed(&gateway, &[tool("a", "A!!")]), [""; 0]);
}

#[test]
fn a_file_that_cannot_be_read_agrees_to_nothing() {
    let path = place();
    let pins = Pins::at(&path);
    let tools = [tool("a", "A.")];
    pins.review("s", &tools).unwrap();
    fs::write(&path, "{").unwrap();
    assert_eq!(
        pins.agreed("s", &tools).unwrap_err().kind(),
        ErrorKind::Internal
    );
    assert!(pins.review("s", &tools).is_err());
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "{",
        "nothing is written over it"
    );
}

#[test]
fn a_server_with_ever_new_names_does_not_fill_the_file() {
    let path = place();
    let pins = Pins::at(&path);
    let known = tool("a", "A.");
    pins.review("s", std::slice::from_ref(&known)).unwrap();
    for round in 0..8 {
        let new = (0..200).map(|n| tool(&format!("t{round}-{n}"), "T."));
        let tools: Vec<_> = new.chain([known.clone()]).collect();
        let without_room = pins.review("s", &tools).unwrap();
        let agreed = agreed(&pins, &tools);
        assert_eq!(agreed.len() + without_room.len(), tools.len());
        assert!(agreed.contains(&known.name), "{round}");
    }
    assert_eq!(load(&path).unwrap()["s"].len(), MOST_PINS);
    // Other servers have room of their own.
    assert!(pins.review("t", &[tool("b", "B.")]).unwrap().is_empty());
}
