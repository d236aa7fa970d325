//! R8: secrets that are planted everywhere are found nowhere: not in a log at its most talkative, not in an answer or an error, not
//! in the ledger, its journal or the metrics.

use crate::support::*;

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
