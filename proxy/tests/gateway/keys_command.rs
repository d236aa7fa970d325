//! `rungs keys` beside a gateway that runs: it does what `/admin/v1` does, and knows what is under way.

use std::time::{Duration, Instant};

use rungs::testing::{Reply, Upstream, servers::PostgresServer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::oneshot,
};

use crate::support::*;

/// A thousand tokens are a dollar.
const DEAR: &str = "price = { input = \"1000\", output = \"1000\" }\nmax_output = 10";

const SECRET: &str = "secret = \"tW5-oPq81-vw7x-Tk20-zq4-Hn81-vw7x\"\n";

/// The sections `first`, an admin key, and the models `m` and `dear` at `base_url`.
fn config(first: &str, base_url: &str) -> String {
    format!(
        "{first}\n{NO_RETRY}[admin]\nkey = \"{ADMIN}\"\n{}{}{}",
        provider("p", base_url),
        free("m", "p", "L0"),
        model("dear", "p", "L1", DEAR),
    )
}

/// The section of a PostgreSQL that several share.
fn store(server: &PostgresServer) -> String {
    let url = server.database().unwrap();
    format!("[store]\nurl = \"{url}\"\n{SECRET}")
}

fn create(gateway: &Gateway, args: &[&str]) -> (String, String) {
    let made = gateway.rungs(&[&["keys", "create", "--json", "--name"], args].concat());
    let made: Value = serde_json::from_str(&made).unwrap();
    let text = |member: &str| made[member].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

/// The only budget of the only key, as the command lists it.
fn listed(gateway: &Gateway) -> Value {
    let keys: Value = serde_json::from_str(&gateway.rungs(&["keys", "list", "--json"])).unwrap();
    assert_eq!(keys.as_array().unwrap().len(), 1, "{keys}");
    keys[0]["budgets"][0].clone()
}

async fn admin(gateway: &Gateway, method: &str, path: &str, body: &Value) -> Answer {
    let request = gateway.request(method, path).bearer_auth(ADMIN);
    let request = request.header("content-type", "application/json");
    let request = match method {
        "GET" => request,
        _ => request.body(body.to_string()),
    };
    Answer::read(request.send().await.unwrap()).await
}

async fn status(gateway: &Gateway, key: &str) -> u16 {
    let request = gateway.post("/v1/chat/completions", chat("m", "q").to_string());
    let answer = request.bearer_auth(key).send().await.unwrap();
    answer.status().as_u16()
}

/// A provider that answers one question when it is told to.
struct Patient {
    base_url: String,
    asked: oneshot::Receiver<()>,
    go: oneshot::Sender<()>,
}

impl Patient {
    async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (arrived, asked) = oneshot::channel();
        let (go, told) = oneshot::channel();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let read = socket.read(&mut [0; 8192]).await.unwrap();
            assert!(read > 0);
            arrived.send(()).unwrap();
            told.await.unwrap();
            let body = r#"{"id":"x","object":"chat.completion","created":1,"model":"dear","choices":[{"index":0,"message":{"role":"assistant","content":"six"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}"#;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            socket.write_all((head + body).as_bytes()).await.unwrap();
        });
        Self {
            base_url,
            asked,
            go,
        }
    }
}

/// A key with a budget of $100, and a call of it that is under way until it is told to go on: what `seen` sees meanwhile.
async fn under_way<T>(first: &str, seen: impl AsyncFnOnce(&Gateway) -> T) -> (Gateway, T) {
    let Patient {
        base_url,
        asked,
        go,
    } = Patient::serve().await;
    let gateway = Gateway::serve(&config(first, &base_url));
    let (_, secret) = create(&gateway, &["k", "--budget", "100/day"]);
    assert_eq!(listed(&gateway)["reserved"], "0");
    let body = chat("dear", "6 x 7?").to_string();
    let seen = {
        let ask = gateway.post("/v1/chat/completions", body);
        let ask = async { Answer::read(ask.bearer_auth(&secret).send().await.unwrap()).await };
        let mut ask = Box::pin(ask);
        tokio::select! {
            answer = &mut ask => panic!("{answer:?}"),
            asked = asked => asked.unwrap(),
        }
        let seen = seen(&gateway).await;
        go.send(()).unwrap();
        let answer = ask.await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("x-rungs-cost-usd"), "0.012");
        seen
    };
    (gateway, seen)
}

