//! Keys over `/admin/v1`, and what they mean to calls.

use rungs::testing::{Reply, Scripted, Upstream};
use serde_json::{Value, json};

use crate::{ledger::change, support::*};

/// A thousand tokens are a dollar: a call holds some 10 cents, and costs some 3.
const DEAR: &str = "price = { input = \"1000\", output = \"1000\" }\nmax_output = 10";

struct World {
    dear: Scripted,
    _upstream: Upstream,
    gateway: Gateway,
}

async fn world(more: &str) -> World {
    let dear = scripted("dear", Reply::text("one two three"));
    let free_model = scripted("free", Reply::text("one two three"));
    let upstream = Upstream::serve([dear.clone(), free_model]).await.unwrap();
    let models = free("free", "p", "L0") + &model("dear", "p", "L1", DEAR);
    let provider = provider("p", &upstream.base_url());
    let gateway = Gateway::serve(&format!(
        "{more}\n[admin]\nkey = \"{ADMIN}\"\n[cache]\nenabled = false\n{provider}{models}"
    ));
    World {
        dear,
        _upstream: upstream,
        gateway,
    }
}

impl World {
    async fn admin(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.as_key(ADMIN, method, path, &body.to_string()).await
    }

    async fn as_key(&self, key: &str, method: &str, path: &str, body: &str) -> Answer {
        let request = self.gateway.request(method, path).bearer_auth(key);
        let request = request.header("content-type", "application/json");
        let request = match method {
            "GET" => request,
            _ => request.body(body.to_owned()),
        };
        Answer::read(request.send().await.unwrap()).await
    }

    /// Makes a key: its id and its secret.
    async fn create(&self, body: Value) -> (String, String) {
        let made = self.admin("POST", "/admin/v1/keys", &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let text = |member: &str| made.json()[member].as_str().unwrap().to_owned();
        (text("id"), text("key"))
    }

    async fn ask(&self, key: &str, body: &Value) -> Answer {
        self.as_key(key, "POST", "/v1/chat/completions", &body.to_string())
            .await
    }

    async fn show(&self, id: &str) -> Value {
        let shown = self
            .admin("GET", &format!("/admin/v1/keys/{id}"), &Value::Null)
            .await;
        assert_eq!(shown.status, 200, "{shown:?}");
        shown.json()
    }
}

#[tokio::test]
async fn a_key_is_made_changed_rotated_and_revoked_and_each_takes_effect_at_once() {
    let world = world("").await;
    let (id, first) = world
        .create(json!({ "name": "ann", "routes": ["chat"] }))
        .await;
    assert_eq!(world.ask(&first, &chat("free", "q")).await.status, 200);
    assert_eq!(
        world.as_key(&first, "GET", "/v1/models", "").await.status,
        403
    );
    let path = format!("/admin/v1/keys/{id}");

    let changed = world
        .admin("PATCH", &path, &json!({ "routes": [], "models": ["dear"] }))
        .await;
    assert_eq!(changed.json()["models"], json!(["dear"]), "{changed:?}");
    assert_eq!(
        world.as_key(&first, "GET", "/v1/models", "").await.status,
        200
    );
    assert_eq!(world.ask(&first, &chat("free", "q")).await.status, 404);

    let rotate = format!("{path}/rotate");
    let rotated = world
        .admin("POST", &rotate, &json!({ "grace": "1h" }))
        .await
        .json();
    let second = rotated["key"].as_str().unwrap();
    assert_eq!(rotated["id"], *id);
    for key in [&*first, second] {
        assert_eq!(world.ask(key, &chat("dear", "q")).await.status, 200);
    }
    assert!(world.show(&id).await["grace"].is_string());
    let rotated = world.admin("POST", &rotate, &json!({})).await.json();
    let third = rotated["key"].as_str().unwrap();
    for (key, status) in [(&*first, 401), (second, 401), (third, 200)] {
        assert_eq!(world.ask(key, &chat("dear", "q")).await.status, status);
    }

    let revoked = world
        .admin("POST", &format!("{path}/revoke"), &json!({}))
        .await;
    assert_eq!(
        (revoked.status, &revoked.json()["revoked"]),
        (200, &json!(true))
    );
    assert_eq!(world.ask(third, &chat("dear", "q")).await.status, 401);
    let again = world
        .admin("POST", &format!("{path}/revoke"), &json!({}))
        .await;
    assert_eq!(again.status, 400);
    let listed = world.admin("GET", "/admin/v1/keys", &Value::Null).await;
    for secret in [&*first, second, third] {
        assert!(
            !listed.text.contains(&secret[30..]),
            "the list shows a secret"
        );
        assert!(
            !world.gateway.log().contains(&secret[30..]),
            "the log has it"
        );
    }
}

#[tokio::test]
async fn a_child_is_paid_by_its_parent_too_and_that_outlives_the_process() {
    let mut world = world("").await;
    let (parent, _) = world
        .create(json!({ "name": "top", "budgets": ["1.1/day", "2/month@15 Europe/Berlin"] }))
        .await;
    let (child, key) = world
        .create(json!({ "name": "child", "parent": parent, "budgets": "1.1/week" }))
        .await;
    let (_, other) = world
        .create(json!({ "name": "other", "parent": parent }))
        .await;
    assert_eq!(world.ask(&key, &chat("dear", "first")).await.status, 200);
    // The child that has no budget of its own is held to that of its parent.
    let refused = world.ask(&other, &chat("dear", "second")).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("1.1/day")
    );

