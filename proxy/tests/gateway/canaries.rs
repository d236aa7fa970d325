//! R8: secrets that are planted everywhere are found nowhere: not in a log at its most talkative, not in an answer or an error, not
//! in the ledger, its journal or the metrics.

use rungs::testing::servers::{PostgresServer, RedisServer};
use serde_json::{Value, json};

use crate::{
    support::*,
    upstreams::{self, ask},
};

const PROVIDER: &str = "sk-canary-provider-5e1f0a97";
const HEADER: &str = "canary-header-77c2d4b1";
const CLIENT: &str = "canary-client-key-91d06f3a2c";
const ADMIN: &str = "canary-admin-key-4b8e2f6d90a1";
const WRONG: &str = "sk-rungs-0123456789ab-canary-wrong-key-66f1";
const QUESTION: &str = "canary-question-3d5a";

/// What a provider says that repeats everything it was told.
fn repeats(heard: &Heard) -> String {
    let told = heard.head.replace(['\r', '\n', '"'], " ");
    let complaint = format!("{{\"error\":{{\"message\":\"you sent {told}\"}}}}");
    let (status, kind, body) = match &*heard.model() {
        "refusing" => ("401 Unauthorized", "application/json", complaint),
        "failing" => (
            "500 Internal Server Error",
            "text/html",
            format!("<p>{told}</p>"),
        ),
        "elsewhere" => {
            return format!(
                "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/?{PROVIDER}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
        }
        "garbled" => ("200 OK", "application/json", format!("{{ {told}")),
        "breaking" => {
            let event = format!("event: error\ndata: {complaint}\n\n");
            ("200 OK", "text/event-stream", event)
        }
        _ => {
            return sse(&[
                r#"{"choices":[{"index":0,"delta":{"content":"yes"},"finish_reason":"stop"}]}"#,
                "[DONE]",
            ]);
        }
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn r8_planted_secrets_are_found_nowhere() {
    let wire = Wire::answer(repeats).await;
    let names = [
        "good",
        "refusing",
        "failing",
        "elsewhere",
        "garbled",
        "breaking",
    ];
    let models: String = names
        .iter()
        .map(|name| {
            model(
                name,
                "p",
                "L0",
                "price = { input = \"1\", output = \"2\" }\nmax_output = 9",
            )
        })
        .collect();
    let gateway = Gateway::serve(&format!(
        "[log]\nlevel = \"trace\"\n{NO_RETRY}[admin]\nkey = \"{ADMIN}\"\n{}api_key = \"{PROVIDER}\"\nheaders = {{ x-extra = \"{HEADER}\" }}\n{models}{}{}",
        provider("p", &wire.base_url),
        key("client", CLIENT, "budget = \"5/day\""),
        scraper(),
    ))
    .with_key(CLIENT);

    let mut seen = String::new();
    for name in names {
        for body in [chat(name, QUESTION), chat_stream(name, QUESTION)] {
            seen += &format!("{:?}", gateway.ask(&body).await);
        }
    }
    for path in [
        "/v1/models",
        "/health",
        "/ready",
        "/openapi.json",
        "/nowhere",
    ] {
        seen += &format!("{:?}", gateway.get(path).await);
    }
    seen += &gateway.metrics().await;
    let heard = wire.heard();
    assert!(
        heard.iter().all(|h| h.head.contains(PROVIDER)),
        "the provider is told its key"
    );
    let gateway = gateway.with_key(WRONG);
    seen += &format!("{:?}", gateway.ask(&chat("good", QUESTION)).await);
    let gateway = gateway.with_key(ADMIN);
    for path in [
        "/admin/v1/keys",
        "/admin/v1/budgets",
        "/admin/v1/keys/canary",
    ] {
        seen += &format!("{:?}", gateway.get(path).await);
    }
    seen += &gateway.rungs(&["ledger", "export"]);
    let gateway = gateway.restart().await;
    let log = gateway.log();
    assert!(
        log.len() + seen.len() > 5_000,
        "there is something to search"
    );

    let mut places = vec![
        ("answers".to_owned(), seen.into_bytes()),
        ("log".to_owned(), log.into_bytes()),
    ];
    read_all(&gateway.folder, &mut places);
    assert!(
        places.len() > 4,
        "the database and the journal are searched"
    );
    for (place, bytes) in &places {
        let text = String::from_utf8_lossy(bytes);
        for secret in [
            PROVIDER,
            HEADER,
            CLIENT,
            ADMIN,
            "canary-wrong-key",
            QUESTION,
        ] {
            let found = text.split_once(secret).map(|(before, _)| before);
            let before = found.map(|before| before.chars().rev().take(80).collect::<String>());
            assert!(
                found.is_none(),
                "{secret} in {place}, behind (backwards) {before:?}"
            );
        }
    }
}

/// What is planted where the test above has no place for it.
const STORE: &str = "canary-store-secret-5c1d8a7e90b3f26e";
const POSTGRES: &str = "canary-postgres-password-c81f";
const REDIS: &str = "canary-redis-password-40b7";
const HOOK: &str = "canary-hook-bearer-92ad";
const PLACE: &str = "v1/canary-hook-path-6e05";
const MOUNTED: &str = "canary-mcp-header-1f7b";
const CHILD: &str = "canary-mcp-variable-d3c9";

/// What the tables of a database and the values of a Redis are made of, as text.
fn kept(server: &PostgresServer, database: &str, redis: &RedisServer) -> String {
    let tables = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'";
    let tables = server.query(database, tables).unwrap();
    let rows = tables.lines().map(|table| {
        let rows = format!("SET bytea_output = escape; SELECT t::text FROM {table} t");
        server.query(database, &rows).unwrap()
    });
    let all = r"
        local all = {}
        for _, key in ipairs(redis.call('KEYS', '*')) do
            local kind, value = redis.call('TYPE', key).ok, ''
            if kind == 'string' then value = redis.call('GET', key) end
            if kind == 'hash' then value = table.concat(redis.call('HGETALL', key), ' ') end
            all[#all + 1] = kind .. ' ' .. key .. ' ' .. value
        end
        return (string.gsub(table.concat(all, ' '), '[^%w%p ]', '?'))";
    let all = redis.command(&["EVAL", all, "0"]).unwrap();
    rows.chain([all]).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn r8_stores_tools_hooks_and_panics_tell_no_secret() {
    let mut server = PostgresServer::start().unwrap();
    let url = server.database().unwrap();
    let database = url.rsplit('/').next().unwrap().to_owned();
    let mut redis = RedisServer::with(&format!("user gateway on >{REDIS} ~* &* +@all")).unwrap();
    let wire = Wire::answer(|_| {
        let body = json!({ "choices": [{ "index": 0, "message": { "content": "yes" }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 9, "completion_tokens": 2 } })
        .to_string();
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    })
    .await;
    let hook = Wire::answer(|_| {
        "HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into()
    })
    .await;
    let mounted = upstreams::server(&Default::default()).await;
    let config = [
        format!("admin = {{ key = \"{ADMIN}\" }}\n{NO_RETRY}[log]\nlevel = \"trace\"\n"),
        format!(
            "[store]\nurl = \"{}\"\nsecret = \"{STORE}\"\nredis = \"{}\"\nredis_seconds = 5\n",
            url.replace("rungs@", &format!("rungs:{POSTGRES}@")),
            redis.url().replace("//", &format!("//gateway:{REDIS}@")),
        ),
        format!(
            "[budget]\nalert = \"0.000001\"\nwebhook = \"{}\"\nwebhook_secret = \"{HOOK}\"\nwebhook_allow_private = true\n",
            hook.base_url.replace("v1", PLACE)
        ),
        provider("p", &wire.base_url),
        format!("api_key = \"{PROVIDER}\"\nheaders = {{ x-extra = \"{HEADER}\" }}\n"),
        model("m", "p", "L0", "price = { input = \"1\", output = \"2\" }\nmax_output = 9"),
        "[tools]\ns__find = true\n".to_owned(),
        format!("{}headers = {{ x-api-key = \"{MOUNTED}\" }}\n", upstreams::mounting(&mounted)),
        format!(
            "[[mcp]]\nname = \"c\"\ncommand = [\"sh\", \"-c\", \"echo I know $OWN_KEY >&2; exit 1\"]\nenv = {{ OWN_KEY = \"{CHILD}\" }}\n"
        ),
        key("client", CLIENT, "rpm = 1000\nbudget = \"5/day\""),
        scraper(),
    ]
    .concat();
    let place = folder();
    std::fs::write(place.join("rungs.toml"), config).unwrap();
    // The third attempt makes the gateway panic.
    let gateway = Gateway::serve_in(
        &place,
        &[("FAILPOINTS", "journal.begin=2*off->1*panic->off")],
    );
    for secret in [
        ADMIN, STORE, POSTGRES, REDIS, HOOK, PLACE, PROVIDER, HEADER, MOUNTED, CHILD, CLIENT,
    ] {
        assert!(gateway.secrets.has(secret), "{secret} is looked for");
    }

    // Each answer is searched when it is read, and the log and all files at the end.
    let gateway = gateway.with_key(CLIENT);
    let headers = [("idempotency-key", "canary")];
    let whole = gateway.ask_with(&chat("m", "one"), &headers).await;
    let streamed = gateway.ask(&chat_stream("m", "two")).await;
    let broken = gateway.ask(&chat("m", "three")).await;
    assert_eq!(
        (whole.status, streamed.status, broken.status),
        (200, 200, 500)
    );
    gateway.logs("a request made the gateway panic").await;
    assert_eq!(
        gateway.ask(&chat("m", "one")).await.header("x-rungs-cache"),
        "hit"
    );
    gateway.logs("MCP server is up").await;
    gateway.logs("I know [secret]").await;
    let found = ask(
        &gateway,
        "tools/call",
        json!({ "name": "s__find", "arguments": {} }),
    )
    .await;
    assert!(found.to_string().contains("found"), "{found}");
    let messages = json!([{ "role": "user", "content": "four" }]);
    let chat_tool = json!({ "name": "chat", "arguments": { "model": "m", "messages": messages } });
    ask(&gateway, "tools/call", chat_tool).await;
    gateway.metrics().await;

    let made = gateway.rungs(&["keys", "create", "--name", "made", "--json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let made = made["key"].as_str().unwrap().to_owned();
    let gateway = gateway.with_key(ADMIN);
    let body = json!({ "name": "asked-for" }).to_string();
    let asked = gateway.post("/admin/v1/keys", body).send().await.unwrap();
    let asked = Answer::read(asked).await.json();
    let asked = asked["key"].as_str().unwrap().to_owned();
    for minted in [&made, &asked] {
        let secret = minted.rsplit('-').next().unwrap();
        assert!(gateway.secrets.has(secret), "what is made is looked for");
    }
    for path in ["/admin/v1/keys", "/admin/v1/budgets", "/openapi.json"] {
        assert_eq!(gateway.get(path).await.status, 200, "{path}");
    }
    let mut gateway = gateway;
    for minted in [made, asked] {
        gateway = gateway.with_key(&minted);
        assert_eq!(gateway.ask(&chat("m", "four")).await.status, 200);
    }
    gateway.rungs(&["keys", "list", "--json"]);
    gateway.rungs(&["ledger", "export"]);
    until("the hook", || !hook.heard().is_empty()).await;
    assert!(hook.heard()[0].head.contains(HOOK), "it is told its secret");
    gateway
        .secrets
        .must_not_be_in("the hook's body", &hook.heard()[0].body);

    // All that is kept, and what is said when it cannot be had.
    let all = kept(&server, &database, &redis);
    assert!(
        all.contains("asked-for") && all.contains("string "),
        "{all}"
    );
    gateway.secrets.must_not_be_in("stores", &all);
    redis.kill().unwrap();
    server.stop().unwrap();
    for question in ["five", "six"] {
        gateway.ask(&chat("m", question)).await;
    }
    gateway.logs("redis is away").await;
    gateway.get("/ready").await;
    server.restart().unwrap();
    redis.restart().unwrap();
    gateway.logs("redis is back").await;
    assert!(gateway.stop().await.success());
    gateway
        .secrets
        .must_not_be_in("stores", &kept(&server, &database, &redis));
}