#[tokio::test]
async fn what_a_call_under_way_holds_is_listed_until_it_has_ended() {
    let both = async |gateway: &Gateway| {
        let told = admin(gateway, "GET", "/admin/v1/keys", &Value::Null).await;
        (
            listed(gateway),
            told.json()["data"][0]["budgets"][0].clone(),
        )
    };
    let (gateway, (listed_then, told)) = under_way("", both).await;
    assert_ne!(told["reserved"], "0", "{told}");
    assert_eq!(listed_then, told, "the command says what the gateway says");

    assert_eq!(gateway.rows_after(1).await.len(), 1);
    let after = listed(&gateway);
    assert_eq!(
        json!([after["posted"], after["reserved"]]),
        json!(["0.012", "0"])
    );
}

#[tokio::test]
async fn what_is_out_in_leases_is_listed_until_it_is_given_back() {
    let server = PostgresServer::start().unwrap();
    let first = store(&server);
    let (mut gateway, then) = under_way(&first, async |gateway: &Gateway| listed(gateway)).await;
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    // At least as much as the call is bound to.
    assert!(number(&then["reserved"]) > 0.012, "{then}");
    assert_eq!(then["posted"], "0");
    assert!(gateway.stop().await.success(), "{}", gateway.log());
    let after = listed(&gateway);
    assert_eq!(
        json!([after["posted"], after["reserved"]]),
        json!(["0.012", "0"])
    );
}

#[tokio::test]
async fn a_key_is_changed_as_the_admin_api_changes_it() {
    let upstream = Upstream::serve([scripted("m", Reply::text("six"))]).await;
    let upstream = upstream.unwrap();
    let gateway = Gateway::serve(&config("", &upstream.base_url()));
    let (by_command, secret) = create(&gateway, &["k"]);
    let (by_api, _) = create(&gateway, &["k"]);
    let path = format!("/admin/v1/keys/{by_api}");
    // What makes them two.
    let plain = |mut key: Value| {
        for member in ["id", "created"] {
            assert!(key.as_object_mut().unwrap().remove(member).is_some());
        }
        key
    };
    let changes: [(&[&str], Value); 18] = [
        (&["--name", "ann"], json!({ "name": "ann" })),
        (
            &[
                "--budget",
                "5/day",
                "--budget",
                "20/week@sun",
                "--tz",
                "Asia/Tokyo",
            ],
            json!({ "budgets": ["5/day", "20/week@sun"], "tz": "Asia/Tokyo" }),
        ),
        (&["--tz", "Europe/Berlin"], json!({ "tz": "Europe/Berlin" })),
        (
            &[
                "--models",
                "dear,other",
                "--max-tier",
                "L1",
                "--routes",
                "chat,models",
            ],
            json!({ "models": ["dear", "other"], "max_tier": "L1", "routes": ["chat", "models"] }),
        ),
        (
            &["--rpm", "60", "--tpm", "100000", "--warn-at", "90"],
            json!({ "rpm": 60, "tpm": 100_000, "warn_at": 90 }),
        ),
        (
            &["--on-exhaust", "refuse", "--on-store-down", "open"],
            json!({ "on_exhaust": "refuse", "on_store_down": "open" }),
        ),
        (
            &["--expires", "2099-01-31"],
            json!({ "expires": "2099-01-31" }),
        ),
        (&[], json!({})),
        (
            &["--budget", "1/day", "--clear", "rpm,tpm,warn-at"],
            json!({ "budgets": ["1/day"], "rpm": null, "tpm": null, "warn_at": null }),
        ),
        (
            &["--clear", "budget,routes,max-tier,expires,project"],
            json!({ "budgets": [], "routes": [], "max_tier": null, "expires": null, "project": null }),
        ),
        // Refused by the same rules.
        (&["--name", " "], json!({ "name": " " })),
        (&["--project", "none"], json!({ "project": "none" })),
        (
            &["--budget", "1/day", "--budget", "2/day"],
            json!({ "budgets": ["1/day", "2/day"] }),
        ),
        (&["--warn-at", "0"], json!({ "warn_at": 0 })),
        (
            &["--expires", "2020-01-01"],
            json!({ "expires": "2020-01-01" }),
        ),
        (
            &["--budget", "1/day", "--expires", "2020-01-01"],
            json!({ "budgets": "1/day", "expires": "2020-01-01" }),
        ),
        // The last of those that are made.
        (&["--rpm", "0"], json!({ "rpm": 0 })),
        (&["--clear", "rpm"], json!({ "rpm": null })),
    ];
    let mut refused = 0;
    for (args, body) in changes {
        let args = [&["keys", "update", &by_command], args].concat();
        let (status, out, err) = run(&gateway.folder, &args);
        let told = admin(&gateway, "PATCH", &path, &body).await;
        if told.status == 200 {
            assert!(status.success(), "{args:?}: {err}");
            let out = serde_json::from_str(&out).unwrap();
            assert_eq!(plain(out), plain(told.json()), "{args:?}");
        } else {
            refused += 1;
            let why = told.error()["message"].as_str().unwrap().to_owned();
            assert!(!status.success() && err.contains(&why), "{args:?}: {err}");
            assert_eq!(out, "", "{args:?}");
        }
        let show = |id: &str| gateway.rungs(&["keys", "show", id]);
        let [one, two] =
            [&by_command, &by_api].map(|id| plain(serde_json::from_str(&show(id)).unwrap()));
        assert_eq!(one, two, "{args:?}");
    }
    assert_eq!(refused, 6);

    // What contradicts itself, and what is no key.
    for (args, why) in [
        (
            &[&*by_command, "--rpm", "5", "--clear", "rpm"][..],
            "--clear",
        ),
        (&["nobody", "--rpm", "5"], "no such key"),
        (&[&*by_command, "--budget", "1/hour"], "windows are"),
        (&[&*by_command, "--clear", "name"], "possible values"),
    ] {
        let args = [&["keys", "update"], args].concat();
        let (status, _, err) = run(&gateway.folder, &args);
        assert!(!status.success() && err.contains(why), "{args:?}: {err}");
    }
    // It was not used before, so the gateway looks it up now.
    assert_eq!(
        status(&gateway, &secret).await,
        404,
        "only `dear` and `other`"
    );
    gateway.rungs(&["keys", "revoke", &by_command]);
    let args = ["keys", "update", &by_command, "--name", "again"];
    let (status, _, err) = run(&gateway.folder, &args);
    assert!(!status.success() && err.contains("is revoked"), "{err}");
}