    let accounts = accounts(&world.gateway).await;
    let posted: Vec<_> = accounts
        .iter()
        .map(|(_, posted, _)| posted.as_str())
        .collect();
    assert_eq!(accounts.len(), 3, "{accounts:?}");
    assert!(
        posted[0] != "0" && posted.iter().all(|p| *p == posted[0]),
        "{accounts:?}"
    );
    assert!(
        accounts.iter().all(|(.., reserved)| reserved == "0"),
        "{accounts:?}"
    );
    let shown = world.show(&parent).await;
    assert_eq!(shown["budgets"][0]["posted"], posted[0]);
    assert_eq!(shown["budgets"][1]["budget"], "2/month@15 Europe/Berlin");

    world.gateway = world.gateway.restart().await;
    assert_eq!(world.ask(&other, &chat("dear", "third")).await.status, 429);
    assert_eq!(world.dear.calls(), 1);
    for id in [&parent, &child] {
        assert_eq!(
            world.show(id).await["budgets"][0]["posted"],
            posted[0],
            "the ledger knows"
        );
        let line = world.gateway.rungs(&["keys", "show", id]);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            line["budgets"][0]["posted"], posted[0],
            "and so does the command"
        );
        assert_eq!(line["budgets"][0]["reserved"], "0");
    }
    // A wider budget takes effect at once, with what was spent before.
    let path = format!("/admin/v1/keys/{parent}");
    let wider = json!({ "budgets": ["1.2/day", "1.3/total"] });
    assert_eq!(world.admin("PATCH", &path, &wider).await.status, 200);
    assert_eq!(world.ask(&other, &chat("dear", "fourth")).await.status, 200);
    let shown = world.show(&parent).await;
    assert_eq!(shown["budgets"][0]["posted"], shown["budgets"][1]["posted"]);
    let narrow = json!({ "budgets": ["0.01/day"] });
    assert_eq!(world.admin("PATCH", &path, &narrow).await.status, 200);
    assert_eq!(world.ask(&other, &chat("dear", "fifth")).await.status, 429);
}