#[tokio::test]
async fn a_new_key_is_printed_once_as_its_id_and_its_secret_and_nothing_else() {
    let gateway = Gateway::serve(&config("", "http://127.0.0.1:9/v1"));
    let args = [
        "keys", "create", "--name", "n", "--budget", "1/day", "--json",
    ];
    let (status, out, err) = run(&gateway.folder, &args);
    assert!(status.success());
    assert_eq!(err, "");
    let made: Value = serde_json::from_str(&out).unwrap();
    let [id, key] = ["id", "key"].map(|member| made[member].as_str().unwrap());
    assert_eq!(out, format!("{{\"id\":\"{id}\",\"key\":\"{key}\"}}\n"));
    let secret = key.rsplit('-').next().unwrap();
    assert!(secret.len() >= 64, "256 bits: {key}");
    let shown = [
        gateway.rungs(&["keys", "list", "--json"]),
        gateway.rungs(&["keys", "list"]),
        gateway.rungs(&["keys", "show", id]),
        gateway.rungs(&["keys", "update", id, "--rpm", "5"]),
        gateway.rungs(&["keys", "revoke", id]),
    ];
    for shown in shown {
        assert!(shown.contains(id) && !shown.contains(secret), "{shown}");
    }
}

/// As long as a process may trust a key without asking, as docs/DESIGN.md says.
const TRUST: Duration = Duration::from_secs(30);

#[tokio::test]
async fn t2_a_key_that_is_revoked_anywhere_opens_nothing_anywhere_within_the_time_of_trust() {
    let server = PostgresServer::start().unwrap();
    let upstream = Upstream::serve([scripted("m", Reply::text("six"))]).await;
    let upstream = upstream.unwrap();
    let config = config(&store(&server), &upstream.base_url());
    let (one, two) = (Gateway::serve(&config), Gateway::serve(&config));
    let (parent, _) = create(&one, &["parent"]);
    let (_, below) = create(&one, &["below", "--parent", &parent]);
    let (other, by_command) = create(&one, &["other"]);
    let (_, kept) = create(&one, &["kept"]);
    for gateway in [&one, &two] {
        for key in [&below, &by_command, &kept] {
            assert_eq!(status(gateway, key).await, 200);
        }
    }
    let start = Instant::now();
    one.rungs(&["keys", "revoke", &other]);
    let path = format!("/admin/v1/keys/{parent}/revoke");
    assert_eq!(admin(&one, "POST", &path, &json!({})).await.status, 200);
    assert_eq!(status(&one, &below).await, 401, "at once where it was done");
    for key in [&below, &by_command] {
        while status(&two, key).await != 401 {
            assert!(start.elapsed() < TRUST + Duration::from_secs(2));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    for gateway in [&one, &two] {
        assert_eq!(status(gateway, &kept).await, 200);
    }
}