#[tokio::test]
async fn users_and_projects_have_budgets_of_their_own() {
    let more = "[budget]\nper_user = \"1.13/day\"\nglobal = [\"5/day\", \"50/month\"]\n\
                [[project]]\nname = \"web\"\nbudget = \"1.125/day\"\ntz = \"Asia/Tokyo\"\n";
    let mut world = world(more).await;
    let (_, plain) = world
        .create(json!({ "name": "plain", "tenant": "t" }))
        .await;
    let (_, web) = world
        .create(json!({ "name": "web", "project": "web" }))
        .await;
    let (_, also) = world
        .create(json!({ "name": "also", "project": "web" }))
        .await;
    let asked = |user: &str| {
        let mut body = chat("dear", "question");
        body["user"] = json!(user);
        body
    };
    for (user, status) in [("ann", 200), ("bob", 200), ("ann", 429), ("a\0", 400)] {
        let answer = world.ask(&plain, &asked(user)).await;
        assert_eq!(answer.status, status, "{user}: {answer:?}");
    }
    let refused = world.ask(&plain, &asked("ann")).await;
    let message = refused.error()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("the user budget") && !message.contains("ann"),
        "{message}"
    );
    assert_eq!(
        world.ask(&plain, &asked(&"x".repeat(257))).await.status,
        400
    );
    // Two keys of one project share its budget.
    for (key, status) in [(&web, 200), (&also, 200), (&web, 429), (&also, 429)] {
        let answer = world.ask(key, &chat("dear", "question")).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let accounts = accounts(&world.gateway).await;
    let names: Vec<_> = accounts.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "global",
            "global",
            "project:web",
            "user:t/ann",
            "user:t/bob"
        ]
    );

    world.gateway = world.gateway.restart().await;
    assert_eq!(world.ask(&plain, &asked("ann")).await.status, 429);
    assert_eq!(world.ask(&web, &chat("dear", "question")).await.status, 429);
    assert_eq!(world.dear.calls(), 4);
}

#[tokio::test]
async fn a_budget_that_does_not_reach_goes_cheaper_or_refuses_as_its_key_says() {
    let world = world("").await;
    let body = chat("auto", "question");
    let critical = [("x-rungs-quality", "critical")];
    for (on_exhaust, status) in [("downgrade", 200), ("refuse", 429)] {
        let terms =
            json!({ "name": on_exhaust, "budgets": "0.000001/day", "on_exhaust": on_exhaust });
        let (_, key) = world.create(terms).await;
        let request = world.gateway.post("/v1/chat/completions", body.to_string());
        let request = request
            .bearer_auth(&key)
            .header(critical[0].0, critical[0].1);
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(answer.status, status, "{on_exhaust}: {answer:?}");
        if status == 200 {
            assert_eq!(answer.header("x-rungs-tier"), "L0");
        }
    }
    assert_eq!(world.dear.calls(), 0);
}

/// T1: texts that mean something to a database, a shell, a path, a header or a log.
const INJECTIONS: [&str; 24] = [
    "' OR '1'='1",
    "' OR 1=1 --",
    "'; DROP TABLE api_keys; --",
    "\"; DELETE FROM api_keys; --",
    "x' UNION SELECT * FROM api_keys --",
    "1; UPDATE api_keys SET revoked_ms = 1",
    "') OR ('1'='1",
    "%' OR '%'='",
    "_",
    "%",
    "*",
    "?",
    "$1",
    ":id",
    "@id",
    "\\'; --",
    "../keys",
    "..%2f..%2fetc%2fpasswd",
    "{{7*7}}",
    "${jndi:ldap://x}",
    "$(id)",
    "`id`",
    "\u{202e}\u{0}\u{7f}",
    "\u{1F511}\u{FFFF}",
];

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn t1_injections_change_nothing_and_break_nothing() {
    let world = world("").await;
    let (id, key) = world
        .create(json!({ "name": "victim", "budgets": "1/day" }))
        .await;
    let before = world
        .admin("GET", "/admin/v1/keys", &Value::Null)
        .await
        .text;
    let secret = key.rsplit('-').next().unwrap();
    for text in INJECTIONS {
        let credentials = [
            text.to_owned(),
            format!("sk-rungs-{text}-{secret}"),
            format!("sk-rungs-{id}-{text}"),
            format!("{key}{text}"),
            format!("{id}{text}"),
        ];
        for credential in credentials {
            for name in ["authorization", "x-api-key"] {
                let value = match name {
                    "authorization" => format!("Bearer {credential}"),
                    _ => credential.clone(),
                };
                // What cannot be a header does not get as far as the gateway.
                let Ok(value) = reqwest::header::HeaderValue::from_bytes(value.as_bytes()) else {
                    continue;
                };
                for path in ["/v1/models", "/admin/v1/keys"] {
                    let request = world
                        .gateway
                        .request("GET", path)
                        .header(name, value.clone());
                    let answer = Answer::read(request.send().await.unwrap()).await;
                    assert_eq!(answer.status, 401, "{path} {credential:?}: {answer:?}");
                }
            }
        }
        let raw = if text.is_ascii() && !text.contains(['?', '%', ' ', '"', '\\', '{', '`', '/']) {
            text.to_owned()
        } else {
            percent(text)
        };
        for id in [
            percent(text),
            percent(&format!("{id}{text}")),
            raw,
            "%ff%fe".to_owned(),
        ] {
            let path = format!("/admin/v1/keys/{id}");
            for (method, path, body) in [
                ("GET", path.clone(), "{}"),
                ("PATCH", path.clone(), r#"{"name":"taken"}"#),
                ("POST", format!("{path}/rotate"), "{}"),
                ("POST", format!("{path}/revoke"), "{}"),
            ] {
                let answer = world.as_key(ADMIN, method, &path, body).await;
                assert!(
                    matches!(answer.status, 400 | 404 | 405),
                    "{method} {path}: {answer:?}"
                );
                answer.error();
            }
        }
        // As content they are content.
        let body =
            json!({ "name": text, "models": [text], "tenant": text, "parent": text }).to_string();
        let answer = world.as_key(ADMIN, "POST", "/admin/v1/keys", &body).await;
        assert_eq!(answer.status, 404, "there is no such parent: {answer:?}");
    }
    let after = world
        .admin("GET", "/admin/v1/keys", &Value::Null)
        .await
        .text;
    assert_eq!(before, after);
    assert_eq!(world.ask(&key, &chat("free", "q")).await.status, 200);
}

#[tokio::test]
async fn t3_bodies_are_strict_and_a_refused_one_changes_nothing() {
    let world = world("").await;
    let (id, _) = world.create(json!({ "name": "n", "rpm": 5 })).await;
    let before = world
        .admin("GET", "/admin/v1/keys", &Value::Null)
        .await
        .text;
    let key = format!("/admin/v1/keys/{id}");
    let (rotate, revoke) = (format!("{key}/rotate"), format!("{key}/revoke"));
    for (method, path, body) in [
        ("POST", "/admin/v1/keys", r#"{"name":"n","role":"admin"}"#),
        ("POST", "/admin/v1/keys", r#"{"name":"n","name":"m"}"#),
        ("POST", "/admin/v1/keys", r#"{"name":"n","hash":"00"}"#),
        ("POST", "/admin/v1/keys", r#"[{"name":"n"}]"#),
        ("POST", "/admin/v1/keys", r#"{"name":"n""#),
        ("POST", "/admin/v1/keys", ""),
        ("PATCH", &key, r#"{"role":"admin"}"#),
        ("PATCH", &key, r#"{"revoked":null}"#),
        ("PATCH", &key, r#"{"parent":null}"#),
        ("PATCH", &key, r#"{"tenant":"other"}"#),
        ("PATCH", &key, r#"{"id":"x"}"#),
        ("PATCH", &key, r#"{"rpm":9,"rqm":1}"#),
        ("PATCH", &key, r#"{"rpm":9,"name":null}"#),
        ("PATCH", &key, r#"{"rpm":-1}"#),
        ("POST", &rotate, r#"{"grace":"1y"}"#),
        ("POST", &rotate, r#"{"key":"mine"}"#),
        ("POST", &revoke, r#"{"really":true}"#),
    ] {
        let answer = world.as_key(ADMIN, method, path, body).await;
        assert_eq!(answer.status, 400, "{method} {path} {body}: {answer:?}");
        answer.error();
    }
    let nothing = r#"{"budgets":null}"#;
    let nothing = world.as_key(ADMIN, "PATCH", &key, nothing).await;
    assert_eq!(nothing.error()["param"], "budgets", "{nothing:?}");
    let unknown = world.as_key(ADMIN, "PATCH", &key, r#"{"rqm":1}"#).await;
    assert!(
        unknown.error()["message"]
            .as_str()
            .unwrap()
            .contains("`rqm`"),
        "{unknown:?}"
    );
    let after = world
        .admin("GET", "/admin/v1/keys", &Value::Null)
        .await
        .text;
    assert_eq!(before, after);
}

#[test]
fn r9_it_does_not_start_with_a_weak_admin_key() {
    for (key, why) in [
        ("\"\"", "empty"),
        ("\"   \"", "empty"),
        ("\"zq4-Hn81-vw7x-Tk20\"", "fewer than 24"),
        ("\"admin-admin-admin-admin-admin\"", "easily guessed"),
        ("\"changeme-changeme-changeme-changeme\"", "easily guessed"),
        ("\"your-secret-admin-master-token-key\"", "easily guessed"),
        ("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", "easily guessed"),
        ("{ env = \"NOT_THERE\" }", "not set"),
        ("{ file = \"/not/there\" }", "cannot read"),
    ] {
        for listen in ["127.0.0.1:0", "0.0.0.0:0"] {
            let config = format!("[admin]\nkey = {key}\n[store]\nurl = \"memory:\"\n");
            let refused = Refused::by(&config, &["--listen", listen]);
            assert!(!refused.status.success(), "{key}");
            assert!(
                refused.text.contains("admin.key") && refused.text.contains(why),
                "{key}: {}",
                refused.text
            );
        }
    }
    let shared = format!("[admin]\nkey = \"{ADMIN}\"\n{}", key("k", ADMIN, ""));
    let refused = Refused::by(&shared, &["--listen", "127.0.0.1:0"]);
    assert!(
        refused.text.contains("is the key of `k` too"),
        "{}",
        refused.text
    );
    assert!(!refused.text.contains(ADMIN), "it shows the key");
}

#[tokio::test]
async fn an_admin_key_of_the_store_looks_after_keys_and_calls_nothing() {
    let world = world("").await;
    let made = world.gateway.rungs(&[
        "keys", "create", "--name", "root", "--role", "admin", "--json",
    ]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let key = made["key"].as_str().unwrap();
    let (id, _) = world.create(json!({ "name": "user" })).await;
    let path = format!("/admin/v1/keys/{id}");
    let patched = world.as_key(key, "PATCH", &path, r#"{"rpm":7}"#).await;
    assert_eq!((patched.status, &patched.json()["rpm"]), (200, &json!(7)));
    assert_eq!(world.ask(key, &chat("free", "q")).await.status, 403);
    assert_eq!(world.ask(ADMIN, &chat("free", "q")).await.status, 403);
    // Nothing stands below an admin key.
    let below = json!({ "name": "n", "parent": made["id"] });
    assert_eq!(
        world.admin("POST", "/admin/v1/keys", &below).await.status,
        400
    );
}

#[tokio::test]
async fn a_secret_is_told_though_nobody_can_tell_what_was_spent() {
    let world = world("").await;
    change(&world.gateway, "ALTER TABLE spending RENAME TO away").await;
    let (id, first) = world
        .create(json!({ "name": "n", "budgets": ["1/day", "2/total"] }))
        .await;
    let path = format!("/admin/v1/keys/{id}");
    let rotate = format!("{path}/rotate");
    let rotated = world.admin("POST", &rotate, &json!({})).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let patched = world.admin("PATCH", &path, &json!({ "rpm": 9 })).await;
    assert_eq!(patched.status, 200, "{patched:?}");
    for shown in [rotated.json(), patched.json()] {
        let budgets = shown["budgets"].as_array().unwrap();
        assert_eq!(budgets.len(), 2);
        assert!(
            budgets.iter().all(|budget| budget["stale"] == true),
            "{shown}"
        );
    }
    change(&world.gateway, "ALTER TABLE away RENAME TO spending").await;
    assert!(world.show(&id).await["budgets"][0]["stale"].is_null());
    let second = rotated.json()["key"].as_str().unwrap().to_owned();
    for (key, status) in [(&first, 401), (&second, 200)] {
        assert_eq!(world.ask(key, &chat("free", "q")).await.status, status);
    }
}
